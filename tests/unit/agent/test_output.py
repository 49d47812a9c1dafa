from datetime import UTC, datetime
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from coderun.agent.output import LINE_CUT, Journal, LineSplitter, OutputFile, visible

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(st.text())
def test_what_is_made_visible_is_one_line_that_a_terminal_only_prints(text: str) -> None:
    assert visible(text).replace("\t", "").isprintable()
    assert text.isprintable() <= (visible(text) == text)


def test_escapes_and_changes_of_direction_are_made_visible() -> None:
    assert visible("\x1b[2Ja\u202eb\x9b\n\tc é") == r"\x1b[2Ja\u202eb\x9b\n" + "\tc é"


@given(st.lists(st.binary(max_size=20)))
def test_lines_are_the_same_however_the_stream_is_cut(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for part in parts for line in splitter.feed(part)] + splitter.flush()
    whole = b"".join(parts)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert lines == [line.removesuffix(b"\r") for line in expected]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 8))
def test_no_line_is_longer_than_its_limit_and_the_mark(parts: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    for line in [line for part in parts for line in splitter.feed(part)] + splitter.flush():
        assert len(line) <= limit + len(LINE_CUT)
        assert len(line) <= limit or line.endswith(LINE_CUT)


def test_an_output_file_is_cut_once_with_a_word(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "log", limit=1024 * 1024)
    for _ in range(30):
        output.line(b"x" * 99_999)
    text = (tmp_path / "log").read_bytes()
    assert text.endswith(b"x\n[coderun: the output was cut here, there was more than 1 MiB]\n")
    assert len(text) < 1024 * 1024 + 100
    assert text.count(b"[coderun:") == 1


def test_a_full_disk_or_a_folder_that_is_gone_costs_only_output(tmp_path: Path) -> None:
    OutputFile(tmp_path / "gone" / "log").line(b"lost")
    if Path("/dev/full").exists():
        OutputFile(Path("/dev/full")).line(b"lost")


def test_a_journal_is_for_people_and_for_programs_and_holds_no_secret(tmp_path: Path) -> None:
    journal = Journal(
        output=OutputFile(tmp_path / "out"), log=OutputFile(tmp_path / "log"), clock=lambda: NOW, secrets=("s3cret",)
    )
    journal.event("pushed", branch="feature/s3cret", commits=2)
    journal.line("the token is s3cret\nand more \x1b[31m")
    assert (tmp_path / "out").read_text("utf-8").splitlines() == [
        "coderun: pushed branch=feature/[secret] commits=2",
        r"the token is [secret]\nand more \x1b[31m",
    ]
    events = [msgspec.json.decode(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert events == [
        {"at": "2030-01-02T03:04:05Z", "event": "pushed", "branch": "feature/[secret]", "commits": 2},
        {"at": "2030-01-02T03:04:05Z", "event": "output", "line": "the token is [secret]\nand more \x1b[31m"},
    ]
