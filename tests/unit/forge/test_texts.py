"""What the forge takes in as text."""

import pytest

from coderun.forge.texts import (
    MAX_BODY,
    checked_body,
    checked_branch,
    checked_label,
    checked_marker,
    checked_title,
    hidden_marker,
    is_branch_name,
    label_key,
    one_line,
)
from coderun.model.errors import RefusedError


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("plain", "plain"),
        ("  two\nlines\t", "two lines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("$(id) `x` 'y' \"z\"", "$(id) `x` 'y' \"z\""),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        ("x" * 300, "x" * 255 + "…"),
    ],
)
def test_a_title_becomes_one_harmless_line(title: str, kept: str) -> None:
    assert checked_title(title) == kept


@pytest.mark.parametrize("title", ["", " \n ", "\x07"])
def test_a_title_without_text_is_refused(title: str) -> None:
    with pytest.raises(RefusedError, match="a pull request needs a title; give it one line of text"):
        checked_title(title)


def test_a_body_is_kept_whole_up_to_its_limit() -> None:
    assert checked_body("x" * 1_000_000, "the body") == "x" * 1_000_000
    with pytest.raises(RefusedError, match=f"the body is {MAX_BODY + 1} bytes long; at most {MAX_BODY} are taken"):
        checked_body("x" * (MAX_BODY + 1), "the body")


@pytest.mark.parametrize(
    ("label", "usable"),
    [
        ("ready-for-qa", True),
        (" über 1 ", True),
        ("a'b\"$(c)", True),
        ("x" * 50, True),
        ("x" * 51, False),
        ("", False),
        ("a\nb", False),
        ("a\u202eb", False),
        ("a\x00", False),
    ],
)
def test_labels_are_short_and_printable(label: str, usable: bool) -> None:
    if usable:
        assert checked_label(label) == label.strip()
        return
    with pytest.raises(RefusedError, match="is not usable; write 1 to 50 printable characters on one line"):
        checked_label(label)


def test_labels_compare_without_case_and_blanks() -> None:
    assert label_key(" Ready-For-QA ") == label_key("ready-for-qa")


@pytest.mark.parametrize("marker", ["", "a-->b", "a--b", "a\nb", "<x", "x" * 200])
def test_a_marker_cannot_end_the_comment_it_hides_in(marker: str) -> None:
    with pytest.raises(RefusedError, match="comment marker"):
        checked_marker(marker)


def test_a_marker_hides_in_an_html_comment() -> None:
    assert hidden_marker(checked_marker("association/play-7")) == "<!-- coderun:association/play-7 -->"


@pytest.mark.parametrize("name", ["main", "feature/task-1-x", "é", "a@b", "a'b$(c)", "x" * 244])
def test_branch_names_that_git_takes(name: str) -> None:
    assert checked_branch(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "/a", "a/", "a//b", "a..b", "a.", ".a", "a/.b", "a.lock", "a b", "a\tb", "a~1", "a^", "a:b", "a?", "@", "HEAD"],
)
def test_branch_names_that_git_does_not_take(name: str) -> None:
    assert not is_branch_name(name)
    with pytest.raises(RefusedError, match="is no branch name that git takes; see `git help check-ref-format`"):
        checked_branch(name)


def test_a_message_shows_foreign_text_on_one_short_line() -> None:
    assert one_line("a\n\x1b[2Jb " * 100, 10) == "a b a b a…"
