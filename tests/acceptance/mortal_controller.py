"""A cluster's controller inside the test's process that dies right after its n-th write: no more of it reaches the cluster.

To the API server this is what `kill -9` is: no clean-up, no release of the Lease, no second word. Renewals of the Lease and of
tokens and Events do not count as writes.
"""

import asyncio
import contextlib
from typing import Any, Final, TypeVar

from tests.acceptance.cluster_kit import NAMESPACE, ClusterWorld

from coderun.app.cluster import ClusterController, hostings_of
from coderun.app.configuration import read_cluster_configuration
from coderun.app.local import now
from coderun.app.metrics import Metrics
from coderun.kube.api import Api
from coderun.kube.lease import LeaseTimings
from coderun.kube.resources import Resource
from coderun.model.errors import ClusterUnavailableError

T = TypeVar("T")
UNCOUNTED: Final = {"leases", "events"}
RENEWAL: Final = ("PATCH", "secrets")


class Life:
    """One life of the controller; it ends right after its `point`-th write. `writes` says which there were."""

    def __init__(self, world: ClusterWorld, number: int, point: int) -> None:
        self.writes: list[str] = []
        self.died = asyncio.Event()
        self._point = point
        configuration = read_cluster_configuration(world.folder / "controller.yaml", None)
        metrics = Metrics()
        self._controller = ClusterController(
            _mortal(self)(world.api.client),
            configuration=configuration,
            hostings=hostings_of(
                configuration, world.folder / "keys", environment=world.environment, clock=now, metrics=metrics
            ),
            namespaces=(NAMESPACE,),
            lease_namespace=NAMESPACE,
            identity=f"life-{number}",
            clock=now,
            metrics=metrics,
            lease=LeaseTimings(pause=0.1),
        )
        self._task = asyncio.create_task(self._controller.run())

    async def written(self, what: str) -> None:
        """A write was made; the last one never returns."""
        self.writes.append(what)
        if len(self.writes) >= self._point:
            self.died.set()
            await asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Whether it has died, or failed in a way that nobody meant."""
        return self.died.is_set() or self._task.done()

    async def bury(self) -> None:
        """Let go of it. What it failed with, unless it was meant to die, is raised."""
        self.died.set()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def _mortal(life: Life) -> type[Api]:
    class Mortal(Api):
        async def _write(
            self, method: str, resource: Resource, namespace: str, name: str, body: object, type_: type[T], **more: Any
        ) -> T:
            if life.died.is_set():
                raise ClusterUnavailableError("the dead do not write")
            done = await super()._write(method, resource, namespace, name, body, type_, **more)
            if resource.plural not in UNCOUNTED and (method, resource.plural) != RENEWAL:
                await life.written(str(more["attempted"]))
            return done

    return Mortal
