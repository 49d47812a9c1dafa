"""A play on GitHub that hears of everything by webhooks, and looks by itself next to never."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.github_kit import AGENTS, BRANCH, GitHubWorld
from tests.acceptance.kit import reasons, task, until

from coderun.model.play import PlayPhase

SECRET = "s3cret-of-the-webhooks"
SELDOM = 3600


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    """A repository on GitHub whose plays are looked at once an hour."""
    world = GitHubWorld(tmp_path / "world")
    world.open_hub(task(1, "Sell tea"), pollSeconds=SELDOM)
    yield world
    await world.clear_up()


async def open_door(hub: GitHubWorld) -> None:
    """A controller with a door, and every App's webhook pointing to it."""
    (hub.folder / "secret").write_text(SECRET)
    up = hub.start("up", "--webhook-port", "0", "--webhook-secret-file", str(hub.folder / "secret"))
    found = await until(lambda: re.search(r"webhooks are taken at (\S+)", up.said), "the door", tell=lambda: up.said)
    for name in AGENTS:
        hook = hub.apps[name].app.hook
        hook.url, hook.secret = found[1], SECRET


async def test_webhooks_alone_bring_a_play_to_its_merge(hub: GitHubWorld) -> None:
    await open_door(hub)
    hub.script({"testing/1/1": [{"do": "hold", "until": "never"}]})
    assert (await hub.coderun("play", "--task", "1", "--auto-merge", "--detach")).code == 0
    await hub.until_ran("testing")

    hub.push(BRANCH, "README.md", "# Shop\n\nWe sell tea.\n")

    hub.script({})
    play = await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert "Push" in reasons(play)
    shown = await hub.coderun("events", "list", "-o", "name")
    assert len(shown.out.split()) > 10


async def test_webhooks_that_come_double_late_and_out_of_order_lead_to_the_same_end(hub: GitHubWorld) -> None:
    hub.configure(forge={"pollSeconds": 1})
    await open_door(hub)
    for kind in ("double", "drop", "reorder", "delay"):
        hub.do(hub.fake.webhook_fault, kind, count=5, **({"seconds": 0.5} if kind == "delay" else {}))

    ended = await hub.coderun("play", "--task", "1", "--auto-merge", within=360)

    assert ended.code == 0, ended.said
    hub.assert_ran_once_each()
    assert reasons(await hub.play(1)).count("Merged") == 1
