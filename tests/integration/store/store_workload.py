"""Run by tests as a process of its own: writes to a store, says what was acknowledged, and dies when it is told to.

`boundaries FOLDER`: the same work again and again in fresh folders, each time killed at a later statement, until it gets
through. `forever FILE NAME`: creates and changes objects until somebody kills it. `count FILE NUMBER`: raises a number in a
status, read again after each conflict. `put FILE NAME`: stores deliveries forever.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec
from tests.contracts.store_contract import delivery, in_stage, labelled, of_priority, play

from coderun.model.deliveries import DeliveryState
from coderun.model.errors import WriteConflictError
from coderun.model.play import Play, PlayStatus
from coderun.store.protocol import Settlement
from coderun.store.sqlite import SqliteStore


def now() -> datetime:
    return datetime.now(UTC)


def say(*words: object) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


async def all_kinds_of_writes(store: SqliteStore) -> None:
    """One of each write, saying each that was acknowledged."""
    made = await store.create(play("a", labels={"x": "1"}))
    say("created")
    made = await store.update(labelled(of_priority(made, 0), {"x": "2", "y": "1"}))
    say("updated")
    made = await store.update_status(in_stage(made, "testing"))
    say("status")
    await store.put_deliveries([delivery("d-1"), delivery("d-2")])
    say("put")
    await store.settle_deliveries([Settlement(id=f"d-{n}", state=DeliveryState.MOVED, outcome="a") for n in (1, 2)])
    say("settled")
    await store.delete(Play, "a", uid=made.metadata.uid)
    say("deleted")


async def die_at(statement: int, path: Path) -> None:
    store = SqliteStore.open(path, clock=now)
    seen = count(1)

    def look(_: str) -> None:
        if next(seen) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    store._database._connection.set_trace_callback(look)
    await all_kinds_of_writes(store)
    store._database._connection.set_trace_callback(None)
    await store.close()


def boundaries(folder: Path) -> None:
    for statement in count(1):
        place = folder / f"{statement:03}"
        place.mkdir()
        said = os.open(place / "said", os.O_CREAT | os.O_WRONLY)
        child = os.fork()
        if child == 0:
            os.dup2(said, 1)
            asyncio.run(die_at(statement, place / "state.db"))
            os._exit(0)
        os.close(said)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            say(statement, os.waitstatus_to_exitcode(status))
            return


async def forever(path: Path, name: str) -> None:
    store = SqliteStore.open(path, clock=now)
    for number in count():
        made = await store.create(play(f"{name}-{number}", labels={"by": name}))
        await store.update_status(in_stage(made, f"stage-{number}"))
        say(made.name, number)


async def put(path: Path, name: str) -> None:
    store = SqliteStore.open(path, clock=now)
    for number in count():
        await store.put_deliveries([delivery(f"{name}:{number}")])
        say(number)


async def raise_number(path: Path, times: int) -> None:
    store = SqliteStore.open(path, clock=now)
    for _ in range(times):
        while True:
            read = await store.get(Play, "play-demo-1")
            assert read is not None
            try:
                await store.update_status(msgspec.structs.replace(read, status=PlayStatus(iteration=read.status.iteration + 1)))
            except WriteConflictError:
                continue
            break
    await store.close()


def main(task: str, path: str, detail: str = "") -> None:
    match task:
        case "boundaries":
            boundaries(Path(path))
        case "forever":
            asyncio.run(forever(Path(path), detail))
        case "put":
            asyncio.run(put(Path(path), detail))
        case "count":
            asyncio.run(raise_number(Path(path), int(detail)))
        case _:
            sys.exit(f"unknown task {task}")


if __name__ == "__main__":
    main(*sys.argv[1:])
