"""Who holds a slot, who holds a workspace, and who goes first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus, PullRequestRef, RunPhase
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_PLAY
from coderun.model.play import Play, PlayPhase, PlaySpec, PlayStatus
from coderun.plan.lifecycle import hindered
from coderun.reconcile.view import PlayBrief, RunBrief, View

START = datetime(2026, 1, 1, tzinfo=UTC)


def play(
    task: int,
    phase: PlayPhase = PlayPhase.PENDING,
    *,
    priority: int = 1,
    depends_on: tuple[int, ...] = (),
    paused: bool = False,
    pull: int | None = None,
    repository: str = "/r",
) -> Play:
    return Play(
        metadata=ObjectMeta(name=f"play-{task}" if repository == "/r" else f"other-{task}"),
        spec=PlaySpec(task_id=task, repository_url=repository, priority=priority, depends_on=depends_on, paused=paused),
        status=PlayStatus(phase=phase, pull_request=PullRequestRef(number=pull) if pull else None),
    )


def run(name: str, second: int, *, attempt: int = 0, phase: RunPhase = RunPhase.PENDING) -> CodeRun:
    return CodeRun(
        metadata=ObjectMeta(name=name, creation_timestamp=START + timedelta(seconds=second), labels={LABEL_PLAY: "p"}),
        spec=CodeRunSpec(task_id=1, service="s", repository_url="/r"),
        status=CodeRunStatus(phase=phase, attempt=attempt, job_name=f"job-{name}" if attempt else ""),
    )


def seen(*plays: Play) -> View:
    view = View()
    for each in plays:
        view.see_play(each)
    return view


def brief(view: View, task: int) -> PlayBrief:
    return view.plays[f"play-{task}"]


def test_the_ready_play_of_the_highest_priority_starts_first() -> None:
    view = seen(play(1, priority=2), play(2, priority=0), play(3))
    assert view.ahead_of(brief(view, 2), 1) == ()
    assert view.ahead_of(brief(view, 1), 1) == ("play-2", "play-3")


def test_plays_at_work_hold_the_slots() -> None:
    view = seen(play(1, PlayPhase.RUNNING), play(2))
    assert view.ahead_of(brief(view, 2), 1) == ("play-1",)
    assert view.ahead_of(brief(view, 2), 2) == ()


def test_a_play_that_waits_for_a_person_holds_no_slot() -> None:
    view = seen(play(1, PlayPhase.WAITING), play(2))
    assert view.ahead_of(brief(view, 2), 1) == ()


@pytest.mark.parametrize("phase", [PlayPhase.SUCCEEDED, PlayPhase.FAILED, PlayPhase.ABORTED])
def test_an_ended_play_holds_no_slot(phase: PlayPhase) -> None:
    view = seen(play(1, phase), play(2))
    assert view.ahead_of(brief(view, 2), 1) == ()


def test_a_play_that_cannot_start_does_not_hold_up_the_ones_behind_it() -> None:
    view = seen(play(1, priority=0, depends_on=(9,)), play(2, priority=0, paused=True), play(3))
    assert view.ahead_of(brief(view, 3), 1) == ()


def test_a_second_play_of_a_task_does_not_hold_up_the_ones_behind_it() -> None:
    twin = play(1, priority=0)
    twin = replace(twin, metadata=replace(twin.metadata, name="play-twin"))
    view = seen(play(1, PlayPhase.WAITING), twin, play(3))
    assert view.ahead_of(brief(view, 3), 1) == ()


def test_a_dependency_is_met_only_by_a_play_that_succeeded() -> None:
    for phase, unmet, broken in (
        (PlayPhase.SUCCEEDED, (), ()),
        (PlayPhase.RUNNING, (1,), ()),
        (PlayPhase.FAILED, (1,), (1,)),
        (PlayPhase.ABORTED, (1,), (1,)),
    ):
        view = seen(play(1, phase), play(2, depends_on=(1,)))
        assert view.unmet(brief(view, 2)) == unmet
        assert view.broken(brief(view, 2)) == broken


def test_a_pull_request_leads_to_the_open_plays_bound_to_it() -> None:
    view = seen(play(1, PlayPhase.RUNNING, pull=7), play(2, PlayPhase.SUCCEEDED, pull=8), play(3, PlayPhase.RUNNING))
    assert view.plays_of_pull("/r", 7) == ["play-1"]
    assert view.plays_of_pull("/r", 8) == []
    assert view.unbound("/r") == ["play-3"]
    view.see_play(play(1, PlayPhase.RUNNING, pull=9))
    assert view.plays_of_pull("/r", 7) == []
    assert view.plays_of_pull("/r", 9) == ["play-1"]


@pytest.mark.lesson(41)
def test_equal_numbers_of_two_repositories_are_two_things_and_two_spellings_of_one_repository_are_one() -> None:
    running = PlayPhase.RUNNING
    view = seen(play(1, running, pull=7), play(1, running, pull=7, repository="https://github.com/Acme/Shop.git"))
    for repository, name in (("/r", "play-1"), ("github.com/acme/shop", "other-1")):
        assert view.plays_of_pull(repository, 7) == [name]
        assert view.plays_of_task(repository, 1) == [name]
        assert view.plays_into(repository, "main") == [name]
        assert [each.name for each in view.open_plays(repository)] == [name]
    assert len(view.open_plays()) == 2
    assert view.plays_of_pull("github.com/acme/other", 7) == []
    view.see_play(play(2, running, repository="Acme/Shop"))
    assert view.unbound("github.com/acme/shop") == ["other-2"]
    assert view.unbound("/r") == []
    view.see_play(play(3, depends_on=(1,), repository="git@github.com:acme/shop.git"))
    assert view.unmet(view.plays["other-3"]) == (1,)
    view.see_play(play(1, PlayPhase.SUCCEEDED, pull=7, repository="acme/shop"))
    assert view.unmet(view.plays["other-3"]) == ()


def runs(*all_runs: CodeRun) -> View:
    view = View()
    for each in all_runs:
        view.see_run(each, "w")
    return view


def run_brief(view: View, name: str) -> RunBrief:
    return view.runs[name]


def test_one_workspace_belongs_to_the_run_that_has_begun() -> None:
    view = runs(run("old", 0, attempt=1, phase=RunPhase.RUNNING), run("new", 1))
    assert view.holder_of(run_brief(view, "new"), 4) == "workspace w is in use by run old"
    assert view.holder_of(run_brief(view, "old"), 4) == ""


def test_of_two_that_wait_the_older_goes_first() -> None:
    view = runs(run("b", 0), run("a", 1))
    assert view.holder_of(run_brief(view, "b"), 4) == ""
    assert view.holder_of(run_brief(view, "a"), 4) == "workspace w goes to run b first"


def refused(name: str, second: int) -> CodeRun:
    """A run that got no token when its turn came."""
    made = run(name, second)
    return replace(made, status=hindered(made, "the App is not installed there", now=START))


def test_one_that_could_not_be_begun_keeps_nobody_and_waits_for_its_turn_as_before() -> None:
    view = runs(refused("old", 0), run("new", 1))
    assert view.holder_of(run_brief(view, "new"), 4) == ""
    assert view.holder_of(run_brief(view, "old"), 4) == ""
    view.see_run(run("new", 1, attempt=1), "w")
    assert view.holder_of(run_brief(view, "old"), 4) == "workspace w is in use by run new"


def test_those_behind_one_that_stands_aside_are_looked_at_and_it_is_not() -> None:
    view = View()
    view.see_run(refused("a", 1), "w")
    view.see_run(run("b", 2), "w")
    assert view.may_start_after(view.runs["a"], 4) == ("b",)


def test_a_slot_that_was_meant_for_one_that_stands_aside_goes_to_the_next() -> None:
    view = View()
    view.see_run(run("busy", 0, attempt=1), "w")
    for name, second in (("bad", 1), ("good", 2)):
        view.see_run(run(name, second), name)
        assert "no more than 1" in view.holder_of(run_brief(view, name), 1)
    assert after(view, "busy", 1) == ("bad",)
    view.see_run(refused("bad", 1), "bad")
    assert view.may_start_after(run_brief(view, "bad"), 1) == ("good",)


def test_equal_ages_are_told_apart_by_name() -> None:
    view = runs(run("b", 0), run("a", 0))
    assert view.holder_of(run_brief(view, "a"), 4) == ""
    assert "run a first" in view.holder_of(run_brief(view, "b"), 4)


def test_a_begun_run_keeps_its_workspace_even_from_one_that_a_clock_made_older() -> None:
    view = runs(run("begun", 10, attempt=1), run("older", 0))
    assert view.holder_of(run_brief(view, "older"), 4) == "workspace w is in use by run begun"


def test_no_more_runs_begin_than_may_be_at_work() -> None:
    view = View()
    view.see_run(run("one", 0, attempt=1), "w1")
    view.see_run(run("two", 1), "w2")
    assert view.holder_of(run_brief(view, "two"), 1) == "1 runs are at work, no more than 1 may be"


def test_a_finished_run_is_forgotten_with_its_job() -> None:
    view = runs(run("a", 0, attempt=1, phase=RunPhase.RUNNING))
    assert view.run_of_job("job-a") == "a"
    assert view.has_runs("p")
    view.see_run(run("a", 0, attempt=1, phase=RunPhase.SUCCEEDED), "w")
    assert view.run_of_job("job-a") is None
    assert not view.has_runs("p")


def after(view: View, name: str, parallel: int) -> tuple[str, ...]:
    ended = view.runs[name]
    view.forget_run(name)
    return view.may_start_after(ended, parallel)


def in_workspace(view: View, one: CodeRun, workspace: str) -> None:
    view.see_run(one, workspace)


def test_when_a_run_ends_those_of_its_workspace_are_looked_at() -> None:
    view = View()
    in_workspace(view, run("a", 1, attempt=1), "w")
    in_workspace(view, run("b", 2), "w")
    in_workspace(view, run("c", 3), "other")
    assert after(view, "a", 4) == ("b",)


def test_when_all_slots_were_taken_the_oldest_that_is_free_to_start_is_looked_at_too() -> None:
    view = View()
    in_workspace(view, run("a", 1, attempt=1), "w-1")
    in_workspace(view, run("b", 2, attempt=1), "w-2")
    in_workspace(view, run("c", 3), "w-2")
    in_workspace(view, run("d", 4), "w-3")
    in_workspace(view, run("e", 5), "w-4")
    for name in "cde":
        assert view.holder_of(run_brief(view, name), 2)
    assert after(view, "a", 2) == ("d",)


@given(parallel=st.integers(1, 3), workspaces=st.lists(st.integers(0, 3), min_size=1, max_size=7), data=st.data())
def test_no_run_is_left_waiting_in_whatever_order_runs_end_and_are_looked_at(
    parallel: int, workspaces: list[int], data: st.DataObject
) -> None:
    view = View()
    hinted = dict.fromkeys(range(len(workspaces)))
    for number in hinted:
        view.see_run(run(f"r-{number}", number), f"w-{workspaces[number]}")
    at_work: list[int] = []
    while hinted or at_work:
        is_end, number = data.draw(st.sampled_from([*((False, one) for one in hinted), *((True, one) for one in at_work)]))
        if is_end:
            at_work.remove(number)
            hinted |= dict.fromkeys(int(name.removeprefix("r-")) for name in after(view, f"r-{number}", parallel))
            continue
        del hinted[number]
        waits = run(f"r-{number}", number)
        view.see_run(waits, f"w-{workspaces[number]}")
        if not view.holder_of(run_brief(view, waits.name), parallel):
            view.see_run(run(waits.name, number, attempt=1), f"w-{workspaces[number]}")
            at_work.append(number)
            assert len(at_work) <= parallel
    assert not view.runs


def test_one_that_waits_for_workspace_and_slot_is_named_once() -> None:
    view = View()
    in_workspace(view, run("a", 1, attempt=1), "w")
    in_workspace(view, run("b", 2), "w")
    assert after(view, "a", 1) == ("b",)


def of_task_one(name: str, second: int, phase: PlayPhase = PlayPhase.PENDING, *, repository: str = "acme/shop") -> Play:
    return Play(
        metadata=ObjectMeta(name=name, creation_timestamp=START + timedelta(seconds=second)),
        spec=PlaySpec(task_id=1, repository_url=repository),
        status=PlayStatus(phase=phase),
    )


@pytest.mark.parametrize(
    ("plays", "twins"),
    [
        ([of_task_one("a", 0)], {"a": ""}),
        ([of_task_one("b", 0), of_task_one("a", 1)], {"b": "", "a": "b"}),
        ([of_task_one("a", 0), of_task_one("b", 0)], {"a": "", "b": "a"}),
        ([of_task_one("a", 0), of_task_one("b", 1, PlayPhase.RUNNING)], {"a": "b", "b": ""}),
        ([of_task_one("a", 0), of_task_one("b", 1, PlayPhase.WAITING)], {"a": "b"}),
        ([of_task_one("a", 0, PlayPhase.FAILED), of_task_one("b", 1)], {"b": ""}),
        ([of_task_one("a", 0, PlayPhase.SUCCEEDED), of_task_one("b", 1)], {"b": ""}),
        ([of_task_one("a", 0), of_task_one("b", 1, repository="https://github.com/Acme/Shop.git")], {"b": "a"}),
        ([of_task_one("a", 0), of_task_one("b", 1, repository="acme/other")], {"a": "", "b": ""}),
    ],
    ids=["alone", "older", "name", "started", "waiting", "failed", "succeeded", "two spellings", "two repositories"],
)
def test_of_two_plays_of_one_task_the_one_that_has_started_goes_first_then_the_older(
    plays: list[Play], twins: dict[str, str]
) -> None:
    view = seen(*plays)
    assert {name: view.twin_of(view.plays[name]) for name in twins} == twins


def test_a_task_is_done_when_any_of_its_plays_succeeded_and_broken_when_all_ended_without() -> None:
    dependent = play(2, depends_on=(1,), repository="acme/shop")
    view = seen(dependent, of_task_one("a", 0, PlayPhase.FAILED), of_task_one("b", 1))
    two = view.plays["other-2"]
    assert (view.unmet(two), view.broken(two)) == ((1,), ())
    view.see_play(of_task_one("b", 1, PlayPhase.ABORTED))
    assert view.broken(two) == (1,)
    view.see_play(of_task_one("c", 2, PlayPhase.SUCCEEDED))
    assert (view.unmet(two), view.broken(two)) == ((), ())
    view.forget_play("c")
    assert view.unmet(two) == (1,)


def test_a_repository_is_played_for_as_long_as_a_play_of_it_is_known() -> None:
    view = seen(play(1, PlayPhase.SUCCEEDED), play(2, repository="/other"))
    assert view.is_played("/r")
    view.see_play(play(1, PlayPhase.FAILED))
    view.forget_play("play-1")
    view.forget_play("play-1")
    assert not view.is_played("/r")
    assert view.is_played("/other")


def test_plays_that_ended_without_success_are_found_by_their_pull_request() -> None:
    phases = (PlayPhase.RUNNING, PlayPhase.SUCCEEDED, PlayPhase.FAILED, PlayPhase.ABORTED)
    view = seen(*(play(number, phase, pull=7) for number, phase in enumerate(phases, 1)), play(9, PlayPhase.FAILED, pull=8))
    assert view.ended_of_pull("/r", 7) == ["play-3", "play-4"]
    assert view.ended_of_pull("/other", 7) == []


def test_plays_that_may_be_taken_up_again_are_those_with_a_pull_request_that_ended_lately() -> None:
    def ended(task: int, phase: PlayPhase, day: int, *, pull: int | None = 7) -> Play:
        one = play(task, phase, pull=pull)
        return replace(one, status=replace(one.status, finished_at=START + timedelta(days=day)))

    view = seen(
        ended(1, PlayPhase.FAILED, 1),
        ended(2, PlayPhase.ABORTED, 3),
        ended(3, PlayPhase.SUCCEEDED, 3),
        ended(4, PlayPhase.FAILED, 3, pull=None),
        play(5, PlayPhase.FAILED, pull=7),
        play(6, PlayPhase.RUNNING, pull=7),
    )
    assert [each.name for each in view.retried_since(START)] == ["play-1", "play-2"]
    assert [each.name for each in view.retried_since(START + timedelta(days=2))] == ["play-2"]
    view.see_play(play(2, PlayPhase.RUNNING, pull=7))
    assert view.retried_since(START + timedelta(days=2)) == []
