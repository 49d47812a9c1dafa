"""Apps' keys and personal tokens on this machine: kept so that others cannot read them, and refused where others can."""

import os
import stat
from pathlib import Path

import pytest

from coderun.app.github_keys import AppKeys, GitHubCredentials, keys_folder, read_app, read_credentials, write_app
from coderun.model.errors import ConfigError
from coderun.model.github import github_host

PUBLIC = github_host()
OWN = github_host("https://ghes.example:8443")
PEM = b"-----BEGIN RSA PRIVATE KEY-----\nVERY-SECRET\n-----END RSA PRIVATE KEY-----\n"
REX = AppKeys(
    agent="rex",
    app_id="4711",
    pem=PEM,
    slug="acme-rex",
    client_id="Iv1.a",
    name="Acme Rex",
    url="https://github.com/apps/acme-rex",
    webhook_secrets=("new-secret", "old-secret"),
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def folder(environ: dict[str, str], tmp_path: Path) -> Path:
    return keys_folder(PUBLIC, environ=environ, home=tmp_path)


def read(environ: dict[str, str], home: Path) -> GitHubCredentials:
    return read_credentials(PUBLIC, environ=environ, home=home)


def test_each_github_has_a_folder_of_its_own(tmp_path: Path) -> None:
    at_home = tmp_path / ".config" / "coderun" / "github"
    assert keys_folder(PUBLIC, environ={}, home=tmp_path) == at_home / "github.com"
    assert keys_folder(OWN, environ={"XDG_CONFIG_HOME": "relative"}, home=tmp_path) == at_home / "ghes.example_8443"
    assert keys_folder(OWN, environ={"XDG_CONFIG_HOME": "/c"}, home=tmp_path) == Path("/c/coderun/github/ghes.example_8443")


def test_nothing_is_an_outcome(environ: dict[str, str], tmp_path: Path) -> None:
    found = read(environ, tmp_path)
    assert (dict(found.apps), found.personal, found.webhook_secrets) == ({}, None, ())


def test_an_app_that_was_written_is_read_again(environ: dict[str, str], folder: Path, tmp_path: Path) -> None:
    written = write_app(folder, REX)
    assert written == folder / "rex.json"
    found = read(environ, tmp_path)
    assert found.apps == {"rex": REX}
    assert found.webhook_secrets == ("new-secret", "old-secret")


def test_nobody_else_can_read_what_is_written(folder: Path) -> None:
    old = os.umask(0)
    try:
        write_app(folder, REX)
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"github.com": 0o700, "rex.json": 0o600, "rex.pem": 0o600}


def test_no_secret_is_part_of_a_repr(environ: dict[str, str], folder: Path, tmp_path: Path) -> None:
    write_app(folder, REX)
    shown = repr(read({**environ, "GH_TOKEN": "ghp_secret"}, tmp_path))
    assert "acme-rex" in shown
    assert not any(secret in shown for secret in ("VERY-SECRET", "new-secret", "old-secret", "ghp_secret"))


def test_what_is_there_is_replaced_only_where_that_was_said(folder: Path) -> None:
    write_app(folder, REX)
    other = AppKeys(agent="rex", app_id="12", pem=PEM)
    with pytest.raises(ConfigError, match=r"rex\.json is there already; move it away, or say that it may be replaced"):
        write_app(folder, other)
    assert read_app(folder, "rex") == REX
    write_app(folder, other, replace=True)
    assert read_app(folder, "rex") == other


def test_a_key_without_its_file_is_not_overwritten_either(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "rex.pem").write_bytes(b"somebody's")
    with pytest.raises(ConfigError, match=r"rex\.pem is there already"):
        write_app(folder, REX)
    assert (folder / "rex.pem").read_bytes() == b"somebody's"


def test_a_person_may_write_the_least_by_hand(folder: Path) -> None:
    put(folder / "rex.json", b'{"appId": 4711, "note": "mine"}')
    put(folder / "rex.pem", PEM)
    assert read_app(folder, "rex") == AppKeys(agent="rex", app_id="4711", pem=PEM)
    assert read_app(folder, "cleo") is None


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("json", "pem", "message"),
    [
        (b"{", PEM, r"rex\.json: Input data was truncated; write \{\"appId\": \"…\"\} there"),
        (b"{}", PEM, r"missing required field `appId`"),
        (b'{"appId": "../x"}', PEM, r"appId is '\.\./x'; write the App's number or its client id"),
        (b'{"appId": 1}', b"ssh-rsa AAAA", r"rex\.pem: is no private key in PEM form"),
        (b'{"appId": 1}', b"x" * 70_000, r"rex\.pem: is larger than 65536 bytes"),
        (b'{"appId": 1}', None, r"rex\.pem: there is no such file; put it there, or let `coderun github setup` do it"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(folder: Path, json: bytes, pem: bytes | None, message: str) -> None:
    put(folder / "rex.json", json)
    if pem is not None:
        put(folder / "rex.pem", pem)
    with pytest.raises(ConfigError, match=message):
        read_app(folder, "rex")


@pytest.mark.parametrize("name", ["rex.json", "rex.pem"])
def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(
    environ: dict[str, str], folder: Path, tmp_path: Path, name: str
) -> None:
    write_app(folder, REX)
    (folder / name).chmod(0o640)
    with pytest.raises(ConfigError) as refused:
        read(environ, tmp_path)
    path = folder / name
    assert str(refused.value) == f"{path}: can be read by other users (mode 0640); run: chmod 600 {path}"


def test_a_folder_that_others_can_write_is_refused(environ: dict[str, str], folder: Path, tmp_path: Path) -> None:
    write_app(folder, REX)
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match=r"can be written by other users \(mode 0777\); run: chmod 700"):
        read(environ, tmp_path)


def test_what_is_no_regular_file_is_refused_without_waiting(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / "rex.json", 0o600)
    with pytest.raises(ConfigError, match=r"rex\.json: is no regular file"):
        read_app(folder, "rex")


def test_a_file_named_after_no_agent_is_said(environ: dict[str, str], folder: Path, tmp_path: Path) -> None:
    put(folder / "My App.json", b"{}")
    with pytest.raises(ConfigError, match=r"My App\.json is named after no agent; call it \{agent\}\.json, or move it away"):
        read(environ, tmp_path)


def test_keys_that_cannot_be_kept_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the key of rex cannot be kept in .*: Not a directory"):
        write_app(tmp_path / "file" / "keys", REX)


def test_a_folder_that_is_a_file_is_an_error(environ: dict[str, str], folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory; check its permissions"):
        read(environ, tmp_path)


def test_a_personal_token_is_from_a_file_before_a_variable(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "one", b"ghp_one\n")
    put(tmp_path / "two", b"ghp_two\n")
    both = {**environ, "GH_TOKEN": "ghp_three", "GITHUB_TOKEN": "ghp_four"}
    named = {**both, "CODERUN_GITHUB_TOKEN_FILE": str(tmp_path / "two")}
    given = read_credentials(PUBLIC, environ=named, home=tmp_path, token_file=tmp_path / "one").personal
    sources = [given, *(read(each, tmp_path).personal for each in (named, both, {**environ, "GITHUB_TOKEN": "ghp_four"}))]
    assert [(found.token, found.source) for found in sources if found] == [
        ("ghp_one", str(tmp_path / "one")),
        ("ghp_two", str(tmp_path / "two")),
        ("ghp_three", "$GH_TOKEN"),
        ("ghp_four", "$GITHUB_TOKEN"),
    ]


def test_a_token_for_github_com_is_never_taken_to_another_server(environ: dict[str, str], tmp_path: Path) -> None:
    hosted = {**environ, "GH_TOKEN": "ghp_one", "GITHUB_TOKEN": "ghp_two"}
    assert read_credentials(OWN, environ=hosted, home=tmp_path).personal is None
    own = {**hosted, "GITHUB_ENTERPRISE_TOKEN": "ghp_own"}
    found = read_credentials(OWN, environ=own, home=tmp_path).personal
    assert found is not None
    assert (found.token, found.source) == ("ghp_own", "$GITHUB_ENTERPRISE_TOKEN")
    assert read({**environ, "GH_ENTERPRISE_TOKEN": "ghp_own"}, tmp_path).personal is None


@pytest.mark.parametrize("text", ["two words", "ghp_ü", "a\nb", " "])
def test_what_is_no_token_is_refused_and_not_repeated(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    put(tmp_path / "token", text.encode())
    with pytest.raises(ConfigError) as refused:
        read({**environ, "CODERUN_GITHUB_TOKEN_FILE": str(tmp_path / "token")}, tmp_path)
    assert str(refused.value) == f"{tmp_path / 'token'} holds no token; it must be the one line that GitHub showed"


def test_a_token_file_that_others_can_read_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path / "token", b"ghp_one", 0o644)
    with pytest.raises(ConfigError, match=r"can be read by other users \(mode 0644\); run: chmod 600"):
        read({**environ, "CODERUN_GITHUB_TOKEN_FILE": str(tmp_path / "token")}, tmp_path)


def test_an_empty_variable_is_none(environ: dict[str, str], tmp_path: Path) -> None:
    assert read({**environ, "GH_TOKEN": "", "GITHUB_TOKEN": " "}, tmp_path).personal is None
