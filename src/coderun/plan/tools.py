"""The MCP tools of one run: packaged defaults, the roster's, the CodeRun's own, and the annotation laid over each other. Pure.

The rules, in this order of precedence (later wins):

1. `DEFAULT_SERVERS`: local servers that everybody may switch on;
2. the roster: `tools.remote`, `tools.localServers`;
3. `spec.remoteTools` (names to add) and `spec.localTools` (servers to switch on), lists with commas;
4. the annotation `agents.platform/tools-config`, a JSON object `{"remoteTools": […], "localServers": {…}}`.

Remote tools are an ordered union; `null` for the list empties what came before. Local servers are merged server by server and
key by key, their `tools` again as an ordered union; `null` for a server or a key takes it away. Only servers that are `enabled`
(the default of those somebody wrote down) reach a run. A `workingDirectory` of `project_root` is the folder the agent works in.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from coderun.model.coderun import CodeRun
from coderun.model.errors import InvalidCodeRunError
from coderun.model.roster import Agent
from coderun.model.text import did_you_mean, listed

ANNOTATION_TOOLS: Final = "agents.platform/tools-config"
PROJECT_ROOT: Final = "project_root"
MAX_ANNOTATION: Final = 64 * 1024
DEFAULT_SERVERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "filesystem": {
        "enabled": False,
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-filesystem", "."],
        "tools": ["read_file", "list_directory", "search_files", "directory_tree"],
        "workingDirectory": PROJECT_ROOT,
    },
    "git": {
        "enabled": False,
        "command": "uvx",
        "args": ["mcp-server-git", "--repository", "."],
        "tools": ["git_status", "git_diff", "git_log", "git_show"],
        "workingDirectory": PROJECT_ROOT,
    },
}
_SERVER_KEYS: Final = ("enabled", "command", "args", "tools", "workingDirectory", "env", "description")
_OVERLAY_KEYS: Final = {"remoteTools": "remote", "remote": "remote", "localServers": "local"}
_MAX_DEPTH: Final = 32


class LocalServer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An MCP server that runs beside the agent. `working_directory` is "", `project_root` or a path."""

    command: str
    args: tuple[str, ...]
    tools: tuple[str, ...]
    working_directory: str = ""
    env: dict[str, str] = {}
    description: str = ""


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of one run; `level` is `minimal` (none at all), `default`, or `advanced` where an annotation had its say."""

    remote: tuple[str, ...] = ()
    servers: dict[str, LocalServer] = {}
    level: str = "minimal"

    @property
    def client_config(self) -> dict[str, Any]:
        """The content of `client-config.json`."""
        servers = {name: _written(server) for name, server in self.servers.items()}
        return {"remoteTools": list(self.remote), "localServers": servers}


def tools_of(run: CodeRun, agent: Agent) -> ToolConfig:
    """The tools of a run by this agent.

    Raises:
        InvalidCodeRunError: the annotation is no such JSON, or a server lacks what it needs; the message names it.
    """
    remote = list(agent.tools.remote)
    local: dict[str, Any] = merge_objects(
        DEFAULT_SERVERS, {name: _enabled(it) for name, it in agent.tools.local_servers.items()}
    )
    remote = ordered_union(remote, _names(run.spec.remote_tools))
    for name in _names(run.spec.local_tools):
        if name not in local:
            raise InvalidCodeRunError(
                f"CodeRun {run.name!r}: spec.localTools names {name!r}{did_you_mean(name, local)} (known: {listed(local)})"
            )
        local = merge_objects(local, {name: {"enabled": True}})
    text = run.metadata.annotations.get(ANNOTATION_TOOLS, "")
    if text.strip():
        remote, local = _overlay(_parse(run, text), remote, local, where=_where(run))
    servers = {
        name: _server(name, settings, where=f"CodeRun {run.name!r}")
        for name, settings in local.items()
        if not isinstance(settings, Mapping) or settings.get("enabled", True)
    }
    level = "advanced" if text.strip() else "default" if remote or servers else "minimal"
    return ToolConfig(remote=tuple(remote), servers=servers, level=level)


def ordered_union(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Every element once, in the order in which it first comes."""
    return list(dict.fromkeys([*first, *second]))


def merge_objects(under: Mapping[str, Any], over: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """`over` laid over `under`, deeply; null takes a key away, lists named `tools` are joined, all others replaced."""
    if depth > _MAX_DEPTH:
        raise InvalidCodeRunError(f"tools nested more than {_MAX_DEPTH} deep cannot be merged; write them flatter")
    merged = dict(under)
    for key, value in over.items():
        before = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = merge_objects(before if isinstance(before, Mapping) else {}, value, depth + 1)
        elif key == "tools" and before is not None and _is_texts(value) and _is_texts(before):
            merged[key] = ordered_union(before, value)
        else:
            merged[key] = value
    return merged


def _enabled(settings: Any) -> Any:
    return {"enabled": True, **settings} if isinstance(settings, Mapping) else settings


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _where(run: CodeRun) -> str:
    return f"CodeRun {run.name!r}: annotation {ANNOTATION_TOOLS}"


def _parse(run: CodeRun, text: str) -> dict[str, Any]:
    where = _where(run)
    if len(text) > MAX_ANNOTATION:
        raise InvalidCodeRunError(f"{where} has {len(text)} characters, more than {MAX_ANNOTATION}; shorten it")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidCodeRunError(f"{where} is no JSON: {error}; write an object with remoteTools and localServers") from error
    if not isinstance(data, dict):
        raise InvalidCodeRunError(f"{where} is no JSON object; write an object with remoteTools and localServers")
    for key in data:
        if key not in _OVERLAY_KEYS:
            near = did_you_mean(key, ["remoteTools", "localServers"])
            raise InvalidCodeRunError(f"{where} has an unknown key {key!r}{near} (known: remoteTools, localServers)")
    return data


def _overlay(
    data: Mapping[str, Any], remote: list[str], local: dict[str, Any], *, where: str
) -> tuple[list[str], dict[str, Any]]:
    for key, value in data.items():
        if _OVERLAY_KEYS[key] == "remote":
            if value is not None and not _is_texts(value):
                raise InvalidCodeRunError(f"{where}: {key} must be a list of texts, or null for none")
            remote = ordered_union(remote, value) if value is not None else []
        elif value is None:
            local = {}
        elif isinstance(value, Mapping):
            # Whoever writes a new server down wants it; of a known one only what is written changes.
            local = merge_objects(local, {name: it if name in local else _enabled(it) for name, it in value.items()})
        else:
            raise InvalidCodeRunError(f"{where}: localServers must be an object of servers by name, or null for none")
    return remote, local


def _server(name: str, settings: Any, *, where: str) -> LocalServer:
    place = f"{where}: local tool server {name!r}"
    if not isinstance(settings, Mapping):
        raise InvalidCodeRunError(f"{place} must be an object with command, args and tools")
    for key in settings:
        if key not in _SERVER_KEYS:
            near = did_you_mean(key, _SERVER_KEYS)
            raise InvalidCodeRunError(f"{place} has an unknown key {key!r}{near} (known: {', '.join(_SERVER_KEYS)})")
    missing = [key for key in ("command", "args", "tools") if not _is_there(key, settings.get(key))]
    if missing:
        raise InvalidCodeRunError(f"{place} needs {' and '.join(missing)}: a program, a list of its arguments, a list of tools")
    env = settings.get("env", {})
    directory = settings.get("workingDirectory", "")
    if not isinstance(env, Mapping) or not all(isinstance(value, str) for value in env.values()):
        raise InvalidCodeRunError(f"{place}: env must be an object of texts")
    if not isinstance(directory, str) or "\0" in directory:
        raise InvalidCodeRunError(f"{place}: workingDirectory must be a path, or {PROJECT_ROOT!r}")
    return LocalServer(
        command=settings["command"],
        args=tuple(settings["args"]),
        tools=tuple(settings["tools"]),
        working_directory=directory,
        env=dict(env),
        description=str(settings.get("description", "")),
    )


def _is_there(key: str, value: Any) -> bool:
    return bool(isinstance(value, str) and value.strip()) if key == "command" else _is_texts(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _written(server: LocalServer) -> dict[str, Any]:
    data: dict[str, Any] = {"command": server.command, "args": list(server.args), "tools": list(server.tools)}
    if server.working_directory:
        data["workingDirectory"] = server.working_directory
    return data | ({"env": server.env} if server.env else {})
