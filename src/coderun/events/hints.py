"""What a delivery points at, whichever forge it is from.

In front of `github` and `local`. Pure. A store that keeps no bodies keeps the hints.
"""

from coderun.events import github, local
from coderun.model.deliveries import Delivery, Hint


def is_conversation(delivery: Delivery) -> bool:
    """Whether it only tells of a comment: no gate looks at those, but they may hold a command."""
    return delivery.event.partition(".")[0] == "issue_comment"


def hints_of(delivery: Delivery) -> tuple[Hint, ...]:
    """What a delivery points at: what is kept of it, else what its body says; none where it points at nothing."""
    if delivery.hints or not delivery.body:
        return delivery.hints
    if delivery.id.startswith(local.PREFIX):
        return (local.hint_of(delivery),)
    return github.hints_of(delivery) if delivery.id.startswith(github.PREFIX) else ()
