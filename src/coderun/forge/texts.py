"""What the forge takes in as text: titles, bodies, labels, branch names, markers. All of it is untrusted.

Pure. What can be made harmless without changing its meaning is (a title becomes one line); what cannot is refused.
"""

import re
import unicodedata
from typing import Final

from coderun.model.errors import RefusedError
from coderun.model.text import printable, storable

MAX_TITLE: Final = 256
MAX_LABEL: Final = 50
MAX_BODY: Final = 4 * 1024 * 1024
MAX_BRANCH: Final = 244
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#=+ -]{0,119}")
_CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def has_control(text: str) -> bool:
    """Whether `text` holds characters that steer a terminal or hide others: control, format and line separators."""
    return any(unicodedata.category(character) in _CONTROL_CATEGORIES for character in text)


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line for a message: no control characters, at most `limit` characters."""
    return printable(text[: limit * 20], limit)


def checked_title(title: str) -> str:
    """A title as it is kept: one line, at most 256 characters. Raises `RefusedError` where nothing is left."""
    line = one_line(storable(title), MAX_TITLE)
    if not line:
        raise RefusedError("a pull request needs a title; give it one line of text")
    return line


def checked_body(body: str, what: str) -> str:
    """A body as it is kept. Raises `RefusedError` above 4 MiB."""
    size = len(body.encode("utf-8", "replace"))
    if size > MAX_BODY:
        raise RefusedError(f"{what} is {size} bytes long; at most {MAX_BODY} are taken, shorten it or link to it")
    return storable(body)


def checked_label(name: str) -> str:
    """A label's name as it is kept: trimmed. Raises `RefusedError` for empty, long or unprintable ones."""
    trimmed = name.strip()
    if not trimmed or len(trimmed) > MAX_LABEL or has_control(trimmed):
        raise RefusedError(
            f"label {one_line(name, 80)!r} is not usable; write 1 to {MAX_LABEL} printable characters on one line"
        )
    return trimmed


def label_key(name: str) -> str:
    """What two spellings of one label have in common."""
    return name.strip().casefold()


def checked_marker(marker: str) -> str:
    """A comment's marker. Raises `RefusedError` where it could end the HTML comment it is hidden in."""
    if not _MARKER.fullmatch(marker) or "--" in marker:
        raise RefusedError(
            f"comment marker {one_line(marker, 80)!r} is not usable; write letters, digits, '.', '_', ':', '/', '-'"
        )
    return marker


def hidden_marker(marker: str) -> str:
    """The HTML comment that carries a marker in a comment's body."""
    return f"<!-- coderun:{marker} -->"


def is_branch_name(name: str) -> bool:
    """Whether git takes `name` for a branch: the rules of `git check-ref-format --branch`, without `@{-N}`."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_BRANCH or _FORBIDDEN_IN_REF.search(name):
        return False
    if name.startswith(("-", "/")) or name.endswith(("/", ".")) or name in {"@", "HEAD"} or storable(name) != name:
        return False
    return not any(part.startswith(".") or part.endswith(".lock") for part in name.split("/"))


def checked_branch(name: str) -> str:
    """A branch name that is safe to hand to git as part of `refs/heads/…`. Raises `RefusedError`."""
    if not is_branch_name(name):
        raise RefusedError(f"{one_line(name, 120)!r} is no branch name that git takes; see `git help check-ref-format`")
    return name


def branch_ref(branch: str) -> str:
    """The full ref of a branch."""
    return f"refs/heads/{branch}"
