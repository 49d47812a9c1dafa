"""What the configuration says about runs, as plain values."""

import msgspec
from msgspec.structs import replace

from coderun.model.errors import ConfigError, InvalidCodeRunError
from coderun.model.repository import host_of, names_a_host, parse_repository
from coderun.plan.order import GITHUB, ForgeRef, Limits
from coderun.plan.templates import NO_TEMPLATES, TemplateSet


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What agents may do unasked, as rules of their CLI; `override` puts `allow` in place of the packaged list."""

    override: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """Where agent CLIs send their telemetry."""

    enabled: bool = False
    otlp_endpoint: str = "http://localhost:4317"
    otlp_protocol: str = "grpc"
    logs_endpoint: str = "http://localhost:4318"
    logs_protocol: str = "http/protobuf"


class ToolServer(msgspec.Struct, frozen=True, kw_only=True):
    """The server of remote MCP tools, "" for none, and the program that connects an agent to it."""

    url: str = ""
    command: str = "toolman-client"


class CheckNote(msgspec.Struct, frozen=True, kw_only=True):
    """A check that the forge will run on the head of the pull request. `timeout` is in seconds."""

    name: str
    command: tuple[str, ...]
    required: bool = True
    timeout: float = 900.0


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` needs beside the CodeRun and the roster.

    Attributes:
        forge: Where the forge is; on GitHub `forge_of` says where a run's own repository is there.
        limits: Default time limits; a CodeRun's own `timeout` goes before.
        keep_finished_days: How long what is left of a finished run is kept.
        parallel_runs: How many runs may be at work at once.
        templates: What a run's files and prompts are made of; without any, a run has no files.
        checks: What will be run on the pull request, where that is known beforehand.
    """

    forge: ForgeRef
    limits: Limits = Limits()
    keep_finished_days: float = 14.0
    parallel_runs: int = 4
    templates: TemplateSet = NO_TEMPLATES
    permissions: Permissions = Permissions()
    telemetry: Telemetry = Telemetry()
    tool_server: ToolServer = ToolServer()
    checks: tuple[CheckNote, ...] = ()

    def forge_of(self, repository_url: str, *, wanted_by: str) -> ForgeRef:
        """The forge of one repository: the local forge holds one alone, GitHub any that has an owner and a name.

        Raises:
            InvalidCodeRunError: CodeRun `wanted_by` names a repository on another host, or what is none on GitHub.
        """
        if self.forge.kind != GITHUB or not self.forge.web:
            return self.forge
        try:
            wanted = parse_repository(repository_url)
        except ConfigError as error:
            raise InvalidCodeRunError(f"CodeRun {wanted_by!r}: spec.repositoryUrl: {error}") from error
        if wanted.is_local:
            raise InvalidCodeRunError(
                f"CodeRun {wanted_by!r}: spec.repositoryUrl {repository_url!r} is a folder, and this controller works with "
                "GitHub; write owner/name"
            )
        if names_a_host(repository_url) and wanted.host != (here := host_of(self.forge.web)):
            raise InvalidCodeRunError(
                f"CodeRun {wanted_by!r}: spec.repositoryUrl is on {wanted.host}, and this controller works with {here}; "
                "name a repository there, or set forge.url"
            )
        return replace(self.forge, repository=f"{self.forge.web}/{wanted.owner}/{wanted.name}.git")
