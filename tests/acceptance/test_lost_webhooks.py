"""Webhooks on the way from GitHub to the door: in time they move a play at once, lost ones are found, and nothing is lost."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.github_kit import GitHubWorld
from tests.acceptance.kit import Command, reasons, task, until, until_found

from coderun.model.play import PlayPhase

SECRET = "s3cret"
NEVER = 3600.0  # no look at the forge comes in time: what moves the play is the inbox


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    world = GitHubWorld(tmp_path / "world")
    world.settings["webhook"] = {"repairSeconds": 0.2}
    world.settings["play"] = {"autoMerge": False}
    world.open_hub(task(1, "Sell tea"), pollSeconds=NEVER)
    (world.folder / "secret").write_text(SECRET)
    yield world
    await world.clear_up()


async def open_up(hub: GitHubWorld, port: int = 0) -> tuple[Command, str]:
    up = hub.start("up", "--webhook-port", str(port), "--webhook-secret-file", str(hub.folder / "secret"))
    found = await until(lambda: re.search(r"webhooks are taken at (\S+)", up.said), "the door", tell=hub.tell)
    return up, found[1]


def send_to(hub: GitHubWorld, url: str) -> None:
    """Have the App of the implementation's agent tell a door what happens."""
    hook = hub.apps["rex"].app.hook
    hook.url, hook.secret = url, SECRET


async def until_more_is_sent(hub: GitHubWorld) -> None:
    seen = len(hub.fake.webhooks.sent)
    await until(lambda: len(hub.fake.webhooks.sent) > seen, "something to happen", tell=hub.tell)


@pytest.mark.slow
@pytest.mark.lesson(20)
async def test_webhooks_alone_carry_a_play_to_its_merge(hub: GitHubWorld) -> None:
    _, url = await open_up(hub)
    send_to(hub, url)
    assert (await hub.coderun("play", "--task", "1", "--detach")).code == 0
    await hub.until_waits("WaitingForPeople")
    await hub.until_pull(lambda pull: bool(pull.reviews), "the review")
    hub.here(hub.fake.people.merge("Acme/Shop", 1, "ada"))
    play = await hub.until_phase(PlayPhase.SUCCEEDED)
    assert reasons(play)[-1] == "Merged"
    why = await hub.why(1)
    assert why["lastEvent"].startswith(("pull_request", "push", "create", "delete"))


@pytest.mark.slow
@pytest.mark.lesson(21)
async def test_a_webhook_that_never_arrived_is_found_in_githubs_log(hub: GitHubWorld) -> None:
    await open_up(hub)
    send_to(hub, "http://127.0.0.1:9/nobody-listens-here")
    assert (await hub.coderun("play", "--task", "1", "--detach")).code == 0
    await hub.until_waits("WaitingForPeople")
    hub.here(hub.fake.people.merge("Acme/Shop", 1, "ada"))
    play = await hub.until_phase(PlayPhase.SUCCEEDED)
    assert reasons(play)[-1] == "Merged"

    async def both() -> bool:
        return {delivery.event for delivery in await hub.store.list_deliveries()} >= {
            "pull_request.opened",
            "pull_request.closed",
        }

    # Whichever was stored first has moved the play; the others of that moment follow.
    await until_found(both, "its opening and its end to be found", tell=hub.tell)


@pytest.mark.slow
@pytest.mark.lesson(21)
@pytest.mark.timeout(300)
async def test_doubled_reordered_and_lost_webhooks_and_a_door_that_is_killed_lead_to_the_same_end(hub: GitHubWorld) -> None:
    up, url = await open_up(hub)
    port = int(url.split(":")[2].partition("/")[0])
    send_to(hub, url)
    for kind in ("double", "reorder", "drop", "vanish", "delay"):
        hub.do(hub.fake.webhook_fault, kind, count=3, seconds=0.2)
    assert (await hub.coderun("play", "--task", "1", "--detach")).code == 0
    for _ in range(3):
        await until_more_is_sent(hub)
        up.kill()
        up, _ = await open_up(hub, port)
    await hub.until_waits("WaitingForPeople")
    hub.here(hub.fake.settle())
    sent = {delivery.guid for delivery in hub.apps["rex"].app.hook.deliveries}
    up.kill()
    up, _ = await open_up(hub, port)

    async def stored() -> bool:
        known = {delivery.id.removeprefix("github-") for delivery in await hub.store.list_deliveries(limit=10_000)}
        return sent <= known

    while not await stored():
        assert up.is_running, hub.tell()
        await asyncio.sleep(0.05)
    hub.here(hub.fake.people.merge("Acme/Shop", 1, "ada"))
    play = await hub.until_phase(PlayPhase.SUCCEEDED)
    assert [reason for reason in reasons(play) if reason in {"StagePassed", "Merged"}] == [*["StagePassed"] * 3, "Merged"]
    hub.assert_ran_once_each()
