"""From announced pushes and the refs as they stand to the moves that have really happened.

Pure. The pre-receive hook announces a push before git moves the ref; whether it then moved, only the ref can tell. A move that
nobody announced (git update-ref) is a move by nobody known.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was about to move `ref` from `old` to `new` ("" is "not there").

    Attributes:
        id: Grows with time.
        at: Microseconds since the epoch.
        pull: Number of the pull request that this very move merges, None for a push.
        head_sha: The head that is merged.
    """

    id: int
    ref: str
    old: str
    new: str
    login: str
    at: int
    pull: int | None = None
    head_sha: str = ""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """`ref` went from `old` to `new`; without an announcement nobody knows who did it."""

    ref: str
    old: str
    new: str
    announced: Announcement | None = None


def trace(known: Mapping[str, str], current: Mapping[str, str], announced: Iterable[Announcement]) -> list[Move]:
    """The moves that lead from `known` to `current`.

    They come in the order they were announced; one that nobody announced stands just before what was built on it, or last.

    An announcement counts when the ref's present value can be reached through it; one that leads elsewhere did not happen (or
    not yet). A ref that went away and came back shows both moves.
    """
    by_ref: dict[str, list[Announcement]] = {}
    for each in sorted(announced, key=lambda a: a.id):
        by_ref.setdefault(each.ref, []).append(each)
    moves = [
        move
        for ref in sorted(known.keys() | current.keys() | by_ref.keys())
        for move in _trace_ref(ref, known.get(ref, ""), current.get(ref, ""), by_ref.get(ref, []))
    ]
    return [move for _, move in sorted(moves, key=lambda pair: pair[0])]


def _trace_ref(ref: str, old: str, new: str, announced: Sequence[Announcement]) -> list[tuple[tuple[float, int], Move]]:
    """The moves of one ref, each with its place among those of all refs."""
    chain = _chain(old, new, announced)
    moves = [((each.id, 1), Move(ref=ref, old=each.old, new=each.new, announced=each)) for each in chain]
    start = chain[0].old if chain else new
    if start == old:
        return list(moves)
    if old == new:
        return []  # leads here from elsewhere, but the ref never left: not to be believed
    place = chain[0].id if chain else math.inf
    return [((place, 0), Move(ref=ref, old=old, new=start)), *moves]


def _chain(old: str, new: str, announced: Sequence[Announcement]) -> list[Announcement]:
    """Announcements that end in `new`, each starting where the one before it ended; cut where they start at `old`."""
    chain: list[Announcement] = []
    wanted = new
    for each in reversed(announced):
        if each.new == wanted and each.old != each.new:
            chain.append(each)
            wanted = each.old
    starts = [index for index, each in enumerate(chain) if each.old == old]
    return list(reversed(chain[: starts[-1] + 1] if starts else chain))
