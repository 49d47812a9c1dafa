"""Kill -9 of the controller before and after every write of a whole play: it ends as it would have, and no agent runs twice.

The play has three stages and a review that sends it back once, so six runs. Its writes fall into six legs, each from the
creation of a run to that of the next. One walk takes one number and one side: in each leg the controller is killed before (or
after) the write of that number and started again, six deaths in one play. What comes of it is compared with a play that nobody
killed. All walks together visit every write of every leg on both sides.
"""

import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.acceptance.crashing_controller import OCCASIONS
from tests.acceptance.kit import Place, task

from coderun.model.coderun import CodeRun

POINTS: Final = 28
MEANDERS: Final = 3
"""By how many writes a leg may differ from one time to the next: hints that come at another moment make other passes."""

REFUSE: Final = {"do": "verdict", "verdict": "request-changes", "summary": "off by one"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a play has left behind, without times and commit ids."""

    phase: str
    iteration: int
    remediations: int
    decisions: list[str]
    known: list[tuple[str, str]]
    gates: list[tuple[str, str, str]]
    runs: list[tuple[str, str, str]]
    agents: list[tuple[str, int, int]]
    pulls: list[dict[str, Any]]
    events: list[tuple[str, str, str]]
    unsettled: int
    alive: int


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A play that nobody killed: its outcome, and how many writes each leg had at least."""

    outcome: Outcome
    lengths: Counter[int]


class World:
    """A user's world with the play of one task in it, and a controller that dies on demand."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / "world")
        self.listing = folder / "writes"
        self.place.init(task(1, "Sell tea"))
        self.place.script({"testing/1": [REFUSE]})

    async def life(self, fault: str) -> int:
        """One life of the controller; how it ended."""
        program = [sys.executable, "-m", "tests.acceptance.crashing_controller"]
        command = self.place.start_program([*program, str(self.place.repository), fault, str(self.listing)])
        return await command.ended(within=300)

    def writes(self) -> list[tuple[int, int, str]]:
        """The writes of the last life: leg, number in it, name."""
        lines = (line.split(" ", 2) for line in self.listing.read_text().splitlines())
        return [(int(leg), int(number), name) for leg, number, name in lines]

    async def outcome(self) -> Outcome:
        place = self.place
        play = await place.play(1)
        runs = await place.store.find(CodeRun)
        pulls = [msgspec.to_builtins(pull) for pull in await place.forge.list_pull_requests()]
        return Outcome(
            phase=play.status.phase.value,
            iteration=play.status.iteration,
            remediations=play.status.remediations,
            # That a run was created is not noted again by who finds it there; the list of runs has it in any case.
            decisions=[entry.reason for entry in play.status.history if entry.reason != "RunCreated"],
            known=[(run.name, run.phase) for run in play.status.runs],
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


_references: dict[str, Reference] = {}


@pytest.fixture
async def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Played twice in each process of the tests: where the machine is busy, one play may make many more passes than others."""
    if not _references:
        first, second = [await _undisturbed(tmp_path_factory.mktemp("reference")) for _ in range(2)]
        _references["play"] = msgspec.structs.replace(first, lengths=first.lengths & second.lengths)
    return _references["play"]


async def _undisturbed(folder: Path) -> Reference:
    world = World(folder)
    try:
        assert await world.life("none") == 0, world.place.tell()
        return Reference(outcome=await world.outcome(), lengths=Counter(leg for leg, _, _ in world.writes()))
    finally:
        await world.place.clear_up()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.place.clear_up()


async def test_the_play_that_is_walked_ends_well_and_has_no_more_writes_than_are_walked(reference: Reference) -> None:
    outcome = reference.outcome
    assert (outcome.phase, outcome.agents) == ("Succeeded", OCCASIONS)
    assert (outcome.unsettled, outcome.alive) == (0, 0)
    assert len(reference.lengths) == len(OCCASIONS)
    assert max(reference.lengths.values()) <= POINTS - MEANDERS


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", range(1, POINTS + 1))
async def test_a_controller_that_is_killed_at_any_write_loses_nothing_and_starts_no_agent_twice(
    world: World, reference: Reference, side: str, point: int
) -> None:
    deaths: list[str] = []
    leg = 0
    while (code := await world.life(f"{side}:{point}:{leg}")) != 0:
        assert code == -signal.SIGKILL, f"{deaths}, then it ended with {code}\n{world.place.tell()}"
        died_in, _, write = world.writes()[-1]
        deaths.append(f"{side} {write}")
        leg = died_in + 1

    assert len(deaths) >= sum(point <= length - MEANDERS for length in reference.lengths.values()), deaths
    found = await world.outcome()
    if found != reference.outcome:
        pytest.fail(f"killed {deaths}:\n{_difference(found, reference.outcome)}")


def _difference(found: Outcome, expected: Outcome) -> str:
    names = [name for name in Outcome.__struct_fields__ if getattr(found, name) != getattr(expected, name)]
    return "\n".join(f"{name}: {getattr(found, name)}\n  instead of {getattr(expected, name)}" for name in names)
