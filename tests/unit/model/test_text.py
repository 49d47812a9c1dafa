"""What of an untrusted text may reach a terminal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.text import clip, did_you_mean, listed, printable, storable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mC1", "C1"),
        ("\x9dtitle\x9cafter", "after"),
        ("\x1bPdevice\x1b\\after", "after"),
        ("\x1b]52;c;unfinished", "52;c;unfinished"),
        ("two\nlines\r\nand\ttab", "two lines and tab"),
        ("a\x00b\x07c\x7fd", "a\ufffdbcd"),
        ("safe\u202etxt.exe", "safetxt.exe"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("naïve 日本 👩‍👩‍👧", "naïve 日本 👩‍👩‍👧"),
    ],
)
def test_escape_sequences_and_controls_do_not_reach_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_are_kept_where_lines_are_wanted() -> None:
    assert printable("a\x1b[1m\r\nb\rc\u2028\td\x08", keep_lines=True) == "a\nb\nc\n\td"


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]m;0\x07\x9b\\"))), st.integers(1, 40))
def test_nothing_that_steers_a_terminal_is_left(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    shown.encode("utf-8")
    assert printable(shown, limit) == shown


def test_a_cut_text_says_so() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"


@pytest.mark.parametrize("piece", ["\x1b]", "\x9d", "\x1b[0", "\x1b[", "\x1b]\x1b\\", "\x1b "])
def test_a_hostile_text_of_a_megabyte_takes_no_long_time(piece: str) -> None:
    start = time.process_time()
    printable(piece * (1_000_000 // len(piece)))
    assert time.process_time() - start < 5


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\x00b\udfffc\x1b") == "a\ufffdb\ufffdc\x1b"


def test_a_clipped_text_tells_how_much_is_missing() -> None:
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "abc\n\n[cut here: 3 of 4 characters are shown]\n"


def test_the_nearest_word_is_named_whatever_its_case() -> None:
    assert did_you_mean("ROLS", ["roles", "checks"]) == "; did you mean 'roles'?"
    assert did_you_mean("zzz", ["roles", "checks"]) == ""


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert listed([]) == "none"
    assert listed([1, "b\x1b[1m"]) == "1, b"
    assert listed(range(25)).endswith("19, and 5 more")
