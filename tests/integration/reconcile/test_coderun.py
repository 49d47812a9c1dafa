"""The CodeRun reconciler on a real store and real run folders: what is left of a finished run goes when its time has come."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import plan
from tests.contracts.store_contract import START, SettableClock, run

from coderun.model.coderun import CodeRun, CodeRunStatus, RunPhase
from coderun.model.errors import ClusterUnavailableError, OwnershipConflictError, RefusedError
from coderun.model.roster import Agent, Roster
from coderun.plan.order import ForgeRef, RunPlan
from coderun.plan.settings import RunSettings
from coderun.reconcile.coderun import CodeRunReconciler
from coderun.reconcile.result import NOT_AGAIN, Again
from coderun.reconcile.view import View
from coderun.runtime.process import ProcessRuntime
from coderun.runtime.runfolder import StateFolder
from coderun.store.sqlite import SqliteStore

JOB = plan().job
ENDED = CodeRunStatus(phase=RunPhase.SUCCEEDED, work_completed=True, attempt=1, job_name=JOB)


class NoTokens:
    """Nothing starts here, so nothing needs a token."""

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        raise AssertionError(f"a token was asked for by {agent.login} for {run.name}")

    def knows(self, run: str) -> bool:
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None: ...

    async def revoke(self, run: str) -> None: ...


def fresh_reconciler(store: SqliteStore, state: StateFolder, clock: SettableClock) -> CodeRunReconciler:
    """As a controller has it that has just started: it remembers nothing."""
    return CodeRunReconciler(
        store=store,
        runtime=ProcessRuntime(state.path, argv=("no-supervisor-is-started-here",), environment={}),
        tokens=NoTokens(),
        view=View(),
        roster=Roster(agents={}),
        settings=RunSettings(forge=ForgeRef(kind="local", location="/forge", repository="/forge/repo.git")),
        clock=clock,
    )


async def finished_run(store: SqliteStore, state: StateFolder, *, kept: timedelta | None) -> CodeRun:
    """A finished run whose folder is there."""
    await ProcessRuntime(state.path, argv=("no-supervisor-is-started-here",), environment={}).prepare(plan())
    made = await store.create(run())
    expire_at = None if kept is None else START + kept
    return await store.update_status(replace(made, status=replace(ENDED, expire_at=expire_at)))


class TokenForAll:
    """Gives everybody a token."""

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        return f"token of {run.name} for {agent.name}"

    def knows(self, run: str) -> bool:
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None: ...

    async def revoke(self, run: str) -> None: ...


class Hindered(ProcessRuntime):
    """A runtime whose next starts meet trouble."""

    trouble: Exception | None = None

    async def prepare(self, plan: RunPlan) -> None:
        if self.trouble is not None:
            raise self.trouble
        await super().prepare(plan)


def starting(store: SqliteStore, state: StateFolder, trouble: Exception) -> tuple[CodeRunReconciler, Hindered]:
    runtime = Hindered(state.path, argv=("no-supervisor-is-started-here",), environment={})
    runtime.trouble = trouble
    reconciler = CodeRunReconciler(
        store=store,
        runtime=runtime,
        tokens=TokenForAll(),
        view=View(),
        roster=Roster(agents={"rex": Agent(name="rex")}),
        settings=RunSettings(forge=ForgeRef(kind="local", location="/forge", repository="/forge/repo.git")),
        clock=SettableClock(),
    )
    return reconciler, runtime


@pytest.mark.parametrize("trouble", [ClusterUnavailableError("the quota is used up"), RefusedError("grant it with a Role")])
async def test_what_keeps_a_run_from_starting_stands_in_its_status_and_is_tried_again(
    tmp_path: Path, trouble: Exception
) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=SettableClock())
    asked = run()
    made = await store.create(replace(asked, spec=replace(asked.spec, github_app="rex")))
    reconciler, _ = starting(store, StateFolder.at(tmp_path / "state"), trouble)
    for _ in range(2):
        with pytest.raises(type(trouble)):
            await reconciler.reconcile(made.name)
        seen = await store.get(CodeRun, made.name)
        assert seen is not None
        assert (seen.status.phase, seen.status.message, seen.status.retry_count) == (RunPhase.PENDING, str(trouble), 0)
        assert [condition.reason for condition in seen.status.conditions] == ["CannotStart"]
    await store.close()


async def test_those_who_wait_for_a_run_that_is_deleted_and_made_again_unseen_go_on(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=SettableClock())
    reconciler, _ = starting(store, StateFolder.at(tmp_path / "state"), ClusterUnavailableError("later"))
    first, waiting = (replace(run(name), spec=replace(run().spec, github_app="rex")) for name in ("second", "first"))
    await store.create(first)
    with pytest.raises(ClusterUnavailableError):
        await reconciler.reconcile("second")
    await store.create(waiting)
    assert await reconciler.reconcile("first") == Again()
    await store.delete(CodeRun, "second")
    await store.create(first)
    again = await reconciler.reconcile("second")
    assert again.runs == ("first",)
    assert again.after is not None
    with pytest.raises(ClusterUnavailableError, match="later"):  # it begins
        await reconciler.reconcile("first")
    await reconciler.reconcile("second")
    seen = await store.get(CodeRun, "second")
    assert seen is not None
    assert "in use by run first" in seen.status.message
    await store.close()


async def test_a_run_whose_name_somebody_else_has_taken_ends_and_says_whose_it_is(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=SettableClock())
    asked = run()
    made = await store.create(replace(asked, spec=replace(asked.spec, github_app="rex")))
    reconciler, _ = starting(store, StateFolder.at(tmp_path / "state"), OwnershipConflictError("belongs to Workflow w"))
    await reconciler.reconcile(made.name)
    seen = await store.get(CodeRun, made.name)
    assert seen is not None
    assert (seen.status.phase, seen.status.work_completed) == (RunPhase.FAILED, True)
    assert [(one.reason, one.message) for one in seen.status.conditions] == [("OwnershipConflict", "belongs to Workflow w")]
    await store.close()


@pytest.mark.lesson(7)
async def test_a_finished_run_is_removed_by_whoever_sees_that_its_time_has_passed(tmp_path: Path) -> None:
    clock, state = SettableClock(), StateFolder.at(tmp_path / "state")
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    kept = await finished_run(store, state, kept=timedelta(days=14))

    clock.now = START + timedelta(days=13, hours=23)
    assert await fresh_reconciler(store, state, clock).reconcile(kept.name) == Again(after=3600.0)
    assert state.run(JOB).path.is_dir()

    clock.now = START + timedelta(days=14)
    assert await fresh_reconciler(store, state, clock).reconcile(kept.name) == NOT_AGAIN
    assert not state.run(JOB).path.exists()
    assert await store.get(CodeRun, kept.name) == kept
    await store.close()


async def test_a_finished_run_without_an_end_of_its_time_is_kept(tmp_path: Path) -> None:
    clock, state = SettableClock(), StateFolder.at(tmp_path / "state")
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    kept = await finished_run(store, state, kept=None)
    clock.now = START + timedelta(days=5000)
    assert await fresh_reconciler(store, state, clock).reconcile(kept.name) == NOT_AGAIN
    assert state.run(JOB).path.is_dir()
    await store.close()


@pytest.mark.lesson(39)
async def test_what_another_controller_has_finished_is_left_alone(tmp_path: Path) -> None:
    clock, state = SettableClock(), StateFolder.at(tmp_path / "state")
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    kept = await finished_run(store, state, kept=timedelta(days=1))
    foreign = CodeRunStatus(phase=RunPhase.SUCCEEDED, job_name=JOB, expire_at=START)
    left = await store.update_status(replace(kept, status=foreign))
    clock.now = START + timedelta(days=2)
    assert await fresh_reconciler(store, state, clock).reconcile(kept.name) == NOT_AGAIN
    assert state.run(JOB).path.is_dir()
    assert await store.get(CodeRun, kept.name) == left
    await store.close()
