from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.pipeline.samples import NOW

from coderun.pipeline.clock import deadline


def test_a_pause_ends_so_many_seconds_after_its_beginning() -> None:
    assert deadline(NOW, 10, NOW + timedelta(seconds=4)) == NOW + timedelta(seconds=10)


def test_a_pause_is_over_at_its_end() -> None:
    assert deadline(NOW, 10, NOW + timedelta(seconds=10)) is None


def test_a_pause_without_a_known_beginning_is_over() -> None:
    assert deadline(None, 10, NOW) is None


def test_another_machines_clock_may_be_ahead_by_as_much_as_the_pause_is_long() -> None:
    assert deadline(NOW + timedelta(seconds=3), 10, NOW) == NOW + timedelta(seconds=13)


def test_a_clock_that_was_set_back_does_not_make_a_pause_of_seconds_one_of_years() -> None:
    assert deadline(NOW, 10, NOW - timedelta(days=400)) is None


@given(since=st.floats(-1e6, 1e6), seconds=st.floats(0, 1e4))
def test_no_pause_lasts_longer_than_twice_its_length_from_now(since: float, seconds: float) -> None:
    until = deadline(NOW + timedelta(seconds=since), seconds, NOW)
    assert until is None or NOW < until <= NOW + timedelta(seconds=2 * seconds)
