"""What many plays cost: a thousand that wait for a person, and a restart over ten thousand that are done.

The controller is a process of its own (`coderun up` for the waiting ones). CPU time is user and system time of it and of the
children it has reaped, from /proc (Linux only), memory is its resident set at the end.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.crowds import add_plays, play_pattern
from benchmarks.table import Row
from benchmarks.worlds import World, world

ACTIVE = 1000
FINISHED = 10_000
SECONDS = 30.0
RESTARTS = 3
RESYNC_SECONDS = 600.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PROGRAM = Path(__file__).with_name("restarting.py")


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of a process and of the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def memory(pid: int, field: str = "VmRSS") -> float:
    """Resident set in MB; with `VmHWM` the largest it ever was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1000


def settle(pid: int) -> None:
    """Wait until it has looked at everything and is quiet: eight seconds, as a busy machine may hold it up for some."""
    deadline = time.monotonic() + 180
    quiet, before = 0, 0.0
    while quiet < 8 and time.monotonic() < deadline:
        time.sleep(1)
        now = cpu_seconds(pid)
        quiet = quiet + 1 if now > 0.8 and now - before < 0.05 else 0
        before = now


def idle(made: World, what: str, *, goals: bool) -> list[Row]:
    """CPU and memory of `coderun up` over half a minute in which nothing happens."""
    with made.controller() as controller:
        settle(controller.pid)
        begun, used = time.monotonic(), cpu_seconds(controller.pid)
        time.sleep(SECONDS)
        share = (cpu_seconds(controller.pid) - used) / (time.monotonic() - begun) * 100
        assert controller.poll() is None
        beside = f"over {SECONDS:.0f} s"
        return [
            Row(f"{what}: CPU", share, "% of a core", "< 1" if goals else "", beside),
            Row(
                f"{what}: memory",
                memory(controller.pid),
                "MB",
                "< 150" if goals else "",
                f"at most {memory(controller.pid, 'VmHWM'):.0f} MB",
            ),
        ]


class Restart(NamedTuple):
    """Seconds from the start of a controller's process until it has looked at every open play, how many looks it took, and
    the CPU seconds of a look.
    """

    taken: float
    looks: int
    look: float


def restart(made: World) -> Restart:
    """Start a controller, and stop it as soon as it has looked at everything."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(made.project)], env=made.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        word, looks, used = process.stdout.readline().split()
        taken = time.perf_counter() - begun
        assert word == "reconciled"
    return Restart(taken, int(looks), float(used) / int(looks))


@contextlib.contextmanager
def populated(finished: int) -> Iterator[World]:
    """A world of plays that wait for their merge, and so many that are done."""
    with world(merge=False) as made:
        pattern = asyncio.run(play_pattern(made))
        if finished:
            asyncio.run(add_plays(made, pattern, range(20_001, 20_001 + finished), merged=True))
        asyncio.run(add_plays(made, pattern, range(10_001, 10_001 + ACTIVE), merged=False))
        yield made


def rows() -> list[Row]:
    """The waiting plays alone, then with the finished ones beside them."""
    with populated(0) as made:
        alone = idle(made, f"{ACTIVE:,} plays waiting", goals=True)
    with populated(FINISHED) as made:
        restarts = [restart(made) for _ in range(RESTARTS)]
        assert all(one.looks >= ACTIVE for one in restarts)
        beside = f"{restarts[0].looks:,} looks; slowest {max(one.taken for one in restarts):.1f} s"
        look = median(one.look for one in restarts)
        resyncs = f"{ACTIVE:,} every {RESYNC_SECONDS:.0f} s: {look * ACTIVE / RESYNC_SECONDS * 100:.2g} % of a core"
        what = f"restart, {FINISHED:,} finished and {ACTIVE:,} active"
        return [
            *alone,
            Row(what, median(one.taken for one in restarts), "s", "< 10", beside),
            Row("a look at a waiting play, CPU", look * 1000, "ms", beside=resyncs),
            *idle(made, f"{ACTIVE:,} waiting, {FINISHED:,} finished", goals=False),
        ]
