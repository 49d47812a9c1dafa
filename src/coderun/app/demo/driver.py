"""Runs the demo: makes the repository, plays its tasks, pushes as a person in the middle, and checks what came of it."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from coderun.app.follow import as_controller, follow_plays
from coderun.app.local import LocalSystem, Surroundings, local_forge, open_local
from coderun.app.places import Answer, ask_git
from coderun.app.request import PlayRequest, request_plays
from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.errors import CoderunError
from coderun.model.play import Play, PlayPhase
from coderun.model.pulls import PullState

TASKS = 3
REVIEWED_TASK = 1
PUSHED_TASK = 3
_PERSON = ("-c", "user.name=Ada Person", "-c", "user.email=ada@example.invalid", "-c", "commit.gpgsign=false")
_CONFIG = """\
# What the demo is played with; `coderun init` writes one like it for your repository.
agents:
{agents}
play:
  autoMerge: true
  parallel: 2
limits:
  retryBackoffSeconds: 1
  stopGraceSeconds: 5
checks:
  - name: lint
    run: [{python}, lint.py]
  - name: tests
    run: [{python}, -m, unittest, discover, -s, tests]
"""
Show = Callable[[Sequence[Play], datetime], None]


class DemoRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task. `seconds` from the start of its play to its end."""

    task: int
    title: str
    pull_request: int | None
    outcome: str
    rounds: int
    runs: int
    seconds: float


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the demo went; `missing` names what should have been seen and was not."""

    folder: Path
    state: Path
    rows: tuple[DemoRow, ...]
    seconds: float
    missing: tuple[str, ...]


def make_project(folder: Path, environment: dict[str, str]) -> Path:
    """The demo's repository, as one commit on `main`; its path.

    Raises:
        CoderunError: git refused.
    """
    project = folder / "shop"
    _copy(resources.files("coderun.app.demo").joinpath("project"), project)
    (project / "coderun.yaml").write_text(_config(), encoding="utf-8")
    for arguments in (("init", "--quiet", "-b", "main"), ("add", "-A"), (*_PERSON, "commit", "--quiet", "-m", "A tiny shop")):
        _git(project, environment, *arguments)
    return project


async def run_demo(folder: Path, environment: dict[str, str], show: Show) -> DemoResult:
    """Play the demo in `folder`, which must be empty."""
    begun = time.monotonic()
    project = await asyncio.to_thread(make_project, folder, environment)
    around = Surroundings(cwd=project, home=Path.home(), environment=environment, command="coderun demo")
    async with open_local(project, create=True, around=around) as system:
        submitted = await request_plays(system, PlayRequest(all_tasks=True))
        names = [each.name for each in submitted]
        async with as_controller(system) as control:
            person = asyncio.ensure_future(_push_in_the_middle(system, folder, environment))
            try:
                plays = await follow_plays(system, names, show, until_person=True, control=control)
            finally:
                person.cancel()
        missing = await _missing(system, plays, folder, environment)
        rows = tuple(_row(play) for play in plays)
        return DemoResult(
            folder=project, state=system.state, rows=rows, seconds=time.monotonic() - begun, missing=tuple(missing)
        )


def _config() -> str:
    agent = Path(str(resources.files("coderun.app.demo").joinpath("agent.py")))
    roles = {"rex": "implementation", "cleo": "quality", "tess": "testing"}
    python = msgspec.json.encode(sys.executable).decode()
    program = msgspec.json.encode(str(agent)).decode()
    lines = [
        f"  {name}: {{role: {role}, cli: {{cliType: command, settings: {{command: [{python}, {program}]}}}}}}"
        for name, role in roles.items()
    ]
    return _CONFIG.format(agents="\n".join(lines), python=python)


async def _push_in_the_middle(system: LocalSystem, folder: Path, environment: dict[str, str]) -> None:
    """As a person: once the tests of one task are running, push to its pull request."""
    changes = system.store.watch()
    while True:
        for play in await system.store.find(Play):
            if play.spec.task_id == PUSHED_TASK and await _is_testing(system, play):
                await asyncio.to_thread(_push, system, folder, environment)
                return
        await anext(changes)


async def _is_testing(system: LocalSystem, play: Play) -> bool:
    if play.status.stage != "testing" or not play.status.runs:
        return False
    run = await system.store.get(CodeRun, play.status.runs[-1].name)
    return run is not None and run.spec.stage == "testing" and run.status.phase is RunPhase.RUNNING


def _push(system: LocalSystem, folder: Path, environment: dict[str, str]) -> None:
    branch = f"feature/task-{PUSHED_TASK}-implementation"
    clone = folder / "person"
    _git(folder, environment, "clone", "--quiet", "--branch", branch, str(local_forge(system).repository), str(clone))
    readme = clone / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8") + "\nPrices can be read from text: `shop.prices`.\n", encoding="utf-8")
    _git(clone, environment, *_PERSON, "commit", "--quiet", "-am", "Mention prices in the README")
    _git(clone, environment, "push", "--quiet", "origin", branch)


async def _missing(system: LocalSystem, plays: Sequence[Play], folder: Path, environment: dict[str, str]) -> list[str]:
    """What the demo promises and did not show."""
    by_task = {play.spec.task_id: play for play in plays}
    missing = [
        f"task {task} is {play.status.phase.value}: {play.status.message or 'not merged'}"
        for task, play in sorted(by_task.items())
        if play.status.phase is not PlayPhase.SUCCEEDED
    ]
    if len(by_task) != TASKS:
        missing.append(f"{len(by_task)} plays instead of {TASKS}")
    for task, reason, what in (
        (REVIEWED_TASK, "ChangesRequested", "no review sent a task back to implementation"),
        (PUSHED_TASK, "Push", "no push restarted quality"),
    ):
        play = by_task.get(task)
        if play is None or not any(entry.reason == reason for entry in play.status.history):
            missing.append(what)
    merged = await local_forge(system).list_pull_requests(PullState.MERGED)
    if len(merged) != TASKS:
        missing.append(f"{len(merged)} pull requests are merged instead of {TASKS}")
    missing.extend(await asyncio.to_thread(_check_merged, system, folder, environment))
    return missing


def _check_merged(system: LocalSystem, folder: Path, environment: dict[str, str]) -> list[str]:
    """Run the lint and the tests of what was merged."""
    import subprocess  # noqa: PLC0415 - only here, for the repository's own programs

    clone = folder / "merged"
    _git(folder, environment, "clone", "--quiet", "--branch", "main", str(local_forge(system).repository), str(clone))
    failed: list[str] = []
    for name, argv in (("lint", ["lint.py"]), ("tests", ["-m", "unittest", "discover", "-s", "tests"])):
        done = subprocess.run([sys.executable, *argv], cwd=clone, env=environment, capture_output=True, check=False)
        if done.returncode:
            failed.append(f"the {name} of the merged main branch fail: {done.stdout[-300:]!r} {done.stderr[-300:]!r}")
    return failed


def _row(play: Play) -> DemoRow:
    status = play.status
    began, ended = status.started_at, status.finished_at
    return DemoRow(
        task=play.spec.task_id,
        title=play.spec.task.title if play.spec.task is not None else "",
        pull_request=status.pull_request.number if status.pull_request is not None else None,
        outcome="merged" if status.phase is PlayPhase.SUCCEEDED else status.phase.value,
        rounds=status.iteration,
        runs=len(status.runs),
        seconds=(ended - began).total_seconds() if began is not None and ended is not None else 0.0,
    )


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            _copy(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


def _git(cwd: Path, environment: dict[str, str], *arguments: str) -> Answer:
    answer = ask_git(cwd, *arguments, environ=environment)
    if answer.code:
        raise CoderunError(f"git {arguments[-1]} in {cwd} failed: {answer.error.strip()}")
    return answer
