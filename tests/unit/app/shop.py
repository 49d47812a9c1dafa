"""A play of the repository `shop` in any state, for the tests of what people ask and do."""

from datetime import UTC, datetime, timedelta
from typing import Any

from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus, PullRequestRef, RunPhase
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_PLAY, LABEL_TASK
from coderun.model.play import Play, PlayPhase, PlaySpec, PlayStatus

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HEAD = "a" * 40
PULL = PullRequestRef(number=7, url="local:7", head_sha=HEAD)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def make_play(task: int = 1, phase: PlayPhase = PlayPhase.RUNNING, *, name: str = "", **status: Any) -> Play:
    return Play(
        metadata=ObjectMeta(name=name or f"play-shop-{task}", labels={LABEL_TASK: str(task)}),
        spec=PlaySpec(task_id=task, repository_url="/home/a/shop", service="shop"),
        status=PlayStatus(phase=phase, **status),
    )


def make_run(name: str, phase: RunPhase = RunPhase.RUNNING, *, play: str = "play-shop-1", message: str = "") -> CodeRun:
    return CodeRun(
        metadata=ObjectMeta(name=name, labels={LABEL_PLAY: play}),
        spec=CodeRunSpec(task_id=1, service="shop", repository_url="/home/a/shop"),
        status=CodeRunStatus(phase=phase, message=message),
    )
