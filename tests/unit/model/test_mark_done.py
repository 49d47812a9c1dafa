"""Marking tasks as done changes their status and not one character more."""

import json

import pytest

from coderun.model.errors import ConfigError
from coderun.model.taskmaster import mark_done

LIST = """\
{
  "master": {
    "tasks": [
      {"id": 1, "title": "a \\"status\\": \\"pending\\"", "status": "pending",   "priority": "high"},
      {"id": "2", "title": "b",
       "status" : "in-progress", "subtasks": [{"id": 1, "title": "s", "status": "pending"}]},
      {"id": 3, "title": "c"}
    ]
  },
  "other": {"tasks": [{"id": 1, "title": "x", "status": "pending"}]}
}
"""


def test_only_the_status_of_the_named_tasks_changes() -> None:
    marked = mark_done(LIST, frozenset({1, 2}), name="t")
    expected = LIST.replace('"status": "pending",   "priority"', '"status": "done",   "priority"')
    assert marked == expected.replace('"status" : "in-progress"', '"status" : "done"')


def test_a_status_that_is_not_written_is_left_alone_and_so_are_unknown_tasks() -> None:
    assert mark_done(LIST, frozenset({3, 99}), name="t") == LIST


def test_marking_twice_changes_nothing_more() -> None:
    once = mark_done(LIST, frozenset({1}), name="t")
    assert mark_done(once, frozenset({1}), name="t") == once


def test_only_the_chosen_tag_is_touched() -> None:
    marked = json.loads(mark_done(LIST, frozenset({1}), name="t", tag="other"))
    assert marked["other"]["tasks"][0]["status"] == "done"
    assert marked["master"]["tasks"][0]["status"] == "pending"


@pytest.mark.parametrize(
    "text", ['[{"id": 1, "title": "a", "status": "pending"}]', '\ufeff[{"id":1,"title":"a","status":"pending"}]']
)
def test_bare_lists_work_with_and_without_a_byte_order_mark(text: str) -> None:
    assert mark_done(text, frozenset({1}), name="t") == text.replace('"pending"', '"done"')


def test_a_broken_list_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"t:1:2: not valid JSON"):
        mark_done("{x", frozenset({1}), name="t")
