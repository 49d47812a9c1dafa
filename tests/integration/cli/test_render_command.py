"""`coderun render` as a person types it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from coderun.app.render import save_files
from coderun.cli import render
from coderun.model.errors import CoderunError, ConfigError, NotFoundError
from coderun.model.yaml import load

CLI = typer.Typer()
CLI.command("render")(render.command)
CLI.command("other")(lambda: None)
TASKS = {"master": {"tasks": [{"id": 3, "title": "Sell \u001b[31mtea", "description": "d", "status": "pending"}]}}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    (folder / ".taskmaster" / "tasks").mkdir(parents=True)
    (folder / ".taskmaster" / "tasks" / "tasks.json").write_text(json.dumps(TASKS))
    return folder


def put(repository: Path, key: str, text: str) -> None:
    path = repository / ".coderun" / "templates" / f"{key}.hbs"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def type_(repository: Path, *words: str) -> Result:
    return CliRunner().invoke(CLI, ["render", "-C", str(repository), *words], env={"NO_COLOR": "1", "COLUMNS": "100"})


def refused(result: Result, kind: type[CoderunError] = ConfigError) -> str:
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


def test_all_files_of_a_run_are_shown_with_their_templates(repository: Path) -> None:
    result = type_(repository, "--agent", "rex", "--task", "3")
    assert result.exit_code == 0
    assert "==> CLAUDE.md  (from packaged code/claude.md.hbs)\n# Memory of rex for shop\n" in result.stdout
    assert "==> system-prompt.md  (from packaged agents/rex-system-prompt.md.hbs)" in result.stdout
    assert "\x1b" not in result.stdout
    assert not (repository / ".git" / "coderun").exists()


def test_names_and_data_are_for_programs(repository: Path) -> None:
    names = type_(repository, "-a", "morgan", "-o", "name").stdout.splitlines()
    data = json.loads(type_(repository, "-a", "morgan", "-o", "json").stdout)
    assert "hooks-after-file-saved.sh" in names
    assert (list(data["files"]), data["agent"]) == (names, "morgan")
    assert data["files"]["mcp.json"]["template"] == "packaged code/mcp.json.hbs"
    assert load(type_(repository, "-a", "morgan", "-o", "yaml").stdout, name="y").data == data


def test_files_are_written_into_the_folder_and_never_over_others_unasked(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert type_(repository, "-a", "rex", "--out", str(out)).exit_code == 0
    assert json.loads((out / "settings.json").read_text())
    assert os.access(out / "container.sh", os.X_OK)
    before = sorted(out.iterdir())
    (out / "CLAUDE.md").write_text("mine")
    assert "already and was left as it is; --force replaces them" in refused(type_(repository, "-a", "rex", "--out", str(out)))
    assert ((out / "CLAUDE.md").read_text(), sorted(out.iterdir())) == ("mine", before)
    assert type_(repository, "-a", "rex", "--out", str(out), "--force").exit_code == 0
    assert (out / "CLAUDE.md").read_text().startswith("# Memory of rex")


def test_a_link_in_the_folder_is_replaced_and_not_followed(repository: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.write_text("precious")
    (out / "CLAUDE.md").symlink_to(outside)
    assert "CLAUDE.md already" in refused(type_(repository, "-a", "rex", "--out", str(out)))
    assert type_(repository, "-a", "rex", "--out", str(out), "--force").exit_code == 0
    assert (outside.read_text(), (out / "CLAUDE.md").is_symlink()) == ("precious", False)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "", "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no plain file name; nothing was written"):
        save_files({"good": "x", name: "x"}, tmp_path / "out", replace=True)
    assert not (tmp_path / "out").exists()


def test_two_agents_and_two_folders_are_compared(repository: Path, tmp_path: Path) -> None:
    agents = type_(repository, "-a", "rex", "--diff-agent", "cleo").stdout
    assert "--- rex/CLAUDE.md\n+++ cleo/CLAUDE.md\n" in agents
    assert "-# Memory of rex for shop\n+# Memory of cleo for shop\n" in agents
    (tmp_path / "theirs" / "code").mkdir(parents=True)
    (tmp_path / "theirs" / "code" / "claude.md.hbs").write_text("Theirs for {{agent}}\n")
    folders = type_(repository, "-a", "rex", "--diff-templates", str(tmp_path / "theirs")).stdout
    assert "--- now/CLAUDE.md\n+++ other/CLAUDE.md\n" in folders
    assert "+Theirs for rex\n" in folders
    assert type_(repository, "-a", "rex", "--diff-agent", "rex").stdout == "no difference\n"


def test_the_check_tells_all_problems_of_all_agents_at_once(repository: Path) -> None:
    sound = type_(repository, "--check")
    assert (sound.exit_code, sound.stdout) == (0, "the templates of all agents are sound\n")
    put(repository, "code/claude.md", "\n{{nope}}")
    put(repository, "code/settings.json", "{,}")
    put(repository, "code/hooks/mine.sh", "if true; then\n")
    put(repository, "agents/tess-system-prompt.md", "{{#if x}}")
    put(repository, "code/claud.md", "never used")
    found = type_(repository, "--check")
    assert (found.exit_code, found.stdout) == (1, "")
    for said in (
        ".coderun/templates/code/claude.md.hbs:2:3: unknown variable 'nope'",
        ".coderun/templates/code/settings.json.hbs: settings.json comes out as invalid JSON: ",
        ".coderun/templates/code/hooks/mine.sh.hbs: hooks-mine.sh comes out as invalid shell: line 2: syntax error",
        ".coderun/templates/agents/tess-system-prompt.md.hbs:1:1: unclosed block {{#if}}",
        ".coderun/templates/code/claud.md.hbs: no run uses it; did you mean 'code/claude.md'?",
        "5 problems",
    ):
        assert said in found.stderr
    only = type_(repository, "--check", "-a", "morgan", "-o", "json")
    problems = json.loads(only.stdout)["problems"]
    assert (only.exit_code, len(problems), [said for said in problems if "tess" in said]) == (1, 2, [])


def test_a_broken_template_is_not_shown_or_written(repository: Path, tmp_path: Path) -> None:
    put(repository, "code/hooks/mine.sh", "if true; then\n")
    result = type_(repository, "-a", "rex", "--out", str(tmp_path / "out"))
    assert (result.exit_code, (tmp_path / "out").exists()) == (1, False)
    assert "invalid shell" in result.stderr


def test_rendered_shell_is_read_and_never_run(repository: Path) -> None:
    put(repository, "code/hooks/mine.sh", 'touch "$PWD/PWNED"; echo $(touch PWNED)\n')
    assert type_(repository, "--check").exit_code == 0
    assert not list(repository.rglob("PWNED"))


def test_a_file_is_explained(repository: Path) -> None:
    put(repository, "agents/rex-claude.md", "{{agent}} {{#each checks}}{{name}}{{/each}}")
    told = type_(repository, "-a", "rex", "--explain", "CLAUDE.md")
    assert told.exit_code == 0
    for line in (
        "CLAUDE.md is made from .coderun/templates/agents/rex-claude.md.hbs",
        "  yours: agents/rex-claude.md.hbs: taken (.coderun/templates/agents/rex-claude.md.hbs)",
        "  yours: code/claude.md.hbs: not there",
        "  packaged: code/claude.md.hbs: there, but one before it was found",
        "  agent: the agent's short name (roster)",
    ):
        assert line in told.stdout.splitlines()
    assert type_(repository, "-a", "rex", "--explain", "CLAUDE.md", "-o", "name").stdout == (
        ".coderun/templates/agents/rex-claude.md.hbs\n"
    )
    unknown = refused(type_(repository, "-a", "rex", "--explain", "CLAUDE"), NotFoundError)
    assert "a run of rex has no file 'CLAUDE'; did you mean 'CLAUDE.md'?" in unknown


def test_the_file_of_a_coderun_is_rendered(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "apiVersion: agents.platform/v1\nkind: CodeRun\nmetadata: {name: my-run}\n"
        "spec: {taskId: 9, service: till, repositoryUrl: acme/till, githubApp: '5DLabs-Tess', somethingNew: 3}\n"
    )
    data = json.loads(type_(repository, str(path), "-o", "json").stdout)
    assert (data["run"], data["agent"]) == ("my-run", "tess")
    assert "# Memory of tess for till" in data["files"]["CLAUDE.md"]["text"]
    assert "leave --agent and --task out" in refused(type_(repository, str(path), "-a", "rex"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what to render: --agent NAME (rex, blaze, cleo, tess, morgan), or the YAML file of a CodeRun"),
        (("-a", "rexx"), "there is no agent 'rexx' in the roster; did you mean 'rex'?"),
        (("-a", "rex", "--task", "8"), "8"),
        (("-a", "rex", "--check", "--out", "x"), "exclude each other; give one of them"),
        (("nope.yaml",), "nope.yaml: there is no such file"),
        (("-a", "rex", "--diff-templates", "nope"), "template folder"),
    ],
)
def test_what_makes_no_sense_is_refused(repository: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refused(type_(repository, *words))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Play\nmetadata: {name: p}\nspec: {taskId: 1, service: s, repositoryUrl: a/b}\n", "its kind is 'Play'"),
        (
            "kind: CodeRun\nmetadata: {name: p}\nspec: {taskId: x, service: s, repositoryUrl: a/b}\n",
            "spec.taskId: expected int",
        ),
        ("]", "run.yaml:1:1"),
    ],
)
def test_a_file_that_is_no_coderun_is_refused_with_its_place(repository: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert message in refused(type_(repository, str(tmp_path / "run.yaml")))
