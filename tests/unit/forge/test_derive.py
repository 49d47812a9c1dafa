"""Marker files of other systems: untrusted JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.markers import task_in_marker


@pytest.mark.parametrize(
    ("content", "task"),
    [
        (b'{"task_id": 7}', 7),
        (b'{"taskId": "7"}', 7),
        (b'{"taskId": " 12 ", "other": [1]}', 12),
        (b'{"task_id": 3, "taskId": 4}', 3),
        (b'{"task_id": 0}', None),
        (b'{"task_id": -1}', None),
        (b'{"task_id": true}', None),
        (b'{"task_id": 7.5}', None),
        (b'{"task_id": 1e400}', None),
        (b'{"task_id": null}', None),
        (b'{"task_id": "7; rm"}', None),
        (b'{"task_id": 99999999999999999999999}', None),
        (b"[7]", None),
        (b"7", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b'{"task_id": ' + b"[" * 50_000, None),
    ],
)
def test_a_marker_names_a_task_or_nothing(content: bytes, task: int | None) -> None:
    assert task_in_marker(content) == task


@given(st.binary(max_size=200))
def test_no_content_breaks_the_reader(content: bytes) -> None:
    assert task_in_marker(content) is None or task_in_marker(content) > 0  # type: ignore[operator]  # None is ruled out before
