"""What the cluster benchmarks share: programs that answer lines, a client that creates CodeRuns and watches, percentiles."""

import asyncio
import base64
import contextlib
import json
import math
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import yaml

ROOT = Path(__file__).parents[1]
RUNS = "/apis/agents.platform/v1/namespaces/{}/coderuns"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
IN_FLIGHT = 64


class Program:
    """A Python module in a process of its own that answers each line with one line of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def line(self) -> str:
        """The next line it says. Raises `EOFError` where it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError(f"process {self.pid} has ended")
        return line.strip()

    def ask(self, word: str = "") -> Any:
        """Its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return json.loads(self.line())

    async def ask_aside(self, word: str = "") -> Any:
        """Its answer, while this program goes on."""
        return await asyncio.to_thread(self.ask, word)


@contextlib.contextmanager
def program(module: str, *arguments: str, ready: str) -> Iterator[Program]:
    """A module of this folder as a process, for as long as the block lasts, from when it says that it is ready."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            made = Program(process)
            said = made.line()
            assert said == ready, said
            yield made
        finally:
            process.terminate()


class Meta(msgspec.Struct, frozen=True):
    """Whose event it is."""

    name: str = ""
    uid: str = ""
    version: str = msgspec.field(name="resourceVersion", default="")


class Status(msgspec.Struct, frozen=True):
    """How far a CodeRun is."""

    phase: str = ""


class Thing(msgspec.Struct, frozen=True):
    """What of an object is looked at."""

    metadata: Meta = Meta()
    status: Status = Status()


class Seen(msgspec.Struct, frozen=True):
    """What of an event is looked at."""

    type: str
    object: Thing


_seen = msgspec.json.Decoder(Seen)


class Cluster:
    """An API server as a client sees it that has no opinions."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self.session = session
        self.runs = RUNS.format(namespace)
        self.jobs = JOBS.format(namespace)
        self.core = f"/api/v1/namespaces/{namespace}"

    async def post(self, path: str, body: Any) -> None:
        """Create something."""
        await self.send("POST", path, msgspec.json.encode(body))

    async def patch(self, path: str, body: Any) -> None:
        """Change something by a merge patch."""
        await self.send("PATCH", path, msgspec.json.encode(body))

    async def create(self, name: str) -> None:
        """Create a CodeRun."""
        await self.post(self.runs, coderun(name))

    async def empty(self) -> None:
        """Delete all CodeRuns, and wait until what was made for them has been collected; workspaces stay."""
        await self.send("DELETE", self.runs, b"{}")
        async with asyncio.timeout(120):
            for path in (self.runs, self.jobs, f"{self.core}/pods", f"{self.core}/configmaps"):
                while await self._count(path):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.5)

    async def _count(self, path: str) -> int:
        """How many objects there are, but for what every namespace has."""
        async with self.session.get(path) as reply:
            items = (await reply.json())["items"]
        return sum(item["metadata"]["name"] != "kube-root-ca.crt" for item in items)

    async def send(self, method: str, path: str, data: bytes) -> None:
        """Write something; patches are merge patches. Where the server asks for patience it gets it."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        while True:
            async with self.session.request(method, path, data=data, headers={"Content-Type": kind}) as reply:
                text = await reply.read()
            if reply.status != 429:
                assert reply.status < 300, f"{method} {path}: {reply.status} {text[:300]!r}"
                return
            await asyncio.sleep(float(reply.headers.get("Retry-After", "1")))

    async def version(self, path: str) -> str:
        """Up to which version a list is."""
        async with self.session.get(path, params={"limit": "1"}) as reply:
            return str((await reply.json())["metadata"]["resourceVersion"])

    async def events(self, path: str, version: str) -> AsyncIterator[Seen]:
        """What happens after a version, for ever: a server may end a watch, as it does when a kind is still new to it."""
        forever = aiohttp.ClientTimeout(total=None)
        while True:
            query = {"watch": "1", "resourceVersion": version}
            async with self.session.get(path, params=query, timeout=forever) as reply:
                async for line in reply.content:
                    event = _seen.decode(line)
                    version = event.object.metadata.version
                    yield event


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path, namespace: str) -> AsyncIterator[Cluster]:
    """A client by a kubeconfig with a token."""
    config = yaml.safe_load(kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    headers = {"Authorization": f"Bearer {user['token']}"}
    authority = base64.b64decode(server.get("certificate-authority-data", "")).decode()
    tls: Any = ssl.create_default_context(cadata=authority) if authority else True
    connector = aiohttp.TCPConnector(limit=2 * IN_FLIGHT, ssl=tls)
    async with aiohttp.ClientSession(server["server"], headers=headers, connector=connector) as session:
        yield Cluster(session, namespace)


def coderun(name: str) -> dict[str, Any]:
    """A CodeRun with a workspace of its own."""
    return {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": {"name": name, "labels": {"task-id": "7", "service": name, "workflow-name": "a-workflow"}},
        "spec": {
            "taskId": 7,
            "service": name,
            "repositoryUrl": "https://forge.example/acme/shop",
            "githubApp": "5DLabs-Rex",
            "task": {"title": "Add a cart to the shop", "body": "What a cart is and what it is not. " * 10},
        },
    }


async def in_parallel(works: Iterable[Callable[[], Any]], limit: int = IN_FLIGHT) -> None:
    """Do them all, so many at a time."""
    waiting = iter(works)

    async def worker() -> None:
        for work in waiting:
            await work()

    await asyncio.gather(*(worker() for _ in range(limit)))


class Arrivals:
    """When each of a set of names was first seen to be so far, by a watch in this process."""

    def __init__(self, cluster: Cluster, path: str, fits: Callable[[Seen], str]) -> None:
        self.at: dict[str, float] = {}
        self._cluster = cluster
        self._path = path
        self._fits = fits
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(await self._cluster.version(self._path)))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, version: str) -> None:
        async for event in self._cluster.events(self._path, version):
            name = self._fits(event)
            if name and name not in self.at:
                self.at[name] = time.perf_counter()
                self._grown.set()

    async def wait_for(self, count: int, seconds: float = 300.0) -> None:
        """Wait until so many are there."""
        async with asyncio.timeout(seconds):
            while len(self.at) < count:
                await self._grown.wait()
                self._grown.clear()
                assert self._task is not None
                if self._task.done():
                    self._task.result()


def waited_for_a_core(pid: int) -> float:
    """Seconds in which a process's first thread was ready and another program had its core (Linux)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
