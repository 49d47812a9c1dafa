"""The CodeRun reconciler and templates that are broken: before a run, at its start, and while it works."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.plan.samples import EVERYBODY, FORGE, MINIMAL, minimal_run, with_users

from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.errors import ClusterUnavailableError
from coderun.model.roster import Agent
from coderun.plan.order import RunPlan
from coderun.plan.settings import RunSettings
from coderun.reconcile.coderun import CodeRunReconciler
from coderun.reconcile.view import View
from coderun.runtime.protocol import JobState, Observation, Runtime
from coderun.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 4, tzinfo=UTC)
BROKEN = RunSettings(forge=FORGE, templates=with_users({"code/claude.md": "{{nope}}"}))
NAME = "run-7-rex"


class Jobs:
    """A runtime that remembers what it was asked for; implements `runtime.protocol.Runtime`."""

    def __init__(self) -> None:
        self.state = JobState.ABSENT
        self.started: list[RunPlan] = []
        self.is_out = False

    async def prepare(self, plan: RunPlan) -> None:
        if self.is_out:
            raise ClusterUnavailableError("not now")
        self.started.append(plan)

    async def start(self, plan: RunPlan) -> None:
        self.state = JobState.RUNNING

    async def renew_token(self, job: str, token: str) -> None:
        assert (self.state, token) == (JobState.RUNNING, "token"), job

    async def token_of(self, job: str) -> str:
        raise AssertionError

    async def drop_token(self, job: str) -> None:
        assert job

    async def observe(self, job: str, *, owner: str = "") -> Observation:
        return Observation(state=self.state)

    async def stop(self, job: str, *, reason: str) -> None:
        raise AssertionError

    async def remove(self, job: str) -> None:
        raise AssertionError

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        raise AssertionError

    def finished(self) -> AsyncIterator[str]:
        raise AssertionError

    async def close(self) -> None:
        pass


class Tokens:
    def __init__(self) -> None:
        self.valid: set[str] = set()

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        assert agent.name
        self.valid.add(run.name)
        return "token"

    def knows(self, run: str) -> bool:
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None: ...

    async def revoke(self, run: str) -> None:
        self.valid.discard(run)


class World:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.jobs = Jobs()
        self.tokens = Tokens()

    async def passes(self, settings: RunSettings, times: int = 1) -> CodeRun:
        runtime: Runtime = self.jobs
        reconciler = CodeRunReconciler(
            store=self.store,
            runtime=runtime,
            tokens=self.tokens,
            view=View(),
            roster=EVERYBODY,
            settings=settings,
            clock=lambda: NOW,
        )
        for _ in range(times):
            await reconciler.reconcile(NAME)
        found = await self.store.get(CodeRun, NAME)
        assert found is not None
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = SqliteStore.open(tmp_path / "state.db", clock=lambda: NOW)
    await store.create(minimal_run("rex"))
    yield World(store)
    await store.close()


def invalid(run: CodeRun) -> bool:
    return [(it.reason, "claude.md.hbs:1:3: unknown variable 'nope'" in it.message) for it in run.status.conditions] == [
        ("InvalidSpec", True)
    ]


async def test_a_run_whose_template_is_broken_ends_before_anything_is_made(world: World) -> None:
    run = await world.passes(BROKEN, 3)
    assert (run.status.phase, run.status.attempt, invalid(run)) == (RunPhase.FAILED, 0, True)
    assert (world.jobs.started, world.tokens.valid) == ([], set())


async def test_a_template_that_breaks_between_the_first_look_and_the_start_starts_nothing(world: World) -> None:
    world.jobs.is_out = True
    with pytest.raises(ClusterUnavailableError):
        await world.passes(MINIMAL)
    world.jobs.is_out = False
    run = await world.passes(BROKEN)
    assert (run.status.phase, run.status.attempt, invalid(run)) == (RunPhase.FAILED, 1, True)
    assert (world.jobs.started, world.tokens.valid) == ([], set())


async def test_a_template_that_breaks_while_a_run_works_does_not_touch_it(world: World) -> None:
    await world.passes(MINIMAL, 3)
    run = await world.passes(BROKEN, 2)
    assert (run.status.phase, len(world.jobs.started)) == (RunPhase.RUNNING, 1)
    assert world.tokens.valid == {NAME}
    assert world.jobs.started[0].files["CLAUDE.md"].startswith("# Memory of rex")
