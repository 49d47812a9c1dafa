"""What a CodeRun does next, as a pure function of its status and what is to be seen of its job.

In this order: finished stops at once; a cancel before the start ends it; a busy workspace waits; the attempt is written before
its job exists; then the job is started and watched; a job that ran and is gone is lost, never started again.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from coderun.model.coderun import CodeRun, CodeRunStatus, RunOutcome, RunPhase, RunReport
from coderun.model.meta import Condition, ConditionStatus, find_condition, set_condition
from coderun.model.names import job_name

READY = "Ready"
STARTS_ALLOWED = 5
CANNOT_START = "CannotStart"
STARTS = "its job starts"
"""What is said of a run that starts while nothing more is known."""


class Step(StrEnum):
    """What has to be done for a run now."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be seen of a job: one of the states of `runtime.protocol.JobState`, by name.

    `again`: when another look at one that starts is worth it, in seconds, if nothing is hinted before. `files`: its ConfigMap.
    """

    state: str
    report: RunReport | None = None
    detail: str = ""
    again: float = 0.5
    files: str = ""


class RunDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The status to write, the step to take before it, and when to look again (seconds; None: only when something happens)."""

    status: CodeRunStatus
    step: Step = Step.NOTHING
    again_after: float | None = None


def advance(run: CodeRun, *, workspace: str, holder: str, job: JobView | None, keep: timedelta, now: datetime) -> RunDecision:
    """The next step of a run that is not finished.

    `holder` says who keeps it from starting ("" when nobody does); `job` is None as long as no attempt was begun.
    """
    status = replace(run.status, observed_generation=run.metadata.generation, workspace=workspace)
    cancel = run.spec.cancel_requested
    if status.attempt == 0 and status.phase is RunPhase.RUNNING:
        lost = f"another controller began it (job {status.job_name or 'unknown'}); create another CodeRun to do the work again"
        return finish(status, RunPhase.FAILED, "JobLost", lost, keep=keep, now=now)
    if status.attempt == 0 or job is None:
        if cancel:
            return finish(status, RunPhase.CANCELLED, "Cancelled", cancel, keep=keep, now=now)
        if holder:
            return RunDecision(status=_pending(status, "WorkspaceBusy", holder, now))
        name = job_name(run.spec.task_id, run.spec.service, run.name, 1)
        begun = replace(status, attempt=1, job_name=name)
        return RunDecision(status=_pending(begun, "Starting", STARTS, now), again_after=0.0)
    if job.state == "starting" and not job.detail:
        return _watch(run, status, job, keep=keep, now=now)
    known = replace(status, configmap_name=job.files or status.configmap_name)
    return _watch(run, known, job, keep=keep, now=now)


def started(run: CodeRun, decision: RunDecision, job: JobView) -> RunDecision:
    """The decision to start a job, after it was carried out and looked for.

    A job that is to be seen is not counted as one more try, and is not worth a status of its own: it runs soon.
    """
    if job.state in {"absent", "lost"}:
        return decision
    status = replace(decision.status, retry_count=run.status.retry_count)
    return RunDecision(status=status, step=decision.step, again_after=job.again)


def _watch(run: CodeRun, status: CodeRunStatus, job: JobView, *, keep: timedelta, now: datetime) -> RunDecision:
    cancel = run.spec.cancel_requested
    if job.state == "finished" and job.report is not None:
        return _reported(status, job.report, keep=keep, now=now)
    if job.state == "lost" or (job.state == "absent" and status.started_at is not None):
        detail = job.detail or "its job was there and is gone without a report"
        if cancel:
            told = detail if cancel in detail else f"{cancel}; {detail}"
            return finish(status, RunPhase.CANCELLED, "Cancelled", told, keep=keep, now=now)
        return finish(status, RunPhase.FAILED, "JobLost", detail, keep=keep, now=now)
    if job.state == "absent":
        if cancel:
            return finish(status, RunPhase.CANCELLED, "Cancelled", cancel, keep=keep, now=now)
        if status.retry_count >= STARTS_ALLOWED:
            detail = job.detail or "nothing of it was ever seen running; `coderun doctor` may say why"
            return finish(
                status, RunPhase.FAILED, "SpawnFailed", f"started {STARTS_ALLOWED} times: {detail}", keep=keep, now=now
            )
        asked = replace(status, retry_count=status.retry_count + 1)
        pause = 0.5 * 2**status.retry_count
        return RunDecision(status=_pending(asked, "Starting", STARTS, now), step=Step.START, again_after=pause)
    if job.state == "starting":
        return RunDecision(
            status=_pending(status, "Starting", job.detail or _told_before(status), now),
            step=Step.STOP if cancel else Step.NOTHING,
            again_after=job.again,
        )
    running = replace(status, phase=RunPhase.RUNNING, started_at=status.started_at or now, message=job.detail)
    if cancel:
        stopping = _condition(running, ConditionStatus.FALSE, "Stopping", cancel, now)
        return RunDecision(status=stopping, step=Step.STOP, again_after=2.0)
    return RunDecision(status=_condition(running, ConditionStatus.TRUE, "Running", "its agent works", now), again_after=30.0)


def _told_before(status: CodeRunStatus) -> str:
    """What is known of a start of which nothing new is: a controller that has just begun has not asked yet."""
    ready = find_condition(status.conditions, READY)
    return ready.message if ready is not None and ready.reason == "Starting" else STARTS


def hindered(run: CodeRun, message: str, *, now: datetime) -> CodeRunStatus:
    """The status of a run whose job could not be asked for just now; `message` says why. It is tried again."""
    status = replace(run.status, observed_generation=run.metadata.generation)
    return _pending(status, CANNOT_START, message, now)


def stands_aside(status: CodeRunStatus) -> bool:
    """Whether the run could not even be begun when its turn came: until it is tried again the others go first."""
    ready = find_condition(status.conditions, READY)
    return status.attempt == 0 and ready is not None and ready.reason == CANNOT_START


def _reported(status: CodeRunStatus, report: RunReport, *, keep: timedelta, now: datetime) -> RunDecision:
    pull = report.pull_request
    known = replace(
        status,
        session_id=report.session_id or status.session_id,
        pull_request_url=pull.url if pull is not None else status.pull_request_url,
        head_sha=report.head_sha or status.head_sha,
        usage=report.usage,
        started_at=report.started_at or status.started_at,
    )
    outcome = report.outcome
    return finish(known, report.phase, outcome.terminal_reason, outcome.summary, keep=keep, now=now, outcome=outcome)


def finish(
    status: CodeRunStatus,
    phase: RunPhase,
    reason: str,
    message: str,
    *,
    keep: timedelta,
    now: datetime,
    outcome: RunOutcome | None = None,
) -> RunDecision:
    """The last status of a run."""
    ended = replace(
        status,
        phase=phase,
        work_completed=True,
        finished_at=now,
        expire_at=now + keep,
        message=message,
        result=outcome or RunOutcome(is_error=phase is RunPhase.FAILED, terminal_reason=reason, summary=message),
    )
    good = ConditionStatus.TRUE if phase is RunPhase.SUCCEEDED else ConditionStatus.FALSE
    return RunDecision(status=_condition(ended, good, reason or phase.value, message, now), again_after=keep.total_seconds())


def _pending(status: CodeRunStatus, reason: str, message: str, now: datetime) -> CodeRunStatus:
    return _condition(replace(status, phase=RunPhase.PENDING, message=message), ConditionStatus.FALSE, reason, message, now)


def _condition(status: CodeRunStatus, state: ConditionStatus, reason: str, message: str, now: datetime) -> CodeRunStatus:
    new = Condition(type=READY, status=state, reason=reason, message=message, observed_generation=status.observed_generation)
    return replace(status, conditions=set_condition(status.conditions, new, now))
