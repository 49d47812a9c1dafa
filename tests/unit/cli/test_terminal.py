"""What all commands share: forms of output, times, exit codes."""

import contextlib
import io
import json
from datetime import UTC, datetime

import msgspec
import pytest

from coderun.cli.terminal import Exit, Output, duration, exit_code, plain, print_table, to_text
from coderun.model import errors
from coderun.model.yaml import load

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Inner(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    head_sha: str = ""
    since: datetime | None = None


class Outer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    many_parts: tuple[Inner, ...] = ()
    words: dict[str, str] = {}


@pytest.mark.parametrize("output", [Output.JSON, Output.YAML])
def test_programs_get_every_field_in_camel_case_and_other_peoples_keys_as_they_are(output: Output) -> None:
    data = Outer(many_parts=(Inner(since=NOW), Inner(head_sha="x")), words={"my_key": "\x1b[31m\u202e\n"})
    text = to_text(data, output)
    read = json.loads(text) if output is Output.JSON else load(text, name="out").data
    assert read == {
        "manyParts": [{"headSha": "", "since": "2026-03-04T12:00:00Z"}, {"headSha": "x", "since": None}],
        "words": {"my_key": "\x1b[31m\u202e\n"},
    }
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\u202e" not in text


def test_structs_in_lists_in_dicts_become_plain_data() -> None:
    assert plain({1: [Inner()]}) == {"1": [{"headSha": "", "since": None}]}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.4, "59 s"), (60, "1.0 min"), (3599, "60.0 min"), (7200, "2.0 h"), (86400 * 1.5, "1.5 d")],
)
def test_lengths_of_time_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), Exit.USAGE),
        (errors.NotFoundError("x"), Exit.NOT_FOUND),
        (errors.StoreUnavailableError("x"), Exit.UNAVAILABLE),
        (errors.ForgeUnavailableError("x"), Exit.UNAVAILABLE),
        (errors.RefusedError("x"), Exit.REFUSED),
        (errors.StoreCorruptError("x"), Exit.FAILED),
        (errors.CoderunError("x"), Exit.FAILED),
    ],
)
def test_the_kind_of_an_error_is_its_exit_code(error: Exception, code: Exit) -> None:
    assert exit_code(error) is code


def test_a_table_that_no_terminal_shows_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"a": "x", "b": "y" * 500}, {"a": "long", "b": "\x1b[31mz\n"}], ["a", "b"], "nothing")
    assert capsys.readouterr().out == f"A     B\nx     {'y' * 500}\nlong  z\n"
    print_table([], ["a"], "nothing yet")
    assert capsys.readouterr().out == "nothing yet\n"


def test_a_very_long_name_shifts_its_own_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "n" * 250, "phase": "Failed"}, {"name": "short", "phase": "Running"}], ["name", "phase"], "nothing")
    assert capsys.readouterr().out == f"NAME   PHASE\n{'n' * 250}  Failed\nshort  Running\n"


def test_a_table_may_hold_nothing_but_long_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "n" * 64, "waits for": "w" * 300}], ["name", "waits for"], "nothing")
    assert capsys.readouterr().out.splitlines() == ["NAME  WAITS FOR", f"{'n' * 64}  {'w' * 300}"]


def test_a_terminal_shows_what_comes_after_a_very_long_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    screen = Screen()
    with contextlib.redirect_stdout(screen):
        print_table(
            [{"name": "n" * 250, "phase": "Failed"}, {"name": "short", "phase": "Running"}], ["name", "phase"], "nothing"
        )
    assert screen.getvalue() == f"{'NAME':63}  PHASE\n{'n' * 62}…  Failed\n{'short':63}  Running\n"
