"""A repository on the fake GitHub with an App for each agent and a person, and git clients that push over HTTP."""

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.fakes.github import FakeGitHub, MadeApp
from tests.integration.forge.local_place import git, make_user_repository, run_git

from coderun.forge.github.auth import AppCredential, AppInstallations, AppKey, PersonalToken, RepositoryToken
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.forge import GitHubForge
from coderun.model.repository import RepositoryId

T = TypeVar("T")
REPOSITORY: Final = "Acme/Shop"
PERSON: Final = "ada"
PERMISSIONS: Final = {
    "administration": "read",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "statuses": "write",
}


class Ticking:
    """Seconds since the epoch; each look is a second later."""

    def __init__(self) -> None:
        self._seconds = itertools.count(1_767_225_600)
        self.last = float(next(self._seconds))

    def __call__(self) -> float:
        self.last = float(next(self._seconds))
        return self.last

    def peek(self) -> datetime:
        return datetime.fromtimestamp(self.last, UTC)


class GitHubPlace:
    """Implements `ForgePlace` of the contract. The fake has a thread of its own: git clients are waited for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base_branch = "main"
        self.clock = Ticking()
        self.session = open_session()
        self.fake = FakeGitHub(root / "hub", clock=self.clock)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._forges: dict[str, GitHubForge] = {}
        self._tokens: dict[str, str] = {}
        self._apps: dict[str, MadeApp] = {}
        self._clones = 0

    async def there(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the fake's thread."""
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def open(self, *agents: str) -> None:
        source = make_user_repository(self.root / "source")
        await self.there(self.fake.__aenter__())
        await self.there(self._fill(source, agents))
        for name in agents:
            self._forges[name] = await self._app_forge(name, agents)
        client = self._client(PersonalToken(self._tokens[""]))
        self._forges[""] = GitHubForge(client, self.repository, login=PERSON, trusted=self._logins(agents))

    async def _fill(self, source: Path, agents: tuple[str, ...]) -> None:
        self.fake.add_organization("Acme")
        await self.fake.create_repo(REPOSITORY, source=source)
        self.fake.add_collaborator(REPOSITORY, PERSON, "admin")
        self._tokens[""] = self.fake.personal_token(PERSON)
        for name in agents:
            self._apps[name] = self.fake.create_app(name, permissions=PERMISSIONS)
            installation = self.fake.install(self._apps[name], "Acme", repos=["Shop"])
            self._tokens[name] = self.fake.installation_token(installation)

    @property
    def repository(self) -> RepositoryId:
        return RepositoryId(host="127.0.0.1", owner="acme", name="shop")

    def _logins(self, agents: tuple[str, ...]) -> list[str]:
        return [self._apps[name].login for name in agents]

    def _client(self, credential: Any) -> Client:
        return Client(self.session, credential, base_url=self.fake.api_url, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        """The fake's clock goes by itself."""

    async def _app_forge(self, name: str, agents: tuple[str, ...]) -> GitHubForge:
        made = self._apps[name]
        as_app = self._client(AppCredential(AppKey(str(made.id), made.private_key.encode(), clock=self.clock.peek), name=name))
        installations = AppInstallations(as_app, clock=self.clock.peek)
        wanted = {key: value for key, value in PERMISSIONS.items() if key != "administration"}
        token = RepositoryToken(installations, as_app, self.repository, wanted, clock=self.clock.peek)
        login = await installations.login()
        return GitHubForge(as_app.acting_as(token), self.repository, login=login, trusted=self._logins(agents))

    def agent(self, name: str) -> GitHubForge:
        return self._forges[name]

    def person(self) -> GitHubForge:
        return self._forges[""]

    def url(self, by: str = "") -> str:
        return f"{self.fake.url.replace('://', f'://x-access-token:{self._tokens[by]}@')}/{REPOSITORY}.git"

    def clone(self) -> Path:
        self._clones += 1
        target = self.root / f"clone-{self._clones}"
        git(self.root, "clone", "-q", self.url(), str(target))
        return target

    def push(
        self,
        branch: str,
        files: Mapping[str, str],
        *,
        by: str = "",
        start: str = "",
        force: bool = False,
        message: str = "work",
    ) -> str:
        clone = self.clone()
        known = run_git(clone, "rev-parse", "--verify", "-q", f"refs/remotes/origin/{branch}").returncode == 0
        git(clone, "checkout", "-q", "--detach", start or f"refs/remotes/origin/{branch if known else self.base_branch}")
        for name, text in files.items():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(text)
        if files:
            git(clone, "add", "-A", "-f")
            git(clone, "commit", "-q", "--allow-empty", "-m", f"{message} on {branch}")
        git(clone, "push", "-q", self.url(by), f"{'+' if force else ''}HEAD:refs/heads/{branch}")
        return git(clone, "rev-parse", "HEAD")

    def delete_branch(self, branch: str) -> None:
        git(self.clone(), "push", "-q", self.url(), f":refs/heads/{branch}")

    def base_files(self) -> dict[str, str]:
        clone = self.clone()
        return {name: (clone / name).read_text() for name in git(clone, "ls-files").split("\n")}

    async def close(self) -> None:
        await self.session.close()
        await self.there(self.fake.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
