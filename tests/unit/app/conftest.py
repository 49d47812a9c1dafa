"""A store of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.app.shop import NOW

from coderun.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "state.db", clock=lambda: NOW)
    yield opened
    await opened.close()
