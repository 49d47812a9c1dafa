"""What became of a delivery, in words for people. Pure; the controller says which plays it was a hint for."""

from collections.abc import Collection, Iterable
from typing import Final

from coderun.model.deliveries import Delivery, Hint
from coderun.model.text import listed, printable

_PLAYS_NAMED: Final = 10
_REMARKS: Final = 5


def outcome_of(delivery: Delivery, hints: Iterable[Hint], plays: Collection[str], *, is_played: bool) -> str:
    """Which plays a delivery was a hint for, or why it was one for none; what is remarkable about it comes last."""
    hints = tuple(hints)
    remarks = list(dict.fromkeys(remark for hint in hints for remark in hint.remarks))[:_REMARKS]
    return "; ".join([_said(delivery, hints, plays, is_played=is_played), *remarks])


def _said(delivery: Delivery, hints: tuple[Hint, ...], plays: Collection[str], *, is_played: bool) -> str:
    if plays:
        more = len(plays) - _PLAYS_NAMED
        return f"hint for {', '.join(sorted(plays)[:_PLAYS_NAMED])}{f' and {more} more' if more > 0 else ''}"
    if not delivery.repository:
        return "concerns no repository"
    if not is_played:
        return f"repository {printable(delivery.repository, 200)} is not played here"
    about = listed(dict.fromkeys(word for hint in hints for word in _words(hint)), limit=_PLAYS_NAMED)
    return f"concerns no open play ({about})" if about != "none" else "points at no pull request, task or branch"


def _words(hint: Hint) -> Iterable[str]:
    if hint.number is not None:
        yield f"#{hint.number}"
    for task in sorted(hint.tasks):
        yield f"task {task}"
    if hint.branch:
        yield f"branch {hint.branch}"
