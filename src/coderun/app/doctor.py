"""`coderun doctor`: looks at everything a play needs and says of each thing whether it is right, and what to do if it is not.

Changes nothing and starts nothing but `git`, `unshare` and `PROGRAM --version`. Home, environment and folder are handed in;
secrets are named by where they are, never shown.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from coderun import __version__
from coderun.app import machine
from coderun.app.configuration import Configuration, read_configuration
from coderun.app.detect import has_tasks
from coderun.app.github_keys import read_credentials
from coderun.app.github_place import find_place
from coderun.app.github_setup import agents_of
from coderun.app.places import ask_git, find_base_branch, find_repository, find_state_folder
from coderun.app.tasks import read_tasks
from coderun.model.adapters import program_of
from coderun.model.coderun import CliType
from coderun.model.config import FILE_NAME, ForgeType
from coderun.model.errors import CoderunError
from coderun.model.roster import Agent
from coderun.model.task import next_task, waiting_for
from coderun.model.text import listed, printable

MIN_PYTHON: Final = (3, 11)
MIN_GIT: Final = (2, 38)
_SCARCE_BYTES: Final = 200 << 20
_TIGHT_BYTES: Final = 2 << 30

ONE_PERSON: Final = (
    "every agent acts as that one person: nobody can approve what the same person opened, so testing waits (OwnPullRequest) "
    "until somebody runs `coderun approve`; a push of yours passes for an agent's; the token is never narrowed or revoked"
)
"""What is lost where one person's token stands for all agents."""

_INSTALL: Final = {
    "claude": "npm install -g @anthropic-ai/claude-code",
}


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that was looked at: what was found, what to do where that is not right, and the page to do it on."""

    name: str
    state: State
    found: str
    advice: str = ""
    link: str = ""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look, and as whom."""

    cwd: Path
    home: Path
    environ: Mapping[str, str]
    platform: str = sys.platform
    python: tuple[int, ...] = sys.version_info[:3]

    @property
    def search_path(self) -> str:
        """Where programs are looked for."""
        return self.environ.get("PATH", "")


def examine(around: Surroundings) -> list[Finding]:
    """All findings, in the order a person would mend them."""
    findings = [_python(around), _git(around)]
    if findings[-1].state is State.ERROR:
        return findings
    try:
        repository = find_repository(around.cwd, environ=around.environ)
    except CoderunError as error:
        return [*findings, _error("repository", error), *_processes(around)]
    findings.append(_ok("repository", printable(str(repository), 200)))
    configuration: Configuration | None = None
    try:
        configuration = read_configuration(repository)
        found = "valid" if configuration.is_written else "not there, all is at its default (coderun init writes one)"
        findings.append(_ok(FILE_NAME, found))
    except CoderunError as error:
        findings.append(_error(FILE_NAME, error))
    configured = configuration.config.base_branch if configuration else ""
    findings.append(_guard("base branch", lambda: _base_branch(repository, configured, around)))
    if configuration:
        findings += _agents(configuration, around)
        findings += _github(repository, configuration, around)
        findings.append(_guard("tasks", lambda: _tasks(repository, configuration)))
    findings += _state(repository, around)
    return [*findings, *_processes(around)]


def has_errors(findings: list[Finding]) -> bool:
    """Whether anything stands in the way of a play."""
    return any(finding.state is State.ERROR for finding in findings)


def _python(around: Surroundings) -> Finding:
    found = f"{'.'.join(map(str, around.python))}, coderun {__version__}"
    if around.python < MIN_PYTHON:
        return Finding(name="python", state=State.ERROR, found=found, advice="install Python 3.11 or newer")
    return _ok("python", found)


def _git(around: Surroundings) -> Finding:
    try:
        answer = ask_git(_start_folder(around), "--version", environ=around.environ)
    except CoderunError as error:
        return _error("git", error)
    version = machine.version_numbers(answer.out)
    found = printable(answer.out, 80)
    if version < MIN_GIT:
        wanted = ".".join(map(str, MIN_GIT))
        return Finding(name="git", state=State.ERROR, found=found or "no version", advice=f"install git {wanted} or newer")
    return _ok("git", found)


def _base_branch(repository: Path, configured: str, around: Surroundings) -> Finding:
    branch = find_base_branch(repository, configured=configured, environ=around.environ)
    return _ok("base branch", f"{printable(branch.name, 80)} at {branch.commit[:12]} (from {branch.source})")


def _agents(configuration: Configuration, around: Surroundings) -> Iterator[Finding]:
    """One finding for each program that runs an agent of the pipeline. The pipeline knows that every role is taken."""
    workers: dict[str, list[str]] = {}
    programs: dict[str, Agent] = {}
    for role in dict.fromkeys(stage.role for stage in configuration.pipeline.stages if stage.role):
        agent = configuration.config.agent_in_role(role, configuration.roster)
        if agent is not None:
            program = program_of(agent.cli)
            programs[program] = agent
            workers.setdefault(program, []).append(f"{agent.name} ({role})")
    for program, agent in programs.items():
        yield _agent_program(program, agent.cli.cli_type, listed(workers[program]), around)


def _agent_program(program: str, kind: str, workers: str, around: Surroundings) -> Finding:
    name = f"agent CLI {printable(program, 200)}"
    if kind not in {*_INSTALL, CliType.COMMAND}:
        advice = "set `cli` of that agent to claude or a command in coderun.yaml, or use --agent-command"
        return Finding(
            name=name, state=State.ERROR, found=f"cannot be driven by this version; {workers} need it", advice=advice
        )
    path = machine.find_program(program, around.search_path)
    if path is None:
        install = f"install it ({_INSTALL[kind]}), or " if kind in _INSTALL else "correct its path, or "
        advice = f"{install}name any program with --agent-command"
        return Finding(name=name, state=State.ERROR, found=f"not on the PATH; {workers} need it", advice=advice)
    if kind == CliType.COMMAND:
        return _ok(name, f"{printable(path, 200)}, for {workers}")
    version = machine.program_version(path, cwd=_start_folder(around), environ=around.environ)
    if not version:
        advice = f"run `{program} --version` and see why it fails"
        return Finding(name=name, state=State.ERROR, found=f"{printable(path, 200)} does not tell its version", advice=advice)
    return _with_login(name, kind, f"{version}, for {workers}", around)


def _with_login(name: str, kind: str, found: str, around: Surroundings) -> Finding:
    login = machine.find_login(kind, home=around.home, environ=around.environ)
    if login is None:
        # Elsewhere than on Linux a CLI may keep its login in a keychain, which is not looked into.
        state = State.ERROR if around.platform.startswith("linux") else State.WARNING
        advice = f"log in: start `{kind}` once" + (f", or set {machine.CLAUDE_VARIABLES[1]}" if kind == CliType.CLAUDE else "")
        return Finding(name=name, state=state, found=f"{found}; no login found", advice=advice)
    also = f" (also there, not used: {', '.join(login.others)})" if login.others else ""
    return _ok(name, f"{found}; login from {login.source}{also}")


def _github(repository: Path, configuration: Configuration, around: Surroundings) -> Iterator[Finding]:
    """What of GitHub is missing on this machine; `coderun github check` asks GitHub itself."""
    settings = configuration.config.forge
    if settings.type is not ForgeType.GITHUB:
        return
    try:
        place = find_place(repository, settings, environ=around.environ)
        token_file = repository / settings.token_file if settings.token_file else None
        credentials = read_credentials(place.host, environ=around.environ, home=around.home, token_file=token_file)
    except CoderunError as error:
        yield _error("GitHub", error)
        return
    yield _ok("GitHub", f"{place.page}; `coderun github check` looks at it there")
    lacking = [name for name in agents_of(configuration) if name not in credentials.apps]
    there = [name for name in agents_of(configuration) if name in credentials.apps]
    if there:
        yield _ok("GitHub Apps", f"keys of {listed(there)} in {printable(str(credentials.folder), 200)}")
    if not lacking:
        return
    make = "coderun github setup makes an App for each agent"
    if credentials.personal is None:
        found = f"none for {listed(lacking)}, and no personal token"
        yield Finding(name="GitHub Apps", state=State.ERROR, found=found, advice=make)
    else:
        found = f"{listed(lacking)} act by the token from {credentials.personal.source}; {ONE_PERSON}"
        yield Finding(name="personal token", state=State.WARNING, found=found, advice=make)


def _tasks(repository: Path, configuration: Configuration) -> Finding:
    settings = configuration.config.tasks
    if not settings.file and not has_tasks(repository):
        return _ok("tasks", "no Task Master tasks; give a sentence or a Markdown file as the task")
    tasks = read_tasks(repository, file=settings.file or None, tag=settings.tag or None)
    following = next_task(tasks)
    open_tasks = sum(task.status.is_open for task in tasks)
    if following is None:
        return _ok("tasks", f"{len(tasks)} tasks; {waiting_for(tasks)}")
    return _ok("tasks", f"{len(tasks)} tasks, {open_tasks} open, next is {following.id}: {printable(following.text.title, 60)}")


def _state(repository: Path, around: Surroundings) -> Iterator[Finding]:
    name = "state folder"
    try:
        folder = find_state_folder(repository, environ=around.environ, home=around.home)
    except CoderunError as error:
        yield _error(name, error)
        return
    shown = printable(str(folder), 200)
    parent = machine.existing_parent(folder)
    problem = machine.folder_problem(parent)
    if problem:
        advice = "set CODERUN_STATE to a folder on a local disk that you can write"
        yield Finding(name=name, state=State.ERROR, found=f"{printable(str(parent), 200)} {problem}", advice=advice)
        return
    yield _space(name, shown, machine.free_bytes(parent))
    if machine.is_open_to_others(folder):
        found = f"{shown} can be read by other users"
        yield Finding(name="state folder's mode", state=State.WARNING, found=found, advice=f"chmod 700 {shown}")
    lock = folder / "controller.lock"
    yield _ok("controller", f"running{_holder(lock)}" if machine.is_locked(lock) else "not running")


def _space(name: str, shown: str, free: int) -> Finding:
    found = f"{shown}, {free / (1 << 30):.1f} GiB free"
    if free >= _TIGHT_BYTES:
        return _ok(name, found)
    state = State.ERROR if free < _SCARCE_BYTES else State.WARNING
    return Finding(name=name, state=state, found=found, advice="free some space, or set CODERUN_STATE to another disk")


def _holder(lock: Path) -> str:
    try:
        data = msgspec.json.decode(lock.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ""
    pid = data.get("pid") if isinstance(data, dict) else None
    return f" (process {pid})" if isinstance(pid, int) else ""


def _processes(around: Surroundings) -> Iterator[Finding]:
    """What keeps the children of a run together."""
    name = "process control"
    if not around.platform.startswith("linux"):
        found = f"{printable(around.platform, 20)} has no subreaper: a child that leaves its session may outlive its run"
        yield Finding(name=name, state=State.WARNING, found=found, advice="look for left-over processes after a cancelled run")
        return
    namespaces = "yes" if machine.has_pid_namespaces(environ=around.environ) else "no"
    found = f"cgroup v2 {machine.cgroup_state()}, PID namespaces {namespaces}"
    if machine.has_subreaper():
        yield _ok(name, f"subreaper yes, {found}")
        return
    advice = "use Linux 3.4 or newer, outside a sandbox that forbids prctl"
    yield Finding(name=name, state=State.WARNING, found=f"subreaper no, {found}", advice=advice)


def _guard(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except CoderunError as error:
        return _error(name, error)


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, state=State.OK, found=found)


def _error(name: str, error: CoderunError) -> Finding:
    """An error that says itself what to do, after its first semicolon."""
    found, _, advice = str(error).partition("; ")
    return Finding(name=name, state=State.ERROR, found=found, advice=advice)


def _start_folder(around: Surroundings) -> Path:
    return machine.existing_parent(around.cwd)
