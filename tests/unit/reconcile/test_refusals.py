"""What the forge refused is written once: the same refusal gives the same status, since when it was first met."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from coderun.model.play import PlayStatus
from coderun.reconcile.play import _refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_refusal_in_the_next_pass_changes_nothing() -> None:
    first = _refused(PlayStatus(), "service is missing", NOW, None)
    later = _refused(PlayStatus(), "service is missing", NOW + timedelta(seconds=60), first.waiting)
    assert later == first


def test_another_refusal_counts_from_when_it_was_met() -> None:
    first = _refused(PlayStatus(), "service is missing", NOW, None)
    other = _refused(PlayStatus(), "the App is suspended", NOW + timedelta(seconds=60), first.waiting)
    assert first.waiting is not None
    assert other.waiting == replace(first.waiting, message="the App is suspended", since=NOW + timedelta(seconds=60))
