from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.forge.local_place import LocalPlace, make_place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[LocalPlace]:
    made = await make_place(tmp_path, "rex", "cleo", "tess")
    yield made
    made.close()
