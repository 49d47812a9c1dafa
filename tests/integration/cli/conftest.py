"""A repository that has been played in, as commands find it: plays in several states, a pull request, texts that mean harm."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.acceptance.kit import PERSON, Place, task

from coderun.app.local import Surroundings, local_forge, open_local
from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus, RunOutcome, RunPhase, Usage
from coderun.model.meta import Condition, ConditionStatus, ObjectMeta
from coderun.model.names import LABEL_AGENT, LABEL_PLAY, LABEL_TASK
from coderun.model.play import HistoryEntry, Play, PlayPhase, PlayRun, PlaySpec, PlayStatus, Waiting
from coderun.model.pulls import NewPullRequest
from coderun.model.task import TaskText

HOSTILE = "ti'tle \x1b]0;owned\x07\x1b[31mred\x1b[2J \u202e\r\nnext"
Coderun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Three plays (one waits for a person, one runs, one has ended), one pull request with a branch, and no controller."""
    place = Place(tmp_path_factory.mktemp("shop"))
    place.init(task(1, "Sell tea"), task(2, "Sell more tea"))
    place.git("branch", "feature/task-1-implementation")
    place.git("checkout", "--quiet", "feature/task-1-implementation")
    place.write("tea.txt", "tea\n")
    place.git("add", "--all")
    place.git("commit", "--quiet", "-m", "Sell tea")
    place.git("checkout", "--quiet", "main")
    asyncio.run(_fill(place))
    yield place
    asyncio.run(place.clear_up())


@pytest.fixture(scope="module")
def coderun(shop: Place) -> Coderun:
    """Runs a command there, to its end, without a terminal."""

    def run(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coderun.cli.main", *words],
            cwd=cwd or shop.repository,
            env={**shop.environment, "TZ": "UTC", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


async def _fill(place: Place) -> None:
    around = Surroundings(cwd=place.repository, home=place.home, environment={**os.environ, **place.environment})
    async with open_local(place.repository, create=True, around=around) as system:
        place.git("push", "--quiet", system.hosting.place, "feature/task-1-implementation")
        new = NewPullRequest(
            title=HOSTILE, body=HOSTILE, head_branch="feature/task-1-implementation", base_branch="main", labels=("task-1",)
        )
        await local_forge(system).open_pull_request(new)
        for play in _plays():
            await system.store.create(play)
        await system.store.create(_run())


def _plays() -> list[Play]:
    now = datetime.now(UTC)
    history = (HistoryEntry(at=now - timedelta(seconds=90), stage="implementation", reason="Started", message=HOSTILE),)
    person = Waiting(
        kind="person",
        since=now,
        reason="MergeByPerson",
        message=f"somebody merges {HOSTILE}",
        would_move="`coderun pr merge 1`",
    )
    statuses = {
        1: PlayStatus(phase=PlayPhase.WAITING, stage="merge", waiting=person, history=history),
        2: PlayStatus(
            phase=PlayPhase.RUNNING,
            stage="implementation",
            history=history,
            runs=(PlayRun(name="play-shop-2-implementation-1-1", stage="implementation", iteration=1, attempt=1),),
        ),
        3: PlayStatus(phase=PlayPhase.FAILED, stage="testing", history=history, finished_at=now, message=HOSTILE),
    }
    return [
        Play(
            metadata=ObjectMeta(name=f"play-shop-{number}", labels={LABEL_TASK: str(number)}),
            spec=PlaySpec(task_id=number, repository_url="/s", service="shop", task=TaskText(title=HOSTILE)),
            status=status,
        )
        for number, status in statuses.items()
    ]


def _run() -> CodeRun:
    return CodeRun(
        metadata=ObjectMeta(
            name="play-shop-2-implementation-1-1", labels={LABEL_PLAY: "play-shop-2", LABEL_TASK: "2", LABEL_AGENT: "rex"}
        ),
        spec=CodeRunSpec(task_id=2, service="shop", repository_url="/s", stage="implementation"),
        status=CodeRunStatus(
            phase=RunPhase.RUNNING,
            message=HOSTILE,
            result=RunOutcome(summary=HOSTILE),
            usage=Usage(turns=3),
            conditions=(Condition(type="Ready", status=ConditionStatus.FALSE, reason="Running", message=HOSTILE),),
        ),
    )


__all__ = ["HOSTILE", "PERSON", "Coderun"]
