"""DocsRuns: no reconciler works on them yet, and each is told so by a condition, once a generation."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog

from coderun.kube.api import Api
from coderun.kube.informer import Informer, Timings
from coderun.kube.objects import KubeMeta, Shape
from coderun.kube.resources import DOCSRUNS
from coderun.model.errors import CoderunError
from coderun.model.meta import Condition, ConditionStatus, find_condition, set_condition

_log = structlog.get_logger(__name__)
ACCEPTED: Final = "Accepted"
REASON: Final = "NotSupportedYet"
_MESSAGE: Final = "this version of coderun does not work on DocsRuns yet; the object is left as it is"
_PAUSE: Final = 5.0


class _Status(Shape, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class _DocsRun(Shape, frozen=True, kw_only=True):
    metadata: KubeMeta
    status: _Status = _Status()


class DocsRuns:
    """Answers the DocsRuns of one namespace. `run` does it until cancelled."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        *,
        clock: Callable[[], datetime],
        timings: Timings = Timings(),  # noqa: B008 - immutable
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self.cache: Informer[_DocsRun] = Informer(
            api, DOCSRUNS, msgspec.json.Decoder(_DocsRun).decode, namespace=namespace, timings=timings
        )
        self.cache.listen(self._hear)

    def _hear(self, name: str, deleted: bool) -> None:  # noqa: FBT001 - as caches call it
        if not deleted:
            self._waiting.put_nowait(name)

    async def run(self) -> None:
        """Answer each as it comes."""
        keeping = asyncio.ensure_future(self.cache.run())
        try:
            while True:
                name = await self._waiting.get()
                try:
                    await self._answer(name)
                except CoderunError as error:
                    _log.warning("docsrun not answered", docsrun=name, error=str(error))
                    await asyncio.sleep(_PAUSE)
                    self._waiting.put_nowait(name)
        finally:
            keeping.cancel()

    async def _answer(self, name: str) -> None:
        found = self.cache.get(name)
        if found is None:
            return
        meta = found.metadata
        known = find_condition(found.status.conditions, ACCEPTED)
        if known is not None and known.reason == REASON and known.observed_generation == meta.generation:
            return
        answer = Condition(
            type=ACCEPTED,
            status=ConditionStatus.FALSE,
            reason=REASON,
            message=_MESSAGE,
            observed_generation=meta.generation,
        )
        conditions = set_condition(found.status.conditions, answer, self._clock())
        status: dict[str, Any] = {
            "conditions": msgspec.to_builtins(conditions),
            "observedGeneration": meta.generation,
            "message": _MESSAGE,
        }
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": status}
        self.cache.saw(await self._api.patch(DOCSRUNS, self._namespace, name, body, _DocsRun, subresource="status"))
