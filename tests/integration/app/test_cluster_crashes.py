"""A controller that dies after any of its writes is followed by one that goes on; no agent starts twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.apiserver import FakeApiServer, Rule
from tests.integration.app.hostings import TestHostings
from tests.integration.app.test_cluster import (
    CONFIG,
    JOBS,
    QUICK,
    add_pod,
    coderun,
    ended_pod,
    running_pod,
    started,
    status,
)
from tests.integration.kube.cluster import fake_cluster
from tests.integration.kube.test_informer import until

from coderun.app.cluster import ClusterController
from coderun.app.configuration import read_cluster_configuration
from coderun.app.local import now
from coderun.app.metrics import Metrics
from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Observer, Target
from coderun.kube.lease import LeaseTimings

pytestmark = pytest.mark.slow
EVERYTHING = frozenset({"*"})
LEASE = LeaseTimings(duration=1, deadline=0.6, pause=0.05)
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REPORT = {"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}}


class Death(Observer):
    """Takes the controller's credentials away the moment a write of a number has been answered: it does nothing any more."""

    def __init__(self, server: FakeApiServer, token: str, number: int) -> None:
        self._server = server
        self._token = token
        self._left = number
        self.came = asyncio.Event()

    def request(self, *, method: str, resource: str, status: int, seconds: float) -> None:
        if method not in WRITES or resource in {"leases", "events"} or self.came.is_set():
            return
        self._left -= 1
        if self._left == 0:
            self._server.revoke(self._token)
            self.came.set()


@contextlib.asynccontextmanager
async def controller(server: FakeApiServer, folder: Path, name: str, *, dies_after: int = 0) -> AsyncIterator[Death]:
    """A controller with credentials and a memory of its own; gives what tells of its death."""
    rule = Rule(verbs=EVERYTHING, groups=EVERYTHING, resources=EVERYTHING)
    token = server.token(name, rule)
    death = Death(server, token, dies_after)
    kubeconfig = server.kubeconfig(folder / f"{name}.kubeconfig", token=token)
    client = await KubeClient.connect(Target(kubeconfig=str(kubeconfig)), environ={}, observer=death)
    file = folder / "coderun.yaml"
    file.write_text(CONFIG)
    running = asyncio.create_task(
        ClusterController(
            Api(client),
            configuration=read_cluster_configuration(file, None),
            hostings=TestHostings(),
            namespaces=("default",),
            lease_namespace="default",
            identity=name,
            clock=now,
            metrics=Metrics(),
            lease=LEASE,
            timings=QUICK,
        ).run()
    )
    try:
        yield death
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await client.close()


async def carry_on(server: FakeApiServer) -> None:
    """What the cluster's own controllers and the agent do; `add_pod` where there is none yet."""
    job = await started(server)
    if not server.objects.all("pods", "default"):
        add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") in {"Running", "Succeeded"})
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod(REPORT))
    await until(lambda: status(server).get("workCompleted"))


@pytest.mark.lesson(11, 39)
@pytest.mark.parametrize("number", range(1, 8))
async def test_death_after_each_write_of_a_run(tmp_path: Path, number: int) -> None:
    async with fake_cluster() as server:
        server.objects.create(coderun())
        async with controller(server, tmp_path, "one", dies_after=number) as death:
            living = asyncio.create_task(carry_on(server))
            dying = asyncio.create_task(death.came.wait())
            await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
            dying.cancel()
        assert death.came.is_set(), f"a run takes fewer than {number} writes"
        async with controller(server, tmp_path, "two"):
            await carry_on(server)
        assert status(server)["phase"] == "Succeeded"
        assert status(server)["attempt"] == 1
        created = [entry for entry in server.audit if (entry.verb, entry.resource, entry.status) == ("create", "jobs", 201)]
        assert len(created) == 1
        assert len(server.objects.all(JOBS, "default")) == 1
        assert len(server.objects.all("persistentvolumeclaims", "default")) == 1
        assert len(server.objects.all("configmaps", "default")) == 1
        assert len(server.objects.all("secrets", "default")) == 1
