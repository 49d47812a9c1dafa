"""10,000 deliveries of 10 kB while the door is killed with SIGKILL every two seconds: how many are lost.

GitHub sends each once, 250 a second, whatever becomes of it. What was not taken in is looked up in GitHub's own log of
deliveries, as a controller does. The sender is the fake GitHub in this process; the door is a process of its own on SQLite.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog
from benchmarks.table import Row
from tests.fakes.github import FakeGitHub, MadeApp

from coderun.app.repair import DeliveryRepair
from coderun.forge.github.auth import AppCredential, AppKey
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.deliveries import DeliveryLog
from coderun.store.sqlite import SqliteStore
from coderun.web.door import PATH
from coderun.web.serve import open_door

DELIVERIES = 10_000
RATE = 250
KILL_SECONDS = 2.0
SECRET = "bench"  # noqa: S105 - signs nothing but this


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


async def serve(folder: Path, port: int) -> None:
    """The door, for ever; a line of output once it is open."""
    store = SqliteStore.open(folder / "state.db", clock=now)
    async with open_door(store, host="127.0.0.1", port=port, secrets=lambda: [SECRET], clock=now) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


class Door:
    """The process of the door, and how often it was killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kills = 0
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> str:
        """Start it, at the port it had before; its URL."""
        root = Path(__file__).parents[1]
        words = (sys.executable, "-m", "benchmarks.inbox_bench", str(self.folder), str(self.port))
        environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
        self._process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        url = (await self._process.stdout.readline()).decode().strip()
        assert url.endswith(PATH), "the door did not open"
        self.port = int(url.removesuffix(PATH).rpartition(":")[2])
        return url

    async def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self.kills += 1

    async def keep_killing(self) -> None:
        """Kill it every two seconds, and open it again."""
        while True:
            await asyncio.sleep(KILL_SECONDS)
            await self.kill()
            await self.open()


def make_app(github: FakeGitHub, url: str) -> MadeApp:
    """An App whose events go there."""
    permissions = {"contents": "write", "pull_requests": "write"}
    return github.create_app("Rex", permissions=permissions, subscribed=["push"], webhook_url=url, webhook_secret=SECRET)


class Found:
    """What came of it."""

    def __init__(self) -> None:
        self.sent = self.answered = self.unstored = self.repaired = self.lost = self.kills = 0
        self.seconds = 0.0


async def measure() -> Found:
    """Send, kill, look up, count."""
    found = Found()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        github = await stack.enter_async_context(FakeGitHub(folder / "github"))
        github.server.limits.limit = 10 * DELIVERIES
        door = Door(folder)
        app = make_app(github, await door.open())
        begun = time.perf_counter()
        killing = asyncio.ensure_future(door.keep_killing())
        for number in range(DELIVERIES):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            body = {"ref": f"refs/heads/feature/task-{number}-implementation", "x": "x" * 10_000}
            github.world.send("push", body, app=app.app)
        await github.settle()
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await door.kill()
        found.seconds, found.kills = time.perf_counter() - begun, door.kills
        attempts = list(app.app.hook.deliveries)
        store = SqliteStore.open(folder / "state.db", clock=now)
        stack.push_async_callback(store.close)
        sent = {attempt.guid for attempt in attempts}
        answered = {attempt.guid for attempt in attempts if attempt.status_code == 202}
        stored = await _stored(store)
        found.sent, found.answered, found.unstored = len(sent), len(answered), len(answered - stored)
        session = await stack.enter_async_context(open_session())
        key = AppKey(str(app.id), app.private_key.encode(), clock=now)
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        log = DeliveryLog(Client(session, AppCredential(key), base_url=github.api_url))
        repair = DeliveryRepair({"rex": log}, store, clock=now)
        while (await repair.reconcile("rex")).after == 0.0:
            pass
        after = await _stored(store)
        found.repaired, found.lost = len(after - stored), len(sent - after)
    return found


async def _stored(store: SqliteStore) -> set[str]:
    return {delivery.id.removeprefix("github-") for delivery in await store.list_deliveries(limit=10 * DELIVERIES)}


def rows() -> list[Row]:
    """How many were lost, and how many of those that were answered are not there."""
    found = asyncio.run(measure())
    assert found.sent == DELIVERIES
    beside = f"{found.kills} kills in {found.seconds:.0f} s; {found.repaired:,} found in GitHub's log"
    return [
        Row("10,000 deliveries, door killed every 2 s: lost", found.lost, "", "< 1", beside),
        Row("… answered 202 and not stored", found.unstored, "", "< 1", f"{found.answered:,} answered"),
    ]


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
