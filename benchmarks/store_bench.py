"""How fast the SQLite store is: state transitions against bare transactions of the same run, and how soon a watch is told.

A transition is what a reconcile pass does: read the object, write its status (`synchronous=FULL`), with a watch open and told
of it. The bare transaction updates one row of the same size in a file of its own with the same settings. Both are measured in
turns, so that other work on the machine weighs on both; the ratio is the median over the turns.

Run it: `python benchmarks/store_bench.py`.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from coderun.model.meta import ObjectMeta
from coderun.model.play import HistoryEntry, Play, PlaySpec, PlayStatus, with_history
from coderun.model.task import TaskText
from coderun.store.sqlite import SqliteStore

Row = tuple[str, float, str, str]
TURNS = 20
TRANSITIONS = 100
HINTS = 60
NOW = datetime(2026, 1, 1, tzinfo=UTC)

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
import msgspec
from coderun.model.play import Play, PlayStatus
from coderun.store.sqlite import SqliteStore

async def main(path):
    store = SqliteStore.open(Path(path), clock=lambda: datetime.now(UTC))
    for line in sys.stdin:
        play = await store.get(Play, "play-demo-1")
        await store.update_status(msgspec.structs.replace(play, status=PlayStatus(message=line)))
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


def typical_play() -> Play:
    """A play in the middle of its way: a task of a page, twenty decisions behind it."""
    status = PlayStatus(stage="quality")
    for number in range(20):
        status = with_history(status, HistoryEntry(at=NOW, stage="quality", reason="GateWaits", message=f"decision {number}"))
    task = TaskText(title="Add a thing", details="What the thing shall do. " * 80)
    spec = PlaySpec(task_id=1, repository_url="/srv/demo", task=task)
    return Play(metadata=ObjectMeta(name="play-demo-1", labels={"agents.platform/task-id": "1"}), spec=spec, status=status)


class Bare:
    """One row of a file of its own, with the store's settings."""

    def __init__(self, folder: Path, size: int) -> None:
        self._size = size
        self._connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE one (id INTEGER PRIMARY KEY, body BLOB)",
        ):
            self._connection.execute(statement)
        self._connection.execute("INSERT INTO one VALUES (1, ?)", (os.urandom(size),))

    def turn(self) -> float:
        """Transactions per second."""
        bodies = [os.urandom(self._size) for _ in range(TRANSITIONS)]  # SQLite writes nothing where nothing differs
        began = time.perf_counter()
        for body in bodies:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("UPDATE one SET body = ? WHERE id = 1", (body,))
            self._connection.execute("COMMIT")
        return TRANSITIONS / (time.perf_counter() - began)

    def close(self) -> None:
        self._connection.close()


async def transitions(store: SqliteStore, name: str) -> float:
    """Transitions per second."""
    began = time.perf_counter()
    for number in range(TRANSITIONS):
        play = await store.get(Play, name)
        assert play is not None
        await store.update_status(
            msgspec.structs.replace(play, status=msgspec.structs.replace(play.status, message=f"{began} {number}"))
        )
    return TRANSITIONS / (time.perf_counter() - began)


async def measure_transitions(folder: Path) -> list[Row]:
    store = SqliteStore.open(folder / "state.db", clock=lambda: NOW)
    play = await store.create(typical_play())
    size = len(msgspec.json.encode(play.spec)) + len(msgspec.json.encode(play.status))
    bare = Bare(folder, size)
    watch = store.watch()
    os.utime(folder / "wake", (0, 0))  # as in a controller that has run for more than two seconds
    pairs = []
    for _ in range(TURNS):
        pairs.append((bare.turn(), await transitions(store, play.name)))
        await anext(watch)
    bare.close()
    await store.close()
    return [
        ("bare one-row transactions", median(b for b, _ in pairs), "1/s", ""),
        ("state transitions", median(t for _, t in pairs), "1/s", ""),
        ("transitions / bare transactions", median(t / b for b, t in pairs), "", "≥ 0.6"),
    ]


async def measure_watch(folder: Path) -> list[Row]:
    store = SqliteStore.open(folder / "state.db", clock=lambda: NOW)
    play = await store.create(typical_play())
    watch = store.watch()
    own = []
    for number in range(HINTS):
        began = time.perf_counter()
        play = await store.update_status(msgspec.structs.replace(play, status=PlayStatus(message=str(number))))
        await anext(watch)
        own.append(time.perf_counter() - began)
    other = await hints_of_another_process(store, folder / "state.db")
    await store.close()
    return [
        ("watch: own write, median", median(own) * 1000, "ms", ""),
        ("watch: other process's write, median", median(other) * 1000, "ms", "< 50"),
    ]


async def hints_of_another_process(store: SqliteStore, path: Path) -> list[float]:
    """Seconds from asking another process for a write until this one's watch tells of it."""
    watch = store.watch()
    delays = []
    writing = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(writing, stdin=subprocess.PIPE) as writer:  # noqa: ASYNC220 - nothing else runs in this loop
        assert writer.stdin is not None
        for number in range(HINTS + 1):
            began = time.perf_counter()
            writer.stdin.write(b"%d\n" % number)
            writer.stdin.flush()
            await anext(watch)
            delays.append(time.perf_counter() - began)
        writer.stdin.close()
    return delays[1:]  # the first one waited for the process to start


async def measure() -> list[Row]:
    measured: list[Row] = []
    for measurement in (measure_transitions, measure_watch):
        with tempfile.TemporaryDirectory() as folder:
            measured += await measurement(Path(folder))
    return measured


def rows() -> list[Row]:
    """Name, value, unit and goal of all that is measured."""
    return asyncio.run(measure())


def main() -> None:
    for name, value, unit, goal in rows():
        print(f"{name:40} {value:10.2f} {unit:5} {goal}")


if __name__ == "__main__":
    main()
