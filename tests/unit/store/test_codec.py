"""Objects as rows, and back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.coderun import CodeRun, CodeRunStatus, Usage
from coderun.model.errors import RefusedError, StoreCorruptError
from coderun.model.play import Play, PlaySpec, PlayStatus
from coderun.store.codec import Row, decode_object, encode_part, encode_words, to_moment, to_number

GOOD = Row(
    id=1,
    name="a",
    uid="u",
    revision=7,
    generation=2,
    created=1_000_000,
    api_version="v",
    labels=b'{"x":"1"}',
    annotations=b"{}",
    status=b"{}",
    spec=b'{"taskId":1,"repositoryUrl":"/r"}',
)


def test_a_row_becomes_the_object_it_was() -> None:
    found = decode_object(Play, GOOD, "default")
    assert found.spec == PlaySpec(task_id=1, repository_url="/r")
    assert found.api_version == "v"
    assert found.metadata.resource_version == "7"
    assert found.metadata.creation_timestamp == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert found.metadata.labels == {"x": "1"}


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        ({"spec": b"{"}, "spec"),
        ({"spec": b"{}"}, "spec"),
        ({"spec": None}, "spec"),
        ({"status": b'{"phase":"Dancing"}'}, "status"),
        ({"status": b"\xff"}, "status"),
        ({"labels": b"[]"}, "metadata"),
        ({"annotations": 5}, "metadata"),
        ({"created": "yesterday"}, "metadata"),
        ({"created": 10**30}, "metadata"),
    ],
)
def test_a_row_that_does_not_decode_names_its_object_and_what_to_do(damage: dict[str, Any], part: str) -> None:
    with pytest.raises(
        StoreCorruptError, match=f"cannot read Play 'a': its stored {part} .* upgrade coderun .* delete the object"
    ):
        decode_object(Play, GOOD._replace(**damage), "default")


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_moments_come_back_to_the_microsecond(moment: datetime) -> None:
    assert to_moment(to_number(moment)) == moment


@given(st.text())
def test_any_text_comes_back_or_is_refused(text: str) -> None:
    value = PlayStatus(message=text)
    try:
        _, read = encode_part(Play, "a", "status", value)
    except RefusedError as refused:
        assert "its status cannot be written as JSON" in str(refused)  # noqa: PT017 - either outcome is right
    else:
        assert read == value


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_a_word_in_json_are_refused(cost: float) -> None:
    with pytest.raises(RefusedError, match="cannot store CodeRun 'a': its status cannot be written as JSON and read again"):
        encode_part(CodeRun, "a", "status", CodeRunStatus(usage=Usage(cost_usd=cost)))


@pytest.mark.parametrize("words", [{"a": 1}, {"a": "\ud800"}, {"a": None}])
def test_labels_that_are_not_words_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="its labels cannot be written"):
        encode_words(Play, "a", "labels", words)
