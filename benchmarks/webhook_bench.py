"""The webhook door: verify, store and answer with bodies of 10 kB on SQLite, on one core; and how long correlation takes.

The door is a process of its own, pinned to a core where the system allows it; the sender is this one. Deliveries at 200/s
are sent at their moments whatever the answers take; the peak is what 32 connections get answered that do not wait. The same
once more at `coderun up` with plays that the deliveries are hints for: there the door shares its process with the controller.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import aiohttp
import msgspec
from benchmarks.table import Row
from benchmarks.worlds import until, world
from msgspec.structs import replace

from coderun.app.request import PlayRequest, request_plays
from coderun.events.github import hints_of, to_delivery
from coderun.events.signature import sign
from coderun.model.play import Play
from coderun.store.sqlite import SqliteStore
from coderun.web.door import PATH, Door

SECRET = "bench"  # noqa: S105 - signs nothing but this
RATE = 200
SECONDS = 10
PEAK = 4000
CONNECTIONS = 32
PLAYS = 20


def body(repository: str = "https://github.com/acme/shop", task: int = 7) -> bytes:
    """An event of 10 kB in the shape of GitHub's."""
    side = {"ref": "feature/task-7-implementation", "sha": "a" * 40, "repo": {"id": 1, "full_name": "acme/shop"}}
    pull = {
        "number": 5,
        "head": side,
        "base": {**side, "ref": "main"},
        "labels": [{"name": f"task-{task}"}],
        "body": "x" * 9_400,
    }
    where = {"id": 1, "full_name": "acme/shop", "html_url": repository}
    return msgspec.json.encode({"action": "labeled", "pull_request": pull, "repository": where, "label": {"name": "q"}})


def headers(content: bytes, number: int) -> dict[str, str]:
    """What GitHub sends with it."""
    return {
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": f"bench-{number}",
        "X-Hub-Signature-256": sign(content, SECRET),
        "Content-Type": "application/json",
    }


async def serve(folder: Path) -> None:
    """The door, until standard input ends; its port is the first line of the output."""
    from aiohttp import web  # noqa: PLC0415 - the sender needs none

    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    store = SqliteStore.open(folder / "state.db", clock=lambda: datetime.now(UTC))
    door = Door(store, secrets=lambda: [SECRET], clock=lambda: datetime.now(UTC))
    runner = web.AppRunner(door.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await store.close()


@contextlib.contextmanager
def door_process(folder: Path) -> Iterator[str]:
    """The door's URL."""
    command = [sys.executable, "-m", "benchmarks.webhook_bench", str(folder)]
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as door:  # type: ignore[call-overload] # two pipes
        assert door.stdout is not None
        assert door.stdin is not None
        try:
            yield f"http://127.0.0.1:{door.stdout.readline().strip()}{PATH}"
        finally:
            door.stdin.close()


async def post(session: aiohttp.ClientSession, url: str, content: bytes, number: int) -> float:
    """Seconds until the answer."""
    begun = time.perf_counter()
    async with session.post(url, data=content, headers=headers(content, number)) as answer:
        assert answer.status == 202, await answer.text()
    return time.perf_counter() - begun


async def steady(session: aiohttp.ClientSession, url: str, content: bytes) -> list[float]:
    """Answer times at 200 a second."""
    begun = time.perf_counter()
    sent = []
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        sent.append(asyncio.ensure_future(post(session, url, content, number)))
    return list(await asyncio.gather(*sent))


async def peak(session: aiohttp.ClientSession, url: str, content: bytes) -> float:
    """Answers a second when nobody waits."""
    numbers = iter(range(1_000_000, 1_000_000 + PEAK))

    async def connection() -> None:
        for number in numbers:
            await post(session, url, content, number)

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return PEAK / (time.perf_counter() - begun)


async def measure(url: str, content: bytes) -> tuple[list[float], float]:
    """Answer times at the steady rate, and the peak."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await post(session, url, content, 999_999)
        times = await steady(session, url, content)
        most = await peak(session, url, content)
    return times, most


async def check_stored(database: Path, *, settled: bool) -> None:
    """Every delivery is there, and where a controller runs it has looked at each."""
    store = SqliteStore.open(database, clock=lambda: datetime.now(UTC))
    while settled and await store.pending_deliveries(1):  # noqa: ASYNC110 - another process settles them
        await asyncio.sleep(0.1)
    found = await store.list_deliveries(limit=1_000_000)
    await store.close()
    stored = sum(delivery.id.startswith("github-") for delivery in found)
    assert stored == RATE * SECONDS + PEAK + 1, f"{stored} deliveries are stored"
    assert not settled or all("play-" in found.outcome for found in found if found.id.startswith("github-"))


def alone() -> tuple[list[float], float]:
    """The door by itself."""
    with tempfile.TemporaryDirectory() as folder, door_process(Path(folder)) as url:
        found = asyncio.run(measure(url, body()))
        asyncio.run(check_stored(Path(folder) / "state.db", settled=False))
        return found


def wired() -> tuple[list[float], float]:
    """The door of a controller with plays under way."""
    with world(merge=False) as made:
        (made.folder / "secret").write_text(SECRET)

        async def play() -> tuple[Path, int]:
            async with made.opened() as system:
                for number in range(PLAYS):
                    await request_plays(system, PlayRequest(text=f"Do thing {number}"))
                plays = await system.store.find(Play)
                for created in plays:
                    await system.store.update(replace(created, spec=replace(created.spec, paused=True)))
                return system.state / "state.db", plays[0].spec.task_id

        database, task = asyncio.run(play())
        words = ["--webhook-port", "0", "--webhook-secret-file", str(made.folder / "secret")]
        with made.controller(*words):
            asyncio.run(until(lambda: "webhooks are taken at" in made.said))
            url = made.said.partition("webhooks are taken at ")[2].split()[0]
            found = asyncio.run(measure(url, body(str(made.project), task)))
            asyncio.run(check_stored(database, settled=True))
        return found


def correlation() -> float:
    """Milliseconds from the verified bytes to the hints."""
    content, repeats = body(), 2000
    sent = headers(content, 1)
    begun = time.perf_counter()
    for _ in range(repeats):
        assert hints_of(to_delivery(sent, content, datetime.now(UTC)))
    return (time.perf_counter() - begun) / repeats * 1000


def rows() -> list[Row]:
    """The numbers of the door."""
    found: list[Row] = []
    for times, most, where in ((*alone(), ""), (*wired(), " at a controller")):
        cuts = quantiles(times, n=100)
        beside = f"median {cuts[49] * 1000:.1f} ms, slowest {max(times) * 1000:.0f} ms"
        found += [
            Row(f"delivery stored and answered{where}, {RATE}/s, p99", cuts[98] * 1000, "ms", "< 50", beside),
            Row(f"deliveries stored and answered{where}, peak", most, "1/s", "≥ 500", f"{CONNECTIONS} connections"),
        ]
    return [*found, Row("delivery parsed and correlated", correlation(), "ms", "< 1", "10 kB")]


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
