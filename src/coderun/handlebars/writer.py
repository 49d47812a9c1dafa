"""Collects the lines of generated functions, and with every line the node it was made for."""

from typing import Any

CHUNK = 24


class Lines:
    """Lines of Python at one indentation, each with the node that an exception in it is about."""

    __slots__ = ("marks", "pending", "pending_marks", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.marks: list[Any] = []
        self.pending: list[str] = []
        self.pending_marks: list[Any] = []

    def line(self, text: str, marks: list[Any] | None = None) -> None:
        """Adds a statement; each of its further lines takes one of `marks`."""
        self.flush()
        self._put(text, marks or [])

    def _put(self, text: str, marks: list[Any]) -> None:
        self.text += text.split("\n")
        self.marks.append(None)
        self.marks += marks

    def prepend(self, text: str) -> None:
        """Puts a statement before all others."""
        self.text.insert(0, text)
        self.marks.insert(0, None)

    def constant(self, text: str) -> None:
        """Adds text to print as it is."""
        if text:
            self._piece(f"\n{text!r}", [None])

    def piece(self, expression: str, marks: list[Any]) -> None:
        """Adds an expression that gives text to print."""
        self._piece(expression, marks)

    def _piece(self, expression: str, marks: list[Any]) -> None:
        self.pending.append(expression)
        self.pending_marks += marks
        if len(self.pending) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Writes the pieces collected so far as one statement."""
        if not self.pending:
            return
        single = len(self.pending) == 1
        joined = ",".join(self.pending)
        self._put(f"A({joined})" if single else f"X(({joined}))", self.pending_marks)
        self.pending, self.pending_marks = [], []

    def block(self, inner: "Lines") -> None:
        """Adds the lines of `inner` one step to the right."""
        self.flush()
        inner.flush()
        if not inner.text:
            inner.line("pass")
        self.text += [f" {line}" for line in inner.text]
        self.marks += inner.marks
