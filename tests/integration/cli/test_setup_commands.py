"""`coderun init` and `coderun doctor` as a person types them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from coderun.app.doctor import Finding, State
from coderun.cli import doctor, init
from coderun.cli.doctor import print_findings
from coderun.model.errors import ConfigError
from coderun.model.yaml import load

CLI = typer.Typer()
CLI.command("init")(init.command)
CLI.command("doctor")(doctor.command)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "--message=first"], cwd=folder, check=True)
    return folder


def type_(*words: str) -> Result:
    return CliRunner().invoke(CLI, list(words), env={"NO_COLOR": "1", "COLUMNS": "100"})


def test_init_writes_a_file_and_says_what_comes_next(repository: Path) -> None:
    shown = type_("init", "-C", str(repository), "--print")
    assert (shown.exit_code, list(repository.glob("coderun.yaml"))) == (0, [])
    result = type_("init", "-C", str(repository))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Wrote {repository / 'coderun.yaml'}. Next:\n  1. read coderun.yaml and commit it\n")
    assert (repository / "coderun.yaml").read_text() == shown.stdout
    again = type_("init", "-C", str(repository))
    assert isinstance(again.exception, ConfigError)
    assert "--force replaces it" in str(again.exception)
    assert type_("init", "-C", str(repository), "--force").exit_code == 0


def test_doctor_speaks_to_people_and_to_programs(repository: Path) -> None:
    table = type_("doctor", "-C", str(repository))
    as_json = type_("doctor", "-C", str(repository), "-o", "json")
    as_yaml = type_("doctor", "-C", str(repository), "-o", "yaml")
    checks = json.loads(as_json.stdout)["checks"]
    assert [row["name"] for row in checks[:3]] == ["python", "git", "repository"]
    assert load(as_yaml.stdout, name="out").data["checks"][:5] == checks[:5]
    assert table.stdout.splitlines()[0].split() == ["CHECK", "STATE", "FOUND"]
    assert type_("doctor", "-C", str(repository), "-o", "name").stdout.split("\n")[:2] == ["python", "git"]
    wrong = int(any(row["state"] == "error" for row in checks))
    assert [result.exit_code for result in (table, as_json, as_yaml)] == [wrong] * 3


def test_findings_keep_links_and_long_words_whole_and_end_with_what_they_come_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = f"https://hub.example/organizations/{'o' * 60}/settings/apps/acme-rex/permissions"
    bad = Finding(name="rex: App", state=State.ERROR, found=f"lacks {'much ' * 30}", advice="set " * 40, link=link)
    fine = Finding(name="git", state=State.OK, found=f"at /{'x' * 70}/git")
    odd = Finding(name="webhook", state=State.WARNING, found="none")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_findings([bad, fine, odd])
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in capsys.readouterr().out.splitlines()]
    assert link in lines
    assert f"{' ' * 19}/{'x' * 70}/git" in lines
    assert max(len(line) for line in lines if "/" not in line) <= 80
    assert lines[-1] == "1 problem to mend: rex: App; 1 warning: webhook"
    monkeypatch.delenv("FORCE_COLOR")
    print_findings([fine, odd])
    assert capsys.readouterr().out.splitlines()[-1] == "nothing stands in the way of a play; 1 warning: webhook"
    print_findings([bad])
    plain = capsys.readouterr().out.splitlines()
    assert [len(line) > 80 for line in plain[1:3]] == [True, True], "a program reads a finding on one line"


def test_doctor_fails_where_something_stands_in_the_way(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        CLI, ["doctor", "-C", str(tmp_path)], env={"GIT_CEILING_DIRECTORIES": os.fspath(tmp_path.parent)}
    )
    assert result.exit_code == 1
    assert "go into one, or make one with `git init`" in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", ["init", "doctor"])
def test_help_has_examples(command: str) -> None:
    assert f"coderun {command}" in type_(command, "--help").stdout
