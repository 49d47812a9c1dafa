"""The SQLite store keeps the contract of stores."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contracts.store_contract import START, SettableClock, StoreContract, hints, play

from coderun.store.protocol import Change, Store
from coderun.store.sqlite import SqliteStore


class SqlitePlace:
    """One file; each client opens it anew, as a process of its own would."""

    room = 1_000_000
    keeps_bodies = True

    def __init__(self, path: Path) -> None:
        self.clock = SettableClock()
        self._path = path
        self._stores: list[SqliteStore] = []

    async def connect(self) -> SqliteStore:
        self._stores.append(SqliteStore.open(self._path, clock=self.clock))
        return self._stores[-1]

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[SqlitePlace]:
        place = SqlitePlace(tmp_path / "state" / "state.db")
        yield place
        await place.close()

    async def test_the_time_of_creation_is_that_of_the_clock(self, store: Store) -> None:
        made = await store.create(play())
        assert (made.metadata.creation_timestamp, made.metadata.namespace) == (START, "default")

    async def test_creation_times_never_go_back_when_the_clock_does(self, store: Store, place: SqlitePlace) -> None:
        first = await store.create(play("one"))
        place.clock.now = START - timedelta(days=400)
        second = await store.create(play("two"))
        place.clock.now = START + timedelta(seconds=5)
        third = await store.create(play("three"))
        times = [made.metadata.creation_timestamp for made in (first, second, third)]
        assert times == [START, START, START + timedelta(seconds=5)]

    async def test_a_watch_tells_nothing_of_earlier_writes(self, store: Store, other: Store) -> None:
        await store.create(play("a"))
        watch = other.watch()
        await store.create(play("b"))
        assert await hints(watch, until=bool) == [Change(kind="Play", name="b")]
