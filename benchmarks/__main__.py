"""Runs the benchmarks and prints one table: `python -m benchmarks [--markdown] [names]`.

Every module `*_bench.py` of this folder with a function `rows()` is one. The exit code is 0 unless a benchmark broke: a goal
that is missed is a line of the table.
"""

import importlib
import sys
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from benchmarks.table import Row, as_row, markdown, plain  # noqa: E402 - found through the line above

SUFFIX = "_bench"


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.stem.removesuffix(SUFFIX) for path in Path(__file__).parent.glob(f"*{SUFFIX}.py"))


def measure(name: str) -> list[Row]:
    """The rows of one benchmark."""
    module = importlib.import_module(f"benchmarks.{name}{SUFFIX}")
    return [as_row(row) for row in module.rows()]


def main(arguments: list[str]) -> int:
    """Measure what is named, or everything."""
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    if unknown := set(wanted) - set(names()):
        print(f"there is no benchmark {', '.join(sorted(unknown))} (known: {', '.join(names())})", file=sys.stderr)
        return 2
    found: list[Row] = []
    broken = 0
    for name in wanted or names():
        begun = time.monotonic()
        try:
            found += measure(name)
        except Exception:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exc()
            broken = 1
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(markdown(found) if "--markdown" in arguments else plain(found))
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
