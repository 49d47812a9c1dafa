"""`coderun doctor`: every finding, right and wrong, on real folders and with stand-in agent programs."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from coderun.app.doctor import Finding, State, Surroundings, examine, has_errors
from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.model.github import github_host

SECRET = "sk-very-secret"


@pytest.fixture
def around(repository: Path, environ: Mapping[str, str], tmp_path: Path) -> Surroundings:
    programs = tmp_path / "bin"
    programs.mkdir()
    put_program(programs / "claude", 'echo "9.8.7 (Claude Code)"')
    extended = {**environ, "PATH": f"{programs}:{environ['PATH']}", "CODERUN_STATE": str(tmp_path / "state")}
    return Surroundings(cwd=repository, home=tmp_path / "home", environ=extended, platform="linux")


def put_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def with_environ(around: Surroundings, **more: str) -> Surroundings:
    return msgspec.structs.replace(around, environ={**around.environ, **more})


def find(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_where_all_is_right_nothing_is_wrong(around: Surroundings) -> None:
    findings = examine(with_environ(around, ANTHROPIC_API_KEY=SECRET))
    assert not has_errors(findings)
    assert [finding.name for finding in findings] == [
        "python", "git", "repository", "coderun.yaml", "base branch", "agent CLI claude", "tasks", "state folder", "controller",
        "process control",
    ]  # fmt: skip
    claude = find(findings, "agent CLI claude")
    assert claude.found == (
        "9.8.7 (Claude Code), for rex (implementation), cleo (quality), tess (testing); login from $ANTHROPIC_API_KEY"
    )
    assert find(findings, "base branch").found.startswith("main at ")
    assert find(findings, "controller").found == "not running"


def test_nothing_is_left_behind(around: Surroundings, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    examine(around)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


def test_no_secret_is_ever_shown(around: Surroundings) -> None:
    credentials = around.home / ".claude/.credentials.json"
    credentials.parent.mkdir()
    credentials.write_text(json.dumps({"token": SECRET}))
    findings = examine(with_environ(around, ANTHROPIC_API_KEY=SECRET, CLAUDE_CODE_OAUTH_TOKEN=SECRET))
    assert SECRET not in str(findings)
    assert find(findings, "agent CLI claude").found.endswith(
        f"login from $ANTHROPIC_API_KEY (also there, not used: $CLAUDE_CODE_OAUTH_TOKEN, {credentials})"
    )


def test_the_credentials_file_is_named_as_the_login(around: Surroundings, tmp_path: Path) -> None:
    for folder, environ in ((around.home / ".claude", {}), (tmp_path / "conf", {"CLAUDE_CONFIG_DIR": str(tmp_path / "conf")})):
        folder.mkdir()
        (folder / ".credentials.json").write_text("{}")
        found = find(examine(with_environ(around, **environ)), "agent CLI claude").found
        assert found.endswith(f"login from {folder / '.credentials.json'}")


@pytest.mark.parametrize(("platform", "state"), [("linux", State.ERROR), ("darwin", State.WARNING)])
def test_a_missing_login_is_an_error_where_no_keychain_may_hold_it(around: Surroundings, platform: str, state: State) -> None:
    claude = find(examine(msgspec.structs.replace(around, platform=platform)), "agent CLI claude")
    assert claude.state is state
    assert claude.found.endswith("; no login found")
    assert claude.advice == "log in: start `claude` once, or set ANTHROPIC_API_KEY"


def test_a_missing_agent_cli_says_how_to_get_one(around: Surroundings, environ: Mapping[str, str]) -> None:
    (around.cwd / "coderun.yaml").write_text("agents: {cleo: {cli: codex}}\nroles: {testing: morgan}\n")
    findings = examine(msgspec.structs.replace(around, environ={**environ, "CODERUN_STATE": str(around.home / "s")}))
    codex = find(findings, "agent CLI codex")
    assert (codex.state, codex.found) == (State.ERROR, "cannot be driven by this version; cleo (quality) need it")
    assert codex.advice == "set `cli` of that agent to claude or a command in coderun.yaml, or use --agent-command"
    claude = find(findings, "agent CLI claude")
    assert (claude.state, claude.found) == (State.ERROR, "not on the PATH; rex (implementation), morgan (testing) need it")
    assert claude.advice == "install it (npm install -g @anthropic-ai/claude-code), or name any program with --agent-command"


def test_a_program_of_ones_own_needs_no_login(around: Surroundings, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    put_program(program, "exit 1")
    cli = f"{{cliType: command, settings: {{command: [{program}]}}}}"
    (around.cwd / "coderun.yaml").write_text(
        "agents:\n" + "".join(f"  {name}: {{cli: {cli}}}\n" for name in ("rex", "cleo", "tess"))
    )
    findings = examine(around)
    assert not has_errors(findings)
    assert find(findings, f"agent CLI {program}").found.startswith(f"{program}, for rex (implementation)")


@pytest.mark.parametrize("line", ["exit 3", "echo"])
def test_a_cli_that_does_not_tell_its_version_is_an_error(around: Surroundings, tmp_path: Path, line: str) -> None:
    put_program(tmp_path / "bin/claude", line)
    claude = find(examine(around), "agent CLI claude")
    assert (claude.state, claude.advice) == (State.ERROR, "run `claude --version` and see why it fails")


def test_what_a_program_says_cannot_steer_the_terminal(around: Surroundings, tmp_path: Path) -> None:
    put_program(tmp_path / "bin/claude", r"printf '\033[2J1.0\007\n'")
    assert find(examine(around), "agent CLI claude").found.startswith("1.0, for")


def test_a_wrong_configuration_is_one_error_among_findings(around: Surroundings) -> None:
    (around.cwd / "coderun.yaml").write_text("rols: {}\n")
    finding = find(examine(around), "coderun.yaml")
    assert finding.state is State.ERROR
    assert finding.found.startswith("coderun.yaml:1:1: rols: unknown key")
    assert find(examine(around), "state folder").state is not State.ERROR


def test_a_role_that_nobody_takes_is_an_error(around: Surroundings) -> None:
    (around.cwd / "coderun.yaml").write_text("agents: {tess: {role: other}}\n")
    finding = find(examine(around), "coderun.yaml")
    assert "which no agent of the roster has" in finding.found


def test_outside_a_repository_the_rest_is_still_said(around: Surroundings, tmp_path: Path) -> None:
    ceiling = with_environ(around, GIT_CEILING_DIRECTORIES=str(tmp_path))
    findings = examine(msgspec.structs.replace(ceiling, cwd=tmp_path))
    repository = find(findings, "repository")
    assert (repository.state, repository.found) == (State.ERROR, f"{tmp_path} is not in a git repository")
    assert repository.advice == "go into one, or make one with `git init` and commit first"
    assert findings[-1].name == "process control"


def test_an_old_git_or_python_is_an_error(around: Surroundings, tmp_path: Path) -> None:
    put_program(tmp_path / "bin/git", 'echo "git version 2.37.9"')
    findings = examine(msgspec.structs.replace(around, python=(3, 10, 1)))
    assert [(finding.name, finding.advice) for finding in findings] == [
        ("python", "install Python 3.11 or newer"),
        ("git", "install git 2.38 or newer"),
    ]


def test_tasks_are_counted_and_the_next_one_named(around: Surroundings) -> None:
    tasks = [{"id": 1, "title": "A", "status": "done"}, {"id": 2, "title": "B\u001b[2J", "dependencies": [1]}]
    (around.cwd / "tasks.json").write_text(json.dumps(tasks))
    assert find(examine(around), "tasks").found == "2 tasks, 1 open, next is 2: B"
    (around.cwd / "tasks.json").write_text("[{]")
    assert find(examine(around), "tasks").state is State.ERROR


def test_a_state_folder_that_cannot_be_written_is_an_error(around: Surroundings) -> None:
    findings = examine(with_environ(around, CODERUN_STATE="/proc/coderun"))
    state = find(findings, "state folder")
    assert state.state is State.ERROR
    assert state.found.startswith("/proc cannot be written")
    assert state.advice == "set CODERUN_STATE to a folder on a local disk that you can write"


def test_a_running_controller_is_seen_by_its_lock(around: Surroundings, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with (folder / "controller.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid": 4711}')
        lock.flush()
        findings = examine(around)
        assert find(findings, "controller").found == "running (process 4711)"
        assert find(findings, "state folder's mode").advice == f"chmod 700 {folder}"
    assert find(examine(around), "controller").found == "not running"


def test_elsewhere_than_on_linux_a_warning_names_what_is_missing(around: Surroundings) -> None:
    finding = find(examine(msgspec.structs.replace(around, platform="darwin")), "process control")
    assert finding.state is State.WARNING
    assert "darwin has no subreaper" in finding.found


def on_github(around: Surroundings, more: str = "") -> Surroundings:
    (around.cwd / "coderun.yaml").write_text(f"forge: {{type: github, repository: acme/shop{more}}}\n")
    return with_environ(around, XDG_CONFIG_HOME=str(around.home / "config"))


def keep_app(around: Surroundings, agent: str) -> Path:
    folder = keys_folder(github_host(), environ=around.environ, home=around.home)
    return write_app(folder, AppKeys(agent=agent, app_id="1", pem=b"-----BEGIN KEY-----", slug=f"acme-{agent}"))


def test_on_github_agents_without_an_app_and_without_a_token_are_an_error(around: Surroundings) -> None:
    place = on_github(around)
    keep_app(place, "cleo")
    findings = examine(place)
    assert find(findings, "GitHub").found == "https://github.com/acme/shop; `coderun github check` looks at it there"
    apps = [finding for finding in findings if finding.name == "GitHub Apps"]
    assert [(one.state, one.found) for one in apps] == [
        (State.OK, f"keys of cleo in {place.home}/config/coderun/github/github.com"),
        (State.ERROR, "none for rex, tess, and no personal token"),
    ]
    assert apps[1].advice == "coderun github setup makes an App for each agent"


def test_on_github_it_is_said_what_a_personal_token_loses(around: Surroundings) -> None:
    finding = find(examine(with_environ(on_github(around), GH_TOKEN="ghp_secret")), "personal token")
    assert finding.state is State.WARNING
    assert finding.found.startswith("rex, cleo, tess act by the token from $GH_TOKEN; every agent acts as that one person")
    assert "nobody can approve what the same person opened" in finding.found
    assert "ghp_secret" not in str(finding)


def test_on_github_with_an_app_for_every_agent_nothing_is_wrong(around: Surroundings) -> None:
    place = on_github(around)
    for agent in ("rex", "cleo", "tess"):
        keep_app(place, agent)
    findings = examine(place)
    assert [finding.name for finding in findings if "GitHub" in finding.name] == ["GitHub", "GitHub Apps"]
    assert find(findings, "GitHub Apps").state is State.OK


def test_on_github_a_key_that_others_can_read_is_an_error(around: Surroundings) -> None:
    place = on_github(around)
    keep_app(place, "rex").chmod(0o644)
    finding = find(examine(place), "GitHub")
    assert finding.state is State.ERROR
    assert finding.advice.startswith("run: chmod 600")


def test_on_github_a_missing_token_file_is_an_error(around: Surroundings) -> None:
    finding = find(examine(on_github(around, ", tokenFile: secret/token")), "GitHub")
    assert (finding.state, finding.found) == (State.ERROR, f"{around.cwd}/secret/token: there is no such file")


def test_where_nothing_names_the_repository_on_github_that_is_an_error(around: Surroundings) -> None:
    (around.cwd / "coderun.yaml").write_text("forge: {type: github}\n")
    finding = find(examine(around), "GitHub")
    assert finding.found == "nothing says which repository on GitHub is meant"
