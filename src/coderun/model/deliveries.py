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
