"""What the tests of the fake GitHub have at hand: a clock, a bare REST client, git, a door that takes webhooks in."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import jwt
from aiohttp import web
from tests.fakes.github import FakeGitHub, MadeApp

REPO = "5dlabs/demo"
WRITE = {"contents": "write", "pull_requests": "write", "issues": "write", "checks": "write", "statuses": "write"}
PERMISSIONS = {**WRITE, "administration": "read"}
SECRET = "hook-secret"


class Clock:
    """Epoch seconds that stand still until told."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Reply(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """Everything an error says."""
        return " ".join(
            [
                self.body["message"],
                *[
                    error if isinstance(error, str) else error.get("message", error.get("field", ""))
                    for error in self.body.get("errors", [])
                ],
            ]
        )


class Client:
    """Sends what it is told with one credential."""

    def __init__(self, session: aiohttp.ClientSession, root: str, credential: str = "") -> None:
        self._session = session
        self._root = root
        self._credential = credential

    def as_(self, credential: str) -> "Client":
        return Client(self._session, self._root, credential)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._credential:
            headers["Authorization"] = f"Bearer {self._credential}"
        url = path if path.startswith("http") else self._root + path
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
            parsed = json.loads(text) if "json" in answer.headers.get("Content-Type", "") and text else text
            return Reply(answer.status, parsed, {name.lower(): value for name, value in answer.headers.items()})

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = None) -> Reply:
        return await self.ask("POST", path, body)


def app_jwt(app: MadeApp, now: float, *, ends_in: float = 540, issued: float = -60, issuer: str = "") -> str:
    claims = {"iat": int(now + issued), "exp": int(now + ends_in), "iss": issuer or str(app.id)}
    return jwt.encode(claims, app.private_key, algorithm="RS256")


class Ended(NamedTuple):
    code: int
    text: str


async def git(*args: str, cwd: Path | None = None, token: str = "") -> Ended:
    """Runs git as a user without settings; a token goes into the header."""
    settings = ["-c", "user.name=ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
    if token:
        word = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings += ["-c", f"http.extraHeader=Authorization: Basic {word}"]
    plain = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        "git",
        *settings,
        *args,
        cwd=cwd,
        env={**plain, "HOME": os.devnull},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return Ended(process.returncode or 0, out.decode())


async def work_tree(path: Path) -> Path:
    """A repository with two commits on main."""
    path.mkdir()
    await git("init", "-q", cwd=path)
    for name in ("one", "two"):
        await write(path, f"{name}.txt", f"{name}\n")
    return path


async def write(folder: Path, name: str, text: str, message: str = "") -> str:
    """Commits one file; the new commit."""
    (folder / name).write_text(text, encoding="utf-8")
    await git("add", name, cwd=folder)
    await git("commit", "-q", "-m", message or f"Write {name}", cwd=folder)
    return (await git("rev-parse", "HEAD", cwd=folder)).text.strip()


class Got(NamedTuple):
    event: str
    guid: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.event}.{self.body['action']}" if "action" in self.body else self.event


class Door:
    """Takes webhooks in; `status` is what it answers."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.status = 200
        self.url = ""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        wanted = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(request.headers["X-Hub-Signature-256"], wanted)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(headers["x-github-event"], headers["x-github-delivery"], json.loads(raw), headers))
        return web.Response(status=self.status)

    def names(self) -> list[str]:
        return [one.name for one in self.got]


class Desk(NamedTuple):
    """A fake with one repository, one App on it, and a person."""

    github: FakeGitHub
    clock: Clock
    client: Client
    app: MadeApp
    door: Door
    folder: Path

    @property
    def installation(self) -> Any:
        return next(one for one in self.github.world.installations if one.app is self.app.app)

    def bot(self, **permissions: str) -> Client:
        """The App's bot with these permissions, all where none are named."""
        wanted = {"permissions": permissions} if permissions else {}
        return self.client.as_(self.github.installation_token(self.installation, **wanted))

    def token(self, **permissions: str) -> str:
        wanted = {"permissions": permissions} if permissions else {}
        return self.github.installation_token(self.installation, **wanted)

    def person(self, login: str = "ada") -> Client:
        return self.client.as_(self.github.personal_token(login))

    def jwt(self, **more: Any) -> Client:
        return self.client.as_(app_jwt(self.app, self.clock.now, **more))

    @property
    def remote(self) -> str:
        return f"{self.github.url}/{REPO}.git"

    async def pull(self, branch: str = "feature/task-7-implementation", login: str = "ada") -> int:
        """A pull request of a person with one commit."""
        await self.github.people.commit(REPO, branch, f"{branch.replace('/', '-')}.txt", "work\n", login)
        return (await self.github.people.open_pull(REPO, login, title="Do the task", head=branch)).number
