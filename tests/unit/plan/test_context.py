"""The table of variables and the context it makes."""

import json
from typing import Any

import pytest
from tests.unit.plan.samples import EVERYBODY, FULL, HOSTILE, MINIMAL, context_of, full_run, minimal_run, subject_of

from coderun.plan.context import VARIABLES, build_context, top_level_names
from coderun.plan.settings import RunSettings

THEIRS = [
    "task_id",
    "service",
    "repository_url",
    "docs_repository_url",
    "docs_branch",
    "working_directory",
    "continue_session",
    "overwrite_memory",
    "docs_project_directory",
    "github_app",
    "model",
    "context_version",
    "attempts",
    "retry.is_retry",
    "service_name",
    "task_title",
    "workflow_name",
    "workflow.name",
    "user_requested",
    "docsRepositoryUrl",
    "agent_tools_override",
    "permissions.allow",
    "permissions.deny",
    "telemetry.enabled",
    "remote_tools",
    "local_tools",
    "tool_config",
    "hook_scripts",
    "api_key_secret_name",
    "api_key_secret_key",
    "source_branch",
    "include_codebase",
    "toolman_catalog_markdown",
    "total_tool_count",
    "generated_timestamp",
    "toolman_catalog.local",
    "toolman_catalog.remote",
]
TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "text": (str,),
    "true or false": (bool,),
    "list of texts": (list,),
    "list of objects": (list,),
    "object": (dict,),
    "object or null": (dict, type(None)),
}


def at(context: dict[str, Any], name: str) -> Any:
    value: Any = context
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("name", THEIRS)
def test_every_name_of_the_system_before_is_a_variable(name: str) -> None:
    assert name in {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("agent", EVERYBODY.agents)
@pytest.mark.parametrize("settings", [MINIMAL, FULL], ids=["minimal", "full"])
def test_every_variable_is_there_and_of_its_type(agent: str, settings: RunSettings) -> None:
    for run in (minimal_run(agent), full_run(agent, HOSTILE)):
        context = context_of(run, settings, attempt=2)
        assert set(context) == top_level_names()
        for variable in VARIABLES:
            value = at(context, variable.name)
            assert type(value) in TYPES[variable.type], variable.name
            if variable.type == "list of texts":
                assert {type(item) for item in value} <= {str}, variable.name
        json.dumps(context)


def test_no_two_variables_share_a_name_and_each_is_described() -> None:
    names = [variable.name for variable in VARIABLES]
    assert len(names) == len(set(names))
    assert all(variable.description and variable.source for variable in VARIABLES)


def test_the_same_run_has_the_same_context_every_time() -> None:
    assert build_context(subject_of(full_run("rex"), FULL)) == build_context(subject_of(full_run("rex"), FULL))


@pytest.mark.parametrize(
    ("written", "seen"),
    [("rex", "5DLabs-Rex"), ("5dlabs-rex[bot]", "5DLabs-Rex"), ("5DLabs-Rex", "5DLabs-Rex"), ("zoe", "zoe")],
)
def test_the_app_is_spelt_as_the_roster_spells_it(written: str, seen: str) -> None:
    assert context_of(minimal_run(written))["github_app"] == seen


def test_texts_that_no_file_takes_are_made_storable() -> None:
    context = context_of(full_run("rex", "a\0b\ud800c"))
    assert (context["model"], context["task"]["details"], context["context_titles"]) == (
        "a\ufffdb\ufffdc",
        "a\ufffdb\ufffdc",
        ["a\ufffdb\ufffdc"],
    )


def test_secrets_of_a_run_are_no_variables() -> None:
    run = minimal_run("rex", env={"TOKEN": "hush-hush"})
    assert "hush-hush" not in json.dumps(context_of(run, FULL))


@pytest.mark.parametrize(
    ("agent", "may_write", "verdicts", "kind"),
    [
        ("rex", True, ["done", "blocked"], "code"),
        ("tess", False, ["approve", "request-changes", "blocked"], "code"),
        ("morgan", True, ["done", "blocked"], "docs"),
        ("zoe", True, ["done", "blocked"], "code"),
    ],
)
def test_duties_follow_from_capabilities_and_evidence(agent: str, may_write: bool, verdicts: list[str], kind: str) -> None:
    context = context_of(full_run(agent))
    assert (context["may_write"], context["verdicts"], context["kind"]) == (may_write, verdicts, kind)


def test_with_a_tool_server_its_client_serves_all_tools_else_local_servers_stand_alone() -> None:
    run = full_run("rex")
    served, alone = context_of(run, FULL), context_of(run, MINIMAL)
    assert list(served["mcp_servers"]) == ["toolman"]
    assert served["mcp_servers"]["toolman"]["env"]["MCP_CLIENT_CONFIG"] == "${CODERUN_FILES}/client-config.json"
    assert served["mcp_rules"] == ["mcp__toolman"]
    assert list(alone["mcp_servers"]) == ["git", "notes"]
    assert alone["mcp_servers"]["git"]["command"] == "uvx"
    assert "mcp__git__git_log" in alone["mcp_rules"]
    assert "mcp__notes" in alone["mcp_rules"]


def test_a_local_server_of_another_folder_is_started_there_without_a_word_of_it_read_by_a_shell() -> None:
    overlay = {"command": "notes", "args": ["$(x)"], "tools": [], "workingDirectory": "a b; touch x"}
    run = full_run("rex")
    run.metadata.annotations["agents.platform/tools-config"] = json.dumps({"localServers": {"notes": overlay}})
    server = context_of(run)["mcp_servers"]["notes"]
    assert server["command"] == "sh"
    assert server["args"] == ["-c", 'cd -- "$1" && shift && exec "$@"', "sh", "a b; touch x", "notes", "$(x)"]
