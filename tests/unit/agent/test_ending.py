from datetime import UTC, datetime

import pytest

from coderun.agent import ending
from coderun.agent.stop import StopCause
from coderun.model.coderun import RunOutcome, RunPhase, RunReport, Usage

EARLY, LATE = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)
DONE = RunReport(
    phase=RunPhase.SUCCEEDED,
    outcome=RunOutcome(exit_code=0, terminal_reason="Completed", summary="all done"),
    usage=Usage(turns=3),
    session_id="s",
    head_sha="abc",
)


@pytest.mark.parametrize(
    ("cause", "phase", "word"),
    [
        (StopCause.CANCELLED, RunPhase.CANCELLED, "Cancelled"),
        (StopCause.TIMED_OUT, RunPhase.FAILED, "TimedOut"),
        (StopCause.FOLDER_GONE, RunPhase.FAILED, "FolderGone"),
    ],
)
def test_an_early_end_is_no_success_but_keeps_what_the_work_left(cause: StopCause, phase: RunPhase, word: str) -> None:
    report = ending.stopped(cause, "why", DONE)
    assert (report.phase, report.outcome.terminal_reason, report.outcome.summary) == (phase, word, "why")
    assert report.outcome.is_error is (phase is RunPhase.FAILED)
    assert (report.usage, report.session_id, report.head_sha, report.outcome.exit_code) == (Usage(turns=3), "s", "abc", 0)
    assert ending.stopped(cause, "why", None).outcome.exit_code is None


def test_a_note_is_added_to_the_summary() -> None:
    assert ending.with_note(DONE, "") == DONE
    assert ending.with_note(DONE, "two survived").outcome.summary == "all done (two survived)"
    assert ending.with_note(ending.failed("X", ""), "two survived").outcome.summary == "two survived"


def test_times_are_filled_in_where_the_work_has_none() -> None:
    report = ending.stamped(DONE, started=EARLY, finished=LATE)
    assert (report.started_at, report.finished_at) == (EARLY, LATE)
    assert ending.stamped(report, started=LATE, finished=EARLY) == report
