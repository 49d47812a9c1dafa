from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.kit import Place, task


@pytest.fixture
async def bare_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A user's world in which nothing has been set up yet."""
    place = Place(tmp_path / "world")
    yield place
    await place.clear_up()


@pytest.fixture
def place(bare_place: Place) -> Place:
    """A user's world with a repository of one task."""
    bare_place.init(task(1, "Sell tea"))
    return bare_place
