"""How a run's git and `gh` get at GitHub: with what the token file holds, and with nothing of it in an environment."""

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import plan

from coderun.agent.access import (
    TokenFile,
    agent_variables,
    git_settings,
    git_variables,
    keep_gh_fresh,
    proxy_for,
    proxy_secrets,
    read_token,
    write_gh,
)
from coderun.model.errors import ConfigError
from coderun.plan.order import ForgeRef

LOCAL = plan().order
HUB = ForgeRef(
    kind="github", location="https://h.example/api/v3", repository="https://h.example/a/b.git", web="https://h.example"
)
ORDER = replace(LOCAL, forge=HUB)
SECRET = "ghs_0123456789abcdef"


def asked_of_git(variables: dict[str, str], host: str, token: Path) -> str:
    """What git's helpers answer for a host."""
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=f"protocol=https\nhost={host}\n\n",
        env={"PATH": "/usr/bin:/bin", "CODERUN_FORGE_TOKEN_FILE": str(token), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_git_shows_what_the_token_file_holds_to_the_forge_and_to_nobody_else(tmp_path: Path) -> None:
    token = tmp_path / "a token's file"
    variables = agent_variables(ORDER, gh=tmp_path / "gh", inherited={})
    for text in (SECRET, "another"):
        token.write_text(text)
        assert f"username=x-access-token\npassword={text}\n" in asked_of_git(variables, "h.example", token)
        assert text not in asked_of_git(variables, "evil.example", token)
    assert SECRET not in str(variables)


def test_the_local_forge_needs_nothing_of_this(tmp_path: Path) -> None:
    assert git_settings(LOCAL.forge) == ()
    assert git_variables(LOCAL.forge, {"HTTPS_PROXY": "http://proxy"}) == {}
    assert agent_variables(LOCAL, gh=tmp_path, inherited={}) == {}


def test_the_way_to_the_network_is_handed_to_git() -> None:
    inherited = {
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "x",
        "SSL_CERT_FILE": "/ca.pem",
        "AWS_SECRET": "no",
        "HTTP_PROXY": "",
    }
    assert git_variables(HUB, inherited) == {"HTTPS_PROXY": "http://proxy", "no_proxy": "x", "GIT_SSL_CAINFO": "/ca.pem"}


def test_gh_finds_its_host_login_and_token_in_files_of_its_own_that_nobody_else_reads(tmp_path: Path) -> None:
    folder = tmp_path / "gh"
    for token in ("old", SECRET):
        write_gh(folder, ORDER, token)
    hosts = msgspec.json.decode((folder / "hosts.yml").read_bytes())["h.example"]
    assert (hosts["user"], hosts["oauth_token"]) == (ORDER.agent.login, SECRET)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert agent_variables(ORDER, gh=folder, inherited={})["GH_HOST"] == "h.example"


async def test_the_files_of_gh_follow_the_token_file(tmp_path: Path) -> None:
    token, folder = tmp_path / "token", tmp_path / "gh"
    steps = iter(["", "one", "one", "two"])
    seen: list[str] = []

    async def next_step(_: float) -> None:
        if (folder / "hosts.yml").exists():
            seen.append(msgspec.json.decode((folder / "hosts.yml").read_bytes())["h.example"]["oauth_token"])
        try:
            token.write_text(next(steps))
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        await keep_gh_fresh(folder, ORDER, token, sleep=next_step)
    assert seen == ["one", "one", "two"]


async def test_a_refused_token_is_waited_out_until_another_one_lies_there(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            token.write_text("new")

    credential = TokenFile(token, identity="rex", patience=10.0, sleep=sleep)
    old = await credential.authorization()
    assert old == "Bearer old"
    assert await credential.rejected(old, datetime.now(UTC)) == 0.0
    assert (len(waits), await credential.authorization()) == (3, "Bearer new")
    assert await credential.rejected("Bearer new", None) is None, "nobody replaced it"


def test_a_token_file_that_cannot_be_read_is_no_token(tmp_path: Path) -> None:
    assert read_token(tmp_path / "none") == ""
    (tmp_path / "odd").write_bytes(b"\xff")
    assert read_token(tmp_path / "odd") == ""


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "other.example"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": ".example"}, None),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ({"HTTPS_PROXY": "p.example:3128"}, "http://p.example:3128"),
        ({"HTTPS_PROXY": "https://me:p%40ss@p"}, "https://me:p%40ss@p"),
        ({"HTTPS_PROXY": "socks5://p:1", "NO_PROXY": "*"}, None),
    ],
)
def test_the_proxy_of_an_address_is_the_one_the_environment_names(environment: dict[str, str], proxy: str | None) -> None:
    assert proxy_for("https://h.example", environment) == proxy


@pytest.mark.parametrize(
    "named", ["socks5://me:s3cret-word@p:1", "http://", "http://me:s3cret-word@p:port", "http://p:0", "ftp://p"]
)
def test_what_is_no_http_proxy_is_named_by_its_variable_and_not_shown(named: str) -> None:
    with pytest.raises(ConfigError, match=r"^\$https_proxy names no HTTP proxy; write http://host:port, or unset it$"):
        proxy_for("https://h.example", {"https_proxy": named})


@pytest.mark.parametrize(
    ("named", "secrets"),
    [
        ("http://p:3128", ()),
        ("http://me@p:3128", ()),
        ("http://me:pass-word@p:3128", ("pass-word",)),
        ("me:pass%40word@p", ("pass%40word", "pass@word")),
    ],
)
def test_the_password_of_a_proxy_is_a_secret(named: str, secrets: tuple[str, ...]) -> None:
    assert proxy_secrets({"HTTPS_PROXY": named, "NO_PROXY": "a,b"}) == secrets
