"""One namespace of a cluster, worked by the leader: store, runtime, view, reconcilers and queue of its own.

Nothing of one world touches another. It exists while this process leads and begins by listing everything anew: what a leader of
before has written is seen before anything is decided. Nothing here decides.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from coderun.app.announce import EventHerald
from coderun.app.assembly import assemble, forge_host, roster_of
from coderun.app.configuration import Configuration
from coderun.app.controller import Controller
from coderun.app.docsruns import DocsRuns
from coderun.app.hosting import ForgeParts
from coderun.app.metrics import Metrics
from coderun.app.together import together
from coderun.kube.api import Api
from coderun.kube.informer import Timings
from coderun.kube.manifests import JobSettings
from coderun.model.errors import CoderunError, UnavailableError
from coderun.model.roster import Roster
from coderun.reconcile.view import View
from coderun.runtime.job import JobRuntime, Workloads
from coderun.store.kubernetes import KubernetesStore
from coderun.store.protocol import Store

_log = structlog.get_logger(__name__)
KEEP_DELIVERIES_DAYS: Final = 3.0
WORKERS: Final = 64
"""Passes at once: in a cluster nearly all of a pass is waiting for answers."""

_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_IDLE: Final = 60.0

PartsMaker = Callable[[Store, Roster, View], Awaitable[ForgeParts]]


class World:
    """See the module. `run` works until cancelled; what stands in the way is waited out."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        *,
        configuration: Configuration,
        jobs: JobSettings,
        parts: PartsMaker,
        identity: str,
        clock: Callable[[], datetime],
        metrics: Metrics,
        workers: int = WORKERS,
        timings: Timings = Timings(),  # noqa: B008 - immutable
    ) -> None:
        self._api = api
        self.namespace = namespace
        self._configuration = configuration
        self._jobs = jobs
        self._parts = parts
        self._identity = identity
        self._clock = clock
        self._metrics = metrics
        self._workers = workers
        self._timings = timings
        self.controller: Controller | None = None

    @property
    def is_working(self) -> bool:
        """Whether everything has been listed and is worked on."""
        return self.controller is not None and self.controller.ready.is_set()

    async def run(self) -> None:
        """Work until cancelled. What was not planned for is raised."""
        pause = _PAUSE
        while True:
            begun = time.monotonic()
            try:
                await self._work()
            except CoderunError as error:
                waits = error.retry_after if isinstance(error, UnavailableError) and error.retry_after else 0.0
                pause = _PAUSE if time.monotonic() - begun > _LONGEST_PAUSE else min(_LONGEST_PAUSE, pause * 2)
                _log.error("namespace is not worked", namespace=self.namespace, error=str(error), again_in=max(pause, waits))
                await asyncio.sleep(max(pause, waits))

    async def _work(self) -> None:
        view = View(forge_host(self._configuration))
        store = KubernetesStore(
            self._api,
            self.namespace,
            cached=True,
            judges=True,
            clock=self._clock,
            on_broken=self._report,
            takes=lambda delivery: view.is_played(delivery.repository),
            timings=self._timings,
        )
        workloads = Workloads.of(self._api, self.namespace)
        noted = self._metrics.world(self.namespace)
        herald = EventHerald(
            self._api,
            self.namespace,
            identity=self._identity,
            clock=self._clock,
            monotonic=time.monotonic,
            dropped=noted.event_dropped,
        )
        docs = DocsRuns(self._api, self.namespace, clock=self._clock, timings=self._timings)
        try:
            async with together() as group:
                beside = [
                    group.create_task(work, name=f"{name} of {self.namespace}")
                    for name, work in (
                        ("jobs", workloads.jobs.run()),
                        ("pods", workloads.pods.run()),
                        ("events", herald.run()),
                        ("docsruns", docs.run()),
                    )
                ]
                await store.follow()
                await workloads.jobs.synced.wait()
                await workloads.pods.synced.wait()
                parts = await self._parts(store, roster_of(self._configuration), view)
                self.controller = assemble(
                    self._configuration,
                    parts,
                    store=store,
                    runtime=JobRuntime(self._api, namespace=self.namespace, settings=self._jobs, workloads=workloads),
                    view=view,
                    parallel=self._configuration.config.play.parallel,
                    wakes=_seldom,
                    clock=self._clock,
                    tell=self._tell,
                    keep_deliveries_days=min(KEEP_DELIVERIES_DAYS, self._configuration.config.limits.keep_events_days),
                    herald=herald,
                    metrics=noted,
                    workers=self._workers,
                )
                gc.collect()
                gc.freeze()  # what was listed stays: the collector of cycles need not look through it again and again
                self._metrics.show(self.namespace, view, is_synced=lambda: store.is_synced)
                _log.info("namespace is worked", namespace=self.namespace)
                await self.controller.run()
                for task in beside:
                    task.cancel()
        finally:
            self.controller = None
            self._metrics.hide(self.namespace)
            await store.close()

    def _tell(self, text: str) -> None:
        _log.debug("told", namespace=self.namespace, text=text)  # the log has it already, with its fields

    def _report(self, kind: str, name: str, error: Exception) -> None:
        _log.warning("object is not understood", namespace=self.namespace, kind=kind, name=name, error=str(error))


async def _seldom(_seconds: float) -> AsyncIterator[None]:
    """The inbox tells of itself by the store's watch: there is nothing to look at every second."""
    while True:
        yield
        await asyncio.sleep(_IDLE)
