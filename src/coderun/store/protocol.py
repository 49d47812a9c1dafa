"""The store: objects with optimistic concurrency, a watch that gives hints, and a durable inbox.

One contract-test class runs against each implementation. Nothing here means anything to a pipeline: events of a watch say only
"look again at this one".
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from coderun.model.coderun import CodeRun
from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.play import Play

ObjectT = TypeVar("ObjectT", CodeRun, Play)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A hint: the object of this kind and name was written or deleted. Repeated hints may be merged into one.

    Attributes:
        own_status: All that was written is a status, by this very store: whoever wrote it knows. A store need not tell.
    """

    kind: str
    name: str
    deleted: bool = False
    own_status: bool = False


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one delivery."""

    id: str
    state: DeliveryState
    outcome: str


class ObjectStore(Protocol):
    """Objects by kind and name. The store sets uid, resourceVersion, generation and creationTimestamp.

    Every method may raise `StoreUnavailableError` (busy, disk full, read-only) and `StoreCorruptError`.
    """

    async def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """The object as last written, None where there is none."""
        ...

    async def find(self, kind: type[ObjectT], *, labels: Mapping[str, str] = {}) -> list[ObjectT]:
        """All objects of a kind that carry all of `labels`, ordered by name."""
        ...

    async def create(self, new: ObjectT) -> ObjectT:
        """Store a new object; its status is stored too. Raises `AlreadyExistsError`."""
        ...

    async def update(self, changed: ObjectT) -> ObjectT:
        """Write spec, labels and annotations; the status is left alone. Raises `generation` when the spec differs.

        Raises:
            WriteConflictError: `metadata.resourceVersion` is not the stored one.
            NotFoundError: it is gone.
        """
        ...

    async def update_status(self, changed: ObjectT) -> ObjectT:
        """Write the status only; spec and metadata are left alone. Raises as `update`. An equal status writes nothing."""
        ...

    async def delete(self, kind: type[ObjectT], name: str, *, uid: str = "") -> None:
        """Delete it; nothing happens where it is gone, or where `uid` is given and is another object's."""
        ...

    def watch(self) -> AsyncIterator[list[Change]]:
        """Changes from now on, as batches, also those made by other processes; ends when the store is closed.

        The watch is registered when this is called, not at the first `anext`: what is written in between is not missed.
        """
        ...


class Slot(Protocol):
    """The way into an inbox."""

    async def put_deliveries(self, deliveries: Iterable[Delivery]) -> int:
        """Store those whose id is new, all in one transaction; the number that were new."""
        ...


class Inbox(Slot, Protocol):
    """Deliveries, durable before they are acknowledged."""

    async def pending_deliveries(self, limit: int = 100) -> list[Delivery]:
        """The oldest deliveries nobody has settled."""
        ...

    async def get_delivery(self, identity: str) -> Delivery | None:
        """The delivery of that id, None where there is none (any more)."""
        ...

    async def reopen_deliveries(self, identities: Iterable[str]) -> int:
        """Make settled deliveries pending again, in one transaction; how many there were. Watches are told."""
        ...

    async def settle_deliveries(self, settlements: Iterable[Settlement]) -> None:
        """Record what became of them, in one transaction; unknown ids are passed over."""
        ...

    async def list_deliveries(self, *, limit: int = 100, before: datetime | None = None) -> list[Delivery]:
        """The newest deliveries, newest first."""
        ...

    async def last_delivery(self, prefix: str) -> str | None:
        """The greatest id (by length, then text) that starts with `prefix`: how far a numbered source has been read."""
        ...

    async def forget_deliveries(self, older_than: datetime) -> int:
        """Remove settled deliveries received before then; how many."""
        ...


class Store(ObjectStore, Inbox, Protocol):
    """Objects and inbox of one place."""

    async def close(self) -> None:
        """Stop watches and release what is held."""
        ...
