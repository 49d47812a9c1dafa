"""The SQLite store: objects, watches and the inbox of one repository in one file that several processes open.

What the reconcilers, the CLI and the hooks see of this room (`protocol.Store`). The tables do the work in tiny transactions on
the event loop's thread; this module adds waiting (a busy file is tried again without blocking the loop), watching, and the
wakes for other processes. It never decides what an object means.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from coderun.model.deliveries import Delivery
from coderun.model.errors import StoreCorruptError, StoreUnavailableError
from coderun.store.codec import Row, decode_object
from coderun.store.database import Database, StoreBusyError
from coderun.store.inbox import InboxTable
from coderun.store.listener import Listener
from coderun.store.objects import ObjectTable
from coderun.store.protocol import Change, ObjectT, Settlement
from coderun.store.schema import MIGRATIONS, Step
from coderun.store.wake import Waker
from coderun.store.watches import Watches

T = TypeVar("T")
OnBroken = Callable[[str, str, Exception], None]
"""Called with kind, name and error of an object that `find` passed over because its row does not decode."""

PATIENCE: Final = 5.0
"""Seconds for which a call tries a busy file again before it gives up."""

_PAUSE: Final = 0.005
_DECODED_AT_ONCE: Final = 100


def warn_of_broken(kind: str, name: str, error: Exception) -> None:
    """Log an object that was passed over."""
    import structlog  # noqa: PLC0415 - slow to import, and hardly ever needed

    structlog.get_logger(__name__).warning("object passed over", kind=kind, name=name, error=str(error))


class SqliteStore:
    """Implements `protocol.Store`. Objects it gives out are shared: their dicts must not be changed.

    `watch` also tells of new deliveries, as changes of kind `Delivery`.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime],
        namespace: str = "default",
        on_broken: OnBroken = warn_of_broken,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        listener: Listener | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._on_broken = on_broken
        self._objects = ObjectTable(database, namespace=namespace, clock=clock, new_uid=new_uid)
        self._inbox = InboxTable(database)
        self._watches = Watches(database, namespace=namespace)
        self._wakes = database.path.parent / "wake"
        self._waker = Waker(self._wakes)
        self._patience = patience
        self._listener = listener
        self._own_listener: Listener | None = None
        self._reported: set[tuple[str, str, int]] = set()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], datetime],
        namespace: str = "default",
        on_broken: OnBroken = warn_of_broken,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        listener: Listener | None = None,
        patience: float = PATIENCE,
        migrations: tuple[Step, ...] = MIGRATIONS,
    ) -> "SqliteStore":
        """Open the store in the file `path`; wakes go through the folder `wake` beside it.

        `listener` is the process's own where it has one already; otherwise the first watch makes one. `new_uid` gives a random
        text that no other object ever had. `patience`: seconds for which a busy file is tried again (the loop goes on).

        Raises:
            ConfigError: a newer coderun or another program made the file.
            StoreUnavailableError: it cannot be opened or written now.
            StoreCorruptError: it is damaged.
        """
        database = Database.open(path, migrations=migrations)
        return cls(
            database,
            clock=clock,
            namespace=namespace,
            on_broken=on_broken,
            new_uid=new_uid,
            listener=listener,
            patience=patience,
        )

    async def close(self) -> None:
        """End the watches and release the file. Repeating it does nothing."""
        await self._watches.close()
        if self._own_listener is not None:
            self._own_listener.close()
        self._database.close()

    async def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """See `ObjectStore`. A row that does not decode is `StoreCorruptError` naming the object; others are not affected."""
        return await self._patiently(partial(self._objects.get, kind, name))

    async def find(self, kind: type[ObjectT], *, labels: Mapping[str, str] = {}) -> list[ObjectT]:
        """See `ObjectStore`. As of one moment; rows that do not decode are left out and reported once to `on_broken`."""
        rows = await self._patiently(partial(self._objects.find, kind, labels))
        found: list[ObjectT] = []
        rows.reverse()
        while rows:
            row = rows.pop()  # its bytes are let go as soon as they are an object: thousands of both would be twice the memory
            try:
                found.append(decode_object(kind, row, self._namespace))
            except StoreCorruptError as error:
                self._report(kind.KIND, row, error)
            if len(rows) % _DECODED_AT_ONCE == 0:
                await asyncio.sleep(0)  # thousands of objects take a while: others get their turn
        return found

    async def create(self, new: ObjectT) -> ObjectT:
        """See `ObjectStore`. Raises `RefusedError` where it could not be read again (no valid Unicode, not a number)."""
        stored, revision = await self._patiently(partial(self._objects.create, new))
        self._tell(new.KIND, stored.name, revision)
        return stored

    async def update(self, changed: ObjectT) -> ObjectT:
        """See `ObjectStore`. Where neither spec nor labels nor annotations differ, nothing is written."""
        stored, revision = await self._patiently(partial(self._objects.update, changed))
        self._tell(changed.KIND, stored.name, revision)
        return stored

    async def update_status(self, changed: ObjectT) -> ObjectT:
        """See `ObjectStore`."""
        stored, revision = await self._patiently(partial(self._objects.update_status, changed))
        self._tell(changed.KIND, stored.name, revision)
        return stored

    async def delete(self, kind: type[ObjectT], name: str, *, uid: str = "") -> None:
        """See `ObjectStore`."""
        revision = await self._patiently(partial(self._objects.delete, kind, name, uid))
        self._tell(kind.KIND, name, revision, deleted=True)

    def watch(self) -> AsyncIterator[list[Change]]:
        """See `ObjectStore`. Only inside a running event loop."""
        return self._watches.open(self._hearing())

    async def put_deliveries(self, deliveries: Iterable[Delivery]) -> int:
        """See `Inbox`."""
        added = await self._patiently(partial(self._inbox.put, list(deliveries)))
        self._tell_of_deliveries(added)
        return len(added)

    async def pending_deliveries(self, limit: int = 100) -> list[Delivery]:
        """See `Inbox`."""
        return await self._patiently(partial(self._inbox.pending, limit))

    async def get_delivery(self, identity: str) -> Delivery | None:
        """See `Inbox`."""
        return await self._patiently(partial(self._inbox.get, identity))

    async def reopen_deliveries(self, identities: Iterable[str]) -> int:
        """See `Inbox`."""
        reopened = await self._patiently(partial(self._inbox.reopen, list(identities)))
        self._tell_of_deliveries(reopened)
        return len(reopened)

    async def settle_deliveries(self, settlements: Iterable[Settlement]) -> None:
        """See `Inbox`."""
        await self._patiently(partial(self._inbox.settle, list(settlements)))

    async def list_deliveries(self, *, limit: int = 100, before: datetime | None = None) -> list[Delivery]:
        """See `Inbox`."""
        return await self._patiently(partial(self._inbox.newest, limit, before))

    async def last_delivery(self, prefix: str) -> str | None:
        """See `Inbox`. What was asked for once is remembered: `forget_deliveries` leaves the greatest id of such a prefix."""
        return await self._patiently(partial(self._inbox.last, prefix))

    async def forget_deliveries(self, older_than: datetime) -> int:
        """See `Inbox`."""
        return await self._patiently(partial(self._inbox.forget, older_than))

    async def _patiently(self, action: Callable[[], T]) -> T:
        give_up = 0.0
        while True:
            try:
                return action()
            except StoreBusyError:
                now = asyncio.get_running_loop().time()
                give_up = give_up or now + self._patience
                if now >= give_up:
                    raise
            await asyncio.sleep(_PAUSE)  # short and steady: who waits longer and longer loses to whoever writes all the time

    def _report(self, kind: str, row: Row, error: Exception) -> None:
        occasion = (kind, row.name, row.revision)
        if occasion not in self._reported:
            self._reported.add(occasion)
            self._on_broken(kind, row.name, error)

    def _tell_of_deliveries(self, numbered: list[tuple[int, str]]) -> None:
        if numbered:
            changes = [Change(kind="Delivery", name=identity) for _, identity in numbered]
            self._announce(changes, range(numbered[0][0], numbered[-1][0] + 1))

    def _tell(self, kind: str, name: str, revision: int | None, *, deleted: bool = False) -> None:
        if revision is not None:
            self._announce([Change(kind=kind, name=name, deleted=deleted)], range(revision, revision + 1))

    def _announce(self, changes: list[Change], revisions: range) -> None:
        self._watches.announce(changes, revisions)
        listener = self._listener or self._own_listener
        self._waker.wake(ignoring="" if listener is None else listener.name)

    def _hearing(self) -> Listener | None:
        if self._listener is None and self._own_listener is None:
            try:
                self._own_listener = Listener(self._wakes)
            except StoreUnavailableError:
                return None  # no FIFOs here (read-only, or a file system without them): a look a second finds changes as well
        return self._listener or self._own_listener
