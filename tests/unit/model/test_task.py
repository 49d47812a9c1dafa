"""Which task comes next, which were asked for, and what a sentence or a Markdown text is as a task."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.errors import ConfigError
from coderun.model.task import (
    Task,
    TaskStatus,
    TaskText,
    find_cycle,
    next_task,
    order_tasks,
    parse_task_list,
    select_tasks,
    task_from_text,
    waiting_for,
)


def task(
    task_id: int, *dependencies: int, status: TaskStatus = TaskStatus.PENDING, priority: int = 1, source: str = ""
) -> Task:
    text = TaskText(title=f"Task {task_id}")
    return Task(id=task_id, text=text, status=status, priority=priority, dependencies=dependencies, source=source)


DONE, DEFERRED, BLOCKED = TaskStatus.DONE, TaskStatus.DEFERRED, TaskStatus.BLOCKED


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, tuple[int, ...]]:
    ids = draw(st.lists(st.integers(1, 12), unique=True, max_size=10))
    return {one: tuple(draw(st.lists(st.sampled_from(ids), max_size=4))) for one in ids}


@st.composite
def task_lists(draw: st.DrawFn) -> list[Task]:
    ids = draw(st.lists(st.integers(1, 30), unique=True, max_size=12))
    return [
        task(
            one,
            *draw(st.lists(st.sampled_from(ids[:at]), unique=True, max_size=3) if at else st.just([])),
            status=draw(st.sampled_from(TaskStatus)),
            priority=draw(st.integers(-1, 2)),
        )
        for at, one in enumerate(ids)
    ]


def has_cycle(graph: dict[int, tuple[int, ...]]) -> bool:
    left = dict(graph)
    while True:
        free = [one for one, wanted in left.items() if not set(wanted) & set(left)]
        if not free:
            return bool(left)
        for one in free:
            del left[one]


@given(graphs())
def test_a_cycle_is_found_exactly_where_there_is_one(graph: dict[int, tuple[int, ...]]) -> None:
    cycle = find_cycle(graph)
    assert bool(cycle) == has_cycle(graph)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in pairwise(cycle))


@given(task_lists(), st.sets(st.integers(1, 30)))
def test_an_order_can_be_worked_through_and_prefers_what_is_urgent(tasks: list[Task], done: set[int]) -> None:
    finished = done | {one.id for one in tasks if one.status.is_done}
    waiting = {one.id: one for one in tasks if one.status.is_open and one.id not in finished}
    for chosen in order_tasks(tasks, done=frozenset(done)):
        ready = [one for one in waiting.values() if finished.issuperset(one.dependencies)]
        assert chosen == min(ready, key=lambda one: (one.priority, one.id))
        finished.add(chosen.id)
        del waiting[chosen.id]
    assert not any(finished.issuperset(one.dependencies) for one in waiting.values())


@given(task_lists())
def test_the_next_task_waits_for_nothing(tasks: list[Task]) -> None:
    chosen = next_task(tasks)
    if chosen:
        finished = {one.id for one in tasks if one.status.is_done}
        assert finished.issuperset(chosen.dependencies)
    else:
        assert waiting_for(tasks)


def test_ten_thousand_tasks_in_a_chain_are_ordered_at_once() -> None:
    tasks = [task(one, *([one + 1] if one < 10_000 else [])) for one in range(1, 10_001)]
    assert [one.id for one in order_tasks(tasks)] == list(range(10_000, 0, -1))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task(1, 2, source="t.json:3"), task(2, 1)], "t.json:3: tasks wait for each other: 1 → 2 → 1; remove one of these"),
        ([task(1), task(3, 3, source="t.json:9")], "t.json:9: task 3 depends on itself; remove that dependency"),
        ([task(1, 7, source="t.json:3")], "t.json:3: task 1 depends on task 7, which does not exist (known tasks: 1)"),
    ],
)  # fmt: skip
def test_dependencies_that_can_never_hold_are_refused(tasks: list[Task], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        order_tasks(tasks)
    assert str(caught.value).startswith(message)


def test_a_long_cycle_is_named_shortly() -> None:
    tasks = [task(one, one % 100 + 1) for one in range(1, 101)]
    with pytest.raises(ConfigError, match=r"1 → 2 → .* → 18 → … → 1; remove"):
        order_tasks(tasks)


def test_a_dependency_that_is_known_to_be_done_may_be_gone() -> None:
    assert [one.id for one in order_tasks([task(2, 1)], done=frozenset({1}))] == [2]


def test_tasks_asked_for_come_in_an_order_that_works() -> None:
    tasks = [task(1), task(2, 1), task(3, status=DEFERRED), task(4, status=DONE), task(5, 4, 3)]
    assert [one.id for one in select_tasks(tasks, [5, 2, 1, 3])] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0], "there is no task 0: ids start at 1 (known tasks: 1, 2, 3, 4)"),
        ([-2], "there is no task -2: ids start at 1"),
        ([9], "there is no task 9 (known tasks: 1, 2, 3, 4)"),
        ([2, 3], "t:2: task 2 waits for task 1 (deferred), which is not done and not asked for; add it"),
        ([4], "t:4: task 4 is done already; choose another one, or set its status to pending to do it again"),
    ],
)  # fmt: skip
def test_tasks_that_cannot_be_worked_on_are_refused(ids: list[int], message: str) -> None:
    tasks = [task(1, status=DEFERRED), task(2, 1, source="t:2"), task(3), task(4, status=DONE, source="t:4")]
    with pytest.raises(ConfigError) as caught:
        select_tasks(tasks, ids)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([task(1, status=DONE), task(2, status=TaskStatus.COMPLETED)], "all 2 tasks are done"),
        ([task(1, status=DONE), task(2, status=BLOCKED)], "no task is open: 2 (blocked)"),
        ([task(1, status=DEFERRED), task(2, 1)], "task 2 waits for task 1 (deferred)"),
        (
            [task(3, 2), task(1, status=BLOCKED), task(2, 1)],
            "task 2 waits for task 1 (blocked), task 3 waits for task 2 (pending)",
        ),
        ([], "there is no task in the list"),
    ],
)  # fmt: skip
def test_why_no_task_can_start_is_said(tasks: list[Task], words: str) -> None:
    assert waiting_for(tasks) == words
    assert next_task(tasks) is None


@pytest.mark.parametrize(
    ("text", "ids"),
    [("1-5,8", [1, 2, 3, 4, 5, 8]), ("3", [3]), (" 8 , 1 - 2 ", [8, 1, 2]), ("2,1-3,2", [2, 1, 3]), ("999999999", [999999999])],
)
def test_a_list_of_tasks_is_read(text: str, ids: list[int]) -> None:
    assert parse_task_list(text) == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "task list '': '' is no task; write ids and ranges, like 1-5,8"),
        ("1,,2", "'' is no task"),
        ("1-", "'1-' is no task"),
        ("-3", "'-3' is no task"),
        ("a\x1b[31m", "task list 'a': 'a' is no task"),
        ("٣", "'٣' is no task"),
        ("0", "there is no task 0; ids start at 1"),
        ("0-3", "there is no task 0; ids start at 1"),
        ("5-1", "range 5-1 runs backwards; write 1-5"),
        ("1-1001", "names more than 1000 tasks; name fewer, or use --all"),
        ("1-999999999", "names more than 1000 tasks"),
        ("1234567890", "'1234567890' is no task"),
    ],
)
def test_what_is_no_list_of_tasks_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_task_list(text)
    assert message in str(caught.value)


@given(st.lists(st.integers(1, 999_999_999), min_size=1, max_size=20))
def test_a_written_list_is_read_back(ids: list[int]) -> None:
    assert parse_task_list(",".join(map(str, ids))) == list(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("text", "title", "description"),
    [
        ("Add a farewell", "Add a farewell", ""),
        ("  Add a farewell\n", "Add a farewell", ""),
        ("Intro line\n\n# The heading #\n\nBody", "The heading", "Intro line\n\n# The heading #\n\nBody"),
        ("---\ntitle: x\n---\n## Real\nbody", "Real", "---\ntitle: x\n---\n## Real\nbody"),
        ("```\n# a comment\n```\ntext", "text", "```\n# a comment\n```\ntext"),
        ("First\nsecond", "First", "First\nsecond"),
        ("\n\x1b[31m\n\nred \x1b[31malert$(id)\n", "red alert$(id)", "\x1b[31m\n\nred \x1b[31malert$(id)"),
        ("x" * 130, "x" * 119 + "…", "x" * 130),
        ("a\x00b", "a\ufffdb", ""),
        ("#hashtag first", "#hashtag first", ""),
    ],
)
def test_a_text_becomes_a_task(text: str, title: str, description: str) -> None:
    made = task_from_text(text, task_id=7)
    assert (made.id, made.text.title, made.text.description) == (7, title, description)


@pytest.mark.parametrize("text", ["", " \n\t", "\x1b[0m", "---\n---\n"])
def test_a_text_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the task has no text; write a sentence"):
        task_from_text(text, task_id=1)


@given(st.text())
def test_a_title_is_always_one_short_line(text: str) -> None:
    try:
        title = task_from_text(text, task_id=1).text.title
    except ConfigError:
        return
    assert 0 < len(title) <= 120
    assert len(title.splitlines()) == 1


def test_a_text_of_two_megabytes_is_cut_with_a_note() -> None:
    made = task_from_text("# T\n" + "x" * (2 << 20), task_id=1)
    assert made.text.title == "T"
    assert made.text.description.endswith(f"[cut here: {1 << 20} of {(2 << 20) + 4} characters are shown]\n")
