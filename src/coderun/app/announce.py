"""Kubernetes Events on Plays and CodeRuns: what happened, for `kubectl describe`.

They are told to nobody's harm: written by one task beside the work, counted up where the same thing happens again, thinned out
where too much happens to one object, and dropped where the API server does not take them. Nothing depends on them.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from coderun.kube.api import MANAGER, Api
from coderun.kube.objects import Bare
from coderun.kube.resources import EVENTS
from coderun.model.coderun import CodeRun
from coderun.model.errors import CoderunError, NotFoundError
from coderun.model.names import shorten
from coderun.model.play import Play
from coderun.model.text import printable

_log = structlog.get_logger(__name__)
_LONGEST: Final = 1000
_LONGEST_REASON: Final = 100
_WAITING: Final = 1000
_KNOWN: Final = 2000
_TOGETHER: Final = 600.0
_BURST: Final = 25
_REFILL: Final = 60.0
_NAME_LIMIT: Final = 253


class _Told(msgspec.Struct):
    """An Event that was written: what happens again is counted on it."""

    name: str
    count: int
    at: float


class _Bucket(msgspec.Struct):
    """How many Events one object may still have."""

    left: float
    at: float


class _Saying(msgspec.Struct, frozen=True):
    about: Play | CodeRun
    reason: str
    message: str
    warning: bool
    when: datetime


class EventHerald:
    """Writes Events of one namespace. `run` does the writing; `tell` only notes down.

    Args:
        dropped: Called for each Event that is not written.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        *,
        identity: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._monotonic = monotonic
        self._dropped = dropped
        self._waiting: asyncio.Queue[_Saying] = asyncio.Queue(_WAITING)
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def tell(self, about: Play | CodeRun, reason: str, message: str, *, warning: bool = False) -> None:
        """See `reconcile.herald.Herald`."""
        if not reason or not about.metadata.uid:
            return
        saying = _Saying(about, reason, message, warning, self._clock())
        if not self._may(about.metadata.uid):
            self._dropped()
            return
        try:
            self._waiting.put_nowait(saying)
        except asyncio.QueueFull:
            self._dropped()

    async def run(self) -> None:
        """Write what is noted down, one after the other, until cancelled."""
        while True:
            saying = await self._waiting.get()
            try:
                await self._say(saying)
            except CoderunError as error:
                self._dropped()
                _log.debug("event not written", about=saying.about.name, reason=saying.reason, error=str(error))

    def _may(self, uid: str) -> bool:
        """Whether this object may have one more: a burst, then one a minute."""
        now = self._monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(float(_BURST), now)
        bucket.left = min(float(_BURST), bucket.left + (now - bucket.at) / _REFILL)
        bucket.at = now
        self._buckets[uid] = bucket
        if len(self._buckets) > _KNOWN:
            self._buckets.popitem(last=False)
        if bucket.left < 1.0:
            return False
        bucket.left -= 1.0
        return True

    async def _say(self, saying: _Saying) -> None:
        identity = f"{saying.about.metadata.uid}/{saying.reason}/{saying.message}"
        key = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]
        told = self._told.get(key)
        now = self._monotonic()
        if told is not None and now - told.at < _TOGETHER:
            told.count += 1
            told.at = now
            patch = {"count": told.count, "lastTimestamp": _stamp(saying.when)}
            try:
                await self._api.patch(EVENTS, self._namespace, told.name, patch, Bare)
            except NotFoundError:  # its time was over
                del self._told[key]
            else:
                return
        body = self._body(saying, key)
        await self._api.create(EVENTS, self._namespace, body, Bare)
        self._told[key] = _Told(body["metadata"]["name"], 1, now)
        self._told.move_to_end(key)
        if len(self._told) > _KNOWN:
            self._told.popitem(last=False)

    def _body(self, saying: _Saying, key: str) -> dict[str, Any]:
        about, when = saying.about, _stamp(saying.when)
        suffix = f".{key[:8]}{int(saying.when.timestamp() * 1e6):x}"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": shorten(about.name, limit=_NAME_LIMIT - len(suffix)) + suffix,
                "namespace": self._namespace,
            },
            "involvedObject": {
                "apiVersion": about.api_version,
                "kind": about.KIND,
                "name": about.name,
                "namespace": self._namespace,
                "uid": about.metadata.uid,
                "resourceVersion": about.metadata.resource_version,
            },
            "type": "Warning" if saying.warning else "Normal",
            "reason": printable(saying.reason, _LONGEST_REASON),
            "message": printable(saying.message, _LONGEST),
            "count": 1,
            "firstTimestamp": when,
            "lastTimestamp": when,
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "reportingInstance": printable(self._identity, _LONGEST_REASON),
        }


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
