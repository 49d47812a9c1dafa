"""What a machine can do, tried on this one."""

import fcntl
import sys
from pathlib import Path

import pytest

from coderun.app import machine


@pytest.mark.parametrize(
    ("kind", "environ", "file", "source"),
    [
        ("claude", {}, "", None),
        ("claude", {"CLAUDE_CODE_OAUTH_TOKEN": "x"}, "", "$CLAUDE_CODE_OAUTH_TOKEN"),
        ("claude", {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_AUTH_TOKEN": "y"}, "", "$ANTHROPIC_AUTH_TOKEN"),
        ("claude", {"ANTHROPIC_API_KEY": ""}, ".claude/.credentials.json", "file"),
        ("codex", {}, ".codex/auth.json", "file"),
        ("codex", {"OPENAI_API_KEY": "x"}, "", "$OPENAI_API_KEY"),
        ("opencode", {}, ".local/share/opencode/auth.json", "file"),
        ("command", {"ANTHROPIC_API_KEY": "x"}, "", None),
    ],
)
def test_a_login_is_named_by_where_it_is(
    tmp_path: Path, kind: str, environ: dict[str, str], file: str, source: str | None
) -> None:
    path = tmp_path / file
    if file:
        path.parent.mkdir(parents=True)
        path.write_text("secret")
    login = machine.find_login(kind, home=tmp_path, environ=environ)
    assert (login and login.source) == (str(path) if source == "file" else source)


def test_an_empty_credentials_file_is_no_login(tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/auth.json").touch()
    assert machine.find_login("codex", home=tmp_path, environ={}) is None


@pytest.mark.parametrize(("text", "numbers"), [("git version 2.39.5 (x)", (2, 39, 5)), ("v1", ()), ("", ())])
def test_a_version_is_found_in_what_a_program_says(text: str, numbers: tuple[int, ...]) -> None:
    assert machine.version_numbers(text) == numbers


def test_a_program_that_cannot_be_started_has_no_version(tmp_path: Path) -> None:
    assert machine.program_version(str(tmp_path / "absent"), cwd=tmp_path, environ={}) == ""
    assert machine.find_program("", "/bin") is None


def test_a_lock_is_seen_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not machine.is_locked(path)
    with path.open("w") as file:
        assert not machine.is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert machine.is_locked(path)
    assert not machine.is_locked(path)


def test_a_usual_folder_can_do_all_and_stays_empty(tmp_path: Path) -> None:
    assert machine.folder_problem(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert machine.existing_parent(tmp_path / "a/b") == tmp_path
    assert machine.free_bytes(tmp_path) > 0
    assert not machine.is_open_to_others(tmp_path / "absent")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Linux feature")
def test_linux_has_what_runs_are_kept_together_with(tmp_path: Path) -> None:
    assert machine.has_subreaper()
    assert machine.cgroup_state() in {"writable", "read-only", "absent"}
    assert not machine.has_pid_namespaces(environ={"PATH": str(tmp_path)})
