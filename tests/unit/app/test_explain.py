"""`why`: for each state a play can be in, what it waits for, since when, what would move it and what moved it last."""

from datetime import datetime

import pytest
from tests.unit.app.shop import NOW, ago, make_play, make_run

from coderun.app.explain import Explanation, explain
from coderun.model.coderun import RunPhase
from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.play import HistoryEntry, Play, PlayPhase, Waiting

UP = "process 42 (coderun up)"
STARTED = HistoryEntry(at=ago(90), reason="Started", message="task 1 starts with stage implementation")
MADE = HistoryEntry(at=ago(60), reason="RunCreated", message="rex works on implementation (iteration 1, attempt 1)")
FAILED = HistoryEntry(at=ago(30), reason="AttemptsExhausted", message="implementation failed 3 times")


def waiting(kind: str, reason: str, message: str, would_move: str, since: datetime | None = None) -> Waiting:
    return Waiting(kind=kind, reason=reason, message=message, would_move=would_move, since=since)


def why(play: Play, *, controller: str = UP, deliveries: tuple[Delivery, ...] = ()) -> Explanation:
    return explain(play, [], deliveries, controller=controller, now=NOW)


def delivery(number: int, outcome: str, event: str = "push") -> Delivery:
    return Delivery(
        id=f"local-{number:012}",
        event=event,
        repository="/home/a/shop",
        received_at=ago(100 - number),
        state=DeliveryState.MOVED,
        outcome=outcome,
    )


RUN = waiting("run", "RunActive", "rex works on implementation", "the end of run play-shop-1-implementation-1-1", ago(60))
GATE = waiting("gate", "ChecksPending", "checks of aaaaaaaa: 1 of 2 finished", "the checks finish", ago(5))
PERSON = waiting("person", "MergeByPerson", "a person merges pull request #7", "`coderun pr merge 7`", ago(3600))
SLOT = waiting("slot", "AllSlotsTaken", "1 of 1 plays are under way", "a play ends", ago(1))
PAUSED = waiting("person", "Paused", "the play is paused", "`coderun resume play-shop-1`", ago(7))


@pytest.mark.parametrize(
    ("play", "waits_for", "reason", "seconds", "would_move"),
    [
        (make_play(phase=PlayPhase.PENDING), "the first look of a controller", "", 0, ""),
        (make_play(phase=PlayPhase.PENDING, waiting=SLOT), SLOT.message, "AllSlotsTaken", 1, "a play ends"),
        (make_play(stage="implementation", waiting=RUN), RUN.message, "RunActive", 60, RUN.would_move),
        (make_play(stage="quality", waiting=GATE), GATE.message, "ChecksPending", 5, "the checks finish"),
        (make_play(phase=PlayPhase.WAITING, waiting=PERSON), PERSON.message, "MergeByPerson", 3600, "`coderun pr merge 7`"),
        (make_play(phase=PlayPhase.WAITING, waiting=PAUSED), PAUSED.message, "Paused", 7, "`coderun resume play-shop-1`"),
        (
            make_play(phase=PlayPhase.FAILED, finished_at=ago(30), history=(STARTED, FAILED)),
            "",
            "AttemptsExhausted",
            30,
            "`coderun retry play-shop-1`",
        ),
        (make_play(phase=PlayPhase.ABORTED, finished_at=ago(2)), "", "", 2, "`coderun retry play-shop-1`"),
        (make_play(phase=PlayPhase.SUCCEEDED, finished_at=ago(2)), "", "", 2, ""),
    ],
    ids=["not-seen", "slot", "run", "gate", "person", "paused", "failed", "aborted", "succeeded"],
)
def test_each_state_says_what_is_waited_for_since_when_and_what_would_move_it(
    play: Play, waits_for: str, reason: str, seconds: float, would_move: str
) -> None:
    told = why(play)
    assert (told.waits_for, told.reason, told.seconds, told.would_move) == (waits_for, reason, seconds, would_move)


@pytest.mark.parametrize(
    ("play", "would_move"),
    [
        (make_play(phase=PlayPhase.PENDING), "a controller, as none is running: `coderun up`; then it starts"),
        (make_play(waiting=RUN), f"a controller, as none is running: `coderun up`; then {RUN.would_move}"),
        (make_play(phase=PlayPhase.FAILED), "`coderun retry play-shop-1`"),
        (make_play(phase=PlayPhase.SUCCEEDED), ""),
    ],
)
def test_without_a_controller_an_open_play_waits_for_one_first(play: Play, would_move: str) -> None:
    told = why(play, controller="")
    assert (told.would_move, told.controller) == (would_move, "")


def test_the_last_decision_is_what_moved_it() -> None:
    told = why(make_play(history=(STARTED, MADE)))
    assert told.moved_by == "RunCreated: rex works on implementation (iteration 1, attempt 1)"
    assert told.moved_at == ago(60)
    nothing = why(make_play())
    assert (nothing.moved_by, nothing.moved_at) == ("", None)


def test_the_newest_event_that_was_a_hint_for_this_very_play_is_named() -> None:
    newest_first = (
        delivery(9, "concerns no open play"),
        delivery(8, "hint for play-shop-12, play-shop-1-b"),
        delivery(7, "hint for play-shop-1, play-shop-2", event="pull_request.labeled"),
        delivery(6, "hint for play-shop-1"),
    )
    told = why(make_play(), deliveries=newest_first)
    assert (told.last_event, told.last_event_at) == ("pull_request.labeled (local-000000000007)", ago(93))
    assert why(make_play(2), deliveries=newest_first).last_event == "pull_request.labeled (local-000000000007)"
    assert (why(make_play(3), deliveries=newest_first).last_event, told.last_event_at is None) == ("", False)


def test_runs_at_work_are_named_with_what_they_say_and_ended_ones_are_not() -> None:
    runs = [
        make_run("play-shop-1-implementation-1-1", RunPhase.FAILED),
        make_run("play-shop-1-implementation-1-2", RunPhase.PENDING, message="workspace-shop-rex is busy"),
        make_run("play-shop-1-quality-1-1"),
    ]
    told = explain(make_play(), runs, [], controller=UP, now=NOW)
    assert told.run == "play-shop-1-implementation-1-2 (Pending: workspace-shop-rex is busy); play-shop-1-quality-1-1 (Running)"


def test_a_clock_that_went_back_gives_no_negative_wait() -> None:
    told = why(make_play(waiting=waiting("run", "RunActive", "m", "w", ago(-5))))
    assert (told.seconds, told.since) == (0.0, ago(-5))
