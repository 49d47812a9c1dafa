"""Watches: who wants to know that something changed, and how they learn of it.

Beside the tables, under `sqlite`. Writes of this store reach its watches at once. Writes of other processes are noticed when
their wake arrives, and otherwise within a second by a look at SQLite's change counter; only when that has moved are rows read.
A change is a hint: it may come twice, several may be merged, and it never carries the object.
"""

import asyncio
import contextlib
from typing import Final
from weakref import WeakSet

from coderun.model.errors import StoreCorruptError, StoreUnavailableError
from coderun.store.database import Database
from coderun.store.listener import Ear, Listener
from coderun.store.objects import changes_since, last_revision
from coderun.store.protocol import Change
from coderun.store.watch import Watch

LOOK_SECONDS: Final = 1.0
"""How often a look is taken where no wake comes; never more often."""


class Watches:
    """All watches of one store, and the one task that looks for what other processes have written."""

    def __init__(self, database: Database, *, namespace: str) -> None:
        self._database = database
        self._namespace = namespace
        self._open: WeakSet[Watch] = WeakSet()  # a watch that its owner has dropped needs no closing
        self._seen = 0
        self._mark = -1
        self._looking: asyncio.Task[None] | None = None
        self._ear: Ear | None = None

    def open(self, listener: Listener | None) -> Watch:
        """A watch of what changes from now on. `listener` brings wakes; without one, looks are taken once a second."""
        if self._looking is None:
            self._mark = self._database.change_mark()
            self._seen = last_revision(self._database)
            self._ear = None if listener is None else listener.ear()
            self._looking = asyncio.get_running_loop().create_task(self._look_on(self._ear), name="store watches")
        else:
            self._look()  # what came before belongs to the older watches alone
        watch = Watch()
        if self._looking.done():
            watch.end()
        self._open.add(watch)
        return watch

    def announce(self, changes: list[Change], revisions: range) -> None:
        """Tell of writes this store has made itself, which took `revisions` (without gaps)."""
        if revisions.start == self._seen + 1:
            self._seen = revisions.stop - 1  # nobody else wrote in between: nothing to read again
        self._tell(changes)

    async def close(self) -> None:
        """End all watches and the task behind them."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        if self._ear is not None:
            self._ear.close()
        for watch in list(self._open):
            watch.end()

    def _tell(self, changes: list[Change]) -> None:
        for watch in list(self._open):
            watch.tell(changes)

    async def _look_on(self, ear: Ear | None) -> None:
        while True:
            if ear is not None and ear.is_open:
                await ear.wait(LOOK_SECONDS)
            else:
                await asyncio.sleep(LOOK_SECONDS)
            try:
                self._look()
            except StoreUnavailableError:
                continue  # busy or out of reach just now: whoever calls the store hears of it, the next look finds what came
            except StoreCorruptError as error:
                for watch in list(self._open):
                    watch.end(error)
                return

    def _look(self) -> None:
        mark = self._database.change_mark()
        if mark == self._mark:
            return
        newest = last_revision(self._database)
        changes = changes_since(self._database, self._seen, self._namespace)
        self._seen, self._mark = max(self._seen, newest), mark
        self._tell(changes)
