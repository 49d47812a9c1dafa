"""git over HTTP: `git http-backend` behind Basic authentication; pushes meet permissions and rules, and are told afterwards."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from aiohttp import web
from tests.fakes.github import pushes
from tests.fakes.github.auth import Caller, authenticate, level, sees
from tests.fakes.github.errors import ApiError
from tests.fakes.github.faults import FaultKind, Faults
from tests.fakes.github.git import environment
from tests.fakes.github.rules import refusals
from tests.fakes.github.state import Level, Repo
from tests.fakes.github.world import World

CHUNK = 1 << 16
REFUSED = "FAKE_GITHUB_REFUSED"
_HOOK = '''#!{python} -ISE
"""Refuses what the fake told it to refuse; a push by force is seen only here, where the new commits are."""

import os
import subprocess
import sys

moves = {{ref: (old, new) for old, new, ref in (line.split() for line in sys.stdin)}}
wrong = []
for line in os.environ.get("{variable}", "").splitlines():
    when, ref, why = line.split("\\t")
    if when == "force" and subprocess.run(["git", "merge-base", "--is-ancestor", *moves[ref]]).returncode == 0:
        continue
    wrong.append((ref, why))
for ref in dict(wrong):
    print(f"error: GH013: Repository rule violations found for {{ref}}.\\n", file=sys.stderr)
    print("\\n".join(f"- {{why}}" for about, why in wrong if about == ref), file=sys.stderr)
sys.exit(bool(wrong))
'''


def install_hook(path: Path) -> None:
    """Puts the hook that refuses pushes into a bare repository."""
    hook = path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_HOOK.format(python=sys.executable, variable=REFUSED), encoding="utf-8")
    hook.chmod(0o755)


class GitHttp:
    """Serves the repositories of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request of a git client."""
        if (met := await self._meet(request)) is not None:
            return met
        try:
            repo, caller = self._admit(request)
        except ApiError as error:
            headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if error.status == 401 else {}
            return web.Response(status=error.status, text=error.message + "\n", headers=headers)
        if request.method == "POST" and _service(request) == "git-receive-pack":
            return await self._receive(request, repo, caller)
        async with _Backend(request, repo, {}) as backend:
            return await backend.stream(_chunks(request))

    async def _meet(self, request: web.Request) -> web.Response | None:
        fault = self._faults.take(request.method, request.path_qs, git=True)
        if fault is None:
            return None
        await asyncio.sleep(fault.seconds)
        if fault.kind is FaultKind.CUT and request.transport is not None:
            request.transport.close()
        return None if fault.kind is FaultKind.SLOW else web.Response(status=fault.status or 500)

    def _admit(self, request: web.Request) -> tuple[Repo, Caller]:
        owner, name = request.match_info["owner"], request.match_info["repo"].removesuffix(".git")
        header = request.headers.get("Authorization", "")
        try:
            caller = authenticate(self._world, header if header.lower().startswith("basic ") else "")
        except ApiError as error:
            raise ApiError(error.status, "Invalid username or token.") from error
        repo = self._world.find_repo(owner, name) or self._world.moved(owner, name)
        if caller.token is None and (repo is None or repo.private or _service(request) == "git-receive-pack"):
            raise ApiError(401, "Authentication required")
        if repo is None or not sees(self._world, caller, repo):
            raise ApiError(404, "Repository not found.")
        held = level(self._world, caller, repo, "contents")
        if _service(request) == "git-receive-pack" and held < Level.WRITE:
            raise ApiError(403, "Write access to repository not granted.")
        if held < Level.READ:
            raise ApiError(403, "Read access to repository not granted.")
        return repo, caller

    async def _receive(self, request: web.Request, repo: Repo, caller: Caller) -> web.StreamResponse:
        actor = caller.acting()
        head, commands = await _commands(request)
        refused = refusals(self._world, repo, actor, commands)
        told = "\n".join("\t".join(refusal) for refusal in refused)
        async with repo.git.lock, _Backend(request, repo, {REFUSED: told, "REMOTE_USER": actor.login}) as backend:
            before = await pushes.watched(repo)
            answer = await backend.whole(_chunks(request, head))
            await pushes.record(self._world, repo, before, actor)
            return answer


def _service(request: web.Request) -> str:
    return request.query.get("service", "") if request.method == "GET" else request.match_info["tail"]


async def _commands(request: web.Request) -> tuple[bytes, list[tuple[str, str, str]]]:
    """The start of a push up to its first flush packet, and the (old, new, ref) in it."""
    head, position = b"", 0
    found: list[tuple[str, str, str]] = []
    while True:
        while len(head) < position + 4:
            if not (chunk := await request.content.read(CHUNK)):
                return head, found
            head += chunk
        size = int(head[position : position + 4], 16)
        if size == 0:
            return head, found
        while len(head) < position + size:
            if not (chunk := await request.content.read(CHUNK)):
                return head, found
            head += chunk
        line = head[position + 4 : position + size].partition(b"\0")[0].decode("utf-8", "replace").rstrip("\n")
        position += size
        fields = line.split(" ", 2)
        if len(fields) == 3:
            found.append((fields[0], fields[1], fields[2]))


async def _chunks(request: web.Request, head: bytes = b"") -> AsyncIterator[bytes]:
    if head:
        yield head
    while chunk := await request.content.read(CHUNK):
        yield chunk


class _Backend:
    """One `git http-backend` process."""

    def __init__(self, request: web.Request, repo: Repo, extra: dict[str, str]) -> None:
        self._request = request
        tail = request.match_info["tail"]
        self._environment = environment(
            {
                "GIT_PROJECT_ROOT": str(repo.git.path.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": f"/{repo.git.path.name}/{tail}",
                "REQUEST_METHOD": request.method,
                "QUERY_STRING": request.query_string,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
                **extra,
            }
        )

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stream(self, body: AsyncIterator[bytes]) -> web.StreamResponse:
        """Hands the request in and the answer out as both come."""
        feed = asyncio.get_running_loop().create_task(self._feed(body))
        try:
            status, headers = await self._head()
            answer = web.StreamResponse(status=status, headers=headers)
            await answer.prepare(self._request)
            assert self._process.stdout is not None
            while chunk := await self._process.stdout.read(CHUNK):
                await answer.write(chunk)
            await answer.write_eof()
            return answer
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)

    async def whole(self, body: AsyncIterator[bytes]) -> web.Response:
        """The answer once the process has ended."""
        feed = asyncio.get_running_loop().create_task(self._feed(body))
        status, headers = await self._head()
        assert self._process.stdout is not None
        data = await self._process.stdout.read()
        await feed
        await self._process.wait()
        return web.Response(status=status, headers=headers, body=data)

    async def _feed(self, body: AsyncIterator[bytes]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            async for chunk in body:
                self._process.stdin.write(chunk)
                await self._process.stdin.drain()
        self._process.stdin.close()

    async def _head(self) -> tuple[int, dict[str, str]]:
        assert self._process.stdout is not None
        status = 200
        headers: dict[str, str] = {}
        while line := (await self._process.stdout.readline()).decode("latin-1").strip():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers[name] = value
        return status, headers
