"""Leader election on a Lease: one of several processes works, and one that has lost the Lease writes nothing any more.

As others do it: whoever finds a record that has not moved for its duration, by its own clock, may take it over; times in the
record are for people. A leader may write until `deadline` seconds after it began its last renewal that went well, which is
before anybody else may take over; then its gate is shut and its work is cancelled. Every write carries the resourceVersion that
was read, so of two at once one loses; the Lease is given back only by its holder.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import structlog

from coderun.kube.api import Api
from coderun.kube.gate import Gate
from coderun.kube.objects import KubeMeta, Shape
from coderun.kube.resources import LEASES
from coderun.model.errors import AlreadyExistsError, CoderunError, WriteConflictError

_log = structlog.get_logger(__name__)


class LeaseSpec(Shape, frozen=True, kw_only=True):
    """Who leads. An empty holder means nobody."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class Lease(Shape, frozen=True, kw_only=True):
    """The record."""

    metadata: KubeMeta
    spec: LeaseSpec = LeaseSpec()
    api_version: str = LEASES.api_version
    kind: str = LEASES.kind


class LeaseTimings(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: how long a record holds, until when a leader without renewal may write, how often it is renewed or tried."""

    duration: int = 15
    deadline: float = 10.0
    pause: float = 2.0


class Election:
    """A candidate. `run` leads whenever it may, until it is cancelled.

    Attributes:
        gate: Open while we lead: what writes in the leader's name goes through it.
        leader: Who leads, as far as is known; "" where nobody does.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        timings: LeaseTimings = LeaseTimings(),  # noqa: B008 - immutable
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timings = timings
        self._clock = clock or (lambda: datetime.now(UTC))
        self._monotonic = monotonic
        self._jitter = jitter
        self._held: Lease | None = None
        self._until = 0.0
        self._seen = ""
        self._seen_at = 0.0
        self._trouble = ""
        self.gate = Gate(monotonic)
        self.leader = ""

    @property
    def is_leading(self) -> bool:
        """Whether writes are let through now."""
        return self.gate.is_open

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Become the leader, `lead` as long as that lasts, and again. Returns when `lead` returns of its own accord.

        What `lead` raises is raised here, after the Lease has been given back.
        """
        try:
            while True:
                await self._acquire()
                _log.info("leading", lease=self._name, namespace=self._namespace, identity=self._identity)
                if await self._hold(lead):
                    return
                _log.warning("not the leader any more", lease=self._name, namespace=self._namespace, leader=self.leader)
        finally:
            self.gate.shut()
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110 - the other holder is a process elsewhere
            await asyncio.sleep(self._timings.pause * (1.0 + 0.2 * self._jitter()))

    async def _hold(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead and renew at once; True where `lead` came to its end, False where the Lease was lost."""
        work = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({work, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return True
            renewing.result()
            return False
        finally:
            self.gate.shut()
            for task in (renewing, work):
                task.cancel()
            await asyncio.gather(renewing, work, return_exceptions=True)

    async def _renew(self) -> None:
        """Renew until the deadline passes without; then the gate is shut."""
        while self._until > self._monotonic():
            await asyncio.sleep(min(self._timings.pause, max(0.0, self._until - self._monotonic())))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._until - self._monotonic())):
                    if not await self._try() and self._held is None:
                        break  # somebody else holds it
        self.gate.shut()
        self._held = None

    async def _try(self) -> bool:
        """Take or renew the Lease if we may; whether we hold it now. What fails is said once and tried again."""
        begun = self._monotonic()
        try:
            held = await self._write()
        except (WriteConflictError, AlreadyExistsError):
            return False  # somebody else was first; the next look shows who
        except CoderunError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("the lease is out of reach", lease=self._name, namespace=self._namespace, error=self._trouble)
            return False
        self._trouble = ""
        self._held = held
        if held is None:
            return False
        self.leader = self._identity
        self._until = begun + self._timings.deadline
        self.gate.open_until(self._until)
        return True

    async def _write(self) -> Lease | None:
        """The Lease as we hold it now; None where somebody else does."""
        lease = await self._api.get(LEASES, self._namespace, self._name, Lease)
        now = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._timings.duration,
            acquire_time=now,
            renew_time=now,
            lease_transitions=1,
        )
        if lease is None:
            meta = KubeMeta(name=self._name, namespace=self._namespace)
            return await self._api.create(LEASES, self._namespace, Lease(metadata=meta, spec=mine), Lease)
        found = lease.spec
        self.leader = found.holder_identity
        if found.holder_identity == self._identity:
            # A renewal, or our own record of before a restart: nobody else writes under our identity.
            kept = msgspec.structs.replace(
                mine, acquire_time=found.acquire_time or now, lease_transitions=found.lease_transitions
            )
            return await self._put(lease, kept)
        if found.holder_identity and not self._has_expired(lease):
            return None
        return await self._put(lease, msgspec.structs.replace(mine, lease_transitions=found.lease_transitions + 1))

    async def _put(self, lease: Lease, spec: LeaseSpec) -> Lease:
        meta = KubeMeta(
            name=self._name, namespace=self._namespace, uid=lease.metadata.uid, resource_version=lease.metadata.resource_version
        )
        return await self._api.replace(LEASES, self._namespace, self._name, Lease(metadata=meta, spec=spec), Lease)

    def _has_expired(self, lease: Lease) -> bool:
        """Whether the record has not moved for its duration, as far as we have seen."""
        if lease.metadata.resource_version != self._seen:
            self._seen, self._seen_at = lease.metadata.resource_version, self._monotonic()
        return self._monotonic() >= self._seen_at + max(1, lease.spec.lease_duration_seconds)

    async def _release(self) -> None:
        if self._held is None:
            return
        self._held = None
        with contextlib.suppress(CoderunError, TimeoutError):
            async with asyncio.timeout(self._timings.pause):
                lease = await self._api.get(LEASES, self._namespace, self._name, Lease)
                if lease is not None and lease.spec.holder_identity == self._identity:
                    freed = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1)
                    await self._put(lease, freed)  # refused where somebody has written it meanwhile
                    self.leader = ""
