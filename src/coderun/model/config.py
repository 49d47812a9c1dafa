"""The shape of `coderun.yaml`, and what it makes of the packaged roster.

`app.configuration` reads the files and hands their texts over; nothing here opens one. Every key is described for users in
`docs/configuration.md`; a test compares that page with these structs.
"""

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from coderun.model.adapters import SETTINGS, settings_problem
from coderun.model.coderun import CliConfig, CliType
from coderun.model.errors import ConfigError
from coderun.model.names import is_dns_label
from coderun.model.pulls import MergeMethod
from coderun.model.repository import parse_repository
from coderun.model.roster import Agent, Roster, make_roster
from coderun.model.text import did_you_mean, listed
from coderun.model.yaml import Document, Path, decode, load

FILE_NAME: Final = "coderun.yaml"
PACKAGED_PIPELINE: Final = "play"
TEMPLATE_FOLDER: Final = ".coderun/templates"
"""Where a repository's own templates are looked for when `templates` says nothing."""

_TEN_YEARS: Final = 315_360_000
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=_TEN_YEARS)]
Pause: TypeAlias = Annotated[float, Meta(ge=0, le=_TEN_YEARS)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Dollars: TypeAlias = Annotated[float, Meta(gt=0)]

_BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[-/.]|[/.]$|^@$")
_SHELL_PARTS = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_EXPANSIONS = re.compile(r"\\.|'[^']*'", re.DOTALL)


class Section(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A mapping of `coderun.yaml`: camelCase keys, and none that is not listed."""


class CliSettings(Section, frozen=True, kw_only=True):
    """How an agent's CLI runs; keys as in a CodeRun's `cliConfig`."""

    cli_type: CliType | UnsetType = UNSET
    model: str | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    max_tokens: Count | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    model_rotation: tuple[str, ...] | UnsetType = UNSET


class ToolSettings(Section, frozen=True, kw_only=True):
    """MCP tools of an agent."""

    remote: tuple[str, ...] | UnsetType = UNSET
    local_servers: dict[str, dict[str, Any]] | UnsetType = UNSET


class AgentSettings(Section, frozen=True, kw_only=True):
    """What is said of one agent; what is not written is taken from the packaged agent of that name."""

    role: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    github_app: str | UnsetType = UNSET
    app_id: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    cli: str | CliSettings | UnsetType = UNSET
    system_prompt: str | UnsetType = UNSET
    tools: ToolSettings | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    service_account: str | UnsetType = UNSET


class PlaySettings(Section, frozen=True, kw_only=True):
    """Defaults of every Play."""

    auto_merge: bool = False
    max_iterations: Count = 5
    parallel: Count = 1
    merge_method: MergeMethod = MergeMethod.MERGE


class CheckSettings(Section, frozen=True, kw_only=True):
    """A command that the local forge runs on every new head of a pull request."""

    name: str
    run: str | tuple[str, ...]
    required: bool = True
    timeout_seconds: Seconds = 900.0

    @property
    def command(self) -> tuple[str, ...]:
        """The argument list; a string is split as a shell would, and no shell runs it."""
        return tuple(shlex.split(self.run)) if isinstance(self.run, str) else self.run


class TaskSettings(Section, frozen=True, kw_only=True):
    """Where tasks are read from."""

    file: str = ""
    tag: str = ""
    write_back: bool = False


class LimitSettings(Section, frozen=True, kw_only=True):
    """Limits of runs, in seconds, counts and days."""

    run_timeout_seconds: Seconds = 7200.0
    stop_grace_seconds: Pause = 20.0
    attempts: Count = 3
    retry_backoff_seconds: Pause = 10.0
    parallel_runs: Count = 4
    keep_finished_runs_days: Annotated[float, Meta(ge=0, le=3650)] = 14.0
    keep_events_days: Annotated[float, Meta(ge=0, le=3650)] = 30.0


class BudgetSettings(Section, frozen=True, kw_only=True):
    """What may be spent, in US dollars and turns; None is no limit."""

    per_play_usd: Dollars | None = None
    per_day_usd: Dollars | None = None
    per_run_usd: Dollars | None = None
    per_run_turns: Count | None = None


class ForgeType(StrEnum):
    """Kinds of forges."""

    LOCAL = "local"
    GITHUB = "github"


class ForgeSettings(Section, frozen=True, kw_only=True):
    """Where pull requests live.

    Attributes:
        url: A GitHub Enterprise Server; "" is github.com.
        repository: `owner/name` on GitHub; "" is what the remote `origin` says.
        token_file: File with a personal token, for agents that have no App.
        poll_seconds: From one look at GitHub to the next while something moves there.
    """

    type: ForgeType = ForgeType.LOCAL
    url: str = ""
    repository: str = ""
    token_file: str = ""
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0


Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]


class WebhookSettings(Section, frozen=True, kw_only=True):
    """The door for the forge's webhooks; port 0 is no door.

    Attributes:
        secret_files: Each holds one secret; deliveries may be signed with any of them.
        repair_seconds: Pause between two looks for lost deliveries; up to ten times as long while there were none.
    """

    host: str = "127.0.0.1"
    port: Port = 0
    secret_files: tuple[str, ...] = ()
    repair_seconds: Annotated[float, Meta(ge=0.05, le=3600)] = 30.0


class PullRequestSettings(Section, frozen=True, kw_only=True):
    """How plays talk with people on pull requests.

    Attributes:
        commands: Whether `/coderun …` in comments is obeyed.
        status_comment: Whether one comment says where the play stands. Only on a forge of others.
        check_run: Whether a check `coderun` on the head says it too. Only on a forge of others.
    """

    commands: bool = True
    status_comment: bool = True
    check_run: bool = False


class PermissionSettings(Section, frozen=True, kw_only=True):
    """What agents may do without being asked, as rules of their CLI; the templates write them into its settings."""

    agent_tools_override: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class TelemetryProtocol(StrEnum):
    """Ways to send telemetry to a collector."""

    GRPC = "grpc"
    HTTP = "http/protobuf"
    JSON = "http/json"


class TelemetrySettings(Section, frozen=True, kw_only=True):
    """Where agent CLIs send their telemetry; none is sent unless it is enabled."""

    enabled: bool = False
    otlp_endpoint: str = "http://localhost:4317"
    otlp_protocol: TelemetryProtocol = TelemetryProtocol.GRPC
    logs_endpoint: str = "http://localhost:4318"
    logs_protocol: TelemetryProtocol = TelemetryProtocol.HTTP


class ToolServerSettings(Section, frozen=True, kw_only=True):
    """The server of remote MCP tools, and the client program that connects an agent to it."""

    url: str = ""
    command: str = "toolman-client"


class Config(Section, frozen=True, kw_only=True):
    """All of `coderun.yaml`; without a file everything is at its default.

    Attributes:
        service: "" is the repository's name as a DNS label.
        base_branch: "" is found out: the remote's default branch, else the current one.
        agents: Laid over the packaged roster, field by field.
        roles: Agent by role; a role that is absent goes to the first agent of the roster that has it.
        pipeline: `play`, the packaged one, or the path of a YAML file relative to the repository.
        templates: Folder of the repository's own templates; "" is `TEMPLATE_FOLDER`, which need not be there.
    """

    service: str = ""
    base_branch: str = ""
    agents: dict[str, AgentSettings] = {}
    roles: dict[str, str] = {}
    pipeline: str = PACKAGED_PIPELINE
    play: PlaySettings = PlaySettings()
    checks: tuple[CheckSettings, ...] = ()
    checks_grace_seconds: Pause = 60.0
    tasks: TaskSettings = TaskSettings()
    limits: LimitSettings = LimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    forge: ForgeSettings = ForgeSettings()
    pull_requests: PullRequestSettings = PullRequestSettings()
    webhook: WebhookSettings = WebhookSettings()
    templates: str = ""
    permissions: PermissionSettings = PermissionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    tool_server: ToolServerSettings = ToolServerSettings()

    def roster(self, packaged: Roster) -> Roster:
        """The agents there are: the packaged ones in their order with what is said here laid over them, then the new ones."""
        return make_roster(lay_over(packaged.agents, self.agents))

    def agent_in_role(self, role: str, roster: Roster) -> Agent | None:
        """Who takes a role: the agent that `roles` names, else the first one of the roster with that role."""
        named = self.roles.get(role)
        return roster.agents.get(named) if named else roster.in_role(role)


ConfigT = TypeVar("ConfigT", bound=Config)


class _RosterFile(Section, frozen=True, kw_only=True):
    agents: dict[str, AgentSettings]


def parse_roster(text: str, *, name: str) -> Roster:
    """A roster file (`agents: {name: fields}`), as the packaged one is.

    Raises:
        ConfigError: with `name:line:column`.
    """
    document = load(text, name=name)
    settings = decode(document, _RosterFile)
    _check_agents(document, settings.agents, Roster({}))
    return make_roster(lay_over({}, settings.agents))


def parse_config(text: str, *, packaged: Roster, name: str = FILE_NAME) -> Config:
    """`coderun.yaml`, checked against the packaged roster it is laid over. An empty text is all defaults.

    Raises:
        ConfigError: the first thing that is wrong, as `name:line:column: key: what was found; what to write`.
    """
    return parse_as(Config, text, packaged=packaged, name=name)


def parse_as(shape: type[ConfigT], text: str, *, packaged: Roster, name: str) -> ConfigT:
    """As `parse_config`, for a configuration with more sections."""
    document = load(text, name=name)
    if document.data is None:
        document = load("{}", name=name)
    config = decode(document, shape)
    _check_agents(document, config.agents, packaged)
    _check_roles(document, config, packaged)
    _check_names(document, config)
    _check_checks(document, config.checks)
    _check_forge(document, config.forge)
    _check_write_back(document, config)
    _check_addresses(document, config)
    return config


def lay_over(packaged: Mapping[str, Agent], said: Mapping[str, AgentSettings]) -> dict[str, Agent]:
    """`packaged` agents with the fields that were said in place of theirs; new names make new agents, at the end."""
    agents = dict(packaged)
    for name, settings in said.items():
        agents[name] = _lay_agent(agents.get(name, Agent(name=name)), settings)
    return agents


def is_inside(path: str) -> bool:
    """Whether `path` is relative and names something below where it is read from: no `..`, no control characters."""
    parts = PurePosixPath(path)
    return bool(parts.parts) and not parts.is_absolute() and ".." not in parts.parts and path.isprintable()


def is_branch_name(text: str) -> bool:
    """Whether git takes `text` as a branch name (git-check-ref-format), and no command takes it for an option."""
    return bool(text) and len(text) <= 200 and not _BAD_BRANCH.search(text)  # noqa: PLR2004 - a file name's room, with refs/


def shell_syntax(command: str) -> str:
    """The first thing in `command` that only a shell would understand (`&&`, `|`, `$HOME`, `VAR=x` …), "" for nothing."""
    bare = _SHELL_PARTS.sub("_", command)
    found = re.search(r"&&|\|\||[|;<>&\n]", bare) or re.search(r"\$[A-Za-z_({]|`", _EXPANSIONS.sub("_", command))
    return (found or re.match(r"\s*([A-Za-z_]\w*=\S*)", bare) or [""])[0].strip()


def _lay_agent(under: Agent, said: AgentSettings) -> Agent:
    fields = {key: value for key, value in _said(said).items() if key not in {"cli", "tools"}}
    if isinstance(said.tools, ToolSettings):
        fields["tools"] = msgspec.structs.replace(under.tools, **_said(said.tools))
    if isinstance(said.cli, str):
        fields["cli"] = CliConfig(cli_type=said.cli)
    elif isinstance(said.cli, CliSettings):
        other_cli = said.cli.cli_type is not UNSET and said.cli.cli_type != under.cli.cli_type
        fields["cli"] = msgspec.structs.replace(CliConfig() if other_cli else under.cli, **_said(said.cli))
    return msgspec.structs.replace(under, **fields)


def _said(settings: Section) -> dict[str, Any]:
    said = {field: getattr(settings, field) for field in settings.__struct_fields__}
    return {field: value for field, value in said.items() if value is not UNSET}


def _check_agents(document: Document, said: Mapping[str, AgentSettings], packaged: Roster) -> None:
    for name, settings in said.items():
        path: Path = ("agents", name)
        if not is_dns_label(name):
            message = "an agent's name needs lower-case letters, digits and '-' (not at its ends), at most 63"
            raise document.error(path, message, key=True)
        if isinstance(settings.cli, str) and settings.cli not in set(CliType):
            known = [cli.value for cli in CliType]
            near = did_you_mean(settings.cli, known)
            raise document.error(
                (*path, "cli"), f"there is no agent CLI {settings.cli!r}{near} (write one of: {listed(known)})"
            )
    agents = lay_over(packaged.agents, said)
    for name in said:
        _check_settings(document, agents[name], said[name])
    try:
        make_roster(agents)
    except ConfigError as error:
        raise document.error(("agents",), str(error), key=True) from error


def _check_settings(document: Document, agent: Agent, said: AgentSettings) -> None:
    problem = settings_problem(agent.cli) if said.cli is not UNSET else None
    if problem is None:
        return
    key, message = problem
    path: Path = ("agents", agent.name, "cli")
    is_said = isinstance(said.cli, CliSettings) and isinstance(said.cli.settings, dict) and key in said.cli.settings
    is_misspelt = is_said and key not in SETTINGS[agent.cli.cli_type]
    raise document.error((*path, "settings", key) if is_said else path, message, key=is_misspelt)


def _check_roles(document: Document, config: Config, packaged: Roster) -> None:
    known = lay_over(packaged.agents, config.agents)
    for role, agent in config.roles.items():
        if agent not in known:
            message = f"there is no agent {agent!r}{did_you_mean(agent, known)} (known agents: {listed(known)})"
            raise document.error(("roles", role), message)


def _check_names(document: Document, config: Config) -> None:
    if config.service and not is_dns_label(config.service):
        raise document.error(("service",), f"{config.service!r} is no DNS label; write lower-case letters, digits and '-'")
    if config.base_branch and not is_branch_name(config.base_branch):
        raise document.error(("baseBranch",), f"{config.base_branch!r} cannot be a branch; write its plain name, like main")
    if config.tasks.file and not is_inside(config.tasks.file):
        message = f"{config.tasks.file!r} leads outside the repository; write a path relative to its root"
        raise document.error(("tasks", "file"), message)
    if config.templates and not is_inside(config.templates):
        message = f"{config.templates!r} leads outside the repository; write a folder relative to its root"
        raise document.error(("templates",), message)
    if config.pipeline == PACKAGED_PIPELINE:
        return
    if not is_inside(config.pipeline):
        message = f"{config.pipeline!r} leads outside the repository; write `play`, or a path relative to its root"
        raise document.error(("pipeline",), message)
    if not config.pipeline.endswith((".yaml", ".yml")):
        near = did_you_mean(config.pipeline, [PACKAGED_PIPELINE])
        raise document.error(
            ("pipeline",), f"there is no pipeline {config.pipeline!r}{near} (write `play`, or the path of a .yaml file)"
        )


def _check_checks(document: Document, checks: tuple[CheckSettings, ...]) -> None:
    seen: dict[str, int] = {}
    for index, check in enumerate(checks):
        path: Path = ("checks", index)
        if not check.name.strip() or not check.name.isprintable():
            raise document.error((*path, "name"), "a check needs a name of one line")
        if check.name in seen:
            message = f"the name {check.name!r} is taken by checks[{seen[check.name]}]; give each check its own"
            raise document.error((*path, "name"), message)
        seen[check.name] = index
        _check_run(document, (*path, "run"), check)


def _check_run(document: Document, path: Path, check: CheckSettings) -> None:
    if isinstance(check.run, str):
        syntax = shell_syntax(check.run)
        if syntax:
            message = (
                f"no shell runs this, so {syntax!r} would reach the program as it stands; write [sh, -c, '…'] or two checks"
            )
            raise document.error(path, message)
    try:
        command = check.command
    except ValueError as error:
        raise document.error(
            path, f"{check.run!r} cannot be split into words ({error}); write a list: [program, argument]"
        ) from error
    if not command or not command[0] or any("\0" in word for word in command):
        raise document.error(path, "the command is empty; write a program and its arguments")


def _check_addresses(document: Document, config: Config) -> None:
    telemetry, tools = config.telemetry, config.tool_server
    addresses: tuple[tuple[Path, str], ...] = (
        (("telemetry", "otlpEndpoint"), telemetry.otlp_endpoint),
        (("telemetry", "logsEndpoint"), telemetry.logs_endpoint),
        (("toolServer", "url"), tools.url),
    )
    for path, address in addresses:
        if address and not re.fullmatch(r"https?://[^\s/@\x00-\x1f]+(?:/\S*)?", address):
            raise document.error(path, f"{address!r} is no usable address; write http://host:port (without credentials)")
    if not tools.command.strip():
        raise document.error(("toolServer", "command"), "the client's program is empty; write its name")


def _check_forge(document: Document, forge: ForgeSettings) -> None:
    if forge.repository:
        try:
            parse_repository(forge.repository)
        except ConfigError as error:
            raise document.error(("forge", "repository"), str(error)) from error
    if forge.url and not re.fullmatch(
        r"https://[^\s/@]+(?:/\S*)?|http://(?:localhost|127\.0\.0\.1)(?::\d+)?(?:/\S*)?", forge.url
    ):
        message = f"{forge.url!r} is no usable address; write https://host (without credentials)"
        raise document.error(("forge", "url"), message)


def _check_write_back(document: Document, config: Config) -> None:
    """Whether the list of tasks can be written: on the local forge alone, whose base branch is ours to commit to."""
    if config.tasks.write_back and config.forge.type is ForgeType.GITHUB:
        message = (
            "on GitHub nothing is committed to the base branch but by pull requests, and which tasks are done is read from the "
            "merged ones; write `writeBack: false`, or remove the key"
        )
        raise document.error(("tasks", "writeBack"), message)
