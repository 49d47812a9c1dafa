"""docs/github.md: its steps walked through on the fake GitHub, and its tables held to what the program does."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.acceptance.github_kit import GitHubWorld
from tests.acceptance.kit import task, until
from tests.docs.pages import blocks, prose, read
from tests.fakes.browser import Browser
from tests.fakes.github import MadeApp

from coderun.app import doctor
from coderun.forge.github import permissions
from coderun.forge.github.manifest import level_in_words, permission_in_words
from coderun.model.gates import GateKind
from coderun.model.play import PlayPhase

PAGE = "docs/github.md"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    world = GitHubWorld(tmp_path / "world")
    world.open_hub(task(1, "Sell tea"), apps=False)
    yield world
    await world.clear_up()


def commands() -> list[list[str]]:
    """The commands of the page's steps, without `coderun` itself."""
    found = [command for block in blocks(PAGE) for command in block.commands]
    alone, *steps = found
    assert alone == ".venv/bin/python -m tests.fakes.github", "which tests/integration/fakegithub/test_alone.py follows"
    assert all(command.startswith("coderun ") for command in steps)
    return [command.split()[1:] for command in steps]


@pytest.mark.slow
async def test_the_steps_of_the_page_lead_from_no_app_to_a_merged_task(hub: GitHubWorld) -> None:
    setup, check, play = commands()
    assert (setup, check) == (["github", "setup"], ["github", "check"])
    running = hub.start(*setup)
    address = await until(
        lambda: re.search(r"open (http://\S+) in a browser", running.said), "the page's address", tell=lambda: running.said
    )
    async with aiohttp.ClientSession() as session:
        browser = Browser(session)
        page = await browser.open(address[1])
        while page.forms:
            page = await browser.submit(page.forms[0])
        assert len(page.links) == 3
    for link in page.links:
        slug = urlsplit(link).path.split("/")[2]
        made = next(app for app in hub.fake.world.apps if app.slug == slug)
        hub.do(hub.fake.install, MadeApp(made, ""), "Acme", repos=["Shop"])
    assert await running.ended() == 0, running.said
    shown = next(block.text for block in blocks(PAGE) if block.language == "yaml")
    told = running.said.partition("In coderun.yaml:\n")[2].partition("then ")[0]
    lines = [line for line in told.replace("  forge:", "forge:").splitlines() if "url:" not in line]
    assert [line.strip() for line in lines] == [line.strip() for line in shown.splitlines()]

    checked = await hub.coderun(*check)
    assert checked.code == 0, checked.said
    ended = await hub.coderun(*play)
    assert ended.code == 0, ended.said + hub.tell()
    assert (await hub.play(1)).status.phase is PlayPhase.SUCCEEDED
    assert hub.on_hub().merged_at is not None


def test_the_table_of_permissions_is_the_one_that_tokens_are_asked_for_with() -> None:
    def line(need: permissions.Need, who: str) -> str:
        return f"| {permission_in_words(need.name)} | {level_in_words(need.level)} | {who} | {need.why} |"

    gates = [line(need, f"gate `{kind.value}`") for kind in GateKind for need in permissions._RUNS[kind]]
    control = [line(need, "the controller") for need in permissions.controller_needs() if need not in permissions.LOOK]
    writers = [line(need, "agents that may write") for need in (permissions._PUSH, permissions._WORKFLOW_FILES)]
    wanted = [*(line(need, "every agent") for need in permissions.LOOK), *writers, *gates, *control]
    shown = [text for text in read(PAGE).splitlines() if re.match(r"\| .* \| (Read-only|Read and write) \|", text)]
    assert shown == wanted


def test_every_option_of_setup_that_the_page_names_is_explained_there() -> None:
    text = prose(PAGE)
    for option in ("--replace", "--org", "--user", "--prefix", "--agent", "--manual", "--controller-app", "--webhook-url"):
        assert f"`{option}" in text or f" {option}" in text, option


def test_the_page_tells_what_a_personal_token_loses_in_the_programs_words() -> None:
    text = " ".join(read(PAGE).split())
    for part in ("OwnPullRequest", "`coderun approve`", "passes for an agent's"):
        assert part in text
        assert part in doctor.ONE_PERSON
