"""The inbox for people: which deliveries came, what became of each, and the same hint once more.

Over the store's inbox; what a delivery means is `events`' to say. Bodies are others' texts: they are shown, never looked into.
"""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from coderun.events.hints import hints_of
from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.errors import NotFoundError
from coderun.model.play import Play
from coderun.model.text import did_you_mean, printable
from coderun.store.protocol import Inbox

LOOKED_THROUGH: Final = 20_000
_PAGE: Final = 500


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for; what is "" or None is not asked.

    Attributes:
        event: Name with or without the action (`pull_request` also means `pull_request.labeled`).
        play: One that the outcome names.
    """

    state: DeliveryState | None = None
    event: str = ""
    play: str = ""
    repository: str = ""
    since: datetime | None = None

    def takes(self, delivery: Delivery) -> bool:
        """Whether a delivery is one of them."""
        return (
            (self.state is None or delivery.state is self.state)
            and (not self.event or delivery.event == self.event or delivery.event.startswith(f"{self.event}."))
            and (not self.play or names_play(delivery.outcome, self.play))
            and (not self.repository or delivery.repository == self.repository)
            and (self.since is None or delivery.received_at >= self.since)
        )


class Since(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a play decided after a delivery that was a hint for it; "" for nothing yet."""

    play: str
    decided: str
    at: datetime | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A delivery as `coderun events` shows it; `since` and `body` only where one delivery is shown."""

    name: str
    event: str
    repository: str
    received_at: datetime
    state: str
    outcome: str
    pull_requests: tuple[int, ...]
    tasks: tuple[int, ...]
    branches: tuple[str, ...]
    head_sha: str
    actor: str
    remarks: tuple[str, ...]
    since: tuple[Since, ...] = ()
    body: object | None = None


def names_play(outcome: str, play: str) -> bool:
    """Whether an outcome names this play, and not only one whose name begins like it."""
    return re.search(rf"(?<![\w-]){re.escape(play)}(?![\w-])", outcome) is not None


def told(delivery: Delivery, *, with_body: bool = False, plays: Iterable[Play] = ()) -> Told:
    """What there is to say of a delivery; with what `plays` decided since."""
    hints = hints_of(delivery)
    return Told(
        name=delivery.id,
        event=delivery.event,
        repository=delivery.repository,
        received_at=delivery.received_at,
        state=delivery.state.value,
        outcome=delivery.outcome,
        pull_requests=tuple(sorted({hint.number for hint in hints if hint.number is not None})),
        tasks=tuple(sorted({task for hint in hints for task in hint.tasks})),
        branches=tuple(dict.fromkeys(hint.branch for hint in hints if hint.branch)),
        head_sha=next((hint.head_sha for hint in hints if hint.head_sha), ""),
        actor=next((hint.actor for hint in hints if hint.actor), ""),
        remarks=tuple(dict.fromkeys(remark for hint in hints for remark in hint.remarks)),
        since=tuple(decided_since(delivery, plays)),
        body=_body_of(delivery) if with_body else None,
    )


def _body_of(delivery: Delivery) -> object:
    try:
        return msgspec.json.decode(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return delivery.body.decode("utf-8", "replace")


def decided_since(delivery: Delivery, plays: Iterable[Play]) -> list[Since]:
    """The first decision of each play that a delivery was a hint for, from the moment it was received."""
    found = []
    for play in plays:
        if names_play(delivery.outcome, play.name):
            entries = (entry for entry in play.status.history if entry.at >= delivery.received_at)
            first = next(entries, None)
            said = f"{first.reason}: {first.message}" if first is not None else ""
            found.append(Since(play=play.name, decided=said, at=first.at if first is not None else None))
    return found


async def list_deliveries(inbox: Inbox, wanted: Wanted, *, limit: int) -> list[Delivery]:
    """The newest deliveries of those asked for, newest first."""
    found: list[Delivery] = []
    async for delivery in _newest(inbox, wanted.since):
        if wanted.takes(delivery):
            found.append(delivery)
        if len(found) >= limit:
            break
    return found


async def _newest(inbox: Inbox, since: datetime | None) -> AsyncIterator[Delivery]:
    """All deliveries, newest first, back to `since`."""
    limit, seen, before = _PAGE, set[str](), None
    while len(seen) < LOOKED_THROUGH:
        # `before` leaves out what came in the same moment: such a moment is read whole, in pages that grow.
        page = await inbox.list_deliveries(limit=limit, before=before)
        if len(page) == limit and page[0].received_at == page[-1].received_at:
            limit *= 2
            continue
        is_last = len(page) < limit
        whole = page if is_last else [delivery for delivery in page if delivery.received_at > page[-1].received_at]
        for delivery in whole:
            if since is not None and delivery.received_at < since:
                return
            seen.add(delivery.id)
            yield delivery
        if is_last:
            return
        before, limit = whole[-1].received_at, _PAGE


async def find_delivery(inbox: Inbox, wanted: str) -> Delivery:
    """The delivery of that id; the forge's own id, and the beginning of either, will do.

    Raises:
        NotFoundError: there is none, or several begin like this.
    """
    for identity in (wanted, f"github-{wanted.lower()}"):
        found = await inbox.get_delivery(identity)
        if found is not None:
            return found
    known = [delivery.id async for delivery in _newest(inbox, None)]
    begun = [identity for identity in known if wanted and identity.startswith((wanted, f"github-{wanted.lower()}"))]
    if len(begun) == 1 and (only := await inbox.get_delivery(begun[0])) is not None:
        return only
    shown = repr(printable(wanted, 80))
    if begun:
        raise NotFoundError(
            f"{len(begun)} deliveries begin with {shown}; write more of the id, as `coderun events list` has it"
        )
    near = did_you_mean(wanted, known)
    raise NotFoundError(f"there is no delivery {shown}{near}; `coderun events list` shows those that are kept")


async def replay(inbox: Inbox, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Give the hints of these deliveries once more: a controller takes them up as if they had just come. Those it was."""
    waiting = [delivery for delivery in deliveries if delivery.state is not DeliveryState.PENDING]
    await inbox.reopen_deliveries(delivery.id for delivery in waiting)
    return waiting
