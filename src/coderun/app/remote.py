"""A namespace of a cluster for whoever gives commands: the same commands, answered by the API server.

Plays are asked for from the repository a person stands in; the cluster's controller works them with its own configuration.
Every answer is read from the server, nothing is kept. Nothing here decides.
"""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.assembly import pipelines_of
from coderun.app.configuration import Configuration, packaged_configuration, read_configuration
from coderun.app.hosting import ForgeParts, Hosting
from coderun.app.local import Surroundings
from coderun.app.places import find_base_branch, find_github_repository, find_repository
from coderun.forge.protocol import Forge
from coderun.kube.api import MANAGER, Api
from coderun.kube.client import KubeClient, Target
from coderun.kube.lease import Lease
from coderun.kube.manifests import JobSettings
from coderun.kube.resources import LEASES
from coderun.model.config import ForgeType
from coderun.model.errors import ConfigError, RefusedError
from coderun.model.github import github_host
from coderun.model.names import dns_label
from coderun.model.pulls import PullState
from coderun.model.repository import parse_repository
from coderun.model.roster import Agent, Roster
from coderun.pipeline.definition import Pipeline
from coderun.reconcile.view import View
from coderun.runtime.job import JobRuntime, Workloads
from coderun.store.kubernetes import KubernetesStore
from coderun.store.protocol import Store

_UNSEEN: Final = "not seen from this namespace"
_STALE: Final = 4


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which namespace of which cluster; "" is what the context says."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""


class RemoteHosting:
    """The repository on GitHub, as its name alone: who the agents are there is the controller's to know."""

    def __init__(self, repository: str) -> None:
        self.repository = repository

    @property
    def person(self) -> str:
        """Nobody in particular."""
        return ""

    @property
    def place(self) -> str:
        """Its page."""
        return self.repository

    async def open(self) -> Forge:
        """Not from here: the keys are in the cluster."""
        raise RefusedError(
            f"pull requests of {self.repository} are looked at by the cluster's controller; ask for a play, or run this where "
            "the repository is played on one machine"
        )

    async def counts(self) -> dict[PullState, int]:
        """Not from here, either."""
        await self.open()
        return {}

    async def merged_tasks(self, base_branch: str) -> frozenset[int]:
        """None that are known here; those the cluster has played are found in its Plays."""
        _ = base_branch
        return frozenset()

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        """There is no controller here."""
        _ = store, roster, view
        raise RefusedError("the controller of a cluster is started with `coderun controller`")

    async def close(self) -> None:
        """Nothing is open."""


class ClusterSystem:
    """A namespace, and the repository around `cwd` where one is asked for. Implements `app.system.Workplace`."""

    runs_here = False
    carrier = "the cluster's `coderun controller`"

    def __init__(self, api: Api, namespace: str, around: Surroundings, tell: Callable[[str], None]) -> None:
        self._api = api
        self.namespace = namespace
        self.store = KubernetesStore(
            api, namespace, clock=around.clock, on_broken=lambda _kind, _name, error: tell(f"left out: {error}")
        )
        self.clock: Callable[[], datetime] = around.clock
        self.cwd: Path = around.cwd
        self.environment: Mapping[str, str] = around.environment

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        """Those of the repository a person stands in, else the packaged one."""
        try:
            return pipelines_of(self.configuration)
        except ConfigError:
            return pipelines_of(packaged_configuration())

    @property
    def person(self) -> str:
        """The user of this machine: the cluster's own records say whose credentials were used."""
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return "somebody"

    @property
    def where(self) -> str:
        """See `Workplace`."""
        return f" in namespace {self.namespace!r}"

    @property
    def advice(self) -> str:
        """What to do where no controller runs."""
        return f"{self.carrier} carries on when it runs"

    async def controller(self) -> str:
        """The holder of the Lease in this namespace; where there is no Lease it may be held in another one."""
        lease = await self._api.get(LEASES, self.namespace, MANAGER, Lease)
        if lease is None:
            return _UNSEEN
        return lease.spec.holder_identity if _is_fresh(lease, self.clock()) else ""

    async def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """See `System`."""
        workloads = Workloads.of(self._api, self.namespace)
        runtime = JobRuntime(self._api, namespace=self.namespace, settings=JobSettings(image=""), workloads=workloads)
        caches = [asyncio.ensure_future(cache.run()) for cache in (workloads.jobs, workloads.pods)]
        try:
            await workloads.jobs.synced.wait()
            await workloads.pods.synced.wait()
            async for chunk in runtime.logs(job, follow=follow):
                yield chunk
        finally:
            for cache in caches:
                cache.cancel()
            await asyncio.gather(*caches, return_exceptions=True)

    # -- the repository a person stands in ----------------------------------------------------------------------------------

    @cached_property
    def repository(self) -> Path:
        """See `Workplace`."""
        return find_repository(self.cwd, environ=self.environment)

    @cached_property
    def configuration(self) -> Configuration:
        """See `Workplace`."""
        return read_configuration(self.repository)

    @cached_property
    def base_branch(self) -> str:
        """See `Workplace`."""
        configured = self.configuration.config.base_branch
        return find_base_branch(self.repository, configured=configured, environ=self.environment).name

    @property
    def service(self) -> str:
        """See `Workplace`."""
        return self.configuration.config.service or dns_label(parse_repository(self.hosting.repository).name)

    @cached_property
    def hosting(self) -> Hosting:
        """See `Workplace`."""
        settings = self.configuration.config.forge
        host = github_host(settings.url if settings.type is ForgeType.GITHUB else "")
        name = find_github_repository(self.repository, settings.repository, host, environ=self.environment)
        return RemoteHosting(f"{host.web}/{name}")

    def check_agents(self, *, only: Agent | None = None) -> None:
        """Nothing is needed here: agents run in the cluster."""


def _is_fresh(lease: Lease, now: datetime) -> bool:
    """Whether its holder has renewed it lately; the clocks of two machines may differ a little."""
    try:
        renewed = datetime.fromisoformat(lease.spec.renew_time)
    except ValueError:
        return True
    return (now - renewed).total_seconds() < _STALE * max(1, lease.spec.lease_duration_seconds)


@contextlib.asynccontextmanager
async def open_cluster(choice: Choice, around: Surroundings, *, tell: Callable[[str], None]) -> AsyncIterator[ClusterSystem]:
    """The namespace, and an open connection to it for as long as the block lasts. `tell` hears what people should know.

    Raises:
        ConfigError: there is no usable kubeconfig.
    """
    target = Target(kubeconfig=choice.kubeconfig, context=choice.context)
    client = await KubeClient.connect(target, environ=around.environment)
    try:
        system = ClusterSystem(Api(client), choice.namespace or client.namespace, around, tell)
        try:
            yield system
        finally:
            await system.store.close()
    finally:
        await client.close()
