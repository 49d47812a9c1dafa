"""What this library raises: a template that cannot be read, or one that cannot be rendered with the data it was given.

Both name the place in the words of a compiler, `file:line:column: message`, and show the line with a caret under the mistake.
"""

import difflib
from collections.abc import Iterable
from typing import Final

SHOWN_NAMES: Final = 8
SHOWN_WIDTH: Final = 160


class TemplateError(Exception):
    """A template is wrong, or does not fit its data; `str()` is fit to show to a person.

    `line` and `column` count characters from 1. `callers` are the places (`name:line:column`) of the partial calls that led to
    the template named here, the nearest first.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str = "template",
        line: int = 1,
        column: int = 1,
        source_line: str = "",
        callers: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.line = line
        self.column = column
        self.source_line = source_line
        self.callers = callers

    @property
    def caret(self) -> str:
        """The line to print below `source_line`: blanks (tabs where that line has tabs) and a caret under the mistake."""
        before = self.source_line[: self.column - 1].ljust(self.column - 1)
        return "".join("\t" if char == "\t" else " " for char in before) + "^"

    def __str__(self) -> str:
        parts = [f"{self.name}:{self.line}:{self.column}: {self.message}"]
        if self.source_line.strip():
            shown, caret = _window(self.source_line, self.caret)
            parts += [f"    {shown}", f"    {caret}"]
        parts += [f"  included from {caller}" for caller in self.callers[:SHOWN_NAMES]]
        if len(self.callers) > SHOWN_NAMES:
            parts.append(f"  … and {len(self.callers) - SHOWN_NAMES} more, the first from {self.callers[-1]}")
        return "\n".join(parts)


class TemplateSyntaxError(TemplateError):
    """The template cannot be read: no data will make it work."""


class TemplateRenderError(TemplateError):
    """The template is sound; this rendering of it failed."""


class HelperError(Exception):
    """Raised by a helper that cannot work with its arguments; its text is shown at the helper's place in the template."""


def nearest(wanted: str, known: Iterable[str]) -> str:
    """A hint for a name nobody knows: ` (did you mean 'x'?)`, or the first known names, or nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(wanted, names[:1000], n=3, cutoff=0.6)
    if close:
        return f" (did you mean {' or '.join(map(repr, close))}?)"
    return f" (known: {listed(names)})" if names else ""


def listed(names: Iterable[str]) -> str:
    """`names` for a message: the first few, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - SHOWN_NAMES} more" if len(every) > SHOWN_NAMES else ""
    return ", ".join(shortened(name) for name in every[:SHOWN_NAMES]) + more


def shortened(text: str, limit: int = 60) -> str:
    """`text` cut to `limit` characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _window(line: str, caret: str) -> tuple[str, str]:
    # A minified line of a megabyte is not shown whole: the part around the caret is.
    if len(line) <= SHOWN_WIDTH:
        return line, caret
    start = max(0, len(caret) - SHOWN_WIDTH // 2)
    return line[start : start + SHOWN_WIDTH], caret[start:]
