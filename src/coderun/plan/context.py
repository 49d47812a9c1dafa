"""What templates may read: one table of all variables, and the context of a run built from it. Pure.

The names of the system this one follows are all there, so that its users' templates render; ours come after them. A value never
depends on the substrate, the clock or chance: the same run gives the same files everywhere. No secret is a variable.
`docs/templates.md` prints this table; a test compares the two.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from coderun.model.coderun import CodeRun, PullRequestRef
from coderun.model.gates import GateKind
from coderun.model.names import LABEL_PLAY, marker_path
from coderun.model.roster import Agent
from coderun.model.text import printable, storable
from coderun.plan.order import RunOrder
from coderun.plan.settings import RunSettings
from coderun.plan.templates import Kind
from coderun.plan.tools import PROJECT_ROOT, LocalServer, ToolConfig

MAX_TITLE: Final = 200
_TOOL_SERVER: Final = "toolman"
_WRITING: Final = frozenset({"write-code", "write-docs", "write-tests", "commit"})
_WITH_FOLDER: Final = 'cd -- "$1" && shift && exec "$@"'


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """All that a context is made from. `order` is the run's, without its rendered system prompt; `hooks` are file names."""

    run: CodeRun
    agent: Agent
    order: RunOrder
    settings: RunSettings
    tools: ToolConfig
    kind: Kind = Kind.CODE
    hooks: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: a dotted name, its type in the words of JSON, where its value is from, and what it means."""

    name: str
    type: str
    source: str
    description: str
    value: Callable[[Subject], Any]


def kind_of(agent: Agent) -> Kind:
    """Who may write documentation and no code makes docs runs."""
    writes_docs = "write-docs" in agent.capabilities and "write-code" not in agent.capabilities
    return Kind.DOCS if writes_docs else Kind.CODE


def build_context(subject: Subject) -> dict[str, Any]:
    """The whole context of a run, every variable of the table in it."""
    context: dict[str, Any] = {}
    for variable in VARIABLES:
        *parents, name = variable.name.split(".")
        place = context
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = variable.value(subject)
    return context


def top_level_names() -> frozenset[str]:
    """The first segments of all variables."""
    return frozenset(variable.name.partition(".")[0] for variable in VARIABLES)


def _has(subject: Subject, *kinds: GateKind) -> bool:
    return any(gate.kind in kinds for gate in subject.order.evidence)


def _may_write(subject: Subject) -> bool:
    words = set(subject.agent.capabilities)
    return "review" not in words or bool(words & _WRITING)


def _verdicts(subject: Subject) -> list[str]:
    return ["approve", "request-changes", "blocked"] if _has(subject, GateKind.REVIEW) else ["done", "blocked"]


def _pull_request(pull: PullRequestRef | None) -> dict[str, Any] | None:
    return {"number": pull.number, "url": storable(pull.url), "head_sha": pull.head_sha} if pull is not None else None


def _evidence(subject: Subject) -> list[dict[str, str]]:
    return [
        {"kind": gate.kind.value, "label": gate.label, "by": gate.by.value, "name": gate.name}
        for gate in subject.order.evidence
    ]


def _checks(subject: Subject) -> list[dict[str, Any]]:
    return [
        {"name": storable(it.name), "command": list(it.command), "required": it.required, "timeout": int(it.timeout)}
        for it in subject.settings.checks
    ]


def _serves_remote(subject: Subject) -> bool:
    return bool(subject.settings.tool_server.url) and bool(subject.tools.remote)


def _mcp_servers(subject: Subject) -> dict[str, Any]:
    """Servers of `mcp.json`: the tool server's client, which starts local servers itself, or the local servers alone."""
    if _serves_remote(subject):
        server = subject.settings.tool_server
        args = ["--working-dir", "."]
        # The CLI fills in its own environment: where the files of a run are is known only when it runs.
        config = "${CODERUN_FILES}/client-config.json"
        env = {"TOOLMAN_SERVER_URL": server.url, "MCP_CLIENT_CONFIG": config, "TOOLMAN_CONFIG_PATH": config}
        return {_TOOL_SERVER: {"type": "stdio", "command": server.command, "args": args, "env": env}}
    return {name: _mcp_server(server) for name, server in subject.tools.servers.items()}


def _mcp_server(server: LocalServer) -> dict[str, Any]:
    folder = server.working_directory
    if folder in {"", ".", PROJECT_ROOT}:
        return {"type": "stdio", "command": server.command, "args": list(server.args), "env": server.env}
    words = ["-c", _WITH_FOLDER, "sh", folder, server.command, *server.args]
    return {"type": "stdio", "command": "sh", "args": words, "env": server.env}


def _mcp_rules(subject: Subject) -> list[str]:
    """Rules that allow the run's MCP tools and no others of the same servers."""
    if _serves_remote(subject):
        return [f"mcp__{_TOOL_SERVER}"]
    rules: list[str] = []
    for name, server in subject.tools.servers.items():
        rules += [f"mcp__{name}__{tool}" for tool in server.tools] or [f"mcp__{name}"]
    return rules


def _catalog_remote(subject: Subject) -> dict[str, Any]:
    servers: dict[str, Any] = {}
    for tool in subject.tools.remote:
        server = tool.partition("_")[0]
        entry = servers.setdefault(server, {"description": "", "endpoint": subject.settings.tool_server.url, "tools": []})
        entry["tools"].append(_catalog_tool(tool))
    return servers


def _catalog_local(subject: Subject) -> dict[str, Any]:
    return {
        name: {
            "description": server.description,
            "command": server.command,
            "args": list(server.args),
            "working_directory": server.working_directory,
            "tools": [_catalog_tool(tool) for tool in server.tools],
        }
        for name, server in subject.tools.servers.items()
    }


def _catalog_tool(name: str) -> dict[str, Any]:
    return {"name": name, "category": "", "description": "", "use_cases": []}


def _tool_count(subject: Subject) -> int:
    return len(subject.tools.remote) + sum(len(server.tools) for server in subject.tools.servers.values())


def _task(subject: Subject) -> dict[str, Any]:
    task = subject.order.task
    return {
        "title": printable(task.title, MAX_TITLE),
        "description": storable(task.description),
        "details": storable(task.details),
        "test_strategy": storable(task.test_strategy),
        "files": [printable(name, 100) for name in task.files],
    }


def _workflow(subject: Subject) -> str:
    labels = subject.run.metadata.labels
    return labels.get("workflow-name", "") or labels.get(LABEL_PLAY, "")


def _docs_repository(subject: Subject) -> str:
    return storable(subject.run.spec.docs_repository_url or subject.run.spec.repository_url)


def _allows_by_cli(subject: Subject) -> bool:
    return "allowedTools" in subject.order.cli.settings


def _var(name: str, type_: str, source: str, description: str, value: Callable[[Subject], Any]) -> Variable:
    return Variable(name=name, type=type_, source=source, description=description, value=value)


_OVERLAY: Final = "defaults, roster, annotation"

VARIABLES: Final[tuple[Variable, ...]] = (
    _var("task_id", "number", "spec.taskId", "number of the task", lambda s: s.order.task_id),
    _var(
        "task_title",
        "text",
        "spec.task",
        "title of the task, one line; untrusted",
        lambda s: printable(s.order.task.title, MAX_TITLE),
    ),
    _var("service", "text", "spec.service", "the service, a DNS label", lambda s: s.order.service),
    _var("service_name", "text", "spec.service", "the same as `service`", lambda s: s.order.service),
    _var(
        "repository_url",
        "text",
        "spec.repositoryUrl",
        "the repository: slug, URL or path",
        lambda s: storable(s.run.spec.repository_url),
    ),
    _var(
        "docs_repository_url",
        "text",
        "spec.docsRepositoryUrl",
        "where the tasks are; `repository_url` when empty",
        _docs_repository,
    ),
    _var("docsRepositoryUrl", "text", "spec.docsRepositoryUrl", "the same as `docs_repository_url`", _docs_repository),
    _var("docs_branch", "text", "spec.docsBranch", "branch of the docs repository", lambda s: storable(s.run.spec.docs_branch)),
    _var(
        "source_branch",
        "text",
        "spec.baseBranch",
        "branch that documentation starts from",
        lambda s: storable(s.order.base_branch),
    ),
    _var(
        "docs_project_directory",
        "text",
        "spec.docsProjectDirectory",
        "folder that holds `.taskmaster`; empty is the root",
        lambda s: storable(s.run.spec.docs_project_directory),
    ),
    _var(
        "working_directory",
        "text",
        "spec.workingDirectory",
        "folder to work in, below the root; `.` is the root",
        lambda s: storable(s.order.working_directory),
    ),
    _var(
        "continue_session",
        "true or false",
        "spec.continueSession",
        "whether the agent's session goes on",
        lambda s: s.order.continue_session,
    ),
    _var(
        "overwrite_memory",
        "true or false",
        "spec.overwriteMemory",
        "whether CLAUDE.md replaces the memory file",
        lambda s: s.order.overwrite_memory,
    ),
    _var(
        "github_app",
        "text",
        "roster",
        "the agent's GitHub App as the roster spells it; its name where it has none",
        lambda s: s.agent.github_app or s.agent.name,
    ),
    _var("model", "text", "spec.model, roster", "model, empty for the CLI's own choice", lambda s: storable(s.order.model)),
    _var("context_version", "number", "spec.contextVersion", "the iteration of the play, from 1", lambda s: s.order.iteration),
    _var("attempts", "number", "the attempt", "the same as `attempt`", lambda s: s.order.attempt),
    _var(
        "retry.is_retry",
        "true or false",
        "the attempt",
        "whether this task was worked on before",
        lambda s: s.order.attempt > 1 or s.order.iteration > 1 or s.order.continue_session,
    ),
    _var("retry.count", "number", "the attempt", "attempts before this one", lambda s: s.order.attempt - 1),
    _var("workflow_name", "text", "labels", "label `workflow-name`, else the play; empty outside a play", _workflow),
    _var("workflow.name", "text", "labels", "the same as `workflow_name`", _workflow),
    _var(
        "user_requested",
        "true or false",
        "labels",
        "whether a person asked for this run outside a play",
        lambda s: not s.order.play,
    ),
    _var(
        "agent_tools_override",
        "true or false",
        "permissions.agentToolsOverride",
        "whether `permissions.allow` replaces the packaged list",
        lambda s: s.settings.permissions.override,
    ),
    _var(
        "permissions.allow",
        "list of texts",
        "permissions.allow",
        "tools allowed by the configuration",
        lambda s: list(s.settings.permissions.allow),
    ),
    _var(
        "permissions.deny",
        "list of texts",
        "permissions.deny",
        "tools denied by the configuration",
        lambda s: list(s.settings.permissions.deny),
    ),
    _var(
        "telemetry.enabled",
        "true or false",
        "telemetry.enabled",
        "whether the CLI sends telemetry",
        lambda s: s.settings.telemetry.enabled,
    ),
    _var(
        "telemetry.otlp_endpoint",
        "text",
        "telemetry.otlpEndpoint",
        "collector of metrics",
        lambda s: s.settings.telemetry.otlp_endpoint,
    ),
    _var(
        "telemetry.otlp_protocol",
        "text",
        "telemetry.otlpProtocol",
        "`grpc`, `http/protobuf` or `http/json`",
        lambda s: s.settings.telemetry.otlp_protocol,
    ),
    _var(
        "telemetry.logs_endpoint",
        "text",
        "telemetry.logsEndpoint",
        "collector of logs",
        lambda s: s.settings.telemetry.logs_endpoint,
    ),
    _var(
        "telemetry.logs_protocol",
        "text",
        "telemetry.logsProtocol",
        "as `telemetry.otlp_protocol`",
        lambda s: s.settings.telemetry.logs_protocol,
    ),
    _var(
        "telemetry.otlpEndpoint",
        "text",
        "telemetry.otlpEndpoint",
        "the same as `telemetry.otlp_endpoint`",
        lambda s: s.settings.telemetry.otlp_endpoint,
    ),
    _var(
        "telemetry.otlpProtocol",
        "text",
        "telemetry.otlpProtocol",
        "the same as `telemetry.otlp_protocol`",
        lambda s: s.settings.telemetry.otlp_protocol,
    ),
    _var(
        "telemetry.logsEndpoint",
        "text",
        "telemetry.logsEndpoint",
        "the same as `telemetry.logs_endpoint`",
        lambda s: s.settings.telemetry.logs_endpoint,
    ),
    _var(
        "telemetry.logsProtocol",
        "text",
        "telemetry.logsProtocol",
        "the same as `telemetry.logs_protocol`",
        lambda s: s.settings.telemetry.logs_protocol,
    ),
    _var("api_key_secret_name", "text", "–", "always empty: keys do not pass through templates", lambda s: ""),
    _var("api_key_secret_key", "text", "–", "always empty, as above", lambda s: ""),
    _var("remote_tools", "list of texts", _OVERLAY, "remote MCP tools of this run", lambda s: list(s.tools.remote)),
    _var("local_tools", "list of texts", _OVERLAY, "local MCP servers of this run, by name", lambda s: list(s.tools.servers)),
    _var(
        "tool_config",
        "text",
        _OVERLAY,
        "`minimal` (no tools), `default`, or `advanced` (an annotation had its say)",
        lambda s: s.tools.level,
    ),
    _var(
        "client_config",
        "object",
        _OVERLAY,
        "`remoteTools` and `localServers`, the content of client-config.json",
        lambda s: s.tools.client_config,
    ),
    _var("hook_scripts", "list of texts", "templates", "names of this run's hook files", lambda s: list(s.hooks)),
    _var("include_codebase", "true or false", "–", "always false: the agent reads the repository itself", lambda s: False),
    _var(
        "toolman_catalog.remote",
        "object",
        _OVERLAY,
        "remote tools by server: `description`, `endpoint`, `tools`",
        _catalog_remote,
    ),
    _var(
        "toolman_catalog.local",
        "object",
        _OVERLAY,
        "local servers: `description`, `command`, `args`, `working_directory`, `tools`",
        _catalog_local,
    ),
    _var(
        "toolman_catalog_markdown",
        "text",
        "docs/tool-catalog.md.hbs",
        "the catalogue as it was rendered; empty outside docs runs and in the catalogue itself",
        lambda s: "",
    ),
    _var("total_tool_count", "number", _OVERLAY, "tools in the catalogue", _tool_count),
    _var("generated_timestamp", "text", "–", "always empty: the same run gives the same files", lambda s: ""),
    _var("agent", "text", "roster", "the agent's short name", lambda s: s.agent.name),
    _var("role", "text", "roster", "the role it takes; empty for none", lambda s: s.agent.role),
    _var("agent_description", "text", "roster", "what the roster says of it", lambda s: storable(s.agent.description)),
    _var("login", "text", "roster", "its login on the forge", lambda s: s.agent.login),
    _var("capabilities", "list of texts", "roster", "words of the roster, to branch on", lambda s: list(s.agent.capabilities)),
    _var(
        "roster_prompt",
        "text",
        "roster, systemPrompt",
        "text of the roster to be added to the system prompt",
        lambda s: storable(s.agent.system_prompt),
    ),
    _var("kind", "text", "roster, capabilities", "`code` or `docs`", lambda s: s.kind.value),
    _var("cli_type", "text", "spec.cliConfig, roster", "the agent CLI", lambda s: s.order.cli.cli_type),
    _var(
        "cli_allows_tools",
        "true or false",
        "cli.settings.allowedTools",
        "whether the CLI's settings list the allowed tools",
        _allows_by_cli,
    ),
    _var("stage", "text", "spec.stage", "stage of the pipeline, else the role", lambda s: storable(s.order.stage)),
    _var("play", "text", "labels", "name of the play; empty outside one", lambda s: s.order.play),
    _var("coderun", "text", "metadata.name", "name of the CodeRun", lambda s: s.order.coderun),
    _var("job", "text", "names", "name of the job of this attempt", lambda s: s.order.job),
    _var("workspace", "text", "names", "name of the workspace", lambda s: s.order.workspace),
    _var("attempt", "number", "status.attempt", "attempt of the run, from 1", lambda s: s.order.attempt),
    _var("iteration", "number", "spec.contextVersion", "iteration of the play, from 1", lambda s: s.order.iteration),
    _var("branch", "text", "names", "head branch that is worked on", lambda s: storable(s.order.branch)),
    _var(
        "base_branch",
        "text",
        "spec.baseBranch",
        "branch that the pull request goes into",
        lambda s: storable(s.order.base_branch),
    ),
    _var("marker", "text", "names", "path of the task's marker file in the repository", lambda s: marker_path(s.order.task_id)),
    _var(
        "pull_request",
        "object or null",
        "spec.pullRequest",
        "`number`, `url`, `head_sha` of the pull request there is",
        lambda s: _pull_request(s.order.pull_request),
    ),
    _var(
        "evidence",
        "list of objects",
        "spec.evidence",
        "what the forge must show afterwards: `kind`, `label`, `by`, `name`",
        _evidence,
    ),
    _var(
        "opens_pull_request",
        "true or false",
        "spec.evidence",
        "whether coderun opens a pull request of this run",
        lambda s: _has(s, GateKind.PULL_REQUEST),
    ),
    _var(
        "needs_checks",
        "true or false",
        "spec.evidence",
        "whether the checks of the head must pass",
        lambda s: _has(s, GateKind.CHECKS, GateKind.LABEL),
    ),
    _var(
        "posts_review",
        "true or false",
        "spec.evidence",
        "whether coderun posts a review of this run",
        lambda s: _has(s, GateKind.REVIEW),
    ),
    _var(
        "set_labels",
        "list of texts",
        "spec.evidence",
        "labels that coderun sets for this run",
        lambda s: [storable(g.label) for g in s.order.evidence if g.kind is GateKind.LABEL],
    ),
    _var("verdicts", "list of texts", "spec.evidence", "verdicts that make sense in this stage", _verdicts),
    _var("may_write", "true or false", "roster, capabilities", "whether the agent may change files of the branch", _may_write),
    _var(
        "checks", "list of objects", "checks", "checks on the pull request: `name`, `command`, `required`, `timeout`", _checks
    ),
    _var("labels", "object", "names", "labels of everything made for the run", lambda s: s.labels),
    _var("task", "object", "spec.task", "`title`, `description`, `details`, `test_strategy`, `files`; untrusted", _task),
    _var(
        "context_titles",
        "list of texts",
        "spec.context",
        "titles of the texts that say why the agent works again",
        lambda s: [printable(title, MAX_TITLE) for title in s.order.context],
    ),
    _var(
        "instructions",
        "text",
        "spec.promptModification",
        "instructions of the stage",
        lambda s: storable(s.run.spec.prompt_modification),
    ),
    _var(
        "prompt",
        "text",
        "plan",
        "the standard prompt: duties, task in fences, form of the result",
        lambda s: storable(s.order.prompt),
    ),
    _var(
        "budget",
        "object or null",
        "spec.budget",
        "`max_usd`, `max_turns`, each may be null",
        lambda s: msgspec.structs.asdict(s.order.budget) if s.order.budget is not None else None,
    ),
    _var("timeout", "number", "spec.timeout, limits", "seconds the run may take", lambda s: int(s.order.limits.timeout)),
    _var("mcp_servers", "object", _OVERLAY, "servers of mcp.json by name", _mcp_servers),
    _var("mcp_rules", "list of texts", _OVERLAY, "rules that allow the tools of these servers", _mcp_rules),
)
