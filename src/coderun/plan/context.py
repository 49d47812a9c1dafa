"""What templates may read: one table of all variables, and the context of a run built from it. Pure.

The names of the system this one follows are all there, so that its users' templates render; ours come after them. A value never
depends on the substrate, the clock or chance: the same run gives the same files everywhere. No secret is a variable.
`docs/templates.md` prints this table; a test compares the two.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from coderun.model.gates import GateKind
from coderun.model.names import marker_path
from coderun.model.text import printable, storable
from coderun.plan.subject import (
    MAX_TITLE,
    Subject,
    allows_by_cli,
    budget_of,
    catalog_local,
    catalog_remote,
    checks_of,
    docs_repository_of,
    evidence_of,
    has_evidence,
    labels_to_set,
    may_write,
    mcp_rules,
    mcp_servers,
    pull_request_of,
    task_of,
    tool_count,
    verdicts_of,
    workflow_of,
)


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: a dotted name, its type in the words of JSON, where its value is from, what it means, and how to get it."""

    name: str
    type: str
    source: str
    description: str
    value: Callable[[Subject], Any]


def build_context(subject: Subject) -> dict[str, Any]:
    """The whole context of a run, every variable of the table in it; texts without NUL and lone surrogates."""
    context: dict[str, Any] = {}
    for variable, parents, name in _PLACED:
        place = context
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = _plain(variable.value(subject))
    return context


def top_level_names() -> frozenset[str]:
    """The first segments of all variables."""
    return frozenset(variable.name.partition(".")[0] for variable in VARIABLES)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    # Before the question whether it is a mapping, which costs more than all the rest.
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {storable(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _var(name: str, type_: str, source: str, description: str, value: str | Callable[[Subject], Any]) -> Variable:
    """A row; a `value` that is a text is the path of an attribute of the subject."""
    get = attrgetter(value) if isinstance(value, str) else value
    return Variable(name=name, type=type_, source=source, description=description, value=get)


def _nothing(_: Subject) -> str:
    return ""


def _never(_: Subject) -> bool:
    return False


_OVERLAY: Final = "defaults, roster, annotation"

VARIABLES: Final[tuple[Variable, ...]] = (
    _var("task_id", "number", "spec.taskId", "number of the task", "order.task_id"),
    _var(
        "task_title",
        "text",
        "spec.task",
        "title of the task, one line; untrusted",
        lambda s: printable(s.order.task.title, MAX_TITLE),
    ),
    _var("service", "text", "spec.service", "the service, a DNS label", "order.service"),
    _var("service_name", "text", "spec.service", "the same as `service`", "order.service"),
    _var("repository_url", "text", "spec.repositoryUrl", "the repository: slug, URL or path", "run.spec.repository_url"),
    _var(
        "docs_repository_url",
        "text",
        "spec.docsRepositoryUrl",
        "where the tasks are; `repository_url` when empty",
        docs_repository_of,
    ),
    _var("docsRepositoryUrl", "text", "spec.docsRepositoryUrl", "the same as `docs_repository_url`", docs_repository_of),
    _var("docs_branch", "text", "spec.docsBranch", "branch of the docs repository", "run.spec.docs_branch"),
    _var("source_branch", "text", "spec.baseBranch", "branch that documentation starts from", "order.base_branch"),
    _var(
        "docs_project_directory",
        "text",
        "spec.docsProjectDirectory",
        "folder that holds `.taskmaster`; empty is the root",
        "run.spec.docs_project_directory",
    ),
    _var(
        "working_directory",
        "text",
        "spec.workingDirectory",
        "folder to work in, below the root; `.` is the root",
        "order.working_directory",
    ),
    _var(
        "continue_session",
        "true or false",
        "spec.continueSession",
        "whether the agent's session goes on",
        "order.continue_session",
    ),
    _var(
        "overwrite_memory",
        "true or false",
        "spec.overwriteMemory",
        "whether CLAUDE.md replaces the memory file",
        "order.overwrite_memory",
    ),
    _var(
        "github_app",
        "text",
        "roster",
        "the agent's GitHub App as the roster spells it; its name where it has none",
        lambda s: s.agent.github_app or s.agent.name,
    ),
    _var("model", "text", "spec.model, roster", "model, empty for the CLI's own choice", "order.model"),
    _var("context_version", "number", "spec.contextVersion", "the iteration of the play, from 1", "order.iteration"),
    _var("attempts", "number", "the attempt", "the same as `attempt`", "order.attempt"),
    _var(
        "retry.is_retry",
        "true or false",
        "the attempt",
        "whether this task was worked on before",
        lambda s: s.order.attempt > 1 or s.order.iteration > 1 or s.order.continue_session,
    ),
    _var("retry.count", "number", "the attempt", "attempts before this one", lambda s: s.order.attempt - 1),
    _var("workflow_name", "text", "labels", "label `workflow-name`, else the play; empty outside a play", workflow_of),
    _var("workflow.name", "text", "labels", "the same as `workflow_name`", workflow_of),
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
        "settings.permissions.override",
    ),
    _var(
        "permissions.allow",
        "list of texts",
        "permissions.allow",
        "tools allowed by the configuration",
        "settings.permissions.allow",
    ),
    _var(
        "permissions.deny",
        "list of texts",
        "permissions.deny",
        "tools denied by the configuration",
        "settings.permissions.deny",
    ),
    _var(
        "telemetry.enabled",
        "true or false",
        "telemetry.enabled",
        "whether the CLI sends telemetry",
        "settings.telemetry.enabled",
    ),
    _var(
        "telemetry.otlp_endpoint", "text", "telemetry.otlpEndpoint", "collector of metrics", "settings.telemetry.otlp_endpoint"
    ),
    _var(
        "telemetry.otlp_protocol",
        "text",
        "telemetry.otlpProtocol",
        "`grpc`, `http/protobuf` or `http/json`",
        "settings.telemetry.otlp_protocol",
    ),
    _var("telemetry.logs_endpoint", "text", "telemetry.logsEndpoint", "collector of logs", "settings.telemetry.logs_endpoint"),
    _var(
        "telemetry.logs_protocol",
        "text",
        "telemetry.logsProtocol",
        "as `telemetry.otlp_protocol`",
        "settings.telemetry.logs_protocol",
    ),
    _var(
        "telemetry.otlpEndpoint",
        "text",
        "telemetry.otlpEndpoint",
        "the same as `telemetry.otlp_endpoint`",
        "settings.telemetry.otlp_endpoint",
    ),
    _var(
        "telemetry.otlpProtocol",
        "text",
        "telemetry.otlpProtocol",
        "the same as `telemetry.otlp_protocol`",
        "settings.telemetry.otlp_protocol",
    ),
    _var(
        "telemetry.logsEndpoint",
        "text",
        "telemetry.logsEndpoint",
        "the same as `telemetry.logs_endpoint`",
        "settings.telemetry.logs_endpoint",
    ),
    _var(
        "telemetry.logsProtocol",
        "text",
        "telemetry.logsProtocol",
        "the same as `telemetry.logs_protocol`",
        "settings.telemetry.logs_protocol",
    ),
    _var("api_key_secret_name", "text", "–", "always empty: keys do not pass through templates", _nothing),
    _var("api_key_secret_key", "text", "–", "always empty, as above", _nothing),
    _var("remote_tools", "list of texts", _OVERLAY, "remote MCP tools of this run", "tools.remote"),
    _var("local_tools", "list of texts", _OVERLAY, "local MCP servers of this run, by name", lambda s: list(s.tools.servers)),
    _var(
        "tool_config",
        "text",
        _OVERLAY,
        "`minimal` (no tools), `default`, or `advanced` (an annotation had its say)",
        "tools.level",
    ),
    _var(
        "client_config",
        "object",
        _OVERLAY,
        "`remoteTools` and `localServers`, the content of client-config.json",
        "tools.client_config",
    ),
    _var("hook_scripts", "list of texts", "templates", "names of this run's hook files", "hooks"),
    _var("include_codebase", "true or false", "–", "always false: the agent reads the repository itself", _never),
    _var(
        "toolman_catalog.remote",
        "object",
        _OVERLAY,
        "remote tools by server: `description`, `endpoint`, `tools`",
        catalog_remote,
    ),
    _var(
        "toolman_catalog.local",
        "object",
        _OVERLAY,
        "local servers: `description`, `command`, `args`, `working_directory`, `tools`",
        catalog_local,
    ),
    _var(
        "toolman_catalog_markdown",
        "text",
        "docs/tool-catalog.md.hbs",
        "the catalogue as it was rendered; empty outside docs runs and in the catalogue itself",
        _nothing,
    ),
    _var("total_tool_count", "number", _OVERLAY, "tools in the catalogue", tool_count),
    _var("generated_timestamp", "text", "–", "always empty: the same run gives the same files", _nothing),
    _var("agent", "text", "roster", "the agent's short name", "agent.name"),
    _var("role", "text", "roster", "the role it takes; empty for none", "agent.role"),
    _var("agent_description", "text", "roster", "what the roster says of it", "agent.description"),
    _var("login", "text", "roster", "its login on the forge", "agent.login"),
    _var("capabilities", "list of texts", "roster", "words of the roster, to branch on", "agent.capabilities"),
    _var(
        "roster_prompt",
        "text",
        "roster, systemPrompt",
        "text of the roster to be added to the system prompt",
        "agent.system_prompt",
    ),
    _var("kind", "text", "roster, capabilities", "`code` or `docs`", "kind.value"),
    _var("cli_type", "text", "spec.cliConfig, roster", "the agent CLI", "order.cli.cli_type"),
    _var(
        "cli_allows_tools",
        "true or false",
        "cli.settings.allowedTools",
        "whether the CLI's settings list the allowed tools",
        allows_by_cli,
    ),
    _var("stage", "text", "spec.stage", "stage of the pipeline, else the role", "order.stage"),
    _var("play", "text", "labels", "name of the play; empty outside one", "order.play"),
    _var("coderun", "text", "metadata.name", "name of the CodeRun", "order.coderun"),
    _var("job", "text", "names", "name of the job of this attempt", "order.job"),
    _var("workspace", "text", "names", "name of the workspace", "order.workspace"),
    _var("attempt", "number", "status.attempt", "attempt of the run, from 1", "order.attempt"),
    _var("iteration", "number", "spec.contextVersion", "iteration of the play, from 1", "order.iteration"),
    _var("branch", "text", "names", "head branch that is worked on", "order.branch"),
    _var("base_branch", "text", "spec.baseBranch", "branch that the pull request goes into", "order.base_branch"),
    _var("marker", "text", "names", "path of the task's marker file in the repository", lambda s: marker_path(s.order.task_id)),
    _var(
        "pull_request",
        "object or null",
        "spec.pullRequest",
        "`number`, `url`, `head_sha` of the pull request there is",
        pull_request_of,
    ),
    _var(
        "evidence",
        "list of objects",
        "spec.evidence",
        "what the forge must show afterwards: `kind`, `label`, `by`, `name`",
        evidence_of,
    ),
    _var(
        "opens_pull_request",
        "true or false",
        "spec.evidence",
        "whether coderun opens a pull request of this run",
        lambda s: has_evidence(s, GateKind.PULL_REQUEST),
    ),
    _var(
        "needs_checks",
        "true or false",
        "spec.evidence",
        "whether the checks of the head must pass",
        lambda s: has_evidence(s, GateKind.CHECKS, GateKind.LABEL),
    ),
    _var(
        "posts_review",
        "true or false",
        "spec.evidence",
        "whether coderun posts a review of this run",
        lambda s: has_evidence(s, GateKind.REVIEW),
    ),
    _var("set_labels", "list of texts", "spec.evidence", "labels that coderun sets for this run", labels_to_set),
    _var("verdicts", "list of texts", "spec.evidence", "verdicts that make sense in this stage", verdicts_of),
    _var("may_write", "true or false", "roster, capabilities", "whether the agent may change files of the branch", may_write),
    _var(
        "checks", "list of objects", "checks", "checks on the pull request: `name`, `command`, `required`, `timeout`", checks_of
    ),
    _var("labels", "object", "names", "labels of everything made for the run", "labels"),
    _var("task", "object", "spec.task", "`title`, `description`, `details`, `test_strategy`, `files`; untrusted", task_of),
    _var(
        "context_titles",
        "list of texts",
        "spec.context",
        "titles of the texts that say why the agent works again",
        lambda s: [printable(title, MAX_TITLE) for title in s.order.context],
    ),
    _var("instructions", "text", "spec.promptModification", "instructions of the stage", "run.spec.prompt_modification"),
    _var("prompt", "text", "plan", "the standard prompt: duties, task in fences, form of the result", "order.prompt"),
    _var("budget", "object or null", "spec.budget", "`max_usd`, `max_turns`, each may be null", budget_of),
    _var("timeout", "number", "spec.timeout, limits", "seconds the run may take", lambda s: int(s.order.limits.timeout)),
    _var("mcp_servers", "object", _OVERLAY, "servers of mcp.json by name", mcp_servers),
    _var("mcp_rules", "list of texts", _OVERLAY, "rules that allow the tools of these servers", mcp_rules),
)

_PLACED: Final = tuple(
    (variable, tuple(parents), name) for variable in VARIABLES for *parents, name in [variable.name.split(".")]
)
