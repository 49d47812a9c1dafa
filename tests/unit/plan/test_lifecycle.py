"""What a CodeRun does next, as a table of what is seen of it."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from coderun.model.coderun import (
    CodeRun,
    CodeRunSpec,
    CodeRunStatus,
    PullRequestRef,
    RunOutcome,
    RunPhase,
    RunReport,
    Usage,
)
from coderun.model.meta import ObjectMeta
from coderun.plan.lifecycle import STARTS_ALLOWED, JobView, RunDecision, Step, advance, hindered, stands_aside, started

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEEP = timedelta(days=1)


def run(status: CodeRunStatus | None = None, *, cancel: str = "") -> CodeRun:
    return CodeRun(
        metadata=ObjectMeta(name="r", generation=3),
        spec=CodeRunSpec(task_id=1, service="s", repository_url="/r", cancel_requested=cancel),
        status=status or CodeRunStatus(),
    )


BEGUN = CodeRunStatus(attempt=1, job_name="coderun-1-s-r-1")
STARTED = replace(BEGUN, phase=RunPhase.RUNNING, started_at=NOW)


def step(given: CodeRun, job: JobView | None = None, *, holder: str = "") -> RunDecision:
    return advance(given, workspace="w", holder=holder, job=job, keep=KEEP, now=NOW)


def reason(decision: RunDecision) -> str:
    return decision.status.conditions[0].reason


def test_a_busy_workspace_is_waited_for_with_the_reason() -> None:
    decided = step(run(), holder="workspace w is in use by run x")
    assert (decided.status.phase, reason(decided)) == (RunPhase.PENDING, "WorkspaceBusy")
    assert decided.status.message == "workspace w is in use by run x"
    assert (decided.status.attempt, decided.step) == (0, Step.NOTHING)


def test_the_attempt_is_written_before_anything_is_started() -> None:
    decided = step(run())
    assert (decided.status.attempt, decided.status.job_name) == (1, "coderun-1-s-r-1")
    assert decided.step is Step.NOTHING
    assert decided.again_after == 0.0


def test_a_job_that_was_never_started_is_started() -> None:
    decided = step(run(BEGUN), JobView(state="absent"))
    assert decided.step is Step.START
    assert decided.status.started_at is None
    assert decided.status.phase is RunPhase.PENDING


def test_a_start_whose_job_is_to_be_seen_changes_no_status_and_counts_as_no_retry() -> None:
    begun = run(step(run()).status)
    decided = step(begun, JobView(state="absent"))
    assert decided.status.retry_count == 1
    seen = started(begun, decided, JobView(state="starting", again=5.0))
    assert (seen.status, seen.step, seen.again_after) == (begun.status, Step.START, 5.0)
    assert step(begun, JobView(state="starting", files="coderun-1-s-r-1-abc")).status == begun.status


@pytest.mark.parametrize("state", ["absent", "lost"])
def test_a_start_that_shows_nothing_is_counted(state: str) -> None:
    begun = run(step(run()).status)
    decided = step(begun, JobView(state="absent"))
    assert started(begun, decided, JobView(state=state)) == decided


def test_starts_that_come_to_nothing_end_after_some_tries() -> None:
    decided = step(run(replace(BEGUN, retry_count=STARTS_ALLOWED)), JobView(state="absent", detail="no python"))
    assert (decided.status.phase, reason(decided)) == (RunPhase.FAILED, "SpawnFailed")
    assert "no python" in decided.status.message
    assert decided.step is Step.NOTHING


@pytest.mark.parametrize("job", [JobView(state="lost", detail="killed"), JobView(state="absent")])
def test_a_job_that_ran_and_is_gone_is_lost_and_never_started_again(job: JobView) -> None:
    decided = step(run(STARTED), job)
    assert (decided.status.phase, reason(decided)) == (RunPhase.FAILED, "JobLost")
    assert decided.step is Step.NOTHING
    assert decided.status.work_completed


def test_a_job_that_was_killed_because_it_did_not_end_after_a_cancel_counts_as_cancelled() -> None:
    decided = step(run(STARTED, cancel="a push"), JobView(state="lost", detail="killed after its grace"))
    assert (decided.status.phase, reason(decided)) == (RunPhase.CANCELLED, "Cancelled")
    assert decided.status.message == "a push; killed after its grace"
    told = step(run(STARTED, cancel="a push"), JobView(state="lost", detail="it was asked to stop (a push)"))
    assert told.status.message == "it was asked to stop (a push)", "a reason is said once"


def test_a_running_job_is_said_to_run_only_once_it_was_seen() -> None:
    decided = step(run(BEGUN), JobView(state="running"))
    assert (decided.status.phase, decided.status.started_at) == (RunPhase.RUNNING, NOW)
    again = step(run(decided.status), JobView(state="running"))
    assert again.status == decided.status


def test_a_cancel_stops_a_running_job_and_is_repeated_until_it_ends() -> None:
    decided = step(run(STARTED, cancel="a push"), JobView(state="running"))
    assert decided.step is Step.STOP
    assert decided.again_after is not None
    assert not decided.status.work_completed


@pytest.mark.parametrize(("status", "job"), [(CodeRunStatus(), None), (BEGUN, JobView(state="absent"))])
def test_a_cancel_before_the_start_ends_the_run_without_a_job(status: CodeRunStatus, job: JobView | None) -> None:
    decided = step(run(status, cancel="not needed"), job)
    assert (decided.status.phase, decided.status.message) == (RunPhase.CANCELLED, "not needed")
    assert decided.step is Step.NOTHING


def test_the_report_becomes_the_status() -> None:
    report = RunReport(
        phase=RunPhase.SUCCEEDED,
        outcome=RunOutcome(exit_code=0, terminal_reason="Completed", summary="did it"),
        usage=Usage(turns=3),
        session_id="abc",
        head_sha="1234",
        pull_request=PullRequestRef(number=4, url="u"),
    )
    decided = step(run(STARTED), JobView(state="finished", report=report))
    status = decided.status
    assert (status.phase, reason(decided), status.message) == (RunPhase.SUCCEEDED, "Completed", "did it")
    assert (status.session_id, status.head_sha, status.pull_request_url) == ("abc", "1234", "u")
    assert status.usage == Usage(turns=3)
    assert (status.finished_at, status.expire_at, status.work_completed) == (NOW, NOW + KEEP, True)
    assert status.observed_generation == 3


def test_a_report_counts_even_when_a_cancel_came_too_late() -> None:
    report = RunReport(phase=RunPhase.SUCCEEDED, outcome=RunOutcome(terminal_reason="Completed"))
    decided = step(run(STARTED, cancel="too late"), JobView(state="finished", report=report))
    assert decided.status.phase is RunPhase.SUCCEEDED


@pytest.mark.lesson(39)
def test_a_run_that_another_controller_began_is_lost_and_not_begun_a_second_time() -> None:
    decided = step(run(CodeRunStatus(phase=RunPhase.RUNNING, job_name="code-ns-r-0a1b2c3d-t1-v1")))
    assert (decided.status.phase, decided.status.work_completed, reason(decided)) == (RunPhase.FAILED, True, "JobLost")
    assert decided.step is Step.NOTHING
    assert "code-ns-r-0a1b2c3d-t1-v1" in decided.status.message
    assert "job unknown" in step(run(CodeRunStatus(phase=RunPhase.RUNNING))).status.message


def test_a_job_that_starts_is_looked_at_again_when_its_runtime_says_and_its_files_are_noted() -> None:
    decided = step(
        run(BEGUN), JobView(state="starting", detail="no node can take its pod", again=5.0, files="coderun-1-s-r-1-abc")
    )
    assert decided.again_after == 5.0
    assert (decided.status.message, decided.status.configmap_name) == ("no node can take its pod", "coderun-1-s-r-1-abc")
    silent = step(run(decided.status), JobView(state="starting", again=1.0))
    assert silent.status == decided.status, "a controller that has just begun knows nothing new"
    later = step(run(decided.status), JobView(state="running"))
    assert later.status.configmap_name == "coderun-1-s-r-1-abc"


def test_what_keeps_a_job_from_being_started_stands_in_the_status_and_nothing_else_changes() -> None:
    status = hindered(run(BEGUN), "the quota is used up", now=NOW)
    assert (status.phase, status.attempt, status.retry_count) == (RunPhase.PENDING, 1, 0)
    (condition,) = status.conditions
    assert (condition.reason, condition.message, condition.observed_generation) == ("CannotStart", "the quota is used up", 3)
    assert hindered(run(status), "the quota is used up", now=NOW + KEEP) == status
    assert not stands_aside(status), "it has begun, and keeps its place"
    assert stands_aside(hindered(run(CodeRunStatus()), "no token", now=NOW))
    assert not stands_aside(CodeRunStatus())
