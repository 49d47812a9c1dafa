"""The desk: a running fake with a repository, an App and a door."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.fakes.github import FakeGitHub
from tests.integration.fakegithub.desk import PERMISSIONS, REPO, SECRET, Client, Clock, Desk, Door, work_tree


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = Clock()
    source = await work_tree(tmp_path / "source")
    async with (
        FakeGitHub(tmp_path / "github", clock=clock, keep=True) as github,
        Door() as door,
        aiohttp.ClientSession() as session,
    ):
        await github.create_repo(REPO, source=source)
        github.add_collaborator(REPO, "ada", "write")
        app = github.create_app("5DLabs-Rex", permissions=PERMISSIONS, webhook_url=door.url, webhook_secret=SECRET)
        github.install(app, "5dlabs", repos=["demo"])
        yield Desk(github, clock, Client(session, github.api_url), app, door, tmp_path)
