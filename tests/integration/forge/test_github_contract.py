"""GitHub keeps the contract of all forges, as far as the fake GitHub is one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.forge_contract import AUTHOR, QUALITY, TESTER, ForgeContract
from tests.integration.forge.github_place import GitHubPlace


class TestGitHubForge(ForgeContract):
    """Every clause."""

    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[GitHubPlace]:
        place = GitHubPlace(tmp_path)
        try:
            await place.open(AUTHOR, QUALITY, TESTER)
            yield place
        finally:
            await place.close()
