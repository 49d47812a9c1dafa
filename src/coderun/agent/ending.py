"""What an attempt came to: the work's own report, a failure or an early end, made into the one report that is handed back.

Pure. The supervisor gathers the facts; nothing here looks at processes or files.
"""

from datetime import datetime
from typing import Final, assert_never

from msgspec.structs import replace

from coderun.agent.stop import StopCause
from coderun.model.coderun import RunOutcome, RunPhase, RunReport

CANCELLED: Final = "Cancelled"
TIMED_OUT: Final = "TimedOut"
FOLDER_GONE: Final = "FolderGone"
INTERNAL_ERROR: Final = "InternalError"
INVALID_ORDER: Final = "InvalidOrder"
WORKSPACE_BUSY: Final = "WorkspaceBusy"


def failed(reason: str, summary: str) -> RunReport:
    """A run that failed for a reason of the supervisor's."""
    return RunReport(phase=RunPhase.FAILED, outcome=RunOutcome(is_error=True, terminal_reason=reason, summary=summary))


def stopped(cause: StopCause, reason: str, work: RunReport | None) -> RunReport:
    """A run that was ended early: what the work still reported of itself is kept, but it is not a success any more."""
    base = work or RunReport(phase=RunPhase.FAILED)
    phase, word = _stopped_as(cause)
    outcome = replace(base.outcome, is_error=phase is RunPhase.FAILED, terminal_reason=word, summary=reason)
    return replace(base, phase=phase, outcome=outcome)


def _stopped_as(cause: StopCause) -> tuple[RunPhase, str]:
    match cause:
        case StopCause.CANCELLED:
            return RunPhase.CANCELLED, CANCELLED
        case StopCause.TIMED_OUT:
            return RunPhase.FAILED, TIMED_OUT
        case StopCause.FOLDER_GONE:
            return RunPhase.FAILED, FOLDER_GONE
        case _:
            assert_never(cause)


def with_note(report: RunReport, note: str) -> RunReport:
    """The report with something a person should know added to its summary."""
    if not note:
        return report
    summary = f"{report.outcome.summary} ({note})" if report.outcome.summary else note
    return replace(report, outcome=replace(report.outcome, summary=summary))


def stamped(report: RunReport, *, started: datetime, finished: datetime) -> RunReport:
    """The report with the attempt's times, where the work has not set them."""
    return replace(report, started_at=report.started_at or started, finished_at=report.finished_at or finished)
