"""DocsRun: one execution of the documentation agent (custom resource `agents.platform/v1`, kind DocsRun).

Shapes follow the existing system's manifests. No reconciler works on them yet.
"""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from coderun.model.coderun import Shape
from coderun.model.meta import Condition, ObjectMeta
from coderun.model.names import API_VERSION


class DocsRunSpec(Shape, frozen=True, kw_only=True):
    """What the documentation agent shall do.

    Attributes:
        repository_url: Repository whose task documents are written.
        working_directory: Folder of the repository that holds `.taskmaster`; `.` is its root.
        source_branch: Branch the work starts from.
        model: Model of the agent; empty takes the configured one.
        github_user: Of the time before Apps; accepted and not used.
        github_app: GitHub App of the agent that does it.
        cli: Agent CLI that runs; empty takes the agent's.
        include_codebase: Whether the agent is given the source code as context.
        remote_tools: Names of remote MCP tools.
        local_tools: Names of local MCP servers.
    """

    repository_url: str
    working_directory: str
    source_branch: str
    model: str = ""
    github_user: str = ""
    github_app: str = ""
    cli: str = ""
    include_codebase: bool = False
    remote_tools: tuple[str, ...] = ()
    local_tools: tuple[str, ...] = ()


class DocsRunPhase(StrEnum):
    """Where a DocsRun stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @classmethod
    def _missing_(cls, value: object) -> "DocsRunPhase | None":
        return cls.PENDING if value == "" else None


class DocsRunStatus(Shape, frozen=True, kw_only=True):
    """What is known of one execution.

    Attributes:
        phase: Where it stands.
        conditions: Standard conditions.
        observed_generation: Generation of the spec that this status is about.
        work_completed: Whether nothing more will be done.
        job_name: Job of its attempt.
        configmap_name: ConfigMap with its files.
        pull_request_url: Pull request it opened.
        last_update: When the existing system last wrote this status.
        message: For people.
    """

    phase: DocsRunPhase = DocsRunPhase.PENDING
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    work_completed: bool = False
    job_name: str = ""
    configmap_name: str = ""
    pull_request_url: str = ""
    last_update: datetime | None = None
    message: str = ""


class DocsRun(Shape, frozen=True, kw_only=True):
    """One execution of the documentation agent."""

    KIND: ClassVar[str] = "DocsRun"

    api_version: str = API_VERSION
    kind: str = "DocsRun"
    metadata: ObjectMeta
    spec: DocsRunSpec
    status: DocsRunStatus = DocsRunStatus()

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name
