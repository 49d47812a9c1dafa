"""Events of the local forge as deliveries, and the marks they carry.

An event never says what is so; it only names pull requests and tasks that somebody should look at again.
"""

from datetime import datetime

import msgspec

from coderun.events.marks import remarks_on
from coderun.model.deliveries import Delivery, Hint
from coderun.model.names import task_of_branch, task_of_label

PREFIX = "local-"


class LocalEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the local forge's event log.

    Attributes:
        id: Grows by one with each event.
        event: Name with the action (`pull_request.labeled`, `push`, …).
        detail: The label, the review's state, the branch: what the event is about; untrusted.
    """

    id: int
    at: datetime
    event: str
    number: int | None = None
    branch: str = ""
    head_sha: str = ""
    actor: str = ""
    detail: str = ""


def to_delivery(event: LocalEvent, repository: str) -> Delivery:
    """The event as a delivery; its id keeps the log's order as text of equal length."""
    return Delivery(
        id=f"{PREFIX}{event.id:012d}",
        event=event.event,
        repository=repository,
        received_at=event.at,
        body=msgspec.json.encode(event),
    )


def event_number(delivery_id: str | None) -> int:
    """The log id behind a delivery id; 0 where there is none."""
    digits = (delivery_id or "").removeprefix(PREFIX)
    return int(digits) if digits.isdecimal() else 0


def hint_of(delivery: Delivery) -> Hint:
    """What a delivery points at; an undecodable body points at nothing."""
    try:
        event = msgspec.json.decode(delivery.body, type=LocalEvent)
    except msgspec.MsgspecError:
        return Hint()
    found = {task_of_branch(event.branch) if event.branch else None, task_of_label(event.detail)}
    is_label = event.event.endswith("labeled")
    return Hint(
        number=event.number,
        tasks=frozenset(task for task in found if task is not None),
        branch=event.branch,
        head_sha=event.head_sha,
        actor=event.actor,
        remarks=remarks_on(labels=(event.detail,) if is_label else (), branch=event.branch),
    )
