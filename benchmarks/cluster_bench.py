"""The controller of a cluster on the fake API server: how many CodeRuns a second, how many writes, how much memory.

The server, its hands and the one who creates CodeRuns share one core, the controller has the other. CodeRuns have a workspace
of their own each; their tokens cost nothing.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.clusters import Arrivals, Cluster, Program, Seen, connected, in_parallel, program, waited_for_a_core
from benchmarks.scale_bench import cpu_seconds, memory
from benchmarks.table import Row

WARM, FEW, MANY = 200, 2000, 10_000
IDLE_SECONDS = 20.0
_NAMESPACE = "default"
_UNCOUNTED = ("events", "leases")
_WRITES = ("create", "patch", "update", "delete")


def rows() -> list[Row]:
    """Rate and writes with a few thousand, memory and idling with ten thousand."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return asyncio.run(_measure(str(min(allowed)), str(max(allowed))))
    finally:
        os.sched_setaffinity(0, allowed)


async def _measure(server_cpu: str, controller_cpu: str) -> list[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="coderun-bench-") as name,
        program("fake_cluster", name, server_cpu, ready="ready") as server,
    ):
        folder = Path(name)
        arguments = (str(folder / "controller.kubeconfig"), _NAMESPACE, controller_cpu)
        async with connected(folder / "admin.kubeconfig", _NAMESPACE) as cluster:
            with program("cluster_controller", *arguments, ready="leading") as controller:
                found = await _run_a_few(cluster, server, controller)
                found += await _keep_many(cluster, server, controller)
            begun = time.perf_counter()
            with program("cluster_controller", *arguments, ready="leading") as controller:
                await _rest(controller)
                what = f"fake: restart with {MANY:,} CodeRuns and {MANY:,} Jobs"
                return [*found, Row(what, time.perf_counter() - begun, "s", "< 30", "start of the process until it is idle")]


async def _run_a_few(cluster: Cluster, server: Program, controller: Program) -> list[Row]:
    await _run(cluster, "warm", WARM)
    await _finish(cluster, server)
    await server.ask_aside("audit")
    before, cpu, waited = await controller.ask_aside(), cpu_seconds(controller.pid), waited_for_a_core(controller.pid)
    taken = await _run(cluster, "few", FEW)
    used, waited = cpu_seconds(controller.pid) - cpu, waited_for_a_core(controller.pid) - waited
    audit = await server.ask_aside("audit")
    started = _writes(audit)
    beside = ", ".join(f"{what} {count / FEW:.3g}" for what, count in sorted(started.items()))
    ended = await _finish(cluster, server)
    finished = _writes(await server.ask_aside("audit"))
    after = await controller.ask_aside()
    reconciles = (after["reconciles"] - before["reconciles"]) / FEW
    objects = sum(count for what, count in started.items() if not what.endswith("secrets")) / FEW
    return [
        Row("fake: CodeRuns, create → Running", FEW / taken, "1/s", "≥ 250", f"waited {waited / taken:.0%} of it for a core"),
        Row("… as the controller's own CPU time allows", FEW / used, "1/s", "≥ 250", f"{used / FEW * 1000:.2g} ms a run"),
        Row("fake: writes of a run until it is Running", objects, "", "≤ 5", f"without the token's Secret; {beside}"),
        Row("fake: writes of a finished run", sum((sum(started.values()), sum(finished.values()))) / FEW, "", "≤ 8"),
        Row("fake: reconciles of a finished run", reconciles, "", "≤ 20"),
        Row("fake: CodeRuns, pod ended → Succeeded", FEW / ended, "1/s"),
    ]


async def _keep_many(cluster: Cluster, server: Program, controller: Program) -> list[Row]:
    left = MANY - FEW - WARM
    await _run(cluster, "many", left)
    await _finish(cluster, server)
    await server.ask_aside("clear")
    await _rest(controller)
    begun, used = time.monotonic(), cpu_seconds(controller.pid)
    await asyncio.sleep(IDLE_SECONDS)
    share = (cpu_seconds(controller.pid) - used) / (time.monotonic() - begun) * 100
    what = f"fake: {MANY:,} CodeRuns and {MANY:,} Jobs"
    peak = (await controller.ask_aside())["peak"]
    return [
        Row(f"{what}: memory", memory(controller.pid), "MB", "≤ 200", f"at most {peak:.0f} MB since the start"),
        Row(f"{what}: idle CPU", share, "% of a core", "< 1", f"over {IDLE_SECONDS:.0f} s"),
    ]


async def _run(cluster: Cluster, prefix: str, count: int) -> float:
    """Create so many, and wait until all are Running: seconds."""
    async with Arrivals(cluster, cluster.runs, _is("Running")) as running:
        begun = time.perf_counter()
        await in_parallel(partial(cluster.create, f"{prefix}-{number}") for number in range(count))
        await running.wait_for(count)
        return max(running.at.values()) - begun


async def _finish(cluster: Cluster, server: Program) -> float:
    """End all pods, and wait until all CodeRuns are done: seconds."""
    waiting = await _unfinished(cluster)
    async with Arrivals(cluster, cluster.runs, _is("Succeeded")) as done:
        begun = time.perf_counter()
        await server.ask_aside("finish")
        await done.wait_for(waiting)
        return max(done.at.values()) - begun


async def _unfinished(cluster: Cluster) -> int:
    async with cluster.session.get(cluster.runs) as reply:
        items = (await reply.json())["items"]
    return sum(item.get("status", {}).get("phase") == "Running" for item in items)


def _is(phase: str) -> Callable[[Seen], str]:
    def fits(event: Seen) -> str:
        return event.object.metadata.name if event.object.status.phase == phase else ""

    return fits


def _writes(audit: dict[str, int]) -> dict[str, int]:
    found = {}
    for what, count in audit.items():
        verb, _, resource = what.partition(" ")
        if verb in _WRITES and not resource.startswith(_UNCOUNTED):
            found[what] = count
    return found


async def _rest(controller: Program) -> None:
    """Wait until it has nothing to do and has used hardly any CPU for two seconds."""
    quiet, before = 0, cpu_seconds(controller.pid)
    while quiet < 4:
        await asyncio.sleep(0.5)
        now = cpu_seconds(controller.pid)
        is_idle = (await controller.ask_aside())["idle"]
        quiet = quiet + 1 if is_idle and now - before < 0.03 else 0
        before = now
