"""Announced and unannounced moves, from refs alone."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.forge.local.moves import Announcement, Move, trace

REF = "refs/heads/x"


def said(number: int, old: str, new: str, ref: str = REF, login: str = "rex[bot]") -> Announcement:
    return Announcement(id=number, ref=ref, old=old, new=new, login=login, at=number)


def steps(moves: list[Move]) -> list[tuple[str, str, int]]:
    return [(move.old, move.new, move.announced.id if move.announced else 0) for move in moves]


@pytest.mark.parametrize(
    ("known", "current", "announced", "expected"),
    [
        pytest.param("A", "A", [], [], id="nothing"),
        pytest.param("A", "B", [said(1, "A", "B")], [("A", "B", 1)], id="a push"),
        pytest.param("A", "A", [said(1, "A", "B")], [], id="a push that did not happen, or not yet"),
        pytest.param("", "B", [said(1, "", "B")], [("", "B", 1)], id="a new branch"),
        pytest.param("A", "", [said(1, "A", "")], [("A", "", 1)], id="a deleted branch"),
        pytest.param("A", "B", [], [("A", "B", 0)], id="update-ref"),
        pytest.param("A", "C", [said(1, "A", "B"), said(2, "B", "C")], [("A", "B", 1), ("B", "C", 2)], id="two pushes"),
        pytest.param("A", "C", [said(1, "A", "B"), said(2, "A", "C")], [("A", "C", 2)], id="the first did not happen"),
        pytest.param(
            "A", "B", [said(1, "A", "B"), said(2, "A", "B")], [("A", "B", 2)], id="repeated, the first did not happen"
        ),
        pytest.param("A", "B", [said(1, "A", "B"), said(2, "B", "C")], [("A", "B", 1)], id="the second is still on its way"),
        pytest.param("A", "C", [said(1, "X", "C")], [("A", "X", 0), ("X", "C", 1)], id="a push on top of an update-ref"),
        pytest.param("A", "X", [said(1, "A", "B")], [("A", "X", 0)], id="an update-ref beside a push that did not happen"),
        pytest.param("A", "A", [said(1, "A", "B"), said(2, "B", "A")], [("A", "B", 1), ("B", "A", 2)], id="there and back"),
        pytest.param("A", "A", [said(1, "X", "A")], [], id="back from where it never was"),
    ],
)
def test_moves_lead_from_known_to_current(
    known: str, current: str, announced: list[Announcement], expected: list[tuple[str, str, int]]
) -> None:
    moves = trace({REF: known} if known else {}, {REF: current} if current else {}, announced)
    assert steps(moves) == expected


def test_moves_of_several_refs_come_in_the_order_they_were_announced() -> None:
    announced = [said(1, "", "A", "refs/heads/b"), said(2, "", "A", "refs/heads/a"), said(3, "X", "Y", "refs/heads/c")]
    current = {"refs/heads/a": "A", "refs/heads/b": "A", "refs/heads/c": "Y", "refs/heads/d": "Z"}
    moves = trace({}, current, announced)
    assert [move.ref[-1] for move in moves] == ["b", "a", "c", "c", "d"]
    assert [move.announced is None for move in moves] == [False, False, True, False, True]


@given(
    path=st.lists(st.sampled_from("ABCD"), min_size=1, max_size=8),
    honest=st.lists(st.booleans(), min_size=8, max_size=8),
    failed=st.lists(st.tuples(st.integers(0, 7), st.sampled_from("XYZ")), max_size=4),
)
def test_moves_always_connect_known_to_current_and_believe_no_failed_push(
    path: list[str], honest: list[bool], failed: list[tuple[int, str]]
) -> None:
    steps_made = [(old, new) for old, new in itertools.pairwise(path) if old != new]
    announced: list[Announcement] = []
    for index, (old, new) in enumerate(steps_made):
        announced += [said(len(announced) + 1, old, lost) for at, lost in failed if at == index]
        if honest[index]:
            announced.append(said(len(announced) + 1, old, new))
    moves = trace({REF: path[0]}, {REF: path[-1]}, announced)
    where = path[0]
    for move in moves:
        assert move.old == where
        where = move.new
    assert where == path[-1]
    assert not {"X", "Y", "Z"} & {move.new for move in moves}
