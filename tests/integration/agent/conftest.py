"""A repository with a remote, and a run folder in it: what the tests of a run stand on."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.one_pull import OnePullForge

from coderun.agent.git import Git, git_environment
from coderun.agent.ports import RunProgram
from coderun.agent.program import run_program
from coderun.agent.stop import StopSignal
from coderun.agent.work import carry_out
from coderun.model.coderun import CliConfig, PullRequestRef, RunReport
from coderun.model.gates import Gate, GateKind
from coderun.model.task import TaskText
from coderun.plan.order import AgentIdentity, ForgeRef, Limits, RunOrder

OPEN_PULL = (Gate(kind=GateKind.PULL_REQUEST),)
READY = (Gate(kind=GateKind.LABEL, label="ready-for-qa"), Gate(kind=GateKind.CHECKS))
REVIEWED = (Gate(kind=GateKind.REVIEW),)
BRANCH = "feature/task-1-implementation"


class PlacesOfTest(msgspec.Struct, frozen=True, kw_only=True):
    run: Path
    workspace: Path
    home: Path
    files: Path
    token: Path
    result: Path
    task_dir: Path
    tmp: Path


class ProgramsOfTest(msgspec.Struct, frozen=True, kw_only=True):
    run: RunProgram
    log: "ListLog"


class QuickClock:
    """Real time, but a pause takes no longer than a turn of the loop and moves the clock on."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.ahead += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class ListLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[str] = []
        self._news = asyncio.Event()

    async def heard(self, line: str) -> None:
        """Return once the agent has said `line`."""
        while line not in self.lines:
            self._news.clear()
            await self._news.wait()

    def event(self, name: str, **fields: str | float | bool) -> None:
        self.events.append((name, fields))

    def line(self, text: str) -> None:
        self.lines.append(text)
        self._news.set()


class Bench:
    """One repository and one workspace; runs follow each other in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote.git"
        self.workspace = folder / "workspace"
        self.clock = QuickClock()
        self.stop = StopSignal()
        self.log = ListLog()
        self.inherited = {"PATH": _path(), "LANG": "C.UTF-8", "HOME": str(folder / "user")}
        self.forge = OnePullForge(self.remote, "rex[bot]")
        self.jobs = 0
        self.workspace.mkdir(parents=True)
        self.person = folder / "person"
        self.git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        self.git(folder, "init", "--quiet", "--initial-branch=main", str(self.person))
        self.git(self.person, "remote", "add", "origin", str(self.remote))
        self.push_file("main", "README.md", "hello\n")

    def git(self, where: Path, *arguments: str) -> str:
        who = {"GIT_AUTHOR_NAME": "P", "GIT_AUTHOR_EMAIL": "p@x", "GIT_COMMITTER_NAME": "P", "GIT_COMMITTER_EMAIL": "p@x"}
        env = {"PATH": _path(), "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", **who}
        ended = subprocess.run(["git", *arguments], cwd=where, env=env, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"git {arguments}: {ended.stderr}"
        return ended.stdout.strip()

    def push_file(self, branch: str, name: str, text: str, *, new: bool = False) -> str:
        """A person's push of one file to a branch; the commit."""
        if self.git(self.person, "ls-remote", "origin", f"refs/heads/{branch}"):
            self.git(self.person, "fetch", "--quiet", "origin")
            self.git(self.person, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        elif new:
            self.git(self.person, "checkout", "--quiet", "-B", branch)
        path = self.person / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git(self.person, "add", "--all")
        self.git(self.person, "commit", "--quiet", "-m", f"Change {name}")
        self.git(self.person, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git(self.person, "rev-parse", "HEAD")

    def remote_head(self, branch: str = BRANCH) -> str:
        return self.forge.head_of(branch)

    def remote_text(self, name: str, branch: str = BRANCH) -> str:
        return self.git(self.remote, "show", f"{branch}:{name}")

    def remote_files(self, branch: str = BRANCH) -> list[str]:
        return self.git(self.remote, "ls-tree", "-r", "--name-only", branch).split("\n")

    @property
    def tree(self) -> Path:
        return self.workspace / "tasks" / "task-1"

    def saved(self) -> list[str]:
        listed = self.git(self.workspace / "repo", "for-each-ref", "--format=%(refname)", "refs/coderun/saved")
        return listed.split("\n") if listed else []

    def saved_text(self, ref: str, name: str) -> str:
        return self.git(self.workspace / "repo", "show", f"{ref}:{name}")

    def order(self, **changes: Any) -> RunOrder:
        self.jobs += 1
        order = RunOrder(
            coderun=f"play-1-implementation-{self.jobs}",
            job=f"job-{self.jobs}",
            attempt=1,
            play="play-1",
            stage="implementation",
            agent=AgentIdentity(name="rex", login="rex[bot]", email="rex@agents.local", role="implementation"),
            cli=CliConfig(cli_type="command"),
            service="app",
            workspace="workspace-app-rex",
            task_id=1,
            task=TaskText(title="Say hello", description="Make it say hello."),
            forge=ForgeRef(kind="local", location=str(self.folder), repository=str(self.remote)),
            base_branch="main",
            branch=BRANCH,
            evidence=OPEN_PULL,
            limits=Limits(timeout=60, grace=5, checks_wait=30, checks_grace=5),
        )
        return msgspec.structs.replace(order, **changes)

    def places(self, job: str) -> PlacesOfTest:
        run = self.folder / "runs" / job
        made = PlacesOfTest(
            run=run,
            workspace=self.workspace,
            home=self.workspace / "home",
            files=run / "files",
            token=run / "token",
            result=run / "result.json",
            task_dir=run / "task",
            tmp=run / "tmp",
        )
        for folder in (made.home, made.files, made.task_dir, made.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        made.token.write_text("forge-token-of-this-run\n")
        return made

    def script(self, text: str) -> CliConfig:
        """A `command` agent that is this Python text."""
        file = self.folder / f"agent-{self.jobs}-{len(list(self.folder.glob('agent-*')))}.py"
        file.write_text(_PRELUDE + text)
        return CliConfig(cli_type="command", settings={"command": [sys.executable, str(file)]})

    async def run(self, program: str | CliConfig = "", *, forge: OnePullForge | None = None, **changes: Any) -> RunReport:
        """One run whose agent is the Python text `program`."""
        cli = self.script(program) if isinstance(program, str) else program
        return await self.run_order(self.order(cli=cli, **changes), forge=forge)

    async def run_order(self, order: RunOrder, *, forge: OnePullForge | None = None) -> RunReport:
        places = self.places(order.job)
        programs = ProgramsOfTest(run=run_program, log=self.log)
        return await carry_out(
            order, places, programs, self.stop, forge=forge or self.forge, inherited=self.inherited, clock=self.clock
        )

    def runner_git(self) -> Git:
        agent = self.order().agent
        env = git_environment(self.inherited, agent, home=self.folder, token=self.folder / "token")
        return Git(folder=self.workspace, env=env)

    def reference(self, number: int = 1) -> PullRequestRef:
        return PullRequestRef(number=number)


_PRELUDE = """
import json, os, pathlib, subprocess, sys
def git(*words):
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()
def write(name, text):
    path = pathlib.Path(name); path.parent.mkdir(parents=True, exist_ok=True); path.write_text(text)
def commit(name, text, message="Work"):
    write(name, text); git("add", "--", name); git("commit", "--quiet", "-m", message)
def result(verdict, summary="", comments=()):
    write(os.environ["CODERUN_RESULT"], json.dumps({"verdict": verdict, "summary": summary, "comments": list(comments)}))
"""


def _path() -> str:
    import os  # noqa: PLC0415 - the one place where these tests look at their own environment

    return os.environ["PATH"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def new_bench(tmp_path: Path) -> Callable[[str], Bench]:
    def make(name: str) -> Bench:
        folder = tmp_path / name
        folder.mkdir()
        return Bench(folder)

    return make
