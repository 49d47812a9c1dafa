"""The text of one template, and how a place in it is named."""

import re
from bisect import bisect_right

from coderun.handlebars.errors import TemplateError

_LINE_END = re.compile(r"\r\n|\n|\r")


class Source:
    """A template's name and text; finds line and column of an offset only when somebody asks."""

    __slots__ = ("_starts", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts: list[int] | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of `offset`, both counted from 1, in characters."""
        starts = self._starts
        if starts is None:
            starts = self._starts = [0, *(found.end() for found in _LINE_END.finditer(self.text))]
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def place(self, offset: int) -> str:
        """`name:line:column` of `offset`."""
        line, column = self.position(offset)
        return f"{self.name}:{line}:{column}"

    def short_place(self, offset: int) -> str:
        """`line:column` of `offset`."""
        line, column = self.position(offset)
        return f"{line}:{column}"

    def error(
        self,
        kind: type[TemplateError],
        offset: int,
        message: str,
        callers: tuple[str, ...] = (),
    ) -> TemplateError:
        """An error of class `kind` at `offset`, with the line it stands in."""
        line, column = self.position(offset)
        start = offset - column + 1
        end = _LINE_END.search(self.text, start)
        shown = self.text[start : end.start() if end else len(self.text)]
        return kind(message, name=self.name, line=line, column=column, source_line=shown, callers=callers)
