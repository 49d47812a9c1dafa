"""Deliveries: events as they came in, kept until they have been looked at and for a while after."""

from datetime import datetime
from enum import StrEnum

import msgspec


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    MOVED = "moved"
    IGNORED = "ignored"


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Which pull request, tasks and branch an event may concern; whatever is to be merged into that branch is concerned too.

    Attributes:
        head_sha: The commit it is about, "" where it names none.
        actor: Login of whoever caused it; untrusted, like the rest.
        remarks: For people: what looks like a mark of a task and is none.
    """

    number: int | None = None
    tasks: frozenset[int] = frozenset()
    branch: str = ""
    head_sha: str = ""
    actor: str = ""
    remarks: tuple[str, ...] = ()


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a forge.

    Attributes:
        id: Unique per event, equal for repetitions: the forge's delivery id.
        event: Its name with the action (`pull_request.labeled`, `push`).
        repository: Canonical repository id as text.
        body: The body as it came; untrusted. Empty where the store keeps no bodies.
        hints: What it points at, where the store keeps that in place of the body; `events.hints.hints_of` reads either.
        outcome: For people: which plays it was a hint for, or why none.
    """

    id: str
    event: str
    repository: str
    received_at: datetime
    body: bytes = b""
    hints: tuple[Hint, ...] = ()
    state: DeliveryState = DeliveryState.PENDING
    outcome: str = ""
