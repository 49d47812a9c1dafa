"""How soon a webhook moves a gate: a label and a push on the fake GitHub, until the store shows what they did to the play.

The controller is `coderun up` with a webhook door in a process of its own; it looks by itself only once a minute, so that what
moves the play is the webhook. Timed from the moment at which the fake sends it; the fake, which also answers all that the
controller then asks (some ten requests), shares this process with the clock. After a push GitHub has yet to compute whether the
pull request can be merged, and is asked again: that is part of the time.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from benchmarks.events_bench import PIPELINE, Follower
from benchmarks.table import Row
from benchmarks.worlds import World, world
from tests.fakes.github import FakeGitHub

from coderun.app.github_keys import AppKeys, keys_folder, write_app
from coderun.app.request import PlayRequest, request_plays
from coderun.forge.github.permissions import EVENTS
from coderun.model.github import github_host
from coderun.web.door import PATH

SAMPLES = 12
REPOSITORY = "acme/shop"
PERSON = "ada"
SECRET = "bench"  # noqa: S105 - signs nothing but this
PERMISSIONS = {"checks": "write", "contents": "write", "issues": "read", "pull_requests": "write", "statuses": "read"}
CONFIG = """\
pipeline: bench.yaml
forge: {{type: github, url: {url}, repository: {repository}, pollSeconds: 60}}
webhook: {{port: {port}}}
checksGraceSeconds: 0
"""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def hub(made: World, port: int, door: int) -> AsyncIterator[FakeGitHub]:
    """The fake GitHub with the repository, and one App, whose key is kept in the world."""
    async with FakeGitHub(made.folder / "github", port=port) as github:
        github.add_organization("acme")
        await github.create_repo(REPOSITORY, source=made.project)
        github.add_collaborator(REPOSITORY, PERSON, "admin")
        app = github.create_app(
            "acme-rex",
            permissions=PERMISSIONS,
            subscribed=sorted(EVENTS),
            webhook_url=f"http://127.0.0.1:{door}{PATH}",
            webhook_secret=SECRET,
        )
        github.install(app, "acme", repos=["shop"])
        folder = keys_folder(github_host(github.url), environ=made.environment, home=Path(made.environment["HOME"]))
        keys = AppKeys(agent="rex", app_id=str(app.id), pem=app.private_key.encode(), slug=app.slug, webhook_secrets=(SECRET,))
        write_app(folder, keys)
        yield github


async def moves(github: FakeGitHub, follower: Follower) -> tuple[list[float], list[float]]:
    """Delays of labels, which pass the gate, and of pushes, which take it back."""
    await follower.until(lambda play: play.status.stage == "accept")
    [pull] = github.repo(REPOSITORY).pulls.values()
    labels, pushes = [], []
    clock = asyncio.get_running_loop().time
    for number in range(SAMPLES + 1):
        await asyncio.sleep(1.2)  # what happens in the second of a push is older than the push
        moved = asyncio.ensure_future(follower.until(lambda play: play.status.stage == "merge"))
        await asyncio.sleep(0)
        begun = clock()
        github.people.label(REPOSITORY, pull.number, "accepted", PERSON)
        await moved
        labels.append(clock() - begun)
        moved = asyncio.ensure_future(follower.until(lambda play: play.status.stage == "accept"))
        await asyncio.sleep(0)
        await github.people.commit(REPOSITORY, pull.head_ref, "idea.txt", f"{number}\n", PERSON)
        begun = clock()  # the webhook is on its way
        await moved
        pushes.append(clock() - begun)
        github.people.unlabel(REPOSITORY, pull.number, "accepted", PERSON)
    return labels[1:], pushes[1:]  # the first ones wake the controller up


async def measure() -> tuple[list[float], list[float]]:
    """Delays of labels and of pushes."""
    port, door = free_port(), free_port()
    config = CONFIG.format(url=f"http://127.0.0.1:{port}", repository=REPOSITORY, port=door)
    with world(merge=False, more=config, files={"bench.yaml": PIPELINE}) as made:
        async with hub(made, port, door) as github, made.opened() as system:
            [submitted] = await request_plays(system, PlayRequest(text="Do it"))
            with made.controller():
                return await moves(github, Follower(system, submitted.name))


def rows() -> list[Row]:
    """Medians, and the slowest of each."""
    labels, pushes = asyncio.run(measure())
    return [
        Row("label on GitHub until its webhook has moved the gate", median(labels) * 1000, "ms", "< 500", slowest(labels)),
        Row("push on GitHub until its webhook has moved the play", median(pushes) * 1000, "ms", "< 500", slowest(pushes)),
    ]


def slowest(times: list[float]) -> str:
    """The worst case."""
    return f"slowest {max(times) * 1000:.0f} ms"
