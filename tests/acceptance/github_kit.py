"""A user's world whose repository is on the fake GitHub: an App for each agent, their keys where `coderun` looks for them.

The fake has a thread of its own: git clients and commands are waited for, and speak to it meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.acceptance.kit import DEADLINE, PERSON, Place, until
from tests.fakes.github import FakeGitHub, MadeApp
from tests.fakes.github.state import Installation, Pull

from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.model.github import github_host

T = TypeVar("T")
REPOSITORY: Final = "Acme/Shop"
BRANCH: Final = "feature/task-1-implementation"
AGENTS: Final = ("rex", "cleo", "tess")
PERMISSIONS: Final = {
    "administration": "read",
    "checks": "write",
    "contents": "write",
    "issues": "read",
    "pull_requests": "write",
    "statuses": "read",
}


class GitHubWorld(Place):
    """A `Place` with GitHub in it. `fake` is to be touched by `there` and `here` alone: it lives in another thread."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time, **server: Any) -> None:
        super().__init__(folder)
        self.fake = FakeGitHub(folder / "hub", enterprise=True, keep=True, clock=clock, **server)
        self.apps: dict[str, MadeApp] = {}
        self.installations: dict[str, Installation] = {}
        self.person_token = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.here(self.fake.__aenter__())
        self._clones = 0

    # -- the other side ------------------------------------------------------------------------------------------------------

    def here(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the fake's thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def do(self, deed: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a control of the fake in its thread."""

        async def call() -> T:
            return deed(*arguments, **named)

        return self.here(call())

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "XDG_CONFIG_HOME": str(self.home / "config")}

    @property
    def keys(self) -> Path:
        return keys_folder(github_host(self.fake.url), environ=self.environment, home=self.home)

    def open_hub(self, *tasks: dict[str, Any], apps: bool = True, **forge: Any) -> None:
        """Make the repository with these tasks, put it on the fake, and install an App for each agent."""
        self.settings["forge"] = {
            "type": "github",
            "url": self.fake.url,
            "repository": REPOSITORY,
            "pollSeconds": 0.2,
            **forge,
        }
        self.settings["checksGraceSeconds"] = 0
        for agent in self.settings["agents"].values():
            agent.pop("githubApp", None)
        self.init(*tasks)
        self.do(self.fake.add_organization, "Acme")
        self.here(self.fake.create_repo(REPOSITORY, source=self.repository))
        self.do(self.fake.add_collaborator, REPOSITORY, PERSON, "admin")
        self.person_token = self.do(self.fake.personal_token, PERSON)
        self.git("remote", "add", "origin", f"{self.fake.url}/{REPOSITORY}.git")
        if apps:
            for name in AGENTS:
                self.add_app(name)

    def add_app(self, name: str, permissions: Mapping[str, str] = PERMISSIONS) -> MadeApp:
        """An App for an agent, installed on the repository, with its key kept where `coderun` reads it."""
        made = self.apps[name] = self.do(self.fake.create_app, f"Acme-{name.title()}", permissions=dict(permissions))
        self.installations[name] = self.do(self.fake.install, made, "Acme", repos=["Shop"])
        write_app(self.keys, AppKeys(agent=name, app_id=str(made.id), pem=made.private_key.encode(), slug=made.slug))
        return made

    def login(self, name: str) -> str:
        """An agent's login."""
        return self.apps[name].login

    # -- people --------------------------------------------------------------------------------------------------------------

    def hub_url(self, token: str = "") -> str:
        """What git clones, with the person's token."""
        return f"{self.fake.url.replace('://', f'://x-access-token:{token or self.person_token}@')}/{REPOSITORY}.git"

    def push(self, branch: str, name: str, text: str, *, force: bool = False) -> str:
        clone = self.folder / "person"
        if not clone.exists():
            self.git("clone", "--quiet", self.hub_url(), str(clone), cwd=self.folder)
        self.git("fetch", "--quiet", "origin", cwd=clone)
        start = "origin/main" if force else f"origin/{branch}"
        self.git("checkout", "--quiet", "-B", branch, start, cwd=clone)
        (clone / name).write_text(text, encoding="utf-8")
        self.git("add", "--all", cwd=clone)
        self.git("commit", "--quiet", "-m", f"Change {name}", cwd=clone)
        self.git("push", "--quiet", *(["--force"] if force else []), "origin", branch, cwd=clone)
        return self.git("rev-parse", "HEAD", cwd=clone)

    def file_on(self, branch: str, name: str) -> str:
        return self.git("--git-dir", str(self.fake.repo(REPOSITORY).git.path), "show", f"{branch}:{name}")

    def on_hub(self, number: int = 1) -> Pull:
        """A pull request as the fake has it."""
        return self.fake.pull(REPOSITORY, number)

    def labels(self, number: int = 1) -> set[str]:
        """Labels of a pull request."""
        return {label.name for label in self.on_hub(number).labels}

    # -- looking -------------------------------------------------------------------------------------------------------------

    async def until_pull(self, holds: Callable[[Pull], object], what: str, number: int = 1) -> Pull:
        """Wait until a pull request is as expected."""

        def look() -> Pull | None:
            found = self.fake.repo(REPOSITORY).pulls.get(number)
            return found if found is not None and holds(found) else None

        return await until(look, what, tell=self.tell)

    def written(self, method: str, ending: str) -> list[str]:
        """Who made requests that changed something, by method and the end of the path (`PUT`, `/merge`)."""
        said = [entry for entry in self.fake.journal if entry["method"] == method and entry["path"].endswith(ending)]
        return [entry["caller"] for entry in said if entry["status"] < 400]

    def tokens(self) -> list[dict[str, Any]]:
        """The tokens of installations that were given, in order."""
        asked = [entry for entry in self.fake.journal if entry["path"].endswith("/access_tokens")]
        return [entry["body"] for entry in asked if entry["status"] == 201]

    async def clear_up(self) -> None:
        await super().clear_up()
        self.here(self.fake.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
