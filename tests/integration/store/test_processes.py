"""Several processes on one file, and processes that are killed: what was acknowledged is there, whole, and nothing else."""

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

import pytest
from tests.contracts.store_contract import DEADLINE, SettableClock, hints, in_stage, play

import coderun
from coderun.model.deliveries import DeliveryState
from coderun.model.play import Play
from coderun.store.protocol import Change
from coderun.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
STEPS = ("created", "updated", "status", "put", "settled", "deleted")


class Workload:
    """A process that runs `store_workload`; killed at the end of the block."""

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join((str(Path(coderun.__file__).parents[1]), str(ROOT)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.store.store_workload", *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.kill()
        self._output.close()

    def line(self) -> bytes:
        return self._output.readline()

    def rest(self) -> list[bytes]:
        """Whole lines up to its end."""
        return [line for line in self._output.readlines() if line.endswith(b"\n")]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def ended(self) -> int:
        return await asyncio.to_thread(self._process.wait, DEADLINE)


def open_store(path: Path) -> SqliteStore:
    return SqliteStore.open(path, clock=SettableClock())


def intact(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return sound and not connection.execute("PRAGMA foreign_key_check").fetchall()


async def what_is_there(path: Path) -> tuple[int, ...]:
    """How far the work of `all_kinds_of_writes` is to be seen: the steps that fit, as numbers of acknowledgements."""
    store = open_store(path)
    found = await store.get(Play, "a")
    by_label = [[one.name for one in await store.find(Play, labels=labels)] for labels in ({"x": "1"}, {"x": "2", "y": "1"})]
    deliveries = {(kept.id, kept.state) for kept in await store.list_deliveries()}
    await store.close()
    if deliveries:
        assert {identity for identity, _ in deliveries} == {"d-1", "d-2"}
        [state] = {state for _, state in deliveries}
        settled = state is DeliveryState.MOVED
        if found is None:
            assert settled
            assert by_label == [[], []]
            return (6,)
        assert found.status.stage == "testing"
        return (5,) if settled else (4,)
    if found is None:
        assert by_label == [[], []]
        return (0,)
    if found.metadata.generation == 1:
        assert (found.spec.priority, found.status.stage, by_label) == (1, "", [["a"], []])
        return (1,)
    assert (found.spec.priority, by_label) == (0, [[], ["a"]])
    return (3,) if found.status.stage == "testing" else (2,)


async def test_killed_at_any_statement_nothing_acknowledged_is_lost_and_nothing_is_half_done(tmp_path: Path) -> None:
    with Workload("boundaries", str(tmp_path)) as walker:
        [(last, code)] = [json.loads(line) for line in walker.rest()]
    assert code == 0
    assert last > 20
    said: list[str] = []
    for place in (tmp_path / f"{statement:03}" for statement in range(1, last + 1)):
        said = [json.loads(line)[0] for line in (place / "said").read_text().splitlines()]
        assert said == list(STEPS[: len(said)])
        [done] = await what_is_there(place / "state.db")
        assert done in {len(said), len(said) + 1}, f"{place.name}: {said}"
        assert intact(place / "state.db")
    assert said == list(STEPS)


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "state.db"
    moment = random.Random(seed)
    for round_ in range(3):
        with Workload("forever", str(path), f"w{round_}") as writer:
            lines = [writer.line() for _ in range(moment.randrange(1, 120))]
            writer.kill()
            lines += writer.rest()
        acknowledged = dict(json.loads(line) for line in lines)
        store = open_store(path)
        found = {one.name: one.status.stage for one in await store.find(Play, labels={"by": f"w{round_}"})}
        await store.close()
        assert found.items() >= {(name, f"stage-{number}") for name, number in acknowledged.items()}
        assert len(found) - len(acknowledged) in {0, 1}
        assert intact(path)


async def test_a_delivery_that_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Workload("put", str(path), "local") as writer:
        lines = [writer.line() for _ in range(50)]
        writer.kill()
        lines += writer.rest()
    acknowledged = {f"local:{json.loads(line)[0]}" for line in lines}
    store = open_store(path)
    assert {kept.id for kept in await store.pending_deliveries(100_000)} >= acknowledged
    await store.close()


@pytest.mark.lesson(31)
async def test_no_change_is_lost_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path)
    await store.create(play())
    with ExitStack() as stack:
        counters = [stack.enter_context(Workload("count", str(path), "60")) for _ in range(3)]
        assert [await counter.ended() for counter in counters] == [0, 0, 0]
    read = await store.get(Play, "play-demo-1")
    assert read is not None
    assert read.status.iteration == 181
    await store.close()


async def test_many_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with ExitStack() as stack:
        writers = [stack.enter_context(Workload("put", str(path), f"w{number}")) for number in range(4)]
        assert [writer.line() for writer in writers] == [b"[0]\n"] * 4
    store = open_store(path)
    assert {await store.last_delivery(f"w{number}:") is not None for number in range(4)} == {True}
    await store.close()
    assert intact(path)


async def test_a_watch_hears_another_process_and_survives_its_death(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path)
    watch = store.watch()
    with Workload("put", str(path), "local") as writer:
        heard = await hints(watch, until=lambda heard: len(heard) > 20)
        writer.kill()
    assert {change.kind for change in heard} == {"Delivery"}
    assert Change(kind="Delivery", name="local:0") in heard
    await store.close()


async def test_what_a_killed_process_left_in_the_wake_folder_is_cleared_by_the_next_write(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    store.watch()
    left = tmp_path / "wake" / "999999-dead.fifo"
    os.mkfifo(left)
    made = await store.create(play())
    assert not left.exists()
    [own] = (tmp_path / "wake").iterdir()
    await store.update_status(in_stage(made, "testing"))
    assert own.exists()
    await store.close()
    assert list((tmp_path / "wake").iterdir()) == []


async def test_without_wakes_the_writes_of_others_are_found_within_a_look(tmp_path: Path) -> None:
    (tmp_path / "wake").write_text("no folder, so no FIFOs")
    store, other = open_store(tmp_path / "state.db"), open_store(tmp_path / "state.db")
    watch = store.watch()
    await other.create(play())
    async with asyncio.timeout(DEADLINE):
        assert await anext(watch) == [Change(kind="Play", name="play-demo-1")]
    await store.close()
    await other.close()
