import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import DEV, NOW, REX, decided, facts, play_at, pull_request, reason, run

from coderun.model.coderun import RunPhase
from coderun.model.play import PassedGate, PlayPhase
from coderun.model.pulls import PullRequest, PullState, Push
from coderun.pipeline.decision import CancelRun, PostComment

MERGED = pull_request(state=PullState.MERGED, merged_by="dev")
CLOSED = pull_request(state=PullState.CLOSED)
WRONG = "label task-8, branch of task-7"
BUSY = run("testing", RunPhase.RUNNING)


def test_a_finished_play_does_nothing() -> None:
    done = play_at("testing", phase=PlayPhase.FAILED, message="over", finished_at=NOW)
    decision = decided(done, facts(pull_request(head_sha="bbbb")))
    assert decision.actions == ()
    assert decision.because == ""
    assert decision.status == replace(done.status, observed_generation=3)


def test_a_finished_play_stops_what_still_runs() -> None:
    decision = decided(play_at("testing", phase=PlayPhase.FAILED), facts(None, BUSY))
    assert decision.actions == (CancelRun(name=BUSY.name, reason="the play has ended"),)


@pytest.mark.parametrize("stage", ["", "implementation", "testing", "merge"])
def test_a_merged_pull_request_ends_the_play_well_wherever_it_stands(stage: str) -> None:
    status = decided(play_at(stage), facts(MERGED)).status
    assert (status.phase, status.stage, status.finished_at, status.waiting) == (PlayPhase.SUCCEEDED, "", NOW, None)
    assert status.message == "pull request #1 is merged by dev"
    assert (status.history[-1].reason, status.history[-1].message) == ("Merged", "pull request #1 is merged by dev")
    assert status.pull_request is not None


def test_a_merge_by_nobody_known_is_a_merge() -> None:
    assert decided(play_at("merge"), facts(replace(MERGED, merged_by=""))).status.message == "pull request #1 is merged"


@pytest.mark.parametrize("pull", [None, pull_request(), CLOSED], ids=["none", "open", "closed"])
def test_an_abort_ends_the_play(pull: PullRequest | None) -> None:
    status = decided(play_at("quality", spec={"abort_requested": True}), facts(pull)).status
    assert (status.phase, status.stage, status.message) == (PlayPhase.ABORTED, "quality", "a person aborted the play")
    assert status.history[-1].reason == "AbortRequested"


def test_a_push_while_a_play_ends_is_followed_when_it_is_retried() -> None:
    passed = (PassedGate(name="label ready-for-qa", stage="quality", head_sha="aaaa"),)
    pushed = pull_request(head_sha="bbbb", pushes=(Push(sha="aaaa", actor=REX), Push(sha="bbbb", actor=DEV)))
    aborted = decided(play_at("testing", spec={"abort_requested": True}, gates=passed), facts(pushed)).status
    again = decided(replace(play_at("testing", spec={"retries": 1}), status=aborted), facts(pushed)).status
    assert (again.stage, again.iteration, again.gates) == ("quality", 2, ())


def test_an_abort_comes_too_late_for_a_merged_pull_request() -> None:
    assert decided(play_at("merge", spec={"abort_requested": True}), facts(MERGED)).status.phase is PlayPhase.SUCCEEDED


def test_a_play_that_never_started_can_be_aborted() -> None:
    status = decided(play_at(spec={"abort_requested": True}), facts()).status
    assert (status.phase, status.started_at) == (PlayPhase.ABORTED, NOW)


def test_a_closed_pull_request_stops_the_play() -> None:
    status = decided(play_at("quality"), facts(CLOSED)).status
    assert (status.phase, status.message) == (PlayPhase.ABORTED, "pull request #1 was closed without merging")
    assert status.history[-1].reason == "PullRequestClosed"


@pytest.mark.lesson(22)
def test_marks_that_disagree_fail_the_play_with_one_comment_that_says_which() -> None:
    decision = decided(play_at("quality"), facts(pull_request(), mismatch=WRONG))
    assert decision.status.phase is PlayPhase.FAILED
    assert decision.status.message == f"the marks of pull request #1 disagree: {WRONG}"
    assert decision.status.history[-1].reason == "AssociationMismatch"
    (comment,) = decision.actions
    assert isinstance(comment, PostComment)
    assert (comment.number, comment.marker) == (1, "association-mismatch")
    assert WRONG in comment.body
    assert "task 7" in comment.body
    assert "`coderun retry play-demo-7`" in comment.body


def test_marks_of_a_closed_pull_request_matter_no_more() -> None:
    decision = decided(play_at("quality"), facts(CLOSED, mismatch=WRONG))
    assert decision.status.history[-1].reason == "PullRequestClosed"
    assert decision.actions == ()


@pytest.mark.parametrize(
    ("pull", "changes", "why"),
    [
        (MERGED, {}, "Merged"),
        (CLOSED, {}, "PullRequestClosed"),
        (pull_request(), {"mismatch": WRONG}, "AssociationMismatch"),
    ],
)
def test_a_play_ends_only_when_its_runs_have_ended(pull: PullRequest, changes: dict[str, object], why: str) -> None:
    decision = decided(play_at("testing"), facts(pull, BUSY, **changes))
    assert decision.status.phase is PlayPhase.RUNNING
    assert [action.name for action in decision.actions if isinstance(action, CancelRun)] == [BUSY.name]
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("stop", why)
    assert waiting.message.endswith("; its runs are ending")
    assert waiting.would_move == "happens by itself: running agents save their work first"


def test_a_run_is_asked_to_end_only_once() -> None:
    decision = decided(play_at("testing"), facts(MERGED, replace(BUSY, cancelling=True)))
    assert decision.actions == ()
    assert reason(decision) == "Merged"


def test_a_play_that_is_ended_before_its_start_was_written_has_not_started() -> None:
    stray = run("implementation", RunPhase.RUNNING)
    aborting = decided(play_at(spec={"abort_requested": True}), facts(None, stray))
    assert aborting.status.phase is PlayPhase.PENDING
    again = decided(replace(play_at(), status=aborting.status), facts(None, stray))
    assert (again.status.phase, again.status.stage) == (PlayPhase.RUNNING, "implementation")
    assert reason(again) == "RunRunning"


def test_a_message_of_any_size_fits_the_status() -> None:
    status = decided(play_at("quality"), facts(pull_request(), mismatch="x" * 1_000_000)).status
    assert len(status.message) < 2100
    assert status.message.endswith("more characters)")
    assert len(status.history[-1].message) < 2100
