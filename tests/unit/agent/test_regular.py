import os
from pathlib import Path

import pytest

from coderun.agent.regular import NotRegularError, read_regular


def test_a_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("123456")

    assert read_regular(tmp_path / "file", 4) == b"1234"


def test_anything_else_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "fifo")
    for name, words in (
        ("link", "link is a symbolic link"),
        ("fifo", "fifo is not a regular file"),
        ("", "is not a regular file"),
    ):
        with pytest.raises(NotRegularError, match=words):
            read_regular(tmp_path / name, 10)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)
