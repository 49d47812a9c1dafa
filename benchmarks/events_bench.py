"""How soon a push or a label moves a play: a person's `git push` and another process's label, until the store shows it.

The controller is `coderun up` in a process of its own. A label is timed from before the call that sets it, a push from the end
of `git push`; both until the watch of a third process (this one) has told of the new status and it has been read.
"""

import asyncio
import time
from collections.abc import Callable
from statistics import median

from benchmarks.table import Row
from benchmarks.worlds import World, world

from coderun.app.local import LocalSystem, local_forge
from coderun.app.request import PlayRequest, request_plays
from coderun.model.play import Play

SAMPLES = 20
CONFIG = "pipeline: bench.yaml"
PIPELINE = """\
name: bench
stages:
  - {name: implementation, role: implementation, gates: [{kind: pull-request}]}
  - {name: accept, gates: [{kind: label, label: accepted, by: anyone}]}
  - {name: merge, gates: [{kind: merged}]}
"""


class Follower:
    """Knows when the play came to be as wanted."""

    def __init__(self, system: LocalSystem, name: str) -> None:
        self._system = system
        self._name = name
        self._changes = system.store.watch()

    async def until(self, wanted: Callable[[Play], bool]) -> float:
        """When (`time.perf_counter`) the play was seen to be so."""
        while True:
            play = await self._system.store.get(Play, self._name)
            assert play is not None
            if wanted(play):
                return time.perf_counter()
            async with asyncio.timeout(60):
                await anext(self._changes)


async def label(system: LocalSystem, follower: Follower, number: int) -> float:
    """Seconds from setting the label to the next stage."""
    moved = asyncio.ensure_future(follower.until(lambda play: play.status.stage == "merge"))
    await asyncio.sleep(0.2)
    begun = time.perf_counter()
    await local_forge(system).add_label(number, "accepted")
    return await moved - begun


async def push(made: World, follower: Follower, branch: str) -> float:
    """Seconds from the end of `git push` to the stage the play goes back to; 0 where that came first."""
    clone = made.folder / "person"
    made.git(clone, "commit", "--quiet", "--allow-empty", "-m", "A person's idea")
    moved = asyncio.ensure_future(follower.until(lambda play: play.status.stage == "accept"))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(made.git, clone, "push", "--quiet", "origin", branch)
    ended = time.perf_counter()
    return max(0.0, await moved - ended)


async def measure() -> tuple[list[float], list[float]]:
    """Delays of labels, and of pushes."""
    with world(merge=False, more=CONFIG, files={"bench.yaml": PIPELINE}) as made:
        async with made.opened() as system:
            [submitted] = await request_plays(system, PlayRequest(text="Do it"))
            follower = Follower(system, submitted.name)
            with made.controller():
                await follower.until(lambda play: play.status.stage == "accept")
                [pull] = await local_forge(system).list_pull_requests()
                repository = system.hosting.place
                made.git(made.folder, "clone", "--quiet", "--branch", pull.head_branch, repository, "person")
                labels, pushes = [], []
                for _ in range(SAMPLES):
                    labels.append(await label(system, follower, pull.number))
                    pushes.append(await push(made, follower, pull.head_branch))
                return labels, pushes


def rows() -> list[Row]:
    """Medians and the slowest of each."""
    labels, pushes = asyncio.run(measure())
    return [
        Row("push until the play has moved", median(pushes) * 1000, "ms", "< 300", f"slowest {max(pushes) * 1000:.0f} ms"),
        Row("label until the play has moved", median(labels) * 1000, "ms", "< 300", f"slowest {max(labels) * 1000:.0f} ms"),
    ]
