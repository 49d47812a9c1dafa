"""The program that the cluster benchmarks time: the controller of a cluster, with tokens that cost nothing instead of a forge.

`python -m benchmarks.cluster_controller KUBECONFIG NAMESPACE [CPU]`. Says `leading` once it has seen everything, then answers
each line on its standard input with one line of JSON about itself.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from coderun.app.cluster import ClusterController, ClusterHosting
from coderun.app.configuration import Configuration, read_cluster_configuration
from coderun.app.gathering import gathering_loop
from coderun.app.hosting import ForgeParts
from coderun.app.local import now
from coderun.app.metrics import Metrics
from coderun.forge.protocol import Forge
from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Observer, Target
from coderun.model.coderun import CodeRun
from coderun.model.errors import RefusedError
from coderun.model.roster import Agent, Roster
from coderun.plan.order import ForgeRef
from coderun.reconcile.view import View
from coderun.store.protocol import Store

CONFIG = """
forge: {type: github, url: https://forge.example}
cluster: {image: "agent:1"}
limits: {parallelRuns: 100000}
"""


class NoForge:
    """A forge without repositories, events and keys; its tokens are made up."""

    async def of(self, repository_url: str) -> Forge:
        raise RefusedError(f"there is no forge here for {repository_url}")

    async def take_in(self) -> bool:
        return False

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        return f"token-of-{agent.name}-for-{run.name}"

    def knows(self, run: str) -> bool:
        del run
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        del run, agent, token

    async def revoke(self, run: str) -> None:
        del run

    def make(self, permit: Callable[[], None]) -> ClusterHosting:
        del permit
        return self

    def fingerprint(self) -> object:
        return None

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        del store, view
        ref = ForgeRef(kind="github", location="https://forge.example/api", repository="", web="https://forge.example")
        return ForgeParts(ref=ref, roster=roster, forges=self, tokens=self, source=self)

    async def close(self) -> None:
        return


class Requests(Observer):
    """Counts what is asked of the API server."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def request(self, *, method: str, resource: str, status: int, seconds: float) -> None:
        del seconds
        self.counted[f"{method} {resource} {status}"] += 1


def configuration() -> Configuration:
    """What the controller is told."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coderun.yaml"
        path.write_text(CONFIG)
        return read_cluster_configuration(path, None)


def told(controller: ClusterController, requests: Requests) -> dict[str, Any]:
    """What is asked for on standard input."""
    worlds = [world.controller for world in controller.worlds if world.controller is not None]
    return {
        "reconciles": sum(world.reconciles for world in worlds),
        "idle": bool(worlds) and all(world.is_idle for world in worlds),
        "cpu": time.process_time(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "requests": dict(requests.counted),
    }


async def main(kubeconfig: str, namespace: str) -> None:
    """Work until standard input ends."""
    requests = Requests()
    client = await KubeClient.connect(Target(kubeconfig=kubeconfig), environ={}, observer=requests)
    controller = ClusterController(
        Api(client),
        configuration=configuration(),
        hostings=NoForge(),
        namespaces=(namespace,),
        lease_namespace=namespace,
        identity=f"benchmark-{os.getpid()}",
        clock=now,
        metrics=Metrics(),
    )
    working = asyncio.create_task(controller.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while not (controller.election.is_leading and controller.worlds and controller.is_ready):
        if working.done():
            await working
        await asyncio.sleep(0.01)
    print("leading", flush=True)
    while await reader.readline():
        print(json.dumps(told(controller, requests)), flush=True)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await client.close()


if __name__ == "__main__":
    # Standard output is for answers.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if len(sys.argv) > 3:
        os.sched_setaffinity(0, {int(sys.argv[3])})
    with asyncio.Runner(loop_factory=gathering_loop) as runner:  # as `coderun controller` does
        runner.run(main(sys.argv[1], sys.argv[2]))
