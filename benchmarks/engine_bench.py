"""What the engine adds to a play of three scripted agents that do only what each gate asks.

The processes a play starts are its supervisors (`coderun agent`), each with the agent's program in it. What is left of the
play's time when those are taken out, overlaps counted once, is the engine's own: decisions, the store, the forge, the merge.
"""

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from benchmarks.table import Row
from benchmarks.worlds import Spans, world

from coderun.app.follow import as_controller, follow_plays
from coderun.app.local import LocalSystem
from coderun.app.request import PlayRequest, request_plays
from coderun.model.play import PlayPhase
from coderun.runtime.process import ProcessRuntime
from coderun.runtime.runfolder import RunFolder

PLAYS = 5


class TimedRuntime(ProcessRuntime):
    """The runtime, with a note of when each supervisor was started and ended."""

    spans: Spans

    def _spawn(self, run: RunFolder, workspace: Path) -> int:
        begun = time.time()
        pid = super()._spawn(run, workspace)
        self.spans.begin(run.job, pid, begun)
        return pid


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one play: all of it, its supervisors, and of those: until they run, until the agent does, the agents."""

    wall: float
    supervisors: float
    starting: float
    before_agents: float
    agents: float


async def play() -> Timing:
    """Play one task of a fresh repository."""
    with world() as made:
        async with made.opened() as system:
            runtime = _timed(system)
            begun = time.time()
            [submitted] = await request_plays(system, PlayRequest(text="Do it"))
            async with as_controller(system):
                [played] = await follow_plays(system, [submitted.name], lambda _plays, _now: None, until_person=True)
            wall = time.time() - begun
            assert played.status.phase is PlayPhase.SUCCEEDED, played.status
            await runtime.spans.ended()
            runs = [_events(system.state / "runs" / job) for job in runtime.spans.spans]
            starts = [span[0] for span in runtime.spans.spans.values()]
            return Timing(
                wall=wall,
                supervisors=runtime.spans.covered(),
                starting=sum(run["run started"] - start for run, start in zip(runs, starts, strict=True)),
                before_agents=sum(run["agent started"] - run["run started"] for run in runs),
                agents=sum(run["agent ended"] - run["agent started"] for run in runs),
            )


def _timed(system: LocalSystem) -> TimedRuntime:
    plain = system.runtime
    runtime = TimedRuntime(system.state, argv=plain._argv, environment=plain._environment, hints=plain._hints)
    runtime.spans = Spans()
    system.runtime = runtime
    return runtime


def _events(run: Path) -> dict[str, float]:
    """When what happened in a run."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["event"]: datetime.fromisoformat(line["at"]).timestamp() for line in lines if "event" in line}


async def measure() -> list[Timing]:
    """Several plays, one after the other."""
    return [await play() for _ in range(PLAYS)]


def rows() -> list[Row]:
    """Medians over the plays."""
    timings = asyncio.run(measure())
    overhead = median(one.wall - one.supervisors for one in timings)
    wall = median(one.wall for one in timings)
    return [
        Row("play of three agents, engine's own time", overhead, "s", "≤ 1.5", "wall time − its supervisors"),
        Row("play of three agents, wall time", wall, "s"),
        Row("… of it supervisors", median(one.supervisors for one in timings), "s", beside="three, one after the other"),
        Row("… of it until supervisors run", median(one.starting for one in timings), "s", beside="start of Python, imports"),
        Row("… of it from there to the agents", median(one.before_agents for one in timings), "s", beside="clone, checkout"),
        Row("… of it the agents themselves", median(one.agents for one in timings), "s"),
        Row("wall time − the agents themselves", median(one.wall - one.agents for one in timings), "s"),
    ]
