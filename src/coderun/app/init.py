"""`coderun init`: writes a commented `coderun.yaml` that fits the repository it is for.

Every key stands in it with its default, those left at the default behind a `#`. Nothing but that one file is written, and one
that is there is never touched without being asked to.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.detect import SuggestedCheck, find_agent_programs, has_tasks, suggest_checks
from coderun.app.places import find_base_branch
from coderun.model.config import FILE_NAME
from coderun.model.errors import ConfigError
from coderun.model.names import dns_label
from coderun.model.text import listed
from coderun.model.yaml import scalar

_HEAD: Final = """\
# How coderun works on this repository. Every key is described in docs/configuration.md of coderun.
# A line behind a bare `#` is a default: remove the `#` to change it.

# Name of this repository in workspaces and runs.
#service: {service}

# Branch that pull requests are merged into.
{base_branch}

# Agents: the packaged roster (rex, blaze, cleo, tess, morgan) with what you write here laid over it, field by field.
# `cli` is claude; any other program is {{cliType: command, settings: {{command: [program, argument]}}}}.
#agents:
#  rex:
#    cli: {cli}
#    model: ""

# Who takes a role of the pipeline; the first agent of the roster that has the role by default.
#roles:
#  implementation: rex
#  quality: cleo
#  testing: tess

# Stages and gates: `play` is the packaged pipeline; or the path of a YAML file of yours.
#pipeline: play

#play:
#  autoMerge: false
#  maxIterations: 5
#  parallel: 1
#  mergeMethod: merge

# Commands that must pass on every new head of a pull request. No shell runs them.
"""
_TAIL: Final = """\
# How long no check at all is taken for "still to come".
#checksGraceSeconds: 60

{tasks}
#tasks:
#  file: .taskmaster/tasks/tasks.json
#  tag: master
#  writeBack: false

#limits:
#  runTimeoutSeconds: 7200
#  stopGraceSeconds: 20
#  attempts: 3
#  retryBackoffSeconds: 10
#  parallelRuns: 4
#  keepFinishedRunsDays: 14
#  keepEventsDays: 30

# What may be spent, in US dollars and turns; no limits by default.
#budgets:
#  perPlayUsd: 20
#  perDayUsd: 100
#  perRunUsd: 5
#  perRunTurns: 200

# Where pull requests live. `local` keeps them on this machine, beside the repository; `github` is GitHub.
#forge:
#  type: local
#  url: ""
#  repository: ""
#  tokenFile: ""
#  pollSeconds: 5

# The door for GitHub's webhooks in `coderun up`; port 0 is no door.
#webhook:
#  host: 127.0.0.1
#  port: 0
#  secretFiles: []
#  repairSeconds: 30

# What the controller says on pull requests, and whether it obeys comments there (`/coderun pause`).
#pullRequests:
#  commands: true
#  statusComment: true
#  checkRun: false

# Your own templates of prompts, settings and hooks, laid over the packaged ones; `coderun render --agent rex` shows the result.
#templates: .coderun/templates

# What agents may do without asking, as rules of their CLI.
#permissions:
#  agentToolsOverride: false
#  allow: []
#  deny: []

# Where agent CLIs send telemetry.
#telemetry:
#  enabled: false
#  otlpEndpoint: http://localhost:4317
#  otlpProtocol: grpc
#  logsEndpoint: http://localhost:4318
#  logsProtocol: http/protobuf

# Server of remote MCP tools, and the program that connects agents to it.
#toolServer:
#  url: ""
#  command: toolman-client
"""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a repository.

    Attributes:
        base_branch: "" where nothing says which it is; then `base_branch_problem` says why.
        programs: Paths of agent CLIs on the PATH, by kind.
    """

    service: str
    base_branch: str = ""
    base_branch_problem: str = ""
    checks: tuple[SuggestedCheck, ...] = ()
    has_tasks: bool = False
    programs: dict[str, str] = {}


def look_around(repository: Path, *, environ: Mapping[str, str]) -> Findings:
    """Look at a repository and the PATH."""
    branch, problem = "", ""
    try:
        branch = find_base_branch(repository, environ=environ).name
    except ConfigError as error:
        problem = str(error)
    return Findings(
        service=dns_label(repository.name),
        base_branch=branch,
        base_branch_problem=problem,
        checks=tuple(suggest_checks(repository)),
        has_tasks=has_tasks(repository),
        programs=find_agent_programs(environ.get("PATH", "")),
    )


def write_config(findings: Findings) -> str:
    """The text of `coderun.yaml` for what was found."""
    branch = f"baseBranch: {scalar(findings.base_branch)}" if findings.base_branch else "#baseBranch: main"
    cli = next(iter(findings.programs), "claude")
    tasks = "# Task Master's tasks of this repository are found by themselves." if findings.has_tasks else "# Where tasks are."
    head = _HEAD.format(service=scalar(findings.service), base_branch=branch, cli=cli)
    return f"{head}{_checks(findings.checks)}\n{_TAIL.format(tasks=tasks)}"


def save_config(repository: Path, text: str, *, replace: bool = False) -> Path:
    """Write `coderun.yaml`, all of it or nothing; a symbolic link of that name is replaced, not followed.

    Raises:
        ConfigError: it is there already and `replace` is not set, or it cannot be written.
    """
    path = repository / FILE_NAME
    try:
        if replace:
            _replace(path, text)
        else:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{FILE_NAME} is there already and was left as it is; --force replaces it, --print shows what would be written"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot write {FILE_NAME}: {error.strerror}; check permissions and free space") from error
    return path


def next_steps(findings: Findings) -> Sequence[str]:
    """What a person does next, in order."""
    steps = [f"read {FILE_NAME} and commit it"]
    if findings.base_branch_problem:
        steps.insert(0, findings.base_branch_problem)
    if findings.programs:
        steps.append(f"coderun doctor   (agent CLIs found: {listed(findings.programs)})")
    else:
        steps.append(
            "install an agent CLI (npm install -g @anthropic-ai/claude-code), or name any program with --agent-command"
        )
        steps.append("coderun doctor")
    steps.append("coderun play --next" if findings.has_tasks else 'coderun play "what shall be done, in a sentence"')
    return steps


def _checks(checks: Sequence[SuggestedCheck]) -> str:
    rows = checks or [SuggestedCheck(name="test", run="make test")]
    mark = "" if checks else "#"
    lines = [f"{mark}checks:"]
    for check in rows:
        lines += [f"{mark}  - name: {scalar(check.name)}", f"{mark}    run: {scalar(check.run)}"]
        lines += ["#    required: true", "#    timeoutSeconds: 900"]
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    if path.is_dir() and not path.is_symlink():
        raise ConfigError(f"{FILE_NAME} is a folder; move it away first")
    descriptor, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.chmod(0o644)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
