"""What `coderun --help` costs beside the import of the library its command line is built on, in pairs."""

import os
import subprocess
import sys
import time
from statistics import median

from benchmarks.table import Row
from benchmarks.worlds import SOURCES

PAIRS = 15
HELP = ("-m", "coderun.cli.main", "--help")
BARE = ("-c", "import typer")


def seconds(arguments: tuple[str, ...]) -> float:
    """Wall time of a Python process."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def rows() -> list[Row]:
    """Medians, and the median of the ratios."""
    seconds(HELP), seconds(BARE)
    pairs = [(seconds(HELP), seconds(BARE)) for _ in range(PAIRS)]
    shown = f"import typer {median(bare for _, bare in pairs) * 1000:.0f} ms"
    return [
        Row("coderun --help", median(ours for ours, _ in pairs) * 1000, "ms", beside=shown),
        Row("coderun --help / import typer", median(ours / bare for ours, bare in pairs), "×", "≤ 2.5"),
    ]
