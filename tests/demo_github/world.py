"""The place of the demo: a fake GitHub with the shop's repository, an App for each agent, and controllers as processes."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from tests.fakes.github import FakeGitHub, MadeApp
from tests.fakes.github.state import Installation, Token

from coderun.app.configuration import Configuration, read_configuration
from coderun.app.demo.driver import make_project
from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.app.github_place import GitHubPlace, find_place
from coderun.app.github_setup import plan_apps
from coderun.app.local import Surroundings
from coderun.forge.github.permissions import EVENTS
from coderun.web.door import PATH

REPOSITORY: Final = "demo-org/shop"
PERSON: Final = "ada"
SECRET: Final = "demo-secret-of-the-webhook"
_WAIT: Final = 60.0
_CONFIG: Final = """\
forge: {{type: github, url: {url}, repository: {repository}, pollSeconds: 2}}
webhook: {{port: {port}}}
agents:
{agents}
play: {{autoMerge: true, parallel: 2}}
checksGraceSeconds: 0
limits: {{retryBackoffSeconds: 1, stopGraceSeconds: 5}}
"""
_CAPABILITIES: Final = {"rex": "write-code, commit", "cleo": "write-code, commit", "tess": "review, write-tests"}
_ROLES: Final = {"rex": "implementation", "cleo": "quality", "tess": "testing"}


class DemoError(Exception):
    """The demo could not go on."""


class Shop:
    """The repository, on the fake and on this machine, and everybody's keys."""

    def __init__(self, folder: Path, github: FakeGitHub) -> None:
        self.folder = folder
        self.github = github
        self.hold = folder / "hold"
        self.project = folder / "shop"
        self.apps: dict[str, MadeApp] = {}
        self.installations: dict[str, Installation] = {}
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ},
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.port = _free_port()
        self.tokens = github.world.tokens = Given()
        self.controllers: list[asyncio.subprocess.Process] = []

    async def make(self) -> None:
        """Repository, Apps, keys, configuration."""
        for path in (self.hold, self.folder / "home"):
            path.mkdir(parents=True)
        await asyncio.to_thread(make_project, self.folder, self.environment)
        (self.project / "coderun.yaml").write_text(self._configuration(), encoding="utf-8")
        person = ("-c", "user.name=Ada Person", "-c", "user.email=ada@example.invalid")
        await self.git(self.project, *person, "commit", "--quiet", "-am", "Play on GitHub")
        self.github.add_organization("demo-org")
        await self.github.create_repo(REPOSITORY, source=self.project)
        self.github.add_collaborator(REPOSITORY, PERSON, "admin")
        for wanted in plan_apps(self.configuration, self.place, webhook_url=f"http://127.0.0.1:{self.port}{PATH}"):
            order, name = wanted.order, wanted.agent.name
            made = self.apps[name] = self.github.create_app(
                order.name,
                permissions=dict(order.permissions),
                subscribed=sorted(EVENTS) if order.webhook_url else [],
                owner="demo-org",
                webhook_url=order.webhook_url,
                webhook_secret=SECRET if order.webhook_url else "",
            )
            self.installations[name] = self.github.install(made, "demo-org", repos=["shop"])
            secrets = (SECRET,) if order.webhook_url else ()
            keys = AppKeys(
                agent=name, app_id=str(made.id), pem=made.private_key.encode(), slug=made.slug, webhook_secrets=secrets
            )
            folder = keys_folder(self.place.host, environ=self.environment, home=Path(self.environment["HOME"]))
            write_app(folder, keys)

    def _configuration(self) -> str:
        script = Path(__file__).with_name("agent.py")
        command = f"[{sys.executable}, {script}, {self.hold}]"
        lines = [
            f"  {name}: {{role: {role}, capabilities: [{_CAPABILITIES[name]}], "
            f"cli: {{cliType: command, settings: {{command: {command}}}}}}}"
            for name, role in _ROLES.items()
        ]
        return _CONFIG.format(url=self.github.url, repository=REPOSITORY, port=self.port, agents="\n".join(lines))

    @property
    def configuration(self) -> Configuration:
        """What the repository says."""
        return read_configuration(self.project)

    @property
    def place(self) -> GitHubPlace:
        """Where it is."""
        return find_place(self.project, self.configuration.config.forge, environ=self.environment)

    @property
    def around(self) -> Surroundings:
        """As a command of the person's would find it."""
        home = Path(self.environment["HOME"])
        return Surroundings(cwd=self.project, home=home, environment=self.environment, command="demo")

    def url(self) -> str:
        """What the person clones."""
        token = self.github.personal_token(PERSON)
        return f"{self.github.url.replace('://', f'://x-access-token:{token}@')}/{REPOSITORY}.git"

    # -- processes -----------------------------------------------------------------------------------------------------------

    async def git(self, cwd: Path, *words: str) -> str:
        """Run git as the person."""
        code, said = await self.run("git", *words, cwd=cwd)
        if code:
            raise DemoError(f"git {words[0]} failed: {said[-500:]}")
        return said.strip()

    async def run(self, *argv: str, cwd: Path | None = None) -> tuple[int, str]:
        """Run a program to its end; its exit code and all it said."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd or self.project,
            env={**self.environment, "GIT_TERMINAL_PROMPT": "0"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode("utf-8", "replace")

    async def coderun(self, *words: str) -> tuple[int, str]:
        """Run a command of `coderun`."""
        return await self.run(sys.executable, "-m", "coderun.cli.main", *words)

    async def start_controller(self) -> asyncio.subprocess.Process:
        """A controller with a webhook door, as a process of its own; it is there when this returns."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "coderun.cli.main",
            "up",
            cwd=self.project,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.controllers.append(process)
        assert process.stdout is not None
        said: list[str] = []
        try:
            async with asyncio.timeout(_WAIT):
                while not any("webhooks are taken at" in line for line in said):
                    line = (await process.stdout.readline()).decode("utf-8", "replace")
                    if not line:
                        raise DemoError(f"the controller did not start: {''.join(said)[-1000:]}")
                    said.append(line)
        except TimeoutError:
            raise DemoError(f"the controller did not start in {_WAIT:g} s: {''.join(said)[-1000:]}") from None
        return process

    async def stop_controllers(self) -> None:
        """End those that are left."""
        for process in self.controllers:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
        for process in self.controllers:
            await process.communicate()


class Given(dict[str, Token]):
    """The fake's tokens, and every one of an installation that there ever was."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: list[Token] = []

    def __setitem__(self, value: str, token: Token) -> None:
        super().__setitem__(value, token)
        if token.installation is not None:
            self.ever.append(token)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
