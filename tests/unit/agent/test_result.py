import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.agent.result import (
    RESULT_LIMIT,
    AgentResult,
    clean_text,
    decode_result,
    escape_controls,
    fenced,
    hide_secrets,
    one_line,
    read_result,
    result_of_text,
)
from coderun.model.coderun import Verdict


def test_a_result_is_read_with_its_verdict_summary_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"verdict": "approve", "summary": " fine\\u001b[0m ", "comments": ["a"], "more": 1}')

    assert read_result(path).result == AgentResult(verdict=Verdict.APPROVE, summary="fine[0m", comments=("a",))


def test_no_result_file_is_no_result_and_no_problem(tmp_path: Path) -> None:
    reading = read_result(tmp_path / "none")

    assert (reading.result, reading.problem) == (None, "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Input data was truncated"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"comments": "one"}', "Expected `array`, got `str`"),
        (b'{"comments": [1]}', "Expected `str`, got `int`"),
        (b"\xff\xfe", "the result is not as agreed"),
        (b'{"summary": "\xff"}', "the result is not as agreed"),
    ],
)
def test_a_result_of_other_shape_is_a_problem_in_words(data: bytes, words: str) -> None:
    reading = decode_result(data)

    assert reading.result is None
    assert words in reading.problem


def test_many_and_long_comments_are_cut() -> None:
    found = decode_result(json.dumps({"comments": ["x" * 100_000] * 100})).result

    assert found is not None
    assert len(found.comments) == 50
    assert max(len(comment.encode()) for comment in found.comments) <= 8192


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('done\n```json\n{"verdict": "approve"}\n```', Verdict.APPROVE),
        (
            '```json\n{"verdict": "approve"}\n```\nno, rather\n```JSON\n{"verdict": "request-changes"}\n```\n',
            Verdict.REQUEST_CHANGES,
        ),
        ('```json\n{"verdict": "approve"}\n```\nas in\n```json\n{"x": 1}\n```', Verdict.APPROVE),
        ('~~~\n{"verdict": "done"}\n~~~', Verdict.DONE),
        ('{"verdict": "blocked"}', Verdict.BLOCKED),
        ('  ```json\n  {"verdict": "done"}\n  ```', Verdict.DONE),
        ('I would say {"verdict": "approve"}', None),
        ('```json\n{"verdict": "perfect"}\n```', None),
        ('```json\n{"verdict": "approve"', None),
        ("", None),
        ("{" * 1000, None),
    ],
)
def test_a_verdict_is_found_in_the_last_fenced_block_that_has_one(text: str, verdict: Verdict | None) -> None:
    found = result_of_text(text)

    assert (found.verdict if found else None) is verdict


def test_looking_for_a_verdict_in_much_text_takes_no_time() -> None:
    assert result_of_text("```json\n" * 50_000) is None
    assert result_of_text("{" + '"a":{' * 100_000) is None


@given(st.text(), st.integers(min_value=16, max_value=300))
def test_clean_text_fits_its_limit_and_holds_no_control_character(text: str, limit: int) -> None:
    cleaned = clean_text(text, limit)

    assert len(cleaned.encode("utf-8")) <= limit
    assert all(char in "\n\t" or char.isprintable() or char.isspace() or ord(char) > 0x7F for char in cleaned)
    assert "\x1b" not in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x1b[31mb\x07", "a[31mb"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("safe\u202eevil\u2066", "safeevil"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("\x9b31m", "31m"),
        ("ünï 漢字 🙂", "ünï 漢字 🙂"),
    ],
)
def test_clean_text_keeps_words_and_drops_what_a_terminal_obeys(text: str, cleaned: str) -> None:
    assert clean_text(text, 100) == cleaned


def test_what_is_too_long_is_cut_at_a_character_and_says_so() -> None:
    assert clean_text("ü" * 100, 21) == "ü" * 7 + " […]"
    assert one_line("a\nb\n\n c", 100) == "a b c"


@given(st.text())
def test_an_escaped_line_has_nothing_a_terminal_obeys(text: str) -> None:
    escaped = escape_controls(text)

    assert all(char == "\t" or (ord(char) >= 0x20 and not 0x7F <= ord(char) < 0xA0) for char in escaped)
    assert "\u202e" not in escaped


def test_control_characters_are_spelled_out_in_a_line() -> None:
    assert escape_controls("a\x1b[0m\r\tb\u202e") == "a\\x1b[0m\\x0d\tb\\u202e"


@given(st.text())
def test_nothing_inside_a_fence_can_close_it(text: str) -> None:
    block = fenced(text)
    fence = block.partition("text\n")[0]

    assert fence not in text
    assert block.endswith(f"\n{fence}")


def test_secrets_are_hidden_but_short_words_are_not() -> None:
    assert hide_secrets("token abcdefgh and ab", ("abcdefgh", "ab", "")) == "token ••• and ab"


def test_a_result_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b'{"summary": "x"}'.ljust(RESULT_LIMIT))
    assert read_result(path).result is not None

    path.write_bytes(b'{"summary": "x"}'.ljust(RESULT_LIMIT + 1))
    assert read_result(path).problem == "the result file is larger than 256 KiB"
