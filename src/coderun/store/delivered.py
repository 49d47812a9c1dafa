"""The inbox of a cluster: one `Delivery` object an event, named by the delivery id so that a repetition is found at once.

Under `kubernetes`. What correlation needs is kept, with a digest of the body and never the body itself. Objects are written one
by one: each is durable when the call returns, and a call that failed half-way is safe to repeat.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from coderun.events.hints import hints_of
from coderun.kube.api import Api
from coderun.kube.informer import Informer
from coderun.kube.resources import DELIVERIES
from coderun.model.deliveries import (
    Delivery,
    DeliveryHint,
    DeliverySpec,
    DeliveryState,
    DeliveryStatus,
    Hint,
)
from coderun.model.errors import AlreadyExistsError, NotFoundError, WriteConflictError
from coderun.model.names import delivery_name
from coderun.store.kept import Kept, keep
from coderun.store.protocol import Change, Settlement

_AT_ONCE: Final = 16
_NUMBERED: Final = re.compile(r"([a-z]+[-:])[0-9]+")
_spec: Final = msgspec.json.Decoder(DeliverySpec)
_status: Final = msgspec.json.Decoder(DeliveryStatus)


class DeliveryDesk:
    """Deliveries of one namespace. While `cached` it reads `cache`, else the server."""

    def __init__(self, api: Api, namespace: str, *, cached: bool) -> None:
        self._api = api
        self._namespace = namespace
        self.cached = cached
        self.cache: Informer[Kept] | None = None

    async def put(self, deliveries: Sequence[Delivery]) -> int:
        """Create those that are not there; how many."""
        return sum(await _each(deliveries, self._put))

    async def pending(self, limit: int) -> list[Delivery]:
        """The oldest unsettled ones."""
        found = [one for one in await self._all() if one.state is DeliveryState.PENDING]
        return sorted(found, key=_age)[:limit]

    async def newest(self, limit: int, before: datetime | None) -> list[Delivery]:
        """The newest ones, newest first."""
        found = [one for one in await self._all() if before is None or one.received_at < before]
        return sorted(found, key=_age, reverse=True)[:limit]

    async def get(self, identity: str) -> Delivery | None:
        """The one of that id."""
        kept = await self._read(delivery_name(identity))
        found = None if kept is None else _delivery(kept)
        return found if found is not None and found.id == identity else None

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record what became of them."""
        await _each(settlements, self._settle)

    async def reopen(self, identities: Sequence[str]) -> int:
        """Make settled ones pending again; how many."""
        return sum(await _each(identities, self._reopen))

    async def last(self, prefix: str) -> str | None:
        """The greatest id that starts with `prefix`."""
        found = [one.id for one in await self._all() if one.id.startswith(prefix)]
        return max(found, key=_rank, default=None)

    async def forget(self, older_than: datetime) -> int:
        """Remove settled ones of before; how far a numbered source was read stays known by its greatest."""
        everything = await self._all()
        greatest: dict[str, str] = {}
        for one in everything:
            numbered = _NUMBERED.fullmatch(one.id)
            if numbered:
                greatest[numbered[1]] = max(greatest.get(numbered[1], ""), one.id, key=_rank)
        kept = set(greatest.values())
        old = [
            one
            for one in everything
            if one.state is not DeliveryState.PENDING and one.received_at < older_than and one.id not in kept
        ]
        return sum(await _each(old, self._remove))

    def change_of(self, name: str, *, deleted: bool) -> Change | None:
        """The hint that a change of an object is: of one that waits to be looked at, by its delivery id."""
        kept = self.cache.get(name) if self.cache is not None and not deleted else None
        found = None if kept is None else _delivery(kept)
        if found is None or found.state is not DeliveryState.PENDING:
            return None
        return Change(kind="Delivery", name=found.id)

    async def _all(self) -> list[Delivery]:
        if self.cached and self.cache is not None:
            items: Iterable[Kept] = self.cache.all()
        else:
            items = [keep(item) for item in await self._api.list(DELIVERIES, self._namespace)]
        return [found for kept in items if (found := _delivery(kept)) is not None]

    async def _read(self, name: str) -> Kept | None:
        held = self.cache.get(name) if self.cached and self.cache is not None else None
        if held is not None:
            return held
        found = await self._api.get(DELIVERIES, self._namespace, name, msgspec.Raw)
        return None if found is None else self._saw(found)

    async def _put(self, delivery: Delivery) -> bool:
        try:
            made = await self._api.create(DELIVERIES, self._namespace, self._body(delivery), msgspec.Raw)
        except AlreadyExistsError:
            return False
        self._saw(made)
        if delivery.state is not DeliveryState.PENDING:
            await self._write_status(delivery.id, DeliveryStatus(state=delivery.state, outcome=delivery.outcome))
        return True

    async def _settle(self, settlement: Settlement) -> bool:
        return await self._write_status(settlement.id, DeliveryStatus(state=settlement.state, outcome=settlement.outcome))

    async def _reopen(self, identity: str) -> bool:
        return await self._write_status(identity, DeliveryStatus())

    async def _write_status(self, identity: str, wanted: DeliveryStatus) -> bool:
        """Whether there was something to write."""
        name = delivery_name(identity)
        kept = await self._read(name)
        found = None if kept is None else _delivery(kept)
        if found is None or found.id != identity or (found.state, found.outcome) == (wanted.state, wanted.outcome):
            return False
        body = {
            "apiVersion": DELIVERIES.api_version,
            "kind": DELIVERIES.kind,
            "metadata": {"name": name},
            "status": _written(wanted),
        }
        try:
            self._saw(await self._api.apply(DELIVERIES, self._namespace, name, body, msgspec.Raw, subresource="status"))
        except NotFoundError:
            return False
        return True

    async def _remove(self, delivery: Delivery) -> bool:
        name = delivery_name(delivery.id)
        held = self.cache.get(name) if self.cache is not None else None
        try:
            removed = await self._api.delete(DELIVERIES, self._namespace, name, uid=held.metadata.uid if held else "")
        except WriteConflictError:
            return False  # another one of this name by now
        if held is not None and self.cache is not None:
            self.cache.went(name, held.metadata.uid)
        return removed

    def _body(self, delivery: Delivery) -> dict[str, Any]:
        hints = hints_of(delivery)
        spec = DeliverySpec(
            delivery_id=delivery.id,
            event=delivery.event,
            repository=delivery.repository,
            received_at=delivery.received_at,
            digest=hashlib.sha256(delivery.body).hexdigest() if delivery.body else "",
            actor=next((hint.actor for hint in hints if hint.actor), ""),
            hints=tuple(
                DeliveryHint(
                    pull_request=hint.number or 0, tasks=tuple(sorted(hint.tasks)), branch=hint.branch, head_sha=hint.head_sha
                )
                for hint in hints
            ),
        )
        meta = {"name": delivery_name(delivery.id), "namespace": self._namespace}
        return {
            "apiVersion": DELIVERIES.api_version,
            "kind": DELIVERIES.kind,
            "metadata": meta,
            "spec": msgspec.to_builtins(spec),
        }

    def _saw(self, item: msgspec.Raw) -> Kept:
        kept = keep(item)
        if self.cache is not None:
            self.cache.saw(kept)
        return kept


def _written(status: DeliveryStatus) -> Any:
    """With its state in words, also where it is the default one."""
    return {"state": status.state.value, **({"outcome": status.outcome} if status.outcome else {})}


def _delivery(kept: Kept) -> Delivery | None:
    """The delivery; None where the object is none that this coderun understands."""
    try:
        spec, status = _spec.decode(kept.spec), _status.decode(kept.status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Delivery(
        id=spec.delivery_id,
        event=spec.event,
        repository=spec.repository,
        received_at=spec.received_at,
        hints=tuple(
            Hint(
                number=hint.pull_request or None,
                tasks=frozenset(hint.tasks),
                branch=hint.branch,
                head_sha=hint.head_sha,
                actor=spec.actor,
            )
            for hint in spec.hints
        ),
        state=status.state,
        outcome=status.outcome,
    )


def _age(delivery: Delivery) -> tuple[datetime, str]:
    return (delivery.received_at, delivery.id)


def _rank(identity: str) -> tuple[int, str]:
    return (len(identity), identity)


async def _each(items: Sequence[Any], work: Any) -> list[bool]:
    """What `work` says of each, some of them at once; the first error ends it."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Any) -> bool:
        async with turns:
            done: bool = await work(item)
            return done

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
