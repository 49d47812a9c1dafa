"""What acceptance tests stand on: a small repository with tasks, an agent that does what it is told, real `coderun` commands.

A `Place` is one user's world below a temporary folder: repository, HOME, state. Commands are processes of their own; the test
looks at store and forge as another process would, and waits for what it expects there, with a deadline and never with a pause
of its own choosing.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from coderun.app.places import find_state_folder
from coderun.forge.local.forge import LocalForge
from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.names import LABEL_PLAY, LABEL_TASK, shorten
from coderun.model.play import Play, PlayPhase
from coderun.model.pulls import PullRequest
from coderun.runtime import proc
from coderun.runtime.ending import end_all
from coderun.runtime.proc import Table
from coderun.store.lock import ControllerLock
from coderun.store.sqlite import SqliteStore
from coderun.store.wake import Waker

ROOT: Final = Path(__file__).parents[2]
AGENT: Final = Path(__file__).with_name("scripted_agent.py")
DEADLINE: Final = 180.0
PERSON: Final = "ada"

T = TypeVar("T")
Script = Mapping[str, Sequence[Mapping[str, Any]]]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the agent program."""

    run: str
    task: int
    stage: str
    iteration: int
    attempt: int
    pid: int

    @property
    def occasion(self) -> tuple[int, str, int, int]:
        return self.task, self.stage, self.iteration, self.attempt


class Command:
    """A `coderun` that is running."""

    def __init__(self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], *, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As `kill -9` would: nothing of it gets to say goodbye."""
        if self.is_running:
            self.process.kill()
        self.process.wait()

    async def ended(self, within: float = DEADLINE) -> int:
        """Its exit code."""
        await until(lambda: not self.is_running, "the command to end", within=within, tell=lambda: self.said)
        return self.process.returncode


async def until(holds: Callable[[], T | None], what: str, *, within: float = DEADLINE, tell: Callable[[], str] = str) -> T:
    """Wait until `holds` gives something true, and give that back; `what` is said, and `tell` asked, when it never does."""

    async def look() -> T | None:
        return holds()

    return await until_found(look, what, within=within, tell=tell)


async def until_found(
    look: Callable[[], Awaitable[T | None]], what: str, *, within: float = DEADLINE, tell: Callable[[], str] = str
) -> T:
    """The same where looking takes a while."""
    end = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s in vain for {what}\n{tell()}")
        await asyncio.sleep(0.02)


def task(number: int, title: str = "", **more: Any) -> dict[str, Any]:
    """A task as Task Master writes it."""
    usual = {"description": f"Do thing {number}.", "status": "pending", "dependencies": [], "priority": "medium"}
    return {"id": number, "title": title or f"Thing {number}", **usual, **more}


class Place:
    """One user's world: repository, agents, state folder."""

    def __init__(self, folder: Path, *, state_home: Path | None = None) -> None:
        self.folder = folder
        self.state_home = state_home or folder / "state"
        self.repository = folder / "shop"
        self.home = folder / "home"
        self.stage_folder = folder / "agent"
        self.settings: dict[str, Any] = {
            "play": {"autoMerge": True},
            "limits": {"retryBackoffSeconds": 0, "stopGraceSeconds": 5},
            "checks": [],
            "agents": {
                name: {"role": role, "cli": {"cliType": "command", "settings": {"command": self.agent_command}}}
                for name, role in (("rex", "implementation"), ("cleo", "quality"), ("tess", "testing"))
            },
        }
        self.commands: list[Command] = []
        self._store: SqliteStore | None = None
        self._forge: LocalForge | None = None
        for made in (self.repository, self.home, self.stage_folder):
            made.mkdir(parents=True)
        self.script({})

    # -- the user's side -----------------------------------------------------------------------------------------------------

    @property
    def agent_command(self) -> list[str]:
        return [sys.executable, "-S", "-E", str(AGENT), str(self.stage_folder)]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "LOGNAME": PERSON,
            "XDG_STATE_HOME": str(self.state_home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }

    @property
    def state(self) -> Path:
        return find_state_folder(self.repository, environ=self.environment, home=self.home)

    def git(self, *words: str, cwd: Path | None = None) -> str:
        """What git says in the user's repository; as the person."""
        names = [(who, what) for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        person = {f"GIT_{who}_{what}": "Ada" if what == "NAME" else "ada@example.invalid" for who, what in names}
        environment = {**self.environment, **person}
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.repository, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"git {words}: {done.stderr}"
        return done.stdout.strip()

    def init(self, *tasks: dict[str, Any]) -> None:
        """Make the repository with these tasks, as one commit on `main`."""
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("README.md", "# Shop\n")
        self.write_tasks(*tasks)
        self.configure()
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "A small shop")

    def write(self, name: str, text: str) -> Path:
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write_tasks(self, *tasks: dict[str, Any]) -> None:
        if tasks:
            self.write(".taskmaster/tasks/tasks.json", json.dumps({"master": {"tasks": list(tasks)}}, indent=2) + "\n")

    def configure(self, **sections: Any) -> None:
        """Lay `sections` over the configuration and write `coderun.yaml` (JSON is YAML)."""
        for name, section in sections.items():
            known = self.settings.get(name)
            self.settings[name] = {**known, **section} if isinstance(known, dict) else section
        self.write("coderun.yaml", json.dumps(self.settings, indent=2) + "\n")

    def push(self, branch: str, name: str, text: str) -> str:
        """Push a change of one file to a branch of the forge, as the person does; the commit."""
        clone = self.folder / "person"
        if not clone.exists():
            self.git("clone", "--quiet", str(self.state / "forge" / "repo.git"), str(clone), cwd=self.folder)
        self.git("fetch", "--quiet", "origin", cwd=clone)
        self.git("checkout", "--quiet", "-B", branch, f"origin/{branch}", cwd=clone)
        (clone / name).write_text(text, encoding="utf-8")
        self.git("add", "--all", cwd=clone)
        self.git("commit", "--quiet", "-m", f"Change {name}", cwd=clone)
        self.git("push", "--quiet", "origin", branch, cwd=clone)
        return self.git("rev-parse", "HEAD", cwd=clone)

    def file_on(self, branch: str, name: str) -> str:
        """A file as a branch of the forge has it."""
        return self.git("--git-dir", str(self.state / "forge" / "repo.git"), "show", f"{branch}:{name}")

    # -- the agents' side ----------------------------------------------------------------------------------------------------

    def script(self, script: Script) -> None:
        """What agents do from now on; see `scripted_agent.py`."""
        new = self.stage_folder / "script.new"
        new.write_text(json.dumps(script), encoding="utf-8")
        new.replace(self.stage_folder / "script.json")

    def release(self, name: str) -> None:
        """Let agents that hold until `name` go on."""
        (self.stage_folder / name).touch()

    def ran(self) -> list[Ran]:
        """Every start of the agent program so far."""
        try:
            lines = (self.stage_folder / "ran").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [
            Ran(run=run, task=int(number), stage=stage, iteration=int(iteration), attempt=int(attempt), pid=int(pid))
            for run, number, stage, iteration, attempt, pid in (line.split() for line in lines)
        ]

    def occasions(self) -> list[tuple[str, int, int]]:
        """Stage, iteration and attempt of each start, in order."""
        return [(ran.stage, ran.iteration, ran.attempt) for ran in self.ran()]

    def assert_ran_once_each(self) -> None:
        """No (task, stage, iteration, attempt) has seen its agent twice."""
        twice = [occasion for occasion, count in Counter(ran.occasion for ran in self.ran()).items() if count > 1]
        assert not twice, f"the agent ran more than once for {twice}"

    async def put_down(self, name: str) -> str:
        """What an agent has written beside the script, once it is there."""
        path = self.stage_folder / name
        return await until(
            lambda: path.read_text(encoding="utf-8") if path.exists() else "", f"{name} of an agent", tell=self.tell
        )

    def told(self, name: str) -> dict[str, Any]:
        """What an agent put down with the step `tell`."""
        told: dict[str, Any] = json.loads((self.stage_folder / name).read_text(encoding="utf-8"))
        return told

    # -- commands ------------------------------------------------------------------------------------------------------------

    def start(self, *words: str, cwd: Path | None = None, **environment: str) -> Command:
        """A `coderun` in the background."""
        return self.start_program([sys.executable, "-m", "coderun.cli.main", *words], cwd=cwd, **environment)

    def start_program(self, argv: Sequence[str], *, cwd: Path | None = None, **environment: str) -> Command:
        log = self.folder / f"command-{len(self.commands)}.log"
        self.commands.append(Command(argv, cwd or self.repository, {**self.environment, **environment}, log=log))
        return self.commands[-1]

    async def coderun(self, *words: str, cwd: Path | None = None, within: float = DEADLINE, **environment: str) -> Ended:
        """A `coderun` to its end."""
        argv = [sys.executable, "-m", "coderun.cli.main", *words]
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd or self.repository,
            env={**self.environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), within)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            raise AssertionError(f"coderun {words} took longer than {within:g} s\n{out!r}\n{err!r}\n{self.tell()}") from None
        return Ended(code=process.returncode or 0, out=out.decode("utf-8", "replace"), err=err.decode("utf-8", "replace"))

    async def why(self, number: int) -> dict[str, Any]:
        """What `coderun why -o json` says of a task's play."""
        ended = await self.coderun("why", str(number), "-o", "json")
        assert ended.code == 0, ended.said
        said: dict[str, Any] = json.loads(ended.out)
        return said

    # -- looking -------------------------------------------------------------------------------------------------------------

    @property
    def store(self) -> SqliteStore:
        if self._store is None:
            self._store = SqliteStore.open(self.state / "state.db", clock=lambda: datetime.now(UTC))
        return self._store

    @property
    def forge(self) -> LocalForge:
        """The forge, as the person."""
        if self._forge is None:
            waker = Waker(self.state / "wake")
            self._forge = LocalForge.open(
                self.state / "forge", on_change=lambda: _call(waker.wake), environment=self.environment
            )
        return self._forge

    async def look_away(self) -> None:
        """Close store and forge, so that a test may do things to their files."""
        if self._store is not None:
            await self._store.close()
        if self._forge is not None:
            self._forge.close()
        self._store = self._forge = None

    def was_never_used(self) -> bool:
        """Whether nothing was created: no state at all."""
        return not (self.state / "state.db").exists()

    async def plays(self) -> list[Play]:
        return [] if self.was_never_used() else await self.store.find(Play)

    async def play(self, number: int = 1) -> Play:
        """The play of a task."""
        found = await self.store.find(Play, labels={LABEL_TASK: str(number)})
        assert len(found) == 1, f"{len(found)} plays of task {number}"
        return found[0]

    async def runs(self, play: Play) -> list[CodeRun]:
        return await self.store.find(CodeRun, labels={LABEL_PLAY: shorten(play.name)})

    async def pull(self, number: int = 1) -> PullRequest:
        found = await self.forge.get_pull_request(number)
        assert found is not None, f"there is no pull request {number}"
        return found

    async def until_play(
        self, holds: Callable[[Play], object], what: str, *, number: int = 1, within: float = DEADLINE
    ) -> Play:
        """Wait until the play of a task is as expected, and give it back."""

        async def look() -> Play | None:
            if self.was_never_used():
                return None
            found = await self.store.find(Play, labels={LABEL_TASK: str(number)})
            return found[0] if found and holds(found[0]) else None

        return await until_found(look, f"task {number}: {what}", within=within, tell=self.tell)

    async def until_waits(self, reason: str, *, number: int = 1) -> Play:
        """Wait until the play waits for that reason."""

        def waits(play: Play) -> bool:
            return play.status.waiting is not None and play.status.waiting.reason == reason

        return await self.until_play(waits, f"a wait of reason {reason}", number=number)

    async def until_phase(self, phase: PlayPhase, *, number: int = 1, within: float = DEADLINE) -> Play:
        return await self.until_play(
            lambda play: play.status.phase is phase, f"phase {phase.value}", number=number, within=within
        )

    async def until_ran(self, stage: str, iteration: int = 1, attempt: int = 1, *, number: int = 1) -> Ran:
        """Wait until the agent of that occasion has been started."""

        def look() -> Ran | None:
            return next((ran for ran in self.ran() if ran.occasion == (number, stage, iteration, attempt)), None)

        return await until(look, f"the agent of task {number}, {stage} {iteration}/{attempt}", tell=self.tell)

    async def until_run_is(self, phase: RunPhase, *, number: int = 1) -> CodeRun:
        """Wait until the newest run of a task's play is recorded to be in that phase: later than its agent is seen to start."""

        async def look() -> CodeRun | None:
            runs = await self.runs(await self.play(number))
            newest = max(runs, key=lambda run: str(run.metadata.creation_timestamp), default=None)
            return newest if newest is not None and newest.status.phase is phase else None

        return await until_found(look, f"task {number}: a run that is {phase.value}", tell=self.tell)

    async def controller_pid(self) -> int:
        """The process that holds the controller's lock, once there is one."""
        lock = ControllerLock(self.state / "controller.lock")

        def look() -> int:
            holder = lock.holder()
            return holder.pid if holder is not None else 0

        return await until(look, "a controller", tell=self.tell)

    def tell(self) -> str:
        """All that may explain why a test waits in vain."""
        logs = [self.state / "logs" / "controller.log", *(command.log for command in self.commands)]
        logs += sorted(self.state.glob("runs/*/output.log"))
        texts = [f"--- {log}\n{log.read_text('utf-8', 'replace')[-3000:]}" for log in logs if log.exists()]
        return "\n".join([f"agents started: {self.occasions()}", *texts])

    def processes(self) -> set[int]:
        """All living processes that were started in this world: commands, controllers, supervisors, agents."""
        return self._processes(proc.table())

    def _processes(self, processes: Table) -> set[int]:
        mark = os.fsencode(str(self.folder))
        return {pid for pid, entry in processes.items() if not entry.zombie and mark in _environment_of(pid)}

    async def clear_up(self) -> None:
        """End all that this place has started, detached controllers and agents included."""
        await self.look_away()
        await asyncio.to_thread(end_all, self._processes, grace=0)
        for command in self.commands:
            with contextlib.suppress(ProcessLookupError):
                command.process.wait()


def reasons(play: Play) -> list[str]:
    """The reasons of a play's decisions, oldest first."""
    return [entry.reason for entry in play.status.history]


def is_alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    entry = proc.table().get(pid)
    return entry is not None and not entry.zombie


def _call(deed: Callable[[], object]) -> None:
    deed()


def _environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
