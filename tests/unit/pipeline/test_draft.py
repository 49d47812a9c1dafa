from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import NOW, decided, facts, play_at, pull_request, reason, run

from coderun.model.coderun import RunPhase
from coderun.model.play import HistoryEntry, PlayPhase, PlayRun, Waiting
from coderun.pipeline.decision import CreateRun
from coderun.pipeline.draft import RUNS_KEPT, brief

LATER = NOW + timedelta(minutes=5)


@pytest.mark.lesson(5)
def test_the_status_is_whole_and_names_the_generation_it_is_about() -> None:
    status = decided(play_at("quality"), facts(pull_request(), run("quality", RunPhase.RUNNING))).status
    assert status.observed_generation == 3
    assert status.runs == (
        PlayRun(name="play-demo-7-quality-1-1", stage="quality", iteration=1, attempt=1, agent="cleo", phase="Running"),
    )


@pytest.mark.lesson(5)
def test_a_pass_that_finds_nothing_new_changes_nothing() -> None:
    seen = facts(pull_request(), run("quality", RunPhase.RUNNING))
    first = decided(play_at("quality"), seen)
    again = decided(replace(play_at("quality"), status=first.status), seen, LATER)
    assert (again.status, again.actions, again.because) == (first.status, (), "")


def test_a_wait_keeps_its_beginning_while_it_is_the_same_wait() -> None:
    old = Waiting(kind="run", target="play-demo-7-quality-1-1", since=NOW, reason="RunPending", message="m", would_move="w")
    seen = facts(pull_request(), run("quality", RunPhase.PENDING, message="the workspace is busy"))
    waiting = decided(play_at("quality", waiting=old), seen, LATER).status.waiting
    assert waiting is not None
    assert waiting.since == NOW
    assert waiting.message == "cleo is about to work on quality (iteration 1, attempt 1): the workspace is busy"
    other = decided(play_at("quality", waiting=replace(old, reason="RunRunning")), seen, LATER).status.waiting
    assert other is not None
    assert other.since == LATER


def test_a_wait_for_a_person_is_recorded_once() -> None:
    first = decided(play_at("merge"), facts(pull_request()))
    assert first.status.history[-1].reason == "WaitingForPeople"
    again = decided(replace(play_at("merge"), status=first.status), facts(pull_request()), LATER)
    assert again.status.history == first.status.history


def test_only_the_last_fifty_decisions_are_kept() -> None:
    old = tuple(HistoryEntry(at=NOW, reason=f"R{at}") for at in range(50))
    history = decided(play_at("merge", history=old), facts(pull_request())).status.history
    assert len(history) == 50
    assert [history[0].reason, history[-1].reason] == ["R1", "WaitingForPeople"]


def test_runs_are_listed_in_the_order_of_the_pipeline_and_only_the_last_fifty() -> None:
    many = [run("testing"), run("implementation"), *(run("quality", attempt=at) for at in range(RUNS_KEPT + 5))]
    names = [known.name for known in decided(play_at("merge"), facts(pull_request(), *many)).status.runs]
    assert len(names) == RUNS_KEPT
    assert names[-1] == "play-demo-7-testing-1-1"
    assert names[0] == "play-demo-7-quality-1-6"


@pytest.mark.lesson(39)
@pytest.mark.parametrize(
    ("phase", "why", "expected"),
    [("Failed", "AgentBlocked", "AgentBlocked"), ("Cancelled", "Cancelled", "RunCancelled")],
)
def test_a_run_that_was_cleaned_up_is_remembered_and_not_made_again(phase: str, why: str, expected: str) -> None:
    gone = PlayRun(name="x", stage="quality", iteration=1, attempt=1, agent="cleo", phase=phase, reason=why)
    decision = decided(play_at("quality", runs=(gone,)), facts(pull_request()))
    assert (reason(decision), decision.actions) == (expected, ())
    assert decision.status.runs == (gone,)


@pytest.mark.lesson(39)
def test_a_run_that_vanished_while_it_ran_has_failed_and_is_followed_by_another_attempt() -> None:
    gone = PlayRun(name="x", stage="quality", iteration=1, attempt=1, agent="cleo", phase="Running")
    decision = decided(play_at("quality", runs=(gone,)), facts(pull_request()))
    (created,) = decision.actions
    assert isinstance(created, CreateRun)
    assert created.attempt == 2
    assert created.context["last-attempt"] == "Attempt 1 ended: RunGone. its CodeRun has been removed since"
    assert decision.status.runs[0] == replace(gone, phase="Failed", reason="RunGone")


def test_a_run_that_was_only_asked_for_is_asked_for_again_under_its_name() -> None:
    asked = PlayRun(name="x", stage="quality", iteration=1, attempt=1, agent="cleo", phase="Pending")
    decision = decided(play_at("quality", runs=(replace(asked, name="play-demo-7-quality-1-1"),)), facts(pull_request()))
    assert [action.name for action in decision.actions if isinstance(action, CreateRun)] == ["play-demo-7-quality-1-1"]


def test_the_reason_of_a_run_is_recorded_once_it_has_ended() -> None:
    waiting = run("quality", RunPhase.PENDING, reason="WorkspaceBusy")
    failed = run("quality", RunPhase.FAILED, reason="JobLost")
    assert decided(play_at("quality"), facts(pull_request(), waiting)).status.runs[0].reason == ""
    assert decided(play_at("quality"), facts(pull_request(), failed)).status.runs[0].reason == "JobLost"


def test_the_phase_tells_who_must_act() -> None:
    assert decided(play_at("merge"), facts(pull_request())).status.phase is PlayPhase.WAITING
    assert decided(play_at("quality"), facts(pull_request())).status.phase is PlayPhase.RUNNING
    assert decided(play_at(), facts(blocked_by=(3,))).status.phase is PlayPhase.PENDING


def test_a_text_is_cut_only_where_it_is_too_long() -> None:
    assert brief("abc", 3) == "abc"
    assert brief("abcde", 3) == "abc… (2 more characters)"
