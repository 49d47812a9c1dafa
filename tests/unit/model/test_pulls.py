import pytest

from coderun.model.pulls import Check, Checks, CheckState

PASSED, FAILED, PENDING = CheckState.PASSED, CheckState.FAILED, CheckState.PENDING


def checks(*states: tuple[str, CheckState, bool], expected: tuple[str, ...] | None = None) -> Checks:
    items = tuple(Check(name=name, state=state, required=required) for name, state, required in states)
    return Checks(items=items, expected=expected)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (checks(), None),
        (checks(expected=()), PASSED),
        (checks(expected=("a",)), PENDING),
        (checks(("a", PASSED, True)), PASSED),
        (checks(("a", PASSED, True), expected=("a", "b")), PENDING),
        (checks(("a", FAILED, True), expected=("a", "b")), FAILED),
        (checks(("a", PASSED, True), ("b", PENDING, True)), PENDING),
        (checks(("a", FAILED, True), ("b", PENDING, True)), FAILED),
        (checks(("a", PASSED, True), ("b", FAILED, False)), PASSED),
        (checks(("a", PASSED, True), ("b", PENDING, False)), PASSED),
        (checks(("a", PASSED, False), ("b", FAILED, False)), FAILED),
        (checks(("a", PASSED, False), ("b", PENDING, False)), PENDING),
    ],
)
def test_required_checks_decide_or_all_where_none_is_required(seen: Checks, state: CheckState | None) -> None:
    assert seen.state is state


def test_the_checks_that_count_are_the_required_ones_or_all() -> None:
    assert [c.name for c in checks(("a", PASSED, True), ("b", FAILED, False)).counted] == ["a"]
    assert [c.name for c in checks(("a", PASSED, False), ("b", FAILED, False)).counted] == ["a", "b"]
