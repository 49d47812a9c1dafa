"""The controller on a real API server, beside a bare client that does the same writes in the same run, on the same server.

The control plane is the one of the tests: etcd without fsync, API server, controller manager, scheduler, a node that runs
nothing; so absolute rates are not those of a cluster, and the ratios are what to read. Both clients are service accounts with
the rights that the chart gives the controller, so the server's priority and fairness holds for them. Where a machine cannot
build a control plane there are no rows.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from benchmarks.clusters import ROOT, Arrivals, Cluster, Program, Seen, connected, in_parallel, percentile, program
from benchmarks.scale_bench import cpu_seconds
from benchmarks.table import Row
from tests.cluster.harness import ControlPlane, UnavailableError

from coderun.app.local import now
from coderun.kube.crd import definitions

WARM, BURST, MANY, FINISHED, KEPT = 40, 300, 300, 40, 5000
PACE, SECONDS, ROUNDS = 20, 10, 3
REST_SECONDS = 5.0
REPORT = '{"phase":"Succeeded","outcome":{"exitCode":0,"terminalReason":"Completed","summary":"done"}}'
STAMP = "2026-01-01T00:00:00Z"
NODE: Final[Mapping[str, Any]] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "of-no-kubelet"}}


class Figures(NamedTuple):
    """How one client did: seconds from the creation of a CodeRun until its Job is there, runs a second, CPU seconds a run."""

    burst: list[float]
    paced: list[float]
    rate: float
    cpu: float


def rows() -> list[Row]:
    """Both clients, then what only the controller does."""
    try:
        with ControlPlane.open() as plane:
            return asyncio.run(_measure(plane))
    except UnavailableError as error:
        print(f"kubernetes: left out: {error}")
        return []


async def _measure(plane: ControlPlane) -> list[Row]:
    plane.apply(*definitions(), NODE)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    node = asyncio.create_task(_keep_node(plane))
    try:
        with _client(plane, "bare_controller", "bare") as (namespace, client):
            async with connected(_anybody(plane, namespace), namespace) as cluster:
                bare = await _figures(cluster, client)
        # What it leaves behind keeps the cluster's own controllers at work: the other one starts from an empty cluster, too.
        await asyncio.to_thread(plane.kubectl, "delete", "namespace", namespace, "--timeout=300s")
        with _client(plane, "cluster_controller", "ours") as (namespace, controller):
            async with connected(_anybody(plane, namespace), namespace) as cluster:
                finished = await _finished(cluster, controller)
                ours = await _figures(cluster, controller)
        return [*_beside(bare, ours), *finished, await _restart(plane)]
    finally:
        node.cancel()


async def _keep_node(plane: ControlPlane) -> None:
    """Say again and again that the node is well, as its kubelet would."""
    room = {"cpu": "1000000", "memory": "1000Ti", "pods": "1000000", "ephemeral-storage": "1000Ti"}
    while True:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now().isoformat()}
        status = {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}
        path = f"/api/v1/nodes/{NODE['metadata']['name']}/status"
        await asyncio.to_thread(plane.call, "PATCH", path, status, content_type="application/merge-patch+json")
        await asyncio.sleep(5)


@contextmanager
def _client(plane: ControlPlane, module: str, prefix: str) -> Iterator[tuple[str, Program]]:
    """One of the two as a process, in a namespace of its own."""
    namespace = plane.new_namespace(prefix)
    kubeconfig = plane.service_account_kubeconfig(namespace, "controller", rights())
    with program(module, str(kubeconfig), namespace, ready="leading") as running:
        yield namespace, running


def _anybody(plane: ControlPlane, namespace: str) -> Path:
    """Who creates CodeRuns and looks on: a service account that may do everything in the namespace."""
    return plane.service_account_kubeconfig(namespace, "people", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])


def rights() -> list[Mapping[str, Any]]:
    """What the chart lets the controller do: the rules of its two Roles."""
    found: list[Mapping[str, Any]] = []
    for document in (ROOT / "charts/coderun/templates/rbac.yaml").read_text().split("\n---\n"):
        _, is_role, rules = document.partition("\nrules:\n")
        if is_role:
            plain = [line for line in rules.splitlines() if line.startswith(" ")]
            found += yaml.safe_load("\n".join(plain))
    return found


async def _figures(cluster: Cluster, client: Program) -> Figures:
    await _latencies(cluster, "warm", WARM)
    # The steady ones first: a burst leaves the cluster's own controllers work for a while.
    await _clear(cluster)
    paced = await _latencies(cluster, "paced", PACE * SECONDS, pace=PACE)
    burst = await _latencies(cluster, "burst", BURST)
    rounds = [await _round(cluster, client, f"many{number}") for number in range(ROUNDS)]
    # The best of each: what other programs of this machine take away is no work of the client.
    return Figures(burst, paced, max(rate for rate, _ in rounds), min(cpu for _, cpu in rounds))


async def _clear(cluster: Cluster) -> None:
    """Leave neither runs nor work of the cluster's own controllers behind."""
    await cluster.empty()
    await asyncio.sleep(REST_SECONDS)


async def _round(cluster: Cluster, client: Program, prefix: str) -> tuple[float, float]:
    """Runs a second and CPU seconds a run, for many at once, in a namespace without any.

    No pod of this cluster ever starts. The controller looks into runs that wait for theirs, and writes what they wait for: that
    is no part of the way from a CodeRun to its Job, and each round would do it for the one before.
    """
    await _clear(cluster)
    used, begun = cpu_seconds(client.pid), time.perf_counter()
    await _latencies(cluster, prefix, MANY)
    taken = time.perf_counter() - begun
    return MANY / taken, (cpu_seconds(client.pid) - used) / MANY


async def _latencies(cluster: Cluster, prefix: str, count: int, *, pace: float = 0.0) -> list[float]:
    """Create CodeRuns, all at once or so many a second; seconds until the Job of each is seen."""
    sent: dict[str, float] = {}

    async def create(name: str, number: int) -> None:
        if pace:
            await asyncio.sleep(max(0.0, begun + number / pace - time.perf_counter()))
        sent[name] = time.perf_counter()
        await cluster.create(name)

    async with Arrivals(cluster, cluster.jobs, lambda event: _run_of(event, prefix)) as jobs:
        begun = time.perf_counter()
        await in_parallel(partial(create, f"{prefix}-{number}", number) for number in range(count))
        await jobs.wait_for(count)
    return [jobs.at[name] - at for name, at in sent.items()]


def _run_of(event: Seen, prefix: str) -> str:
    """The CodeRun of a Job, by its name: `coderun-7-{service}-{name}-1`, where service and name are the same here."""
    words = event.object.metadata.name.removeprefix("coderun-7-").removesuffix("-1")
    name = words[: len(words) // 2]
    return name if event.type == "ADDED" and name.startswith(prefix) else ""


async def _finished(cluster: Cluster, controller: Program) -> list[Row]:
    """What a run costs from its creation to its end; the pods' containers are said to run and to end by this program."""
    before = await controller.ask_aside()
    names = [f"whole-{number}" for number in range(FINISHED)]
    async with (
        Arrivals(cluster, cluster.runs, _is("Running")) as running,
        Arrivals(cluster, cluster.runs, _is("Succeeded")) as done,
    ):
        await in_parallel(partial(cluster.create, name) for name in names)
        pods = await _pods(cluster, FINISHED)
        await in_parallel([partial(_say, cluster, pod, "Running", {"running": {"startedAt": STAMP}}) for pod in pods])
        await running.wait_for(FINISHED)
        ended = {"exitCode": 0, "reason": "Completed", "message": REPORT, "startedAt": STAMP, "finishedAt": STAMP}
        await in_parallel([partial(_say, cluster, pod, "Succeeded", {"terminated": ended}) for pod in pods])
        await done.wait_for(FINISHED)
    after = await controller.ask_aside()
    writes = (_writes(after["requests"]) - _writes(before["requests"])) / FINISHED
    passes = (after["reconciles"] - before["reconciles"]) / FINISHED
    return [
        Row("Kubernetes: API writes of a finished run", writes, "", "≤ 8", "without Events and the Lease"),
        Row("Kubernetes: reconciles of a finished run", passes, "", "≤ 20"),
    ]


async def _pods(cluster: Cluster, count: int) -> list[str]:
    """The pods of the runs named `whole-…`, as soon as the Job controller has made them."""
    async with asyncio.timeout(120):
        while True:
            async with cluster.session.get(f"{cluster.core}/pods", params={"labelSelector": "service"}) as reply:
                items = (await reply.json())["items"]
            found = [item["metadata"]["name"] for item in items if item["metadata"]["labels"]["service"].startswith("whole-")]
            if len(found) == count:
                return found
            await asyncio.sleep(0.5)


async def _say(cluster: Cluster, pod: str, phase: str, state: Mapping[str, Any]) -> None:
    container = {"name": "agent", "ready": False, "state": state, "image": "agent:1", "imageID": "", "restartCount": 0}
    body = {"status": {"phase": phase, "startTime": STAMP, "containerStatuses": [container]}}
    await cluster.patch(f"{cluster.core}/pods/{pod}/status", body)


def _is(phase: str) -> Callable[[Seen], str]:
    def fits(event: Seen) -> str:
        return event.object.metadata.name if event.object.status.phase == phase else ""

    return fits


def _writes(requests: Mapping[str, int]) -> int:
    """Requests that change something, without those of Events and the Lease."""
    counted = 0
    for what, count in requests.items():
        method, resource, _ = what.split()
        if method in {"POST", "PATCH", "PUT", "DELETE"} and resource not in {"events", "leases"}:
            counted += count
    return counted


async def _restart(plane: ControlPlane) -> Row:
    """From the start of a controller's process until it has caught up with ten thousand objects."""
    namespace = plane.new_namespace("restart")
    async with connected(_anybody(plane, namespace), namespace) as cluster:
        await in_parallel(partial(_add_finished, cluster, f"kept-{number}") for number in range(KEPT))
    kubeconfig = plane.service_account_kubeconfig(namespace, "controller", rights())
    begun = time.perf_counter()
    with program("cluster_controller", str(kubeconfig), namespace, ready="leading") as controller:
        while not (await controller.ask_aside())["idle"]:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.05)
        return Row(f"Kubernetes: restart with {KEPT:,} CodeRuns and {KEPT:,} Jobs", time.perf_counter() - begun, "s", "< 30")


async def _add_finished(cluster: Cluster, name: str) -> None:
    """A CodeRun that is done, and its Job."""
    await cluster.create(name)
    job = f"coderun-7-{name}-{name}-1"
    status = {"phase": "Succeeded", "workCompleted": True, "attempt": 1, "jobName": job, "finishedAt": "2026-11-01T00:00:00Z"}
    await cluster.patch(f"{cluster.runs}/{name}/status", {"status": {**status, "expireAt": "2036-01-01T00:00:00Z"}})
    labels = {"agents.platform/job": job, "agents.platform/coderun": name}
    pod = {"restartPolicy": "Never", "containers": [{"name": "agent", "image": "agent:1"}]}
    spec = {"suspend": True, "template": {"metadata": {"labels": labels}, "spec": pod}}
    await cluster.post(cluster.jobs, {"metadata": {"name": job, "labels": labels}, "spec": spec})


def _beside(bare: Figures, ours: Figures) -> list[Row]:
    def milliseconds(values: list[float], share: float) -> float:
        return percentile(values, share) * 1000

    slow = milliseconds(ours.burst, 0.99)
    told = f"{slow:,.0f} ms beside {milliseconds(bare.burst, 0.99):,.0f} ms"
    paced = f"p50 {milliseconds(ours.paced, 0.5):.0f} ms; bare p99 {milliseconds(bare.paced, 0.99):.0f} ms"
    return [
        Row(
            "Kubernetes: create → Job",
            ours.rate,
            "1/s",
            "",
            f"bare client {bare.rate:.3g}/s; {MANY} at once, the best of {ROUNDS}",
        ),
        Row("… beside the bare client", ours.rate / bare.rate, "×", "≥ 0.6"),
        Row(
            f"Kubernetes: burst of {BURST}, p99 beside the bare client's",
            slow / milliseconds(bare.burst, 0.99),
            "×",
            "≤ 1.7",
            told,
        ),
        Row(f"Kubernetes: {PACE} a second for {SECONDS} s, p99", milliseconds(ours.paced, 0.99), "ms", "< 200", paced),
        Row(
            "Kubernetes: controller's CPU of a run",
            ours.cpu * 1000,
            "ms",
            "< 4",
            f"bare client {bare.cpu * 1000:.2g} ms; the best of {ROUNDS}",
        ),
    ]
