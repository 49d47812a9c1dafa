"""Deliveries: events as they came in, kept until they have been looked at and for a while after."""

from datetime import datetime
from enum import StrEnum

import msgspec


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    MOVED = "moved"
    IGNORED = "ignored"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a forge.

    Attributes:
        id: Unique per event, equal for repetitions: the forge's delivery id.
        event: Its name with the action (`pull_request.labeled`, `push`).
        repository: Canonical repository id as text.
        body: The body as it came; untrusted.
        outcome: For people: which plays it was a hint for, or why none.
    """

    id: str
    event: str
    repository: str
    received_at: datetime
    body: bytes = b""
    state: DeliveryState = DeliveryState.PENDING
    outcome: str = ""
