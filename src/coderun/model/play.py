"""Play: one task going through the pipeline (custom resource `agents.platform/v1`, kind Play)."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from coderun.model.coderun import Budget, CliConfig, PullRequestRef, Shape
from coderun.model.meta import Condition, ObjectMeta
from coderun.model.names import API_VERSION
from coderun.model.task import TaskText

HISTORY_LIMIT = 50
COMMANDS_LIMIT = 20


class Approval(Shape, frozen=True, kw_only=True):
    """A recorded human decision that passes the gates of `stage` for this head commit only.

    Attributes:
        iteration: The iteration it was given in, the only one it counts in. 0 names none: it counts in any, but does not settle
            what a review or a conflict on this very head asks for.
    """

    stage: str
    head_sha: str
    by: str
    at: datetime
    iteration: int = 0


class PlayCommand(Shape, frozen=True, kw_only=True):
    """A command that somebody gave in a comment on the pull request, and what was made of it; each is acted on once.

    Attributes:
        comment: The comment's id on the forge; ids grow with time.
        command: What was asked for; untrusted where it was refused.
        outcome: For people: what came of it, or why it was refused.
    """

    comment: int
    command: str = ""
    by: str = ""
    at: datetime | None = None
    accepted: bool = False
    outcome: str = ""


class PlaySpec(Shape, frozen=True, kw_only=True):
    """What shall happen to a task.

    Attributes:
        agents: Agent name by role; a role that is absent is filled from the roster.
        depends_on: Task ids whose Plays must have succeeded (or that are done) before this one starts.
        priority: Lower starts first among the ready ones.
        retries: Raised by `coderun retry`; each raise gives fresh attempts, and one iteration more at the limit.
        pipeline: Name of the pipeline definition.
        cli_config: Replaces the CLI of every agent of this play (`--agent-command`).
        commands: The last commands that were given in comments, oldest first.
    """

    task_id: int
    repository_url: str
    service: str = ""
    pipeline: str = "play"
    agents: dict[str, str] = {}
    base_branch: str = "main"
    auto_merge: bool = False
    max_iterations: int = 5
    budget: Budget | None = None
    paused: bool = False
    abort_requested: bool = False
    approvals: tuple[Approval, ...] = ()
    task: TaskText | None = None
    depends_on: tuple[int, ...] = ()
    priority: int = 1
    retries: int = 0
    cli_config: CliConfig | None = None
    commands: tuple[PlayCommand, ...] = ()


class PlayPhase(StrEnum):
    """Where a Play stands. `Waiting` waits for a person; `Pending` has not started."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless a person asks."""
        return self in {PlayPhase.SUCCEEDED, PlayPhase.FAILED, PlayPhase.ABORTED}


class PassedGate(Shape, frozen=True, kw_only=True):
    """A gate that held: for which stage, which commit, by whom, since when."""

    name: str
    stage: str
    head_sha: str = ""
    actor: str = ""
    since: datetime | None = None


class Waiting(Shape, frozen=True, kw_only=True):
    """What a Play waits for.

    Attributes:
        kind: `run`, `gate`, `person`, `dependency`, `slot`, `time` or `stop`: for programs.
        target: What exactly is waited for (a run's name, a gate's name, task ids).
        reason: CamelCase, for programs.
        message: For people: why.
        would_move: For people: what would end the wait.
    """

    kind: str
    target: str = ""
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    would_move: str = ""


class HistoryEntry(Shape, frozen=True, kw_only=True):
    """One decision: what changed, why, and which fact or event moved it."""

    at: datetime
    stage: str = ""
    iteration: int = 0
    reason: str
    message: str = ""


class PlayRun(Shape, frozen=True, kw_only=True):
    """A run this Play made; remembered here when its CodeRun has been cleaned up.

    Attributes:
        reason: Terminal reason, "" while it has not finished.
    """

    name: str
    stage: str
    iteration: int
    attempt: int
    agent: str = ""
    phase: str = ""
    reason: str = ""


class PlayStatus(Shape, frozen=True, kw_only=True):
    """What is known of a Play, written once a pass.

    Attributes:
        iteration: Pass through the pipeline, from 1; every restart raises it.
        remediations: Restarts that count towards `maxIterations` (reviews and conflicts; pushes by people do not).
        first_attempt: Attempts before this one are not held against the current stage (moved up by `retry`).
        reviewed: Id of the last review that led to a restart or was answered by one.
        resolved_head: Head commit that the restarted stage must replace; "" when nothing is owed.
        retries_seen: The value of `spec.retries` that has been acted on.
        stage_since: When the current stage was entered.
        fresh_since: Sessions of runs of earlier iterations than this are not continued.
    """

    phase: PlayPhase = PlayPhase.PENDING
    stage: str = ""
    iteration: int = 1
    remediations: int = 0
    first_attempt: int = 1
    pull_request: PullRequestRef | None = None
    gates: tuple[PassedGate, ...] = ()
    waiting: Waiting | None = None
    runs: tuple[PlayRun, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    reviewed: int = 0
    resolved_head: str = ""
    retries_seen: int = 0
    extra_iterations: int = 0
    stage_since: datetime | None = None
    fresh_since: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""


class Play(Shape, frozen=True, kw_only=True):
    """One task going through the pipeline."""

    KIND: ClassVar[str] = "Play"

    api_version: str = API_VERSION
    kind: str = "Play"
    metadata: ObjectMeta
    spec: PlaySpec
    status: PlayStatus = PlayStatus()

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless a person asks."""
        return self.status.phase.is_finished


def with_commands(spec: PlaySpec, new: Iterable[PlayCommand]) -> PlaySpec:
    """`spec` with commands that were acted on; only the last 20 are kept."""
    return msgspec.structs.replace(spec, commands=(*spec.commands, *new)[-COMMANDS_LIMIT:])


def is_known_comment(spec: PlaySpec, comment: int) -> bool:
    """Whether a comment was acted on, or is older than all that are remembered."""
    known = [command.comment for command in spec.commands]
    return comment in known or (len(known) >= COMMANDS_LIMIT and comment < min(known))


def with_history(status: PlayStatus, entry: HistoryEntry) -> PlayStatus:
    """`status` with one more decision; only the last 50 are kept."""
    return msgspec.structs.replace(status, history=(*status.history, entry)[-HISTORY_LIMIT:])
