"""One row for each thing measured, and the table they make."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

_SIGNS: Final = {"<": operator.lt, "≤": operator.le, "≥": operator.ge, ">": operator.gt}
HEADINGS: Final = ("what", "value", "unit", "beside", "goal", "met")


class Row(NamedTuple):
    """A measured value. `beside` is what it was measured against in the same run; `goal` reads `< 300`, or is empty."""

    name: str
    value: float
    unit: str = ""
    goal: str = ""
    beside: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return bool(_SIGNS[sign](self.value, float(limit)))

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows of it."""
        met = {None: "", True: "yes", False: "NO"}[self.is_met]
        return (self.name, _shown(self.value), self.unit, self.beside, self.goal, met)


def as_row(found: Any) -> Row:
    """The row of a plain tuple. Raises `TypeError` for one of another shape."""
    name, value, *words = found
    if not isinstance(name, str) or not isinstance(value, int | float) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"a row is (name, value, unit, goal, beside), not {found!r}")
    return Row(name, value, *words)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def plain(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if at == 1 else cell.ljust(width) for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()


def markdown(rows: Iterable[Row]) -> str:
    """The table for docs/benchmarks.md."""
    lines = [HEADINGS, ("---", "---:", *("---",) * (len(HEADINGS) - 2)), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
