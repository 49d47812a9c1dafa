"""Nothing lost: ten thousand webhooks to a door that is killed (`kill -9`) every two seconds, and nobody sends anything twice.

The fake GitHub sends and keeps its log, as GitHub does; `coderun up` is a process of its own and is started again whenever it
was killed. It is over when the inbox holds what was sent, or nothing more comes for a minute. Then, on a play: how soon a
command in a comment is obeyed when its webhook arrives.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.table import Row

sys.path[:0] = [str(Path(__file__).parents[1])]

from tests.acceptance.github_kit import REPOSITORY, GitHubWorld  # noqa: E402 - as above
from tests.acceptance.kit import Command, task, until  # noqa: E402 - as above

SENT = 10_000
RATE = 250
KILL_SECONDS = 2.0
SECRET = "s3cret"  # noqa: S105 - signs nothing but this
SAMPLES = 10
GIVE_UP = 60.0


async def open_up(hub: GitHubWorld, port: int = 0) -> tuple[Command, str]:
    """`coderun up` with a door, and the door's URL."""
    up = hub.start("up", "--webhook-port", str(port), "--webhook-secret-file", str(hub.folder / "secret"))
    await until(lambda: "webhooks are taken at" in up.said, "the door", tell=hub.tell)
    return up, up.said.partition("webhooks are taken at ")[2].split()[0]


def make_hub(folder: Path) -> GitHubWorld:
    """A repository of the fake GitHub, where no look at it comes in time."""
    hub = GitHubWorld(folder)
    hub.settings["webhook"] = {"repairSeconds": 1}
    hub.settings["play"] = {"autoMerge": False}
    hub.settings["pullRequests"] = {"statusComment": False}
    hub.open_hub(task(1, "Sell tea"), pollSeconds=3600)
    hub.fake.server.limits.limit = 1_000_000
    (hub.folder / "secret").write_text(SECRET)
    return hub


async def send(hub: GitHubWorld) -> None:
    """Have things happen, at their moments; GitHub delivers them one after the other."""
    repo = hub.fake.repo(REPOSITORY)

    async def happen(first: int, last: int) -> None:
        for number in range(first, last):
            body = {"ref": f"refs/heads/x-{number}", "repository": {"html_url": f"{hub.fake.url}/{REPOSITORY}"}}
            hub.fake.world.send("push", body, repo=repo)

    begun, done = time.perf_counter(), 0
    while done < SENT:
        due = min(SENT, int((time.perf_counter() - begun) * RATE) + 1)
        await asyncio.to_thread(hub.here, happen(done, due))
        done = due
        await asyncio.sleep(0.05)


async def lost(hub: GitHubWorld) -> tuple[int, int, int, float]:
    """How many were lost, how many the door did not take in, how often it was killed, and seconds until all were found."""
    up, url = await open_up(hub)
    port = int(url.split(":")[2].partition("/")[0])
    hook = hub.apps["rex"].app.hook
    hook.url, hook.secret = url, SECRET
    sending, kills = asyncio.ensure_future(send(hub)), 0
    while not sending.done() or not all(one.status_code for one in hook.deliveries):
        await asyncio.sleep(KILL_SECONDS)
        up.kill()
        kills += 1
        up, _ = await open_up(hub, port)
    await sending
    ended = time.monotonic()
    failed = {one.guid for one in hook.deliveries if one.status_code != 202}
    sent = {one.guid for one in hook.deliveries}
    missing, last = len(sent), time.monotonic()
    while missing and time.monotonic() - last < GIVE_UP:
        stored = {one.id.removeprefix("github-") for one in await hub.store.list_deliveries(limit=10 * SENT)}
        if len(sent - stored) < missing:
            missing, last = len(sent - stored), time.monotonic()
        await asyncio.sleep(0.5)
    seconds = time.monotonic() - ended
    up.kill()
    return missing, len(failed), kills, seconds


async def gate(hub: GitHubWorld) -> list[float]:
    """Seconds from a comment at GitHub to the spec that it changes, as another process sees it."""
    _, url = await open_up(hub)
    hook = hub.apps["rex"].app.hook
    hook.url, hook.secret = url, SECRET
    assert (await hub.coderun("play", "--task", "1", "--detach")).code == 0
    await hub.until_waits("WaitingForPeople")
    found = []
    for number in range(SAMPLES):
        begun = time.perf_counter()
        await obeyed(hub, "resume" if number % 2 else "pause")
        found.append(time.perf_counter() - begun)
    return found


async def obeyed(hub: GitHubWorld, word: str) -> None:
    """Say a command and wait until it is obeyed."""
    hub.do(hub.fake.people.comment, REPOSITORY, 1, "ada", f"/coderun {word}")
    await hub.until_play(lambda play: play.spec.paused is (word == "pause"), word)


async def measure() -> tuple[tuple[int, int, int, float], list[float]]:
    """What was lost, and how soon a webhook acts."""
    with tempfile.TemporaryDirectory(prefix="coderun-bench-", ignore_cleanup_errors=True) as name:
        hub = make_hub(Path(name) / "lost")
        try:
            # A state folder to come to, without a play.
            of_all = await lost(hub)
        finally:
            await hub.clear_up()
        hub = make_hub(Path(name) / "gate")
        try:
            return of_all, await gate(hub)
        finally:
            await hub.clear_up()


def rows() -> list[Row]:
    """What was lost and found."""
    (missing, failed, kills, seconds), delays = asyncio.run(measure())
    killed = f"door killed {kills} times, {failed} deliveries failed"
    return [
        Row(f"lost of {SENT:,} webhooks, door killed every {KILL_SECONDS:.0f} s", missing, "", "≤ 0", killed),
        Row("… the last one found after the last was sent", seconds, "s"),
        Row("command in a comment until obeyed, by webhook", median(delays) * 1000, "ms", "< 500", f"{SAMPLES} comments"),
    ]
