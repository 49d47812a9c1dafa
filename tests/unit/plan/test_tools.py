"""The tools of a run: what is merged over what, as tables."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.plan.samples import minimal_run

from coderun.model.coderun import CodeRun
from coderun.model.errors import InvalidCodeRunError
from coderun.model.roster import Agent, AgentTools
from coderun.plan.tools import ANNOTATION_TOOLS, merge_objects, tools_of

NOTES: dict[str, object] = {"command": "notes", "args": ["--all"], "tools": ["read"]}


def agent(remote: tuple[str, ...] = (), **servers: dict[str, object]) -> Agent:
    return Agent(name="rex", tools=AgentTools(remote=remote, local_servers=servers))


def run(overlay: Any = None, **spec: Any) -> CodeRun:
    made = minimal_run("rex", **spec)
    text = overlay if isinstance(overlay, str) else json.dumps(overlay)
    annotations = {} if overlay is None else {ANNOTATION_TOOLS: text}
    return replace(made, metadata=replace(made.metadata, annotations=annotations))


@pytest.mark.parametrize(
    ("under", "over", "merged"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3, "z": 4}}, {"a": {"x": 1, "y": 3, "z": 4}}),
        ({"a": {"x": 1}}, {"a": {"x": None}}, {"a": {}}),
        ({"a": 1}, {"a": {"x": None, "y": 1}}, {"a": {"y": 1}}),
        ({"tools": ["b", "a"]}, {"tools": ["a", "c"]}, {"tools": ["b", "a", "c"]}),
        ({"args": ["b", "a"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"tools": 3}, {"tools": ["c"]}, {"tools": ["c"]}),
        ({}, {"a": None}, {}),
    ],
)
def test_objects_are_merged_deeply_with_null_taking_away_and_tools_joined(under: Any, over: Any, merged: Any) -> None:
    assert merge_objects(under, over) == merged


@pytest.mark.parametrize(
    ("given", "overlay", "remote", "servers"),
    [
        (agent(), None, (), []),
        (agent(("a", "b", "a")), None, ("a", "b"), []),
        (agent(("a",)), {"remoteTools": ["b", "a", "c"]}, ("a", "b", "c"), []),
        (agent(("a",)), {"remote": ["b"]}, ("a", "b"), []),
        (agent(("a",)), {"remoteTools": None}, (), []),
        (agent(notes=NOTES), None, (), ["notes"]),
        (agent(notes={**NOTES, "enabled": False}), None, (), []),
        (agent(notes={**NOTES, "enabled": False}), {"localServers": {"notes": {"enabled": True}}}, (), ["notes"]),
        (agent(notes=NOTES), {"localServers": {"notes": None}}, (), []),
        (agent(notes=NOTES), {"localServers": {"notes": {"enabled": False}}}, (), []),
        (agent(notes=NOTES), {"localServers": None}, (), []),
        (agent(), {"localServers": {"mine": NOTES}}, (), ["mine"]),
        (agent(git={}), None, (), ["git"]),
        (agent(), {"localServers": {"git": {}}}, (), []),
        (agent(), {"localServers": {"git": {"enabled": True}}}, (), ["git"]),
    ],
)
def test_the_annotation_is_laid_over_the_roster_and_the_roster_over_the_defaults(
    given: Agent, overlay: Any, remote: tuple[str, ...], servers: list[str]
) -> None:
    tools = tools_of(run(overlay), given)
    assert (tools.remote, list(tools.servers)) == (remote, servers)


def test_a_server_is_merged_key_by_key_over_all_layers() -> None:
    overlay = {"localServers": {"git": {"enabled": True, "tools": ["git_blame", "git_log"], "env": {"PAGER": "cat"}}}}
    git = tools_of(run(overlay), agent(git={"args": ["serve"], "workingDirectory": "sub"})).client_config["localServers"]["git"]
    assert git == {
        "command": "uvx",
        "args": ["serve"],
        "tools": ["git_status", "git_diff", "git_log", "git_show", "git_blame"],
        "workingDirectory": "sub",
        "env": {"PAGER": "cat"},
    }


def test_the_names_in_the_spec_add_remote_tools_and_switch_servers_on() -> None:
    tools = tools_of(run(remote_tools=" b , a ,", local_tools="git"), agent(("a",)))
    assert (tools.remote, list(tools.servers), tools.level) == (("a", "b"), ["git"], "default")
    assert tools.client_config["localServers"]["git"]["workingDirectory"] == "project_root"


@pytest.mark.parametrize(
    ("overlay", "given", "level"),
    [(None, agent(), "minimal"), (None, agent(("a",)), "default"), ({}, agent(("a",)), "advanced")],
)
def test_the_level_says_who_had_a_say(overlay: Any, given: Agent, level: str) -> None:
    assert tools_of(run(overlay), given).level == level


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("{", "annotation agents.platform/tools-config is no JSON: Expecting property name"),
        ("[" * 100_000, "annotation agents.platform/tools-config has 100000 characters, more than 65536"),
        ("[" * 60_000, "is no JSON"),
        ("[]", "is no JSON object; write an object with remoteTools and localServers"),
        ({"remoteTool": []}, "has an unknown key 'remoteTool'; did you mean 'remoteTools'?"),
        ({"remoteTools": "a"}, "remoteTools must be a list of texts, or null for none"),
        ({"localServers": []}, "localServers must be an object of servers by name, or null for none"),
        ({"localServers": {"x": 3}}, "local tool server 'x' must be an object with command, args and tools"),
        ({"localServers": {"x": {"command": "x"}}}, "local tool server 'x' needs args and tools"),
        ({"localServers": {"x": {**NOTES, "command": " "}}}, "local tool server 'x' needs command"),
        ({"localServers": {"x": {**NOTES, "tool": []}}}, "has an unknown key 'tool'; did you mean 'tools'?"),
        ({"localServers": {"x": {**NOTES, "env": {"A": 1}}}}, "env must be an object of texts"),
        ({"localServers": {"x": {**NOTES, "workingDirectory": 3}}}, "workingDirectory must be a path, or 'project_root'"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(overlay: Any, message: str) -> None:
    with pytest.raises(InvalidCodeRunError) as refused:
        tools_of(run(overlay), agent())
    assert str(refused.value).startswith("CodeRun 'run-7-rex'")
    assert message in str(refused.value)


def test_a_local_tool_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidCodeRunError, match=r"spec\.localTools names 'gti'; did you mean 'git'"):
        tools_of(run(local_tools="gti"), agent())


def test_objects_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"x": deep}
    with pytest.raises(InvalidCodeRunError, match="nested more than 32 deep"):
        merge_objects(deep, deep)
