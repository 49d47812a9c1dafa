"""The output of a pod for people."""

import pytest

from coderun.runtime.transcript import spoken


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"at":"2026-01-01T00:00:00Z","event":"output","line":"hello"}', b"hello"),
        (b'{"at":"2026-01-01T00:00:00Z","event":"pushed","branch":"b","head":"1"}', b"coderun: pushed branch=b head=1"),
        (b'{"at":"2026-01-01T00:00:00Z","event":"run ended"}', b"coderun: run ended"),
        (b'{"at":"2026-01-01T00:00:00Z","event":"output","line":"a\\u001b[2Jb\\tc"}', b"a\\x1b[2Jb\tc"),
        (b'{"at":cut', b'{"at":cut'),
        (b"bash: line 1", b"bash: line 1"),
        (b"", b""),
    ],
)
def test_lines_of_the_runner_read_as_in_its_output_and_others_stay(line: bytes, text: bytes) -> None:
    assert spoken(line) == text
