import os
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent.test_evidence import order

from coderun.agent.environment import (
    build_environment,
    hand_over_credentials,
    is_settable,
    login_variables,
    secrets_of,
)
from coderun.agent.memory import prepare_memory, read_memory
from coderun.agent.supervisor import Places


def places(folder: Path) -> Places:
    names = ("run", "workspace", "home", "files", "token", "result", "task_dir", "tmp")
    return Places(**{name: folder / name for name in names})


def test_an_agents_environment_is_built_from_nothing(tmp_path: Path) -> None:
    inherited = {"PATH": "/bin", "LANG": "C", "LC_TIME": "C", "TZ": "UTC", "TERM": "xterm", "HOME": "/root", "AWS_SECRET": "x"}
    given = msgspec.structs.replace(order("x"), env={"EXTRA": "1", "PATH": "/own", "TMPDIR": "/evil", "CODERUN_ROLE": "king"})
    built = build_environment(given, places(tmp_path), inherited)

    assert (built["PATH"], built["EXTRA"], built["TZ"], built["LC_TIME"], built["TERM"]) == ("/own", "1", "UTC", "C", "xterm")
    assert (built["HOME"], built["TMPDIR"], built["CODERUN_ROLE"]) == (str(tmp_path / "home"), str(tmp_path / "tmp"), "")
    assert built["CODERUN_ORDER"] == str(tmp_path / "run" / "order.json")
    assert "AWS_SECRET" not in built


@pytest.mark.parametrize(
    ("name", "value", "settable"),
    [
        ("FOO", "1", True),
        ("_x9", "", True),
        ("9x", "1", False),
        ("A=B", "1", False),
        ("", "1", False),
        ("A B", "1", False),
        ("FOO", "a\0b", False),
        ("HOME", "/", False),
        ("CODERUN_ANYTHING", "1", False),
        ("GIT_AUTHOR_NAME", "x", False),
        ("GIT_SSH_COMMAND", "ssh", True),
    ],
)
def test_which_variables_an_order_may_set(name: str, value: str, settable: bool) -> None:
    assert is_settable(name, value) is settable


def test_only_the_login_and_the_way_to_the_network_are_handed_to_a_model_cli() -> None:
    inherited = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "", "HTTPS_PROXY": "p", "OPENAI_API_KEY": "o", "CLAUDE_X": "y"}

    assert login_variables(inherited) == {"ANTHROPIC_API_KEY": "k", "HTTPS_PROXY": "p"}


def test_secrets_are_the_forge_token_and_the_login_tokens(tmp_path: Path) -> None:
    made = places(tmp_path)
    assert secrets_of(made, {"ANTHROPIC_API_KEY": "key"}) == ("key",)

    made.token.write_text("token\n")
    assert secrets_of(made, {"ANTHROPIC_BASE_URL": "http://x"}) == ("token",)
    assert secrets_of(made, {"HTTPS_PROXY": "http://me:pass-word@p"}) == ("token", "pass-word")
    assert secrets_of(made, {"HTTPS_PROXY": "http://me:short@p"}) == ("token",)


def test_credentials_are_copied_when_newer_and_nothing_else_of_the_user_is(tmp_path: Path) -> None:
    user, home = tmp_path / "user", tmp_path / "home"
    (user / ".claude").mkdir(parents=True)
    source = user / ".claude" / ".credentials.json"
    (user / ".claude" / "settings.json").write_text("{}")
    inherited = {"HOME": str(user)}
    assert not hand_over_credentials(inherited, home)

    source.write_text("first")
    assert hand_over_credentials(inherited, home)
    copy = home / ".claude" / ".credentials.json"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("first", 0o600)
    assert [path.name for path in copy.parent.iterdir()] == [".credentials.json"]

    source.write_text("older")
    os.utime(source, (1, 1))
    hand_over_credentials(inherited, home)
    assert copy.read_text() == "first"

    source.write_text("newer")
    os.utime(source, (4e9, 4e9))
    hand_over_credentials(inherited, home)
    assert copy.read_text() == "newer"


def test_credentials_are_found_where_the_user_has_put_them(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / ".credentials.json").write_text("x")

    assert hand_over_credentials({"CLAUDE_CONFIG_DIR": str(chosen)}, tmp_path / "home")
    assert not hand_over_credentials({}, tmp_path / "other")


def test_a_rendered_memory_takes_the_place_of_a_missing_one_or_where_asked_to(tmp_path: Path) -> None:
    rendered = tmp_path / "CLAUDE.md"
    memory = prepare_memory(tmp_path / "ws", rendered, overwrite=True)
    assert read_memory(memory) == ""

    rendered.write_text("rendered")
    assert read_memory(prepare_memory(tmp_path / "ws", rendered, overwrite=False)) == "rendered"

    memory.write_text("learned")
    assert read_memory(prepare_memory(tmp_path / "ws", rendered, overwrite=False)) == "learned"
    assert read_memory(prepare_memory(tmp_path / "ws", rendered, overwrite=True)) == "rendered"


def test_a_memory_that_is_a_link_or_a_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")

    assert read_memory(tmp_path / "link") == ""
    assert read_memory(tmp_path) == ""
