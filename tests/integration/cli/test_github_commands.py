"""`coderun github` as a person runs it: a page is served, GitHub sends the browser back, keys are kept."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from tests.fakes.browser import Browser
from tests.fakes.github import FakeGitHub, MadeApp

from coderun.app.github_keys import AppKeys, read_credentials, write_app
from coderun.app.mounted_keys import mounted_credentials
from coderun.model.github import github_host


class Terminal:
    """A repository of a person's, and the command in it."""

    def __init__(self, folder: Path, github: FakeGitHub) -> None:
        self.github = github
        self.repository = folder / "shop"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "XDG_CONFIG_HOME": str(folder / "config")}
        self.keys = folder / "config/coderun/github" / github.url.removeprefix("http://").replace(":", "_")
        self.repository.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("-c", "user.name=a", "-c", "user.email=a@x", "commit", "--quiet", "--allow-empty", "--message=first")

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.repository, check=True)

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "coderun.cli.main", "github", *words,
            cwd=self.repository, env=self.environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *words: str) -> tuple[int, str, str]:
        process = await self.start(*words)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    def install(self, slug: str) -> None:
        made = next(app for app in self.github.world.apps if app.slug == slug)
        self.github.install(MadeApp(made, ""), "acme", repos=["shop"])


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with FakeGitHub(tmp_path / "github") as github:
        terminal = Terminal(tmp_path, github)
        await github.create_repo("acme/shop", source=terminal.repository)
        yield terminal


async def address_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    found = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/) in a browser on this machine; Ctrl-C ends it\n", line)
    assert found, line
    return found[1]


async def test_a_person_confirms_on_github_and_the_command_ends_with_what_to_write_down(terminal: Terminal) -> None:
    process = await terminal.start("setup", "--url", terminal.github.url, "--repository", "acme/shop", "--agent", "rex")
    address = await address_of(process)
    async with aiohttp.ClientSession() as session:
        browser = Browser(session)
        await browser.submit((await browser.open(address)).forms[0])
    assert terminal.github.world.apps[0].owner.login == "acme"  # an organisation's repository needs an App of the organisation
    terminal.install("acme-rex")
    out, err = await process.communicate()
    assert process.returncode == 0, err
    told = out.decode()
    assert f"rex: App acme-rex is made; its key is in {terminal.keys}/rex.pem\n" in told
    assert "rex: App acme-rex is installed on acme/shop\n" in told
    assert "  forge:\n    type: github\n    url: http://127.0.0.1:" in told
    assert "repository: acme/shop\nthen `coderun github check` looks at it all\n" in told
    assert "PRIVATE KEY" not in told + err.decode()
    again = await terminal.run("setup", "--url", terminal.github.url, "--repository", "acme/shop", "--agent", "rex")
    assert again[0] == 0
    assert "rex: App acme-rex is installed on acme/shop\n" in again[1]
    assert len(terminal.github.world.apps) == 1


async def test_ctrl_c_ends_it_and_what_is_made_is_kept(terminal: Terminal) -> None:
    process = await terminal.start("setup", "--url", terminal.github.url, "--repository", "acme/shop")
    address = await address_of(process)
    async with aiohttp.ClientSession() as session:
        browser = Browser(session)
        await browser.submit((await browser.open(address)).forms[0])
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().endswith("stopped; what is made is kept, and the same command goes on from there\n")
    assert sorted(path.name for path in terminal.keys.iterdir()) == ["rex.json", "rex.pem"]


async def test_without_waiting_it_ends_when_the_apps_are_made(terminal: Terminal) -> None:
    words = ("setup", "--url", terminal.github.url, "--repository", "acme/shop", "--agent", "tess", "--user", "--no-wait")
    process = await terminal.start(*words)
    async with aiohttp.ClientSession() as session:
        browser = Browser(session)
        await browser.submit((await browser.open(await address_of(process))).forms[0])
    await process.communicate()
    assert process.returncode == 0
    assert terminal.github.world.apps[0].owner.login != "acme"


async def test_the_manual_way_is_printed_and_nothing_is_done(terminal: Terminal) -> None:
    words = ("setup", "--manual", "--org", "acme", "--url", "https://ghes.example", "--repository", "acme/shop")
    code, out, err = await terminal.run(*words)
    assert (code, err) == (0, "")
    assert "  1. open https://ghes.example/organizations/acme/settings/apps/new\n" in out
    assert "     Webhook: not active\n" in out
    assert "  4. install it: https://ghes.example/github-apps/…/installations/new, only on acme/shop\n" in out
    assert not terminal.keys.parent.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--org", "a", "--user", "--repository", "a/b"], "--org and --user name two owners; give one of them"),
        ([], "nothing says which repository on GitHub is meant; name it with --repository owner/name"),
        (["--repository", "/tmp/x"], "is a folder and no repository on GitHub"),
        (["--repository", "https://other.example/a/b", "--url", "https://ghes.example"], "is on other.example, but"),
        (["--repository", "a/b", "--user", "--webhook-url", "ftp://x"], "--webhook-url 'ftp://x' is no https address"),
        (["--repository", "a/b", "--user", "--agent", "max"], "there is no agent max"),
    ],
)
async def test_wrong_words_are_refused_with_what_to_write(terminal: Terminal, words: list[str], message: str) -> None:
    code, _, err = await terminal.run("setup", *words)
    assert code == 2
    assert message in err


async def test_the_repository_is_the_one_that_origin_points_to(terminal: Terminal) -> None:
    terminal.git("remote", "add", "origin", "git@ghes.example:Acme/Shop.git")
    code, out, _ = await terminal.run("setup", "--manual", "--user")
    assert code == 0
    assert "  1. open https://ghes.example/settings/apps/new\n" in out
    assert "Homepage URL: https://ghes.example/acme/shop\n" in out


async def test_coderun_yaml_names_the_repository(terminal: Terminal) -> None:
    (terminal.repository / "coderun.yaml").write_text(
        "forge: {type: github, url: 'https://ghes.example', repository: acme/other}\n"
    )
    code, out, _ = await terminal.run("setup", "--manual", "--user")
    assert code == 0
    assert "Homepage URL: https://ghes.example/acme/other\n" in out


async def test_check_says_in_a_table_and_as_json_what_is_wrong_and_fails(terminal: Terminal) -> None:
    words = ("check", "--url", terminal.github.url, "--repository", "acme/shop")
    code, out, err = await terminal.run(*words)
    assert (code, err) == (1, "")
    assert re.search(r"rex: App +error +no key on this machine, and no personal token", out)
    assert "→ coderun github setup --agent rex" in out
    code, out, _ = await terminal.run(*words, "-o", "json")
    assert code == 1
    checks = json.loads(out)["checks"]
    assert checks[0] == {
        "name": "rex: App",
        "state": "error",
        "found": "no key on this machine, and no personal token",
        "advice": "coderun github setup --agent rex",
        "link": "",
    }
    code, out, _ = await terminal.run(*words, "-o", "name", "--agent", "tess")
    assert (code, out) == (1, "tess: App\nrepository\n")


async def test_check_succeeds_with_a_personal_token_that_sees_the_repository(terminal: Terminal) -> None:
    terminal.github.add_collaborator("acme/shop", "ada", "admin")
    terminal.environment["GH_ENTERPRISE_TOKEN"] = terminal.github.personal_token("ada")
    code, out, err = await terminal.run("check", "--url", terminal.github.url, "--repository", "acme/shop")
    assert (code, err) == (0, "")
    assert "every agent acts as that one person" in " ".join(out.split())
    assert terminal.environment["GH_ENTERPRISE_TOKEN"] not in out


async def test_check_is_not_available_where_github_does_not_answer(terminal: Terminal) -> None:
    terminal.environment["GH_ENTERPRISE_TOKEN"] = "ghp_x"
    code, _, err = await terminal.run("check", "--url", "http://127.0.0.1:9", "--repository", "acme/shop")
    assert code == 5
    assert "no answer from GitHub" in err


async def test_check_refuses_keys_that_others_can_read(terminal: Terminal) -> None:
    terminal.keys.mkdir(parents=True)
    (terminal.keys / "rex.json").write_text('{"appId": 1}')
    (terminal.keys / "rex.json").chmod(0o644)
    code, _, err = await terminal.run("check", "--url", terminal.github.url, "--repository", "acme/shop")
    assert code == 2
    assert "run: chmod 600" in err


def keep_apps(terminal: Terminal, *agents: str) -> None:
    for agent in agents:
        pem = f"-----BEGIN RSA PRIVATE KEY-----\nSECRET-OF-{agent}\n-----END RSA PRIVATE KEY-----\n".encode()
        write_app(terminal.keys, AppKeys(agent=agent, app_id="12", pem=pem, client_id="Iv1", webhook_secrets=("hook",)))


async def test_secrets_for_a_cluster_are_what_its_controller_reads(terminal: Terminal, tmp_path: Path) -> None:
    keep_apps(terminal, "rex", "tess")
    words = ("secrets", "--namespace", "agents", "--url", terminal.github.url, "--repository", "acme/shop")
    code, out, err = await terminal.run(*words)
    assert code == 0, err
    manifests = list(yaml.safe_load_all(out))
    assert [(one["kind"], one["metadata"]["name"], one["metadata"]["namespace"]) for one in manifests] == [
        ("Secret", "github-app-rex", "agents"),
        ("Secret", "github-app-tess", "agents"),
    ]
    for agent, manifest in zip(("rex", "tess"), manifests, strict=True):
        (tmp_path / "mounted" / agent).mkdir(parents=True)
        for key, value in manifest["stringData"].items():
            (tmp_path / "mounted" / agent / key).write_text(value)
    host = github_host(terminal.github.url)
    read = mounted_credentials(host, tmp_path / "mounted")
    kept = read_credentials(host, environ=terminal.environment, home=tmp_path)
    assert read.apps == kept.apps
    values = yaml.safe_load(err)
    assert values["github"]["apps"] == {agent: {"secretName": f"github-app-{agent}"} for agent in ("rex", "tess")}
    assert values["config"]["forge"] == {"type": "github", "url": terminal.github.url}


async def test_secrets_are_not_printed_where_there_are_none(terminal: Terminal) -> None:
    code, out, err = await terminal.run("secrets", "--url", terminal.github.url, "--repository", "acme/shop")
    assert (code, out) == (4, "")
    assert "`coderun github setup` makes one for each agent" in err


async def test_private_keys_are_not_printed_to_a_terminal(terminal: Terminal) -> None:
    keep_apps(terminal, "rex")
    leader, follower = os.openpty()
    words = ("github", "secrets", "--url", terminal.github.url, "--repository", "acme/shop")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coderun.cli.main", *words,
        cwd=terminal.repository, env=terminal.environment, stdout=follower, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(follower)
    _, err = await process.communicate()
    os.close(leader)
    assert process.returncode == 2
    assert b"private keys are not printed to a terminal" in err
    assert b"SECRET-OF" not in err
