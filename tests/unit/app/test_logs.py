"""What commands say of trouble on standard error."""

import pytest
import structlog

from coderun.app.logs import log_to_stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"kind": "CodeRun", "namespace": "team", "error": "the API server is out of reach"},
            "warning: watch failed: the API server is out of reach (kind CodeRun, namespace team)\n",
        ),
        ({}, "warning: watch failed\n"),
        ({"error": "one\x1b[31m\ntwo"}, "warning: watch failed: one two\n"),
    ],
)
def test_a_warning_is_a_line_for_people(capsys: pytest.CaptureFixture[str], words: dict[str, str], said: str) -> None:
    before = structlog.get_config()
    try:
        log_to_stderr()
        structlog.get_logger().info("nothing to tell")
        structlog.get_logger().warning("watch failed", **words)
    finally:
        structlog.configure(**before)
    assert capsys.readouterr().err == said
