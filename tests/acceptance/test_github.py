"""Whole plays on GitHub: three agents, each as its own App, from start to merge."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.github_kit import GitHubWorld
from tests.acceptance.kit import reasons, task

from coderun.model.play import PlayPhase


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    """A user's world with a repository of one task, on GitHub."""
    world = GitHubWorld(tmp_path / "world")
    world.open_hub(task(1, "Sell tea"))
    yield world
    await world.clear_up()


async def test_a_task_goes_from_implementation_to_merge_without_any_webhook(hub: GitHubWorld) -> None:
    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said + hub.tell()
    play, pull = await hub.play(1), hub.on_hub()
    assert play.status.phase is PlayPhase.SUCCEEDED
    assert pull.merged_at is not None
    assert reasons(play) == [
        *("Started", "RunCreated", "PullRequestFound", "StagePassed", "RunCreated", "StagePassed", "RunCreated"),
        *("StagePassed", "Merged"),
    ]
    assert hub.file_on("main", "work-1.txt") == "implementation 1 1"
    assert hub.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
