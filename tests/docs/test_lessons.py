"""docs/lessons.md and the tests that prove it: neither may say what the other does not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
WHERE = {"now", "local", "templates", "GitHub", "Kubernetes", "Argo"}


class Row(NamedTuple):
    number: int
    problem: str
    ours: str
    where: str
    tests: frozenset[str]


def rows() -> list[Row]:
    lines = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if re.match(r"\| \d", line)]
    return [
        Row(int(n), problem, ours, where, frozenset(re.findall(r"`([^`]+)`", tests)))
        for n, problem, ours, where, tests in cells
    ]


def numbers(node: ast.AST) -> Iterator[int]:
    """Numbers of the `pytest.mark.lesson(…)` calls below a node."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "lesson":
            yield from (ast.literal_eval(argument) for argument in call.args)


def marked() -> dict[int, set[str]]:
    """Test files, those of contracts among them, by the lessons they carry."""
    found: dict[int, set[str]] = {}
    for path in sorted({*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests" / "contracts").glob("*_contract.py")}):
        text = path.read_text(encoding="utf-8")
        for number in numbers(ast.parse(text)) if "mark.lesson(" in text else ():
            found.setdefault(number, set()).add(path.relative_to(ROOT / "tests").as_posix())
    return found


def test_the_lessons_are_numbered_without_a_gap() -> None:
    assert [row.number for row in rows()] == list(range(1, 49))


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.number))
def test_a_lesson_says_what_goes_wrong_what_ours_does_and_where(row: Row) -> None:
    assert row.problem.endswith(".")
    assert row.ours.endswith(".")
    assert row.where in WHERE


def test_every_lesson_whose_part_is_built_has_a_test() -> None:
    tested = marked()
    assert [row.number for row in rows() if row.where == "now" and row.number not in tested] == []


def test_the_table_names_the_files_that_carry_each_lesson() -> None:
    tested = marked()
    wrong = {row.number: sorted(row.tests ^ tested.get(row.number, set())) for row in rows()}
    assert {number: files for number, files in wrong.items() if files} == {}


def test_no_test_carries_a_lesson_that_does_not_exist() -> None:
    assert set(marked()) <= {row.number for row in rows()}
