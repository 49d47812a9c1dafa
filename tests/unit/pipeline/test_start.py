from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import NOW, PULL_REQUEST, decided, facts, play_at, pull_request, reason, run

from coderun.model.coderun import RunPhase
from coderun.model.play import PlayPhase
from coderun.pipeline.decision import CreateRun


def test_a_play_starts_with_the_first_stage_and_its_agent() -> None:
    decision = decided(play_at(), facts())
    assert decision.actions == (
        CreateRun(
            name="play-demo-7-implementation-1-1",
            stage="implementation",
            iteration=1,
            attempt=1,
            agent="rex",
            evidence=(PULL_REQUEST,),
            pull_request=None,
            continue_session=False,
            context={},
        ),
    )
    status = decision.status
    assert (status.phase, status.stage, status.started_at) == (PlayPhase.RUNNING, "implementation", NOW)
    assert [entry.reason for entry in status.history] == ["Started", "RunCreated"]
    assert status.history[0].message == "task 7 starts with stage implementation"
    assert decision.because == "RunCreated: rex works on implementation (iteration 1, attempt 1)"


@pytest.mark.lesson(32)
@pytest.mark.parametrize(
    ("changes", "kind", "why", "message", "would_move"),
    [
        ({"blocked_by": (3,)}, "dependency", "DependencyNotDone", "task 3 must be merged first", "the merge of task 3"),
        (
            {"blocked_by": (3, 4)},
            "dependency",
            "DependencyNotDone",
            "tasks 3, 4 must be merged first",
            "the merge of tasks 3, 4",
        ),
        (
            {"blocked_by": (3,), "broken_dependencies": (3,)},
            "dependency",
            "DependencyFailed",
            "task 3 did not succeed",
            "retry task 3, or abort this play",
        ),
        (
            {"twin": "play-other", "blocked_by": (3,), "ahead": ("a",)},
            "dependency",
            "PlayedAlready",
            "play play-other is about the same task and goes first",
            "the end of play-other, or deleting one of the two",
        ),
        (
            {"ahead": ("a", "b", "c", "d")},
            "slot",
            "PlaysAhead",
            "4 play(s) come first: a, b, c",
            "the end of one of them, or a larger play.parallel in coderun.yaml",
        ),
    ],
)
def test_a_play_waits_for_its_dependencies_and_for_a_slot(
    changes: dict[str, Any], kind: str, why: str, message: str, would_move: str
) -> None:
    decision = decided(play_at(), facts(**changes))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.message, waiting.would_move) == (kind, why, message, would_move)
    assert (decision.status.phase, decision.actions) == (PlayPhase.PENDING, ())


def test_a_paused_play_does_not_start() -> None:
    decision = decided(play_at(spec={"paused": True}), facts(blocked_by=(3,)))
    assert (decision.status.phase, reason(decision), decision.actions) == (PlayPhase.PENDING, "Paused", ())
    assert decision.status.waiting is not None
    assert decision.status.waiting.would_move == "`coderun resume play-demo-7`"


def test_a_play_that_has_started_waits_for_no_slot_any_more() -> None:
    decision = decided(play_at("quality"), facts(pull_request(), run("quality", RunPhase.RUNNING), ahead=("a",)))
    assert reason(decision) == "RunRunning"


def test_retries_asked_for_before_the_start_are_settled_by_it() -> None:
    decision = decided(play_at(spec={"retries": 2}), facts())
    assert (decision.status.retries_seen, decision.status.stage) == (2, "implementation")


@pytest.mark.lesson(20)
def test_a_pull_request_that_was_there_before_the_play_is_found_without_any_event() -> None:
    decision = decided(play_at(), facts(pull_request()))
    assert decision.status.stage == "quality"
    assert [entry.reason for entry in decision.status.history] == ["Started", "PullRequestFound", "StagePassed", "RunCreated"]
    (created,) = decision.actions
    assert isinstance(created, CreateRun)
    assert created.pull_request is not None
    assert (created.agent, created.pull_request.number, created.pull_request.head_sha) == ("cleo", 1, "aaaa")


@pytest.mark.lesson(11)
def test_a_start_whose_status_was_never_written_is_repeated_and_makes_no_second_run() -> None:
    decision = decided(play_at(), facts(None, run("implementation", RunPhase.PENDING)))
    assert decision.actions == ()
    assert (decision.status.stage, reason(decision)) == ("implementation", "RunPending")


def test_asking_again_for_a_run_that_was_asked_for_changes_nothing() -> None:
    first = decided(play_at(), facts())
    again = decided(replace(play_at(), status=first.status), facts())
    assert again.status == first.status
    assert again.actions == first.actions
    assert again.because == ""
