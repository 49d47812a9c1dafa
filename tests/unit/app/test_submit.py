"""From tasks to plays: which are chosen, what each waits for, and what becomes of those that exist already."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.unit.app.shop import make_play as play_in

from coderun.app.submit import Fate, PlayOptions, Submitted, Wishes, choose, choose_next, make_play, submit
from coderun.model.errors import ConfigError
from coderun.model.play import Play, PlayPhase
from coderun.model.task import Task, TaskStatus, TaskText
from coderun.store.sqlite import SqliteStore

NONE: frozenset[int] = frozenset()
NO_WISHES = Wishes()
OPTIONS = PlayOptions(repository="/home/a/shop", service="shop", base_branch="main", auto_merge=True, agents={"quality": "ann"})


def task(number: int, *needs: int, priority: int = 1, status: TaskStatus = TaskStatus.PENDING) -> Task:
    return Task(id=number, text=TaskText(title=f"Task {number}"), dependencies=needs, priority=priority, status=status)


TASKS = [task(1), task(2, 1), task(3, priority=0), task(4, status=TaskStatus.DONE), task(5, 4), task(6, 2, 3)]


@pytest.mark.parametrize(
    ("wanted", "done", "played", "chosen"),
    [
        ([1], NONE, NONE, [1]),
        ([2, 1], NONE, NONE, [1, 2]),
        ([1, 3], NONE, NONE, [3, 1]),
        ([5], NONE, NONE, [5]),
        ([2], frozenset({1}), NONE, [2]),
        ([2], NONE, frozenset({1}), [2]),
        ([1], frozenset({1}), frozenset({1}), [1]),
        ([6, 2, 3, 1], NONE, frozenset({2}), [2, 3, 1, 6]),
    ],
)
def test_tasks_come_in_the_order_they_can_be_worked_on(
    wanted: list[int], done: frozenset[int], played: frozenset[int], chosen: list[int]
) -> None:
    assert [each.id for each in choose(TASKS, wanted, done=done, played=played)] == chosen


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([9], r"there is no task 9 \(known tasks: 1, 2, 3, 4, 5, 6\)"),
        ([0], r"there is no task 0: ids start at 1"),
        ([4], "task 4 is done already"),
        ([2], r"task 2 waits for task 1 .*not done and not asked for; add it \(--tasks 1,2\)"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_created(wanted: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose(TASKS, wanted, done=NONE, played=NONE)


@pytest.mark.parametrize(
    ("done", "under_way", "following"),
    [(NONE, NONE, 3), (frozenset({3}), NONE, 1), (frozenset({3}), frozenset({1}), 5), (frozenset({1, 3, 5}), NONE, 2)],
)
def test_the_next_task_is_ready_most_urgent_and_not_under_way(
    done: frozenset[int], under_way: frozenset[int], following: int
) -> None:
    assert choose_next(TASKS, done=done, under_way=under_way).id == following


@pytest.mark.parametrize(
    ("tasks", "under_way", "message"),
    [
        (TASKS, frozenset({1, 3, 5}), "no task is ready to start: tasks 1, 3, 5 are under way; "),
        ([task(1, status=TaskStatus.DONE)], NONE, "no task is ready to start: "),
    ],
)
def test_where_no_task_is_ready_the_reason_is_named(tasks: list[Task], under_way: frozenset[int], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        choose_next(tasks, done=NONE, under_way=under_way)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) > len(message)


def test_a_play_carries_the_task_its_options_and_what_it_still_waits_for() -> None:
    known = {each.id: each for each in TASKS}
    play = make_play(replace(known[6], dependencies=(2, 3, 4)), OPTIONS, known, frozenset({3}))
    assert (play.name, play.spec.depends_on, play.spec.priority) == ("play-shop-6", (2,), 1)
    assert (play.spec.auto_merge, play.spec.agents, play.spec.task) == (True, {"quality": "ann"}, TaskText(title="Task 6"))
    assert (play.metadata.labels["agents.platform/task-id"], play.spec.service) == ("6", "shop")


def test_dependencies_are_ignored_where_a_person_says_so() -> None:
    known = {each.id: each for each in TASKS}
    assert make_play(known[6], replace(OPTIONS, ignore_dependencies=True), known, NONE).spec.depends_on == ()


def test_a_dependency_nobody_knows_is_waited_for() -> None:
    assert make_play(task(1, 99), OPTIONS, {}, NONE).spec.depends_on == (99,)


@pytest.mark.parametrize(
    ("phase", "fate"),
    [
        (PlayPhase.PENDING, Fate.UNDER_WAY),
        (PlayPhase.RUNNING, Fate.UNDER_WAY),
        (PlayPhase.WAITING, Fate.UNDER_WAY),
        (PlayPhase.SUCCEEDED, Fate.DONE),
        (PlayPhase.FAILED, Fate.STOPPED),
        (PlayPhase.ABORTED, Fate.STOPPED),
    ],
)
async def test_a_play_that_exists_is_told_of_and_not_made_again(store: SqliteStore, phase: PlayPhase, fate: Fate) -> None:
    before = await store.create(play_in(1, phase))
    [told] = await submit(store, [make_play(task(1), OPTIONS, {}, NONE)], Wishes(auto_merge=True))
    assert told == Submitted(task_id=1, name="play-shop-1", fate=fate, phase=phase)
    after = await store.get(Play, "play-shop-1")
    assert after is not None
    assert (after.metadata.uid, after.spec.agents) == (before.metadata.uid, {})
    assert after.spec.auto_merge is (fate is not Fate.DONE), "a retry goes on with what was asked for last"


async def test_what_nobody_wished_for_is_left_as_it_was(store: SqliteStore) -> None:
    before = await store.create(make_play(task(1), OPTIONS, {}, NONE))
    await submit(store, [make_play(task(1), replace(OPTIONS, auto_merge=False, max_iterations=9), {}, NONE)], NO_WISHES)
    assert await store.get(Play, before.name) == before
    await submit(store, [make_play(task(1), OPTIONS, {}, NONE)], Wishes(auto_merge=False, max_iterations=7))
    after = await store.get(Play, before.name)
    assert after is not None
    assert (after.spec.auto_merge, after.spec.max_iterations) == (False, 7)


async def test_a_stopped_play_that_is_to_be_retried_is_under_way(store: SqliteStore) -> None:
    stopped = play_in(1, PlayPhase.FAILED, retries_seen=0)
    await store.create(replace(stopped, spec=replace(stopped.spec, retries=1)))
    [told] = await submit(store, [make_play(task(1), OPTIONS, {}, NONE)], NO_WISHES)
    assert told.fate is Fate.UNDER_WAY


async def test_submitting_twice_makes_each_play_once_and_the_second_writes_nothing(store: SqliteStore) -> None:
    plays = [make_play(task(number), OPTIONS, {}, NONE) for number in (1, 2)]
    first = await submit(store, plays, NO_WISHES)
    stored = await store.find(Play)
    second = await submit(store, plays, NO_WISHES)
    assert [each.fate for each in first + second] == [Fate.CREATED] * 2 + [Fate.UNDER_WAY] * 2
    assert await store.find(Play) == stored


async def test_two_who_submit_at_once_make_each_play_once(store: SqliteStore) -> None:
    plays = [make_play(task(number), OPTIONS, {}, NONE) for number in range(1, 9)]
    told = await asyncio.gather(submit(store, plays, NO_WISHES), submit(store, list(reversed(plays)), NO_WISHES))
    fates = sorted((each.name, each.fate.value) for one in told for each in one)
    assert fates == sorted((play.name, fate) for play in plays for fate in ("created", "under-way"))
