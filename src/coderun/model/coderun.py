"""CodeRun: one execution of one agent on one task.

Shapes follow the custom resource `agents.platform/v1`, kind CodeRun. Fields of the existing system's manifests are accepted;
fields nobody knows are ignored.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from coderun.model.gates import Gate
from coderun.model.meta import Condition, ObjectMeta
from coderun.model.names import API_VERSION
from coderun.model.task import TaskText


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of the structs below: immutable, camelCase outside, unknown fields ignored."""


class CliType(StrEnum):
    """Agent command lines there are adapters for."""

    CLAUDE = "claude"
    CODEX = "codex"
    OPENCODE = "opencode"
    COMMAND = "command"


class SecretEnvVar(Shape, frozen=True, kw_only=True):
    """An environment variable read from a key of a Secret."""

    name: str
    secret_name: str
    secret_key: str


class CliConfig(Shape, frozen=True, kw_only=True):
    """Which agent CLI runs and how. `settings["command"]` is the argument list of the `command` adapter."""

    cli_type: str = CliType.CLAUDE.value
    model: str = ""
    settings: dict[str, Any] = {}
    max_tokens: int | None = None
    temperature: float | None = None
    model_rotation: tuple[str, ...] = ()


class PullRequestRef(Shape, frozen=True, kw_only=True):
    """A pull request, as of one head commit."""

    number: int
    url: str = ""
    head_sha: str = ""


class Budget(Shape, frozen=True, kw_only=True):
    """Limits of what may be spent; None is no limit."""

    max_usd: float | None = None
    max_turns: int | None = None


class CodeRunSpec(Shape, frozen=True, kw_only=True):
    """What one execution shall do. Times in seconds.

    Attributes:
        evidence: What the forge must show for this run to have succeeded: the gates of its stage that name the stage's agent.
        task: The task's text where it does not come from the docs repository.
        context: Untrusted text for the agent on why it runs again (review comments, failed checks), as `{title: text}`.
        timeout: Wall-clock limit of an attempt; None takes the configured default.
    """

    task_id: int
    service: str
    repository_url: str
    docs_repository_url: str = ""
    docs_project_directory: str = ""
    docs_branch: str = "main"
    working_directory: str = "."
    github_app: str = ""
    github_user: str = ""
    model: str = ""
    context_version: int = 1
    continue_session: bool = False
    overwrite_memory: bool = False
    env: dict[str, str] = {}
    env_from_secrets: tuple[SecretEnvVar, ...] = ()
    task_requirements: str = ""
    service_account_name: str = ""
    cli_config: CliConfig | None = None
    enable_docker: bool = False
    local_tools: str = ""
    remote_tools: str = ""
    prompt_modification: str = ""
    stage: str = ""
    base_branch: str = "main"
    pull_request: PullRequestRef | None = None
    evidence: tuple[Gate, ...] = ()
    task: TaskText | None = None
    context: dict[str, str] = {}
    budget: Budget | None = None
    timeout: int | None = None
    cancel_requested: str = ""


class RunPhase(StrEnum):
    """Where a CodeRun stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self in {RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED}

    @classmethod
    def _missing_(cls, value: object) -> "RunPhase | None":
        # The existing system writes an empty phase where nothing has happened yet.
        return cls.PENDING if value == "" else None


class Verdict(StrEnum):
    """What an agent says of its own work; evidence decides, the verdict only steers what the runner publishes."""

    DONE = "done"
    APPROVE = "approve"
    REQUEST_CHANGES = "request-changes"
    BLOCKED = "blocked"


class RunOutcome(Shape, frozen=True, kw_only=True):
    """What a finished attempt left behind.

    Attributes:
        exit_code: Of the agent CLI; None where it never ran.
        terminal_reason: CamelCase word for programs: `Completed`, `EvidenceMissing`, `AgentFailed`, `TimedOut`, `Cancelled`,
            `JobLost`, `SpawnFailed`, `GitFailed`, `ForgeRefused`, …
        summary: For people; untrusted where it is the agent's.
    """

    exit_code: int | None = None
    is_error: bool = False
    terminal_reason: str = ""
    verdict: Verdict | None = None
    summary: str = ""


class Usage(Shape, frozen=True, kw_only=True):
    """What an attempt consumed; tokens and turns are counts, cost is in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: float = 0.0
    turns: int = 0


class CodeRunStatus(Shape, frozen=True, kw_only=True):
    """What is known of one execution, written once a pass."""

    phase: RunPhase = RunPhase.PENDING
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    work_completed: bool = False
    job_name: str = ""
    configmap_name: str = ""
    workspace: str = ""
    session_id: str = ""
    pull_request_url: str = ""
    head_sha: str = ""
    attempt: int = 0
    retry_count: int = 0
    parked_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expire_at: datetime | None = None
    result: RunOutcome | None = None
    usage: Usage | None = None
    message: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen, also where another controller ended it without `workCompleted`."""
        return self.work_completed or self.phase.is_finished


class CodeRun(Shape, frozen=True, kw_only=True):
    """One execution of one agent on one task."""

    KIND: ClassVar[str] = "CodeRun"

    api_version: str = API_VERSION
    kind: str = "CodeRun"
    metadata: ObjectMeta
    spec: CodeRunSpec
    status: CodeRunStatus = CodeRunStatus()

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name


class RunReport(Shape, frozen=True, kw_only=True):
    """What `coderun agent` hands back at the end of an attempt: `report.json` of the run folder, or a termination message.

    Attributes:
        phase: Succeeded, Failed or Cancelled.
    """

    phase: RunPhase
    outcome: RunOutcome = RunOutcome()
    usage: Usage | None = None
    session_id: str = ""
    pull_request: PullRequestRef | None = None
    head_sha: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
