"""The examples of docs/handlebars.md do what the page says."""

import doctest
import re
from pathlib import Path

import pytest
from tests.differential.differences import DIFFERENCES

from coderun.handlebars import HELPERS, Limits, Template

PAGE = Path(__file__).parents[2] / "docs" / "handlebars.md"


def test_the_examples_give_what_the_page_shows() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 10
    assert found.failed == 0


@pytest.mark.parametrize("name", sorted(HELPERS))
def test_every_helper_is_described(name: str) -> None:
    assert re.search(rf"[`({{ ]{name}[ `]", PAGE.read_text(encoding="utf-8"))


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    assert (limits.source_bytes, limits.tags, limits.nesting, limits.partial_depth) == (1 << 20, 20_000, 200, 100)
    assert (limits.output_chars, limits.steps, limits.deadline_seconds) == (16 << 20, 2_000_000, None)


def test_every_kept_difference_has_a_row() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Where this differs from handlebars.js")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= len(DIFFERENCES)


def test_the_rows_about_handlebars_rust_hold() -> None:
    context = {"a": 1, "e": {}, "l": [1, 2], "f": 1.0}
    assert Template("{{#if e}}y{{/if}}{{#with e}}y{{/with}}{{l.length}}{{f}}{{l}}").render(context) == "yy211,2"
