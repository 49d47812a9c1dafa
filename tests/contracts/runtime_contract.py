"""What every runtime must do, whatever it is made of: run the class against each implementation.

A subclass gives the fixtures `runtime` (a fresh one), `successor` (a function that gives another runtime on the same
substrate, as after a crash of the controller) and `token_of` (a function that reads a job's token as the job can). Jobs run one
program, given as an argument list; it works in the workspace.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest

from coderun.model.coderun import CliConfig, RunPhase
from coderun.model.task import TaskText
from coderun.plan.order import AgentIdentity, ForgeRef, Limits, RunOrder, RunPlan
from coderun.runtime.protocol import JobState, Observation, Runtime

DEADLINE = 120.0
PYTHON = (sys.executable, "-S", "-E", "-c")
ENDS_AT_ONCE = (*PYTHON, "print('hello from the agent')")
FAILS = (*PYTHON, "import sys; print('no'); sys.exit(3)")
NEVER_ENDS = (*PYTHON, "import time; print('begun', flush=True)\nwhile True: time.sleep(3600)")


def plan(
    job: str = "coderun-1-api-play-1",
    *,
    command: tuple[str, ...] = ENDS_AT_ONCE,
    workspace: str = "workspace-api-rex",
    timeout: float = 600.0,
    grace: float = 20.0,
    token: str = "token-of-this-run",  # noqa: S107 - made up for tests
    files: dict[str, str] | None = None,
) -> RunPlan:
    """A plan that runs `command`."""
    order = RunOrder(
        coderun="play-1-implementation-1-1",
        job=job,
        attempt=1,
        stage="implementation",
        agent=AgentIdentity(name="rex", login="rex[bot]", email="rex@example.invalid"),
        cli=CliConfig(cli_type="command", settings={"command": list(command)}),
        service="api",
        workspace=workspace,
        task_id=1,
        task=TaskText(title="Say hello"),
        forge=ForgeRef(kind="local", location="/forge", repository="/forge/repo.git"),
        base_branch="main",
        branch="feature/task-1-implementation",
        limits=Limits(timeout=timeout, grace=grace),
    )
    return RunPlan(order=order, files=files or {"settings.json": "{}"}, token=token, labels={"agents.platform/play": "play-1"})


async def until(claim: Callable[[], object], *, what: str) -> None:
    """Wait until the claim holds; fail after two minutes, saying what was waited for."""
    deadline = time.monotonic() + DEADLINE
    while not claim():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        await asyncio.sleep(0.01)


async def observed(runtime: Runtime, job: str, *states: JobState, within: float = DEADLINE) -> Observation:
    """Observe the job until it is in one of `states`."""
    deadline = time.monotonic() + within
    while (seen := await runtime.observe(job)).state not in states:
        assert time.monotonic() < deadline, f"not within {within:g} s: {job} is {states}; it is {seen}"
        await asyncio.sleep(0.02)
    return seen


async def ended(runtime: Runtime, job: str, *, within: float = DEADLINE) -> Observation:
    """Observe the job until it has ended."""
    return await observed(runtime, job, JobState.FINISHED, JobState.LOST, within=within)


async def begun(runtime: Runtime, plan: RunPlan) -> None:
    """Start the job and wait until its program has said something."""
    await runtime.prepare(plan)
    await runtime.start(plan)
    async for chunk in runtime.logs(plan.job, follow=True):
        if b"begun" in chunk:
            return
    message = f"{plan.job} ended before its program began: {await runtime.observe(plan.job)}"
    raise AssertionError(message)


async def text_of(chunks: AsyncIterator[bytes]) -> bytes:
    """All of a log."""
    return b"".join([chunk async for chunk in chunks])


class RuntimeContract:
    """The clauses."""

    async def test_a_job_nobody_prepared_is_absent(self, runtime: Runtime) -> None:
        assert (await runtime.observe("coderun-1-api-x-1")).state is JobState.ABSENT

    async def test_a_prepared_job_is_absent_until_it_is_started(self, runtime: Runtime) -> None:
        await runtime.prepare(plan())
        await runtime.prepare(plan())
        assert (await runtime.observe(plan().job)).state is JobState.ABSENT

    async def test_a_started_job_runs_and_leaves_its_report(self, runtime: Runtime) -> None:
        await runtime.prepare(plan())
        await runtime.start(plan())
        seen = await ended(runtime, plan().job)
        assert seen.state is JobState.FINISHED, seen
        assert seen.report is not None
        assert seen.report.phase is RunPhase.SUCCEEDED
        assert seen.report.outcome.exit_code == 0
        assert seen.report.started_at is not None
        assert seen.report.finished_at is not None
        assert seen.report.started_at <= seen.report.finished_at

    @pytest.mark.lesson(14)
    async def test_a_token_is_renewed_while_its_job_runs(self, runtime: Runtime, token_of: Callable[[str], str]) -> None:
        running = plan(command=NEVER_ENDS, grace=5)
        await begun(runtime, running)
        for token in ("another-token", "another-token", "a-third-token"):
            await runtime.renew_token(running.job, token)
            await until(lambda wanted=token: token_of(running.job) == wanted, what=f"the job reads {token}")  # type: ignore[misc]
        assert (await runtime.observe(running.job)).state is JobState.RUNNING
        await runtime.stop(running.job, reason="enough")
        await ended(runtime, running.job)

    async def test_a_token_of_a_job_that_is_not_there_is_renewed_by_nobody(self, runtime: Runtime) -> None:
        await runtime.renew_token("coderun-9-api-x-1", "a-token")
        assert (await runtime.observe("coderun-9-api-x-1")).state is JobState.ABSENT

    async def test_a_token_is_found_by_a_successor_and_taken_away_when_the_job_is_over(
        self, runtime: Runtime, successor: Callable[[], Runtime]
    ) -> None:
        assert await runtime.token_of("coderun-9-api-x-1") == ""
        await runtime.drop_token("coderun-9-api-x-1")
        await runtime.prepare(plan())
        await runtime.start(plan())
        await ended(runtime, plan().job)
        later = successor()
        assert await later.token_of(plan().job) == plan().token != ""
        for one in (later, later, runtime):
            await one.drop_token(plan().job)
        assert (await later.token_of(plan().job), await runtime.token_of(plan().job)) == ("", "")
        await later.renew_token("coderun-9-api-x-1", "a-token")
        assert (await later.observe(plan().job)).state is JobState.FINISHED

    async def test_a_failing_program_makes_a_failed_report_with_its_exit_code(self, runtime: Runtime) -> None:
        failing = plan(command=FAILS)
        await runtime.prepare(failing)
        await runtime.start(failing)
        report = (await ended(runtime, failing.job)).report
        assert report is not None
        assert (report.phase, report.outcome.exit_code) == (RunPhase.FAILED, 3)
        assert report.outcome.terminal_reason == "AgentFailed"
        assert "exit code 3" in report.outcome.summary

    async def test_a_finished_job_is_never_run_again(self, runtime: Runtime, successor: Callable[[], Runtime]) -> None:
        await runtime.prepare(plan())
        await runtime.start(plan())
        before = await ended(runtime, plan().job)
        for one in (runtime, successor()):
            await one.prepare(plan())
            await one.start(plan())
            assert await one.observe(plan().job) == before
        assert (await text_of(runtime.logs(plan().job))).count(b"hello from the agent") == 1

    async def test_a_running_job_is_seen_by_another_controller_which_gets_its_result(
        self, runtime: Runtime, successor: Callable[[], Runtime]
    ) -> None:
        running = plan(command=NEVER_ENDS, grace=5)
        await begun(runtime, running)
        other = successor()
        assert (await other.observe(running.job)).state is JobState.RUNNING
        await other.start(running)
        await other.stop(running.job, reason="seen by the other one")
        report = (await ended(other, running.job)).report
        assert report is not None
        assert report.outcome.summary == "seen by the other one"

    async def test_a_stopped_job_reports_cancelled_with_the_first_reason(self, runtime: Runtime) -> None:
        running = plan(command=NEVER_ENDS, grace=5)
        await begun(runtime, running)
        await runtime.stop(running.job, reason="somebody pushed")
        await runtime.stop(running.job, reason="and again")
        report = (await ended(runtime, running.job)).report
        assert report is not None
        assert report.phase is RunPhase.CANCELLED
        assert (report.outcome.terminal_reason, report.outcome.summary) == ("Cancelled", "somebody pushed")

    async def test_a_job_stopped_before_its_start_never_runs_its_program(self, runtime: Runtime) -> None:
        await runtime.prepare(plan())
        await runtime.stop(plan().job, reason="changed my mind")
        await runtime.start(plan())
        report = (await ended(runtime, plan().job)).report
        assert report is not None
        assert (report.phase, report.outcome.summary) == (RunPhase.CANCELLED, "changed my mind")
        assert b"hello from the agent" not in await text_of(runtime.logs(plan().job))

    async def test_stopping_what_is_not_there_or_over_does_nothing(self, runtime: Runtime) -> None:
        await runtime.stop("coderun-9-api-x-1", reason="why not")
        assert (await runtime.observe("coderun-9-api-x-1")).state is JobState.ABSENT
        await runtime.prepare(plan())
        await runtime.start(plan())
        before = await ended(runtime, plan().job)
        await runtime.stop(plan().job, reason="too late")
        assert await runtime.observe(plan().job) == before

    @pytest.mark.lesson(13)
    async def test_a_job_over_its_time_limit_fails_with_timed_out(self, runtime: Runtime) -> None:
        slow = plan(command=NEVER_ENDS, timeout=0.5, grace=5)
        await runtime.prepare(slow)
        await runtime.start(slow)
        report = (await ended(runtime, slow.job)).report
        assert report is not None
        assert (report.phase, report.outcome.terminal_reason) == (RunPhase.FAILED, "TimedOut")
        assert report.outcome.summary == "the run took longer than its time limit of 0.5 s"

    async def test_a_job_that_ends_is_hinted_at(self, runtime: Runtime) -> None:
        hints = runtime.finished()
        await runtime.prepare(plan())
        await runtime.start(plan())
        seen = JobState.ABSENT
        async with asyncio.timeout(DEADLINE):
            while seen is not JobState.FINISHED:
                assert await anext(hints) == plan().job
                seen = (await runtime.observe(plan().job)).state

    async def test_the_log_is_followed_until_the_job_ends(self, runtime: Runtime) -> None:
        talking = plan(command=(*PYTHON, "import time\nfor n in range(3): print('line', n, flush=True); time.sleep(0.3)"))
        await runtime.prepare(talking)
        await runtime.start(talking)
        async with asyncio.timeout(DEADLINE):
            text = await text_of(runtime.logs(talking.job, follow=True))
        assert [line for line in text.splitlines() if line.startswith(b"line")] == [b"line 0", b"line 1", b"line 2"]

    async def test_a_running_job_is_not_removed_and_a_finished_one_is(self, runtime: Runtime) -> None:
        running = plan(command=NEVER_ENDS, grace=5)
        await begun(runtime, running)
        await runtime.remove(running.job)
        assert (await runtime.observe(running.job)).state is JobState.RUNNING
        await runtime.stop(running.job, reason="enough")
        await ended(runtime, running.job)
        deadline = time.monotonic() + DEADLINE
        while (await runtime.observe(running.job)).state is not JobState.ABSENT:
            assert time.monotonic() < deadline, "the finished job is still there"
            await runtime.remove(running.job)
        await runtime.remove(running.job)

    async def test_two_jobs_in_two_workspaces_run_at_once(self, runtime: Runtime) -> None:
        one = plan("coderun-1-api-a-1", command=NEVER_ENDS, grace=5)
        two = plan("coderun-1-api-b-1", command=NEVER_ENDS, grace=5, workspace="workspace-api-cleo")
        for each in (one, two):
            await begun(runtime, each)
        assert {(await runtime.observe(each.job)).state for each in (one, two)} == {JobState.RUNNING}
        for each in (one, two):
            await runtime.stop(each.job, reason="enough")
            await ended(runtime, each.job)
