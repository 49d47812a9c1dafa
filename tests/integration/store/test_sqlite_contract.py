"""The SQLite store keeps the contract of stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.store_contract import SettableClock, StoreContract

from coderun.store.sqlite import SqliteStore


class SqlitePlace:
    """One file; each client opens it anew, as a process of its own would."""

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
