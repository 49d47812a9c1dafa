"""tasks.json in every shape that is written, and in many that should not be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.errors import ConfigError
from coderun.model.task import Task, TaskStatus
from coderun.model.taskmaster import parse_current_tag, parse_tasks

ONE = {"id": 1, "title": "First"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "title", "tasks", "master", "dependencies", "status", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


def parse(data: Any, *, tag: str = "", current: str = "") -> list[Task]:
    text = data if isinstance(data, str) else json.dumps(data, indent=1)
    return parse_tasks(text, name="tasks.json", tag=tag, current_tag=current)


def refusal(data: Any, *, tag: str = "", current: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, tag=tag, current=current)
    return str(caught.value)


@pytest.mark.parametrize(
    "data", [[ONE], {"tasks": [ONE]}, {"master": {"tasks": [ONE]}}, {"only": {"tasks": [ONE], "metadata": {}}, "x": 1}]
)
def test_every_shape_is_read(data: Any) -> None:
    assert [(one.id, one.text.title) for one in parse(data)] == [(1, "First")]


@pytest.mark.parametrize(
    ("tag", "current", "title"), [("", "", "M"), ("b", "", "B"), ("", "b", "B"), ("master", "b", "M")]
)  # fmt: skip
def test_the_tag_asked_for_goes_before_the_current_one_and_that_before_master(tag: str, current: str, title: str) -> None:
    data = {"b": {"tasks": [{"id": 1, "title": "B"}]}, "master": {"tasks": [{"id": 1, "title": "M"}]}}
    assert parse(data, tag=tag, current=current)[0].text.title == title


@pytest.mark.parametrize(
    ("data", "tag", "current", "message"),
    [
        ({"a": {"tasks": []}, "b": {"tasks": []}}, "", "", "tasks.json: holds the tags a, b and none is chosen"),
        ({"next": {"tasks": []}}, "nxt", "", "there is no tag 'nxt' (asked for); did you mean 'next'? (tags: next)"),
        ({"master": {"tasks": []}}, "", "old", "there is no tag 'old' (the current tag of Task Master's state.json)"),
        ([ONE], "b", "", "tasks.json:1: has no tags, so there is no tag 'b'; leave the tag out"),
    ],
)  # fmt: skip
def test_a_tag_that_is_not_there_is_named(data: Any, tag: str, current: str, message: str) -> None:
    assert message in refusal(data, tag=tag, current=current)


def test_all_fields_of_a_task_are_read() -> None:
    item = {
        "id": "7", "title": " Seven ", "description": "why", "details": "how", "testStrategy": "proof", "status": "In_Progress",
        "priority": "HIGH", "dependencies": [1, "2", "3.1", 1], "owner": "ignored",
        "subtasks": [{"id": 1, "title": "Part\x1b[0m", "status": "done", "details": "deep"}, {"title": "Two"}],
    }  # fmt: skip
    (one,) = parse([item])
    assert (one.id, one.status, one.priority, one.dependencies) == (7, TaskStatus.IN_PROGRESS, 0, (1, 2, 3))
    assert (one.text.title, one.text.description, one.text.test_strategy) == ("Seven", "why", "proof")
    assert one.text.details == "how\n\n## Subtasks\n\n### 1. Part (done)\n\ndeep\n\n### 2. Two (pending)"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("done", "done"),
        ("canceled", "cancelled"),
        ("COMPLETED", "completed"),
        ("in progress", "in-progress"),
        ("what", "pending"),
        (None, "pending"),
    ],
)
def test_statuses_are_read_as_people_spell_them(word: Any, status: str) -> None:
    assert parse([{**ONE, "status": word}])[0].status == status


def test_each_task_knows_its_line() -> None:
    head = '{"x": "[{",\n "master": {"metadata": {"tasks": 1},\n  "tasks": [\n'
    text = head + '   {"id": 1,\n "title": "a"},\n\n {"id": 2, "title": "b"}]}}'
    assert [one.source for one in parse(text)] == ["tasks.json:4", "tasks.json:7"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "tasks.json:1:1: not valid JSON: Expecting value; correct it there"),
        ('{"tasks": [\n {"id": 1,}\n]}', "tasks.json:2:1"),
        ('[\n<<<<<<< HEAD\n{"id": 1}\n', "tasks.json:2:1: not valid JSON: an unresolved merge conflict; resolve it first"),
        ("[" * 100_000, "tasks.json: nested too deeply to be a list of tasks"),
        ("[" + "9" * 5000 + "]", "tasks.json: not valid JSON: "),
        (" " * (16 << 20) + "[]", "tasks.json: 16777218 characters are more than the 16777216 this file may have; split it"),
        ('"text"', "tasks.json:1: expected tasks, found text; write"),
        ({"a": 1, "b": []}, "tasks.json:1: expected tasks, found an object with the keys a, b; write"),
        ([ONE, 3], "tasks.json:6: expected a task, found a number; write an object with id and title"),
        ([{"title": "x"}], "tasks.json:2: the task has no id; write a whole number from 1"),
        ([{**ONE, "id": 0}], "tasks.json:2: a task's id is a whole number from 1, found 0"),
        ([{**ONE, "id": -4}], "a task's id is a whole number from 1, found -4"),
        ([{**ONE, "id": True}], "a task's id is a whole number from 1, found true"),
        ([{**ONE, "id": 1.5}], "a task's id is a whole number from 1, found 1.5"),
        ([{**ONE, "id": "1; rm -rf"}], "a task's id is a whole number from 1, found '1; rm -rf'"),
        ([{**ONE, "id": 10**9}], "a task's id is a whole number from 1, found 1000000000"),
        ([ONE, {**ONE, "id": "1"}], "tasks.json:6: task 1 is there twice (first at tasks.json:2); give each task its own id"),
        ([{"id": 3}], "tasks.json:2: task 3: has no title"),
        ([{"id": 3, "title": "\x1b[0m \n"}], "tasks.json:2: task 3: has no title"),
        ([{**ONE, "title": ["x"]}], "tasks.json:2: task 1: title must be text, found a list"),
        ([{**ONE, "details": {}}], "task 1: details must be text, found an object"),
        ([{**ONE, "status": 1}], "task 1: status must be a word, found a number"),
        ([{**ONE, "priority": 1}], "task 1: priority must be one of critical, high, medium, low, found a number"),
        ([{**ONE, "dependencies": 2}], "task 1: dependencies must be a list of task ids, found a number"),
        ([{**ONE, "dependencies": ["x"]}], "task 1: a dependency is the id of a task, found 'x'"),
        ([{**ONE, "dependencies": [0]}], "task 1: a dependency is the id of a task, found 0"),
        ([{**ONE, "dependencies": [2, 1]}], "tasks.json:2: task 1: depends on itself; remove that dependency"),
        ([{**ONE, "subtasks": {}}], "task 1: subtasks must be a list, found an object"),
        ([{**ONE, "subtasks": [1]}], "task 1: subtask 1 must be an object, found a number"),
        ([{**ONE, "subtasks": [{"title": 1}]}], "task 1, subtask 1: title must be text, found a number"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_tasks_is_refused_with_its_line(data: Any, message: str) -> None:
    assert message in refusal(data)


def test_a_hostile_title_becomes_one_line_and_is_kept_whole_in_the_description() -> None:
    title = 'Fix "it" $(touch x)\n`id`\x1b[2J' + "y" * 200
    (one,) = parse([{"id": 1, "title": title, "description": "more"}])
    assert one.text.title.startswith('Fix "it" $(touch x) `id`yyy')
    assert len(one.text.title) == 120
    assert one.text.description == f"{title}\n\nmore"


def test_texts_of_a_megabyte_are_taken_and_longer_ones_cut() -> None:
    (one,) = parse([{**ONE, "details": "x" * (1 << 20), "description": "y" * ((1 << 20) + 1)}])
    assert len(one.text.details) == 1 << 20
    assert one.text.description.endswith("characters are shown]\n")


def test_what_json_can_say_and_no_file_can_hold_is_replaced() -> None:
    (one,) = parse('[{"id": 1, "title": "a\\ud800b", "details": "c\\u0000d"}]')
    assert (one.text.title, one.text.details) == ("a\ufffdb", "c\ufffdd")


@given(JSON)
def test_any_json_is_either_read_or_refused_with_its_name(data: Any) -> None:
    refused = ""
    try:
        parse(data)
    except ConfigError as error:
        refused = str(error)
    assert refused == "" or refused.startswith("tasks.json:")


@pytest.mark.parametrize(
    ("text", "tag"),
    [('{"currentTag": "b"}', "b"), ("{}", ""), ('{"currentTag": 3}', ""), ("[]", ""), ("nonsense", ""), ("[" * 100_000, "")],
)
def test_the_current_tag_is_read_where_there_is_one(text: str, tag: str) -> None:
    assert parse_current_tag(text) == tag
