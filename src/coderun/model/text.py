"""Untrusted text on its way to a terminal, a title or a store: the one place that decides what of it may pass.

Task titles, branch names, comments and agent output go through `printable` before a person sees them and through `storable`
before they are kept. Nothing here knows what the text means.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Final

# Escape sequences of ECMA-48: control strings with their terminator (OSC, DCS, SOS, PM, APC), CSI, and the short ones.
# Every class leaves out the introducers, so that each character is looked at once whatever the text.
_ESCAPES: Final = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
# Controls beside tab and newline, and the marks that reorder what is shown (bidirectional overrides and isolates).
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LINE_ENDS: Final = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_BLANKS: Final = re.compile(r"\s+")

ELLIPSIS: Final = "…"


def printable(text: str, limit: int | None = None, *, keep_lines: bool = False) -> str:
    """`text` as it may reach a terminal: no escape sequences, no control characters, no marks that reorder what is shown.

    One line with single blanks, unless `keep_lines` (then newlines and tabs stay). Longer than `limit` characters, it is cut
    and ends in `…`. What was an unfinished escape sequence stays readable, without its control characters.
    """
    plain = _LINE_ENDS.sub("\n", storable(text))
    plain = _CONTROLS.sub("", _ESCAPES.sub("", plain))
    if not keep_lines:
        plain = _BLANKS.sub(" ", plain).strip()
    if limit is not None and len(plain) > limit:
        return plain[: max(limit - 1, 0)].rstrip() + ELLIPSIS
    return plain


def storable(text: str) -> str:
    """`text` as every file, database and argument list takes it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def clip(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and a line that says how much was left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n\n[cut here: {limit} of {len(text)} characters are shown]\n"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest of `known`, "" where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = nearest(word.lower(), by_lower)
    return f"; did you mean {by_lower[near]!r}?" if near else ""


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The one of `known` that is most like `word`, "" where none is at least so much alike (1: the same)."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def listed(words: Iterable[object], *, limit: int = 20) -> str:
    """`words` with commas between, at most `limit` of them and how many more there are; `none` for no word at all."""
    texts = [printable(str(word), 60) for word in words]
    if len(texts) > limit:
        texts = [*texts[:limit], f"and {len(texts) - limit} more"]
    return ", ".join(texts) or "none"
