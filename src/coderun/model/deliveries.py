"""Deliveries: events as they came in, kept until they have been looked at and for a while after."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from coderun.model.coderun import Shape
from coderun.model.meta import ObjectMeta
from coderun.model.names import API_VERSION


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


class DeliveryHint(Shape, frozen=True, kw_only=True):
    """What a delivery points at: whatever is known of a pull request, tasks, a branch and a commit.

    Attributes:
        pull_request: Number of a pull request; 0 is none.
        tasks: Task ids that labels and branches of the event name.
        branch: Head branch, without `refs/heads/`.
        head_sha: Head commit.
    """

    pull_request: int = 0
    tasks: tuple[int, ...] = ()
    branch: str = ""
    head_sha: str = ""


class DeliverySpec(Shape, frozen=True, kw_only=True):
    """What is kept of one event in a cluster: what correlation needs, never the body.

    Attributes:
        delivery_id: The forge's delivery id; the object's name follows from it, so that a repetition is found at once.
        event: Name of the event with its action.
        repository: Canonical repository id as text.
        received_at: When it was stored.
        digest: SHA-256 of the body as it came, in hex.
        actor: Login of whoever caused it.
        hints: What it points at.
    """

    delivery_id: str
    event: str
    repository: str
    received_at: datetime
    digest: str = ""
    actor: str = ""
    hints: tuple[DeliveryHint, ...] = ()


class DeliveryStatus(Shape, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        state: Whether it has been looked at, and whether it moved a play.
        outcome: For people: which plays it was a hint for, or why none.
    """

    state: DeliveryState = DeliveryState.PENDING
    outcome: str = ""


class DeliveryObject(Shape, frozen=True, kw_only=True):
    """A delivery as a custom resource `agents.platform/v1`, kind Delivery: the inbox of a cluster."""

    KIND: ClassVar[str] = "Delivery"

    api_version: str = API_VERSION
    kind: str = "Delivery"
    metadata: ObjectMeta
    spec: DeliverySpec
    status: DeliveryStatus = DeliveryStatus()

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name
