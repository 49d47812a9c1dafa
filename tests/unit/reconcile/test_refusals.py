"""What the forge refused is written once: the same refusal gives the same status, since when it was first met."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from coderun.model.play import PlayStatus
from coderun.reconcile.play import _held_up, _queued, _refused

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


def test_a_pull_request_on_the_queue_waits_there_since_it_was_put_on_it() -> None:
    first = _queued(PlayStatus(), 7, NOW, None)
    assert first.waiting is not None
    assert (first.waiting.reason, first.waiting.message) == ("MergeQueued", "#7 is on the merge queue")
    assert _queued(PlayStatus(), 7, NOW + timedelta(seconds=60), first.waiting) == first


def test_a_forge_that_does_not_answer_for_long_is_waited_for_since_it_first_said_so() -> None:
    first = _held_up(PlayStatus(), "limit spent for 60 s", NOW)
    later = _held_up(first, "limit spent for 30 s", NOW + timedelta(seconds=30))
    assert first.waiting is not None
    assert later.waiting == replace(first.waiting, message="limit spent for 30 s")
