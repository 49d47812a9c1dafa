"""What templates are told about a run beyond its plain fields: what its stage asks for, its task, its tools. Pure.

`context` names these values and hands them to the templates.
"""

from typing import Any, Final

import msgspec

from coderun.model.coderun import CodeRun
from coderun.model.gates import GateKind
from coderun.model.names import LABEL_PLAY
from coderun.model.roster import Agent
from coderun.model.text import printable
from coderun.plan.order import RunOrder
from coderun.plan.prompt import verdicts_for
from coderun.plan.settings import RunSettings
from coderun.plan.templates import Kind
from coderun.plan.tools import PROJECT_ROOT, LocalServer, ToolConfig

MAX_TITLE: Final = 200
_TOOL_SERVER: Final = "toolman"
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


def kind_of(agent: Agent) -> Kind:
    """Who may write documentation and no code makes docs runs."""
    writes_docs = "write-docs" in agent.capabilities and "write-code" not in agent.capabilities
    return Kind.DOCS if writes_docs else Kind.CODE


def has_evidence(subject: Subject, *kinds: GateKind) -> bool:
    """Whether the forge must show one of these afterwards."""
    return any(gate.kind in kinds for gate in subject.order.evidence)


def may_write(subject: Subject) -> bool:
    """Whether the agent may change files: not where all it may do is review."""
    return subject.agent.may_write


def verdicts_of(subject: Subject) -> list[str]:
    """The verdicts that make sense in this stage."""
    return verdicts_for(subject.order.evidence)


def pull_request_of(subject: Subject) -> dict[str, Any] | None:
    """The pull request that is worked on, where there is one."""
    pull = subject.order.pull_request
    return {"number": pull.number, "url": pull.url, "head_sha": pull.head_sha} if pull is not None else None


def budget_of(subject: Subject) -> dict[str, Any] | None:
    """What the run may spend, where that is limited."""
    budget = subject.order.budget
    return {"max_usd": budget.max_usd, "max_turns": budget.max_turns} if budget is not None else None


def labels_to_set(subject: Subject) -> list[str]:
    """Labels of the pull request that its stage asks for."""
    return [gate.label for gate in subject.order.evidence if gate.kind is GateKind.LABEL]


def evidence_of(subject: Subject) -> list[dict[str, str]]:
    """What the forge must show afterwards."""
    return [
        {"kind": gate.kind.value, "label": gate.label, "by": gate.by.value, "name": gate.name}
        for gate in subject.order.evidence
    ]


def checks_of(subject: Subject) -> list[dict[str, Any]]:
    """The checks of the pull request."""
    return [
        {"name": it.name, "command": list(it.command), "required": it.required, "timeout": int(it.timeout)}
        for it in subject.settings.checks
    ]


def _serves_remote(subject: Subject) -> bool:
    return bool(subject.settings.tool_server.url) and bool(subject.tools.remote)


def mcp_servers(subject: Subject) -> dict[str, Any]:
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


def mcp_rules(subject: Subject) -> list[str]:
    """Rules that allow the run's MCP tools and no others of the same servers."""
    if _serves_remote(subject):
        return [f"mcp__{_TOOL_SERVER}"]
    rules: list[str] = []
    for name, server in subject.tools.servers.items():
        rules += [f"mcp__{name}__{tool}" for tool in server.tools] or [f"mcp__{name}"]
    return rules


def catalog_remote(subject: Subject) -> dict[str, Any]:
    """The remote tools by server, which is the first word of their names."""
    servers: dict[str, Any] = {}
    for tool in subject.tools.remote:
        server = tool.partition("_")[0]
        entry = servers.setdefault(server, {"description": "", "endpoint": subject.settings.tool_server.url, "tools": []})
        entry["tools"].append(_catalog_tool(tool))
    return servers


def catalog_local(subject: Subject) -> dict[str, Any]:
    """The local servers and their tools."""
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


def tool_count(subject: Subject) -> int:
    """How many tools there are."""
    return len(subject.tools.remote) + sum(len(server.tools) for server in subject.tools.servers.values())


def task_of(subject: Subject) -> dict[str, Any]:
    """The task's texts, untrusted, and the names of its files."""
    task = subject.order.task
    return {
        "title": printable(task.title, MAX_TITLE),
        "description": task.description,
        "details": task.details,
        "test_strategy": task.test_strategy,
        "files": [printable(name, 100) for name in task.files],
    }


def workflow_of(subject: Subject) -> str:
    """The workflow or play that the run belongs to, "" for none."""
    labels = subject.run.metadata.labels
    return labels.get("workflow-name", "") or labels.get(LABEL_PLAY, "")


def docs_repository_of(subject: Subject) -> str:
    """Where the tasks are."""
    return subject.run.spec.docs_repository_url or subject.run.spec.repository_url


def allows_by_cli(subject: Subject) -> bool:
    """Whether the CLI's own settings list the allowed tools; they are passed on its command line then."""
    return "allowedTools" in subject.order.cli.settings
