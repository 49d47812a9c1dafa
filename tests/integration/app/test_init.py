"""`coderun init`: the file it writes is right for the repository, loads, and is never in anybody's way."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from coderun.app.configuration import packaged_roster
from coderun.app.detect import suggest_checks
from coderun.app.init import Findings, look_around, next_steps, save_config, write_config
from coderun.model.config import Config, parse_config
from coderun.model.errors import ConfigError
from coderun.model.schema import keys_of
from coderun.model.yaml import load


def load_config(text: str) -> Config:
    return parse_config(text, packaged=packaged_roster())


def put(repository: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "checks"),
    [
        ({}, []),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, ["python3 -m pytest"]),
        ({"setup.py": "", "conftest.py": ""}, ["python3 -m pytest"]),
        ({"pyproject.toml": "", "tests/test_a.py": ""}, ["python3 -m unittest discover -s tests -t ."]),
        ({"tests/test_a.py": ""}, ["python3 -m unittest discover -s tests -t ."]),
        ({"setup.cfg": ""}, ["python3 -m unittest discover"]),
        ({"package.json": json.dumps({"scripts": {"test": "jest", "lint": "eslint ."}})}, ["npm run lint", "npm test"]),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}}), "pnpm-lock.yaml": ""}, ["pnpm test"]),
        ({"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})}, []),
        ({"package.json": "nonsense"}, []),
        ({"Cargo.toml": "", "go.mod": ""}, ["cargo test", "go test ./..."]),
        ({"Makefile": "lint:\n\truff\ntest: build\n\tpytest\n", "go.mod": ""}, ["make lint", "make test"]),
        ({"Makefile": "check:\n\ttrue\n"}, ["make check"]),
        ({"Makefile": "test := 3\n", "go.mod": ""}, ["go test ./..."]),
    ],
)
def test_checks_are_suggested_from_what_is_there(tmp_path: Path, files: dict[str, str], checks: list[str]) -> None:
    put(tmp_path, files)
    assert [check.run for check in suggest_checks(tmp_path)] == checks


def test_the_file_loads_and_says_what_was_found(repository: Path, environ: Mapping[str, str]) -> None:
    put(repository, {"Makefile": "test:\n", "tasks.json": "[]"})
    findings = look_around(repository, environ=environ)
    config = load_config(write_config(findings))
    assert (config.base_branch, [check.command for check in config.checks]) == ("main", [("make", "test")])
    assert config == load_config("baseBranch: main\nchecks: [{name: test, run: make test}]")
    assert next_steps(findings)[-1] == "coderun play --next"


def test_every_default_in_the_file_can_be_uncommented_and_is_the_default() -> None:
    text = write_config(Findings(service="project", base_branch="main"))
    config = load_config(re.sub(r"^#(?=[ a-zA-Z-]*\w+:|  +- )(?! )|^#(?=  )", "", text, flags=re.MULTILINE))
    default = Config()
    assert (config.play, config.limits, config.forge, config.pipeline) == (default.play, default.limits, default.forge, "play")
    assert config.checks_grace_seconds == default.checks_grace_seconds
    assert (config.service, config.roles["quality"], config.checks[0].timeout_seconds) == ("project", "cleo", 900)


def test_every_key_of_the_configuration_stands_in_the_file() -> None:
    text = write_config(Findings(service="x"))
    for path, _ in keys_of(Config):
        if not path.startswith(("agents.", "roles.")):
            assert re.search(rf"^#? *(?:- )?{path.rpartition('.')[2]}:", text, re.MULTILINE), path


@pytest.mark.parametrize("branch", ["main", "it's", 'a"b', "yes", "1.5", "a#b", "feature/$(id)", "ünï"])
def test_branch_names_round_trip(branch: str) -> None:
    assert load_config(write_config(Findings(service="x", base_branch=branch))).base_branch == branch


def test_a_repository_without_commits_is_set_up_all_the_same(
    tmp_path: Path, git: Callable[..., str], environ: Mapping[str, str]
) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "fresh")
    findings = look_around(tmp_path / "fresh", environ=environ)
    assert load_config(write_config(findings)) == Config()
    assert "has no commits yet; commit first" in next_steps(findings)[0]


def test_a_file_that_is_there_is_left_alone_unless_asked(tmp_path: Path) -> None:
    save_config(tmp_path, "service: a\n")
    with pytest.raises(ConfigError, match=r"coderun\.yaml is there already and was left as it is; --force replaces it"):
        save_config(tmp_path, "service: b\n")
    assert (tmp_path / "coderun.yaml").read_text() == "service: a\n"
    save_config(tmp_path, "service: b\n", replace=True)
    assert (tmp_path / "coderun.yaml").read_text() == "service: b\n"
    assert [path.name for path in tmp_path.iterdir()] == ["coderun.yaml"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "coderun.yaml").symlink_to(target)
    with pytest.raises(ConfigError, match="is there already"):
        save_config(tmp_path, "x: 1\n")
    save_config(tmp_path, "x: 1\n", replace=True)
    assert target.read_text() == "precious"
    assert not (tmp_path / "coderun.yaml").is_symlink()


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "coderun.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"coderun\.yaml is a folder; move it away first"):
        save_config(tmp_path, "", replace=True)


def test_without_an_agent_cli_it_is_said_how_to_get_one() -> None:
    steps = " ".join(next_steps(Findings(service="x")))
    assert "install an agent CLI (npm install -g @anthropic-ai/claude-code), or name any program with --agent-command" in steps
    assert "agent CLIs found: codex" in " ".join(next_steps(Findings(service="x", programs={"codex": "/bin/codex"})))


def test_the_written_text_is_one_document() -> None:
    assert set(load(write_config(Findings(service="x", base_branch="b")), name="x").data) == {"baseBranch"}
