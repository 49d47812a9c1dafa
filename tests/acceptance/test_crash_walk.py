"""Kill -9 of the controller before and after every write of a whole play: it ends as it would have, and no agent runs twice.

The play has three stages and a review that sends it back once, so six runs. It is walked in six legs, one a run: a leg begins
with a copy of the user's world as it was just before the run was created. In each walk the controller of that world is killed
at one write of the leg and started again; what comes of it is compared with a play that nobody killed.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.acceptance.kit import Place, task, until

from coderun.model.coderun import CodeRun

OCCASIONS = [(stage, iteration, 1) for iteration in (1, 2) for stage in ("implementation", "quality", "testing")]
RUNS = [f"play-shop-1-{stage}-{iteration}-{attempt}" for stage, iteration, attempt in OCCASIONS]
CHUNKS = 2
REFUSE = {"do": "verdict", "verdict": "request-changes", "summary": "off by one"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a play has left behind, without times and commit ids."""

    phase: str
    iteration: int
    remediations: int
    decisions: list[str]
    gates: list[tuple[str, str, str]]
    runs: list[tuple[str, str, str]]
    agents: list[tuple[str, int, int]]
    pulls: list[dict[str, Any]]
    events: list[tuple[str, str, str]]
    unsettled: int
    alive: int


class Walk:
    """A world that can be put back to where a leg begins."""

    def __init__(self, folder: Path, leg: int) -> None:
        self.place = Place(folder / "world")
        self.snapshot = folder / "snapshot"
        self.listing = folder / "writes"
        self.leg = leg

    async def begin(self) -> None:
        """Play up to where the leg begins, and keep a copy of that."""
        self.place.init(task(1, "Sell tea"))
        self.place.script({"testing/1": [REFUSE]})
        if self.leg:
            assert await self.life(f"before:store.create({RUNS[self.leg]} Pending)") == -signal.SIGKILL
            await until(lambda: not self.place.processes(), "the last run to end")
        await self.copy(self.place.folder, self.snapshot)

    async def again(self) -> None:
        """Back to where the leg begins."""
        await self.place.look_away()
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(self.place.folder)], check=True)
        await self.copy(self.snapshot, self.place.folder)
        self.place.commands.clear()

    @staticmethod
    async def copy(source: Path, target: Path) -> None:
        await asyncio.to_thread(subprocess.run, ["cp", "-a", str(source), str(target)], check=True)

    async def life(self, fault: str) -> int:
        """One life of the controller; how it ended."""
        self.listing.unlink(missing_ok=True)
        program = [sys.executable, "-m", "tests.acceptance.crashing_controller"]
        command = self.place.start_program([*program, str(self.place.repository), fault, str(self.listing)])
        return await command.ended(within=120)

    async def points(self) -> int:
        """How many writes the leg has; the play is played to its end on the way."""
        assert await self.life("none") == 0, self.place.tell()
        writes = self.listing.read_text().splitlines()
        after = self.leg + 1
        return writes.index(f"store.create({RUNS[after]} Pending)") + 1 if after < len(RUNS) else len(writes)

    async def outcome(self) -> Outcome:
        place = self.place
        play = await place.play(1)
        runs = await place.store.find(CodeRun)
        pulls = [msgspec.to_builtins(pull) for pull in await place.forge.list_pull_requests()]
        return Outcome(
            phase=play.status.phase.value,
            iteration=play.status.iteration,
            remediations=play.status.remediations,
            decisions=[entry.reason for entry in play.status.history],
            gates=[(gate.name, gate.stage, gate.actor) for gate in play.status.gates],
            runs=[(run.name, run.status.phase.value, _reason(run)) for run in runs],
            agents=place.occasions(),
            pulls=[_timeless(pull) | {"comments": len(await place.forge.comments(pull["number"]))} for pull in pulls],
            events=[(e.name, e.actor, e.detail if e.name != "push" else "") for e in await place.forge.events_after(0, 1000)],
            unsettled=len(await place.store.pending_deliveries()),
            alive=len(place.processes()),
        )


def _reason(run: CodeRun) -> str:
    return run.status.result.terminal_reason if run.status.result is not None else ""


def _timeless(pull: dict[str, Any]) -> dict[str, Any]:
    """A pull request without times and commits; of a commit only whether it is the head."""
    head = pull["head_sha"]

    def part(value: dict[str, Any]) -> list[Any]:
        known = {name: each for name, each in value.items() if name not in {"at", "id"}}
        return [(name, each == head if name in {"head_sha", "sha"} else each) for name, each in sorted(known.items())]

    plain = {name: pull[name] for name in ("number", "title", "author", "state", "head_branch", "base_branch", "merged_by")}
    return plain | {name: [part(each) for each in pull[name]] for name in ("labels", "reviews", "pushes")}


@pytest.fixture
async def walk(tmp_path: Path, leg: int) -> AsyncIterator[Walk]:
    walk = Walk(tmp_path, leg)
    await walk.begin()
    yield walk
    await walk.place.clear_up()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("leg", range(len(RUNS)), ids=[f"{stage}-{iteration}" for stage, iteration, _ in OCCASIONS])
async def test_a_controller_that_is_killed_at_any_write_loses_nothing_and_starts_no_agent_twice(
    walk: Walk, side: str, chunk: int
) -> None:
    points = await walk.points()
    expected = await walk.outcome()
    assert (expected.phase, expected.agents) == ("Succeeded", OCCASIONS)
    assert (expected.unsettled, expected.alive) == (0, 0)

    for point in range(1 + chunk, points + 1, CHUNKS):
        await walk.again()
        code = await walk.life(f"{side}:{point}")
        died_at = walk.listing.read_text().splitlines()[-1]
        assert code == -signal.SIGKILL, f"{side} {point}: not killed but ended with {code}\n{walk.place.tell()}"
        code = await walk.life("none")
        assert code == 0, f"killed {side} {point} {died_at}: {code}\n{walk.place.tell()}"
        found = await walk.outcome()
        if found != expected:
            pytest.fail(f"killed {side} {point} {died_at}: {_difference(found, expected)}")


def _difference(found: Outcome, expected: Outcome) -> str:
    names = [name for name in Outcome.__struct_fields__ if getattr(found, name) != getattr(expected, name)]
    return "\n".join(f"{name}: {getattr(found, name)}\n  instead of {getattr(expected, name)}" for name in names)
