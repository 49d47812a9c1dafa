"""The store of one namespace of a cluster: custom resources with optimistic concurrency, and the inbox as `Delivery` objects.

A controller reads from caches that are never behind its own writes (`cached`); a command reads from the server. A status is
applied whole on the server's side, a spec is written as the difference to what was read, each under the resourceVersion that
was read, so that fields this coderun does not know stay as they are. An object that is not what its kind says gets condition
`Accepted=False` where a controller follows, and is left out; the others go on. What objects mean is not known here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakSet

import msgspec
import structlog

from coderun.kube.api import Api
from coderun.kube.informer import Informer, Timings
from coderun.kube.resources import CODERUNS, DELIVERIES, PLAYS, Resource
from coderun.model.coderun import CodeRun
from coderun.model.deliveries import Delivery
from coderun.model.errors import (
    AlreadyExistsError,
    CoderunError,
    InvalidObjectError,
    NotFoundError,
    WriteConflictError,
)
from coderun.model.meta import Condition, ConditionStatus, set_condition
from coderun.model.names import LABEL_PLAY
from coderun.model.play import Play
from coderun.store.codec import encode_part, encode_words
from coderun.store.delivered import DeliveryDesk
from coderun.store.kept import Kept, keep, merge_patch, meta_of, new_body, restore, status_body
from coderun.store.protocol import Change, ObjectT, Settlement
from coderun.store.watch import Watch

_log = structlog.get_logger(__name__)
T = TypeVar("T")
ACCEPTED: Final = "Accepted"
_RESOURCES: Final[dict[type[Any], Resource]] = {CodeRun: CODERUNS, Play: PLAYS}
_BY_LABEL: Final = "label"
_INDEXED: Final = frozenset({LABEL_PLAY})


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class KubernetesStore:
    """Objects and inbox of one namespace, by way of `api`.

    Attributes:
        caches: By resource, once `follow` was called.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        *,
        cached: bool = False,
        judges: bool = False,
        clock: Callable[[], datetime] = now,
        on_broken: Callable[[str, str, Exception], None] | None = None,
        takes: Callable[[Delivery], bool] | None = None,
        timings: Timings = Timings(),  # noqa: B008 - immutable
    ) -> None:
        """`cached` reads from caches (call `follow` first); `judges` writes conditions on objects that cannot be understood.

        Deliveries that `takes` says no to are not stored.
        """
        self._takes = takes or (lambda _delivery: True)
        self._api = api
        self._namespace = namespace
        self._cached = cached
        self._judges = judges
        self._clock = clock
        self._on_broken = on_broken or (lambda _kind, _name, _error: None)
        self._timings = timings
        self._open: WeakSet[Watch] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported: set[tuple[str, str, str]] = set()
        self._closed = False
        self._is_own_status = False
        self.caches: dict[Resource, Informer[Kept]] = {}
        self._desk = DeliveryDesk(api, namespace, cached=cached)

    # -- life --------------------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Keep caches from now on, so that watches are told; returns when all of them have been filled."""
        if not self.caches:
            for resource in (*_RESOURCES.values(), DELIVERIES):
                self.caches[resource] = self._make_cache(resource)
            self._desk.cache = self.caches[DELIVERIES]
            for cache in self.caches.values():
                self._start(cache.run(), f"cache of {cache.resource.plural}")
        for cache in self.caches.values():
            await cache.synced.wait()

    async def _follow_and_read(self) -> None:
        await self.follow()
        self._cached = self._desk.cached = True

    @property
    def is_synced(self) -> bool:
        """Whether all caches have been filled."""
        return bool(self.caches) and all(cache.synced.is_set() for cache in self.caches.values())

    async def close(self) -> None:
        """End watches and caches. Repeating it does nothing."""
        self._closed = True
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for watch in list(self._open):
            watch.end()

    def watch(self) -> AsyncIterator[list[Change]]:
        """See `ObjectStore`. Starts the caches where nobody has, and reads from them then; what they find first is told."""
        watch = Watch()
        self._open.add(watch)
        if self._closed:
            watch.end()
        elif not self.caches:
            self._start(self._follow_and_read(), "caches")
        return watch

    # -- objects -----------------------------------------------------------------------------------------------------------

    async def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """See `ObjectStore`. Raises `InvalidObjectError` where it is not what its kind says."""
        kept = await self._read(kind, name)
        return None if kept is None else restore(kind, kept)

    async def find(self, kind: type[ObjectT], *, labels: Mapping[str, str] = {}) -> list[ObjectT]:
        """See `ObjectStore`. Those that are not what their kind says are left out, and told once to `on_broken`."""
        found: list[ObjectT] = []
        for kept in sorted(await self._select(kind, labels), key=lambda one: one.metadata.name):
            try:
                found.append(restore(kind, kept))
            except InvalidObjectError as error:
                self._report(kind.KIND, kept, error)
        return found

    async def create(self, new: ObjectT) -> ObjectT:
        """See `ObjectStore`. Two requests where it has a status."""
        kind, resource = type(new), _RESOURCES[type(new)]
        _check(new)
        try:
            made = await self._api.create(resource, self._namespace, new_body(new, self._namespace), msgspec.Raw)
        except AlreadyExistsError as error:
            text = f"cannot create {kind.KIND} {new.metadata.name!r}: one of this name exists already"
            raise AlreadyExistsError(text) from error
        stored = restore(kind, self._saw(resource, made))
        if new.status == type(new.status)():
            return stored
        return await self.update_status(msgspec.structs.replace(stored, status=new.status))

    async def update(self, changed: ObjectT) -> ObjectT:
        """See `ObjectStore`."""
        kind = type(changed)
        _check(changed)
        base = await self._base(kind, changed)
        meta = {
            part: merge_patch(getattr(base.metadata, part), getattr(changed.metadata, part))
            for part in ("labels", "annotations")
        }
        patch = {
            "metadata": {part: words for part, words in meta.items() if words},
            "spec": merge_patch(msgspec.to_builtins(base.spec), msgspec.to_builtins(changed.spec)),
        }
        return await self._patch(kind, changed, base, {part: value for part, value in patch.items() if value})

    async def update_status(self, changed: ObjectT) -> ObjectT:
        """See `ObjectStore`."""
        kind = type(changed)
        encode_part(kind, changed.metadata.name, "status", changed.status)
        base = await self._base(kind, changed)
        old, new = msgspec.to_builtins(base.status), msgspec.to_builtins(changed.status)
        # An equal moment in another time zone is equal text once both are written alike.
        if base.status == changed.status or old == new:
            return base
        return await self._apply_status(kind, changed, base)

    async def delete(self, kind: type[ObjectT], name: str, *, uid: str = "") -> None:
        """See `ObjectStore`. What belongs to it is collected by the cluster."""
        resource = _RESOURCES[kind]
        cache = self.caches.get(resource)
        held = cache.get(name) if cache is not None else None
        with contextlib.suppress(WriteConflictError):  # another object's uid
            await self._api.delete(resource, self._namespace, name, uid=uid)
            if cache is not None and held is not None and not held.metadata.finalizers:
                cache.went(name, uid or held.metadata.uid)

    # -- inbox -------------------------------------------------------------------------------------------------------------

    async def put_deliveries(self, deliveries: Iterable[Delivery]) -> int:
        """See `Inbox`. One object each, created one by one: where one is refused, those before it stay."""
        return await self._desk.put([delivery for delivery in deliveries if self._takes(delivery)])

    async def pending_deliveries(self, limit: int = 100) -> list[Delivery]:
        """See `Inbox`."""
        return await self._desk.pending(limit)

    async def get_delivery(self, identity: str) -> Delivery | None:
        """See `Inbox`."""
        return await self._desk.get(identity)

    async def reopen_deliveries(self, identities: Iterable[str]) -> int:
        """See `Inbox`. One by one."""
        return await self._desk.reopen(list(identities))

    async def settle_deliveries(self, settlements: Iterable[Settlement]) -> None:
        """See `Inbox`. One by one."""
        await self._desk.settle(list(settlements))

    async def list_deliveries(self, *, limit: int = 100, before: datetime | None = None) -> list[Delivery]:
        """See `Inbox`."""
        return await self._desk.newest(limit, before)

    async def last_delivery(self, prefix: str) -> str | None:
        """See `Inbox`."""
        return await self._desk.last(prefix)

    async def forget_deliveries(self, older_than: datetime) -> int:
        """See `Inbox`."""
        return await self._desk.forget(older_than)

    # -- reading -----------------------------------------------------------------------------------------------------------

    async def _read(self, kind: type[Any], name: str) -> Kept | None:
        resource = _RESOURCES[kind]
        if self._cached:
            return self.caches[resource].get(name)
        found = await self._api.get(resource, self._namespace, name, msgspec.Raw)
        return None if found is None else self._saw(resource, found)

    async def _select(self, kind: type[Any], labels: Mapping[str, str]) -> list[Kept]:
        resource = _RESOURCES[kind]
        if not self._cached:
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            return [keep(item) for item in await self._api.list(resource, self._namespace, labels=selector)]
        cache = self.caches[resource]
        first = next((f"{key}={value}" for key, value in labels.items() if key in _INDEXED), None)
        candidates = cache.all() if first is None else cache.by(_BY_LABEL, first)
        return [one for one in candidates if labels.items() <= one.metadata.labels.items()]

    async def _base(self, kind: type[ObjectT], changed: ObjectT) -> ObjectT:
        """The object as it was read before it was changed, which must be how it is stored."""
        resource, meta = _RESOURCES[kind], changed.metadata
        cache = self.caches.get(resource)
        kept = cache.get(meta.name) if cache is not None else None
        if kept is None or kept.metadata.resource_version != meta.resource_version:
            found = await self._api.get(resource, self._namespace, meta.name, msgspec.Raw)
            if found is None:
                raise _missing(kind, meta.name)
            kept = self._saw(resource, found)
        if kept.metadata.resource_version != meta.resource_version:
            raise _conflict(kind, meta.name, meta.resource_version, kept.metadata.resource_version)
        return restore(kind, kept)

    async def _patch(self, kind: type[ObjectT], changed: ObjectT, base: ObjectT, patch: dict[str, Any]) -> ObjectT:
        if not patch:
            return base
        resource, meta = _RESOURCES[kind], changed.metadata
        patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": meta.resource_version, "uid": base.metadata.uid}
        writing = self._api.patch(resource, self._namespace, meta.name, patch, msgspec.Raw)
        return await self._written(kind, changed, writing, is_status=False)

    async def _apply_status(self, kind: type[ObjectT], changed: ObjectT, base: ObjectT) -> ObjectT:
        resource, meta = _RESOURCES[kind], changed.metadata
        body = status_body(resource, changed, uid=base.metadata.uid)
        writing = self._api.apply(resource, self._namespace, meta.name, body, msgspec.Raw, subresource="status")
        return await self._written(kind, changed, writing, is_status=True)

    async def _written(
        self, kind: type[ObjectT], changed: ObjectT, writing: Awaitable[msgspec.Raw], *, is_status: bool
    ) -> ObjectT:
        resource, meta = _RESOURCES[kind], changed.metadata
        try:
            written = await writing
        except NotFoundError as error:
            raise _missing(kind, meta.name) from error
        except WriteConflictError as error:
            # What is read next must not be what was read before: it would conflict again.
            newest = await self._api.get(resource, self._namespace, meta.name, msgspec.Raw)
            version = self._saw(resource, newest).metadata.resource_version if newest is not None else "gone"
            raise _conflict(kind, meta.name, meta.resource_version, version) from error
        self._is_own_status = is_status  # listeners are called at once
        try:
            return restore(kind, self._saw(resource, written))
        finally:
            self._is_own_status = False

    def _saw(self, resource: Resource, item: msgspec.Raw) -> Kept:
        kept = keep(item)
        cache = self.caches.get(resource)
        if cache is not None:
            cache.saw(kept)
        return kept

    # -- caches ------------------------------------------------------------------------------------------------------------

    def _make_cache(self, resource: Resource) -> Informer[Kept]:
        indexes: dict[str, Callable[[Kept], Iterable[str]]] = {_BY_LABEL: _label_keys} if resource is not DELIVERIES else {}
        cache: Informer[Kept] = Informer(
            self._api,
            resource,
            keep,
            namespace=self._namespace,
            indexes=indexes,
            on_broken=partial(self._on_broken, resource.kind),
            timings=self._timings,
        )
        if resource is DELIVERIES:
            cache.listen(lambda name, deleted: self._tell_all(self._desk.change_of(name, deleted=deleted)))
        else:
            cache.listen(partial(self._heard, resource))
        return cache

    def _heard(self, resource: Resource, name: str, deleted: bool) -> None:  # noqa: FBT001 - as caches call it
        self._tell_all(Change(kind=resource.kind, name=name, deleted=deleted, own_status=self._is_own_status))
        # What we have written is understood.
        if self._judges and not deleted and not self._is_own_status:
            self._judge(resource, name)

    def _tell_all(self, change: Change | None) -> None:
        for watch in list(self._open) if change is not None else ():
            watch.tell([change] if change is not None else [])

    def _start(self, work: Any, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._closed:
            return
        error = task.exception()
        if error is not None:
            _log.error("a task of the store ended", task=task.get_name(), error=repr(error))
            for watch in list(self._open):
                watch.end(error if isinstance(error, CoderunError) else CoderunError(f"{task.get_name()}: {error!r}"))

    # -- objects that are not what their kind says ---------------------------------------------------------------------------

    def _report(self, kind: str, kept: Kept, error: Exception) -> None:
        occasion = (kind, kept.metadata.name, kept.metadata.resource_version)
        if occasion not in self._reported:
            self._reported.add(occasion)
            self._on_broken(kind, kept.metadata.name, error)

    def _judge(self, resource: Resource, name: str, *, failures: int = 0) -> None:
        """See to it that an object says whether it was understood: only where it was not, or was not before.

        `failures`: how often in a row that could not be written.
        """
        kept = self.caches[resource].get(name)
        if kept is None:
            return
        kind = next(kind for kind, known in _RESOURCES.items() if known is resource)
        try:
            restore(kind, kept)
        except InvalidObjectError as error:
            self._report(resource.kind, kept, error)
            verdict = Condition(
                type=ACCEPTED,
                status=ConditionStatus.FALSE,
                reason="InvalidSpec",
                message=str(error),
                observed_generation=kept.metadata.generation,
            )
        else:
            verdict = Condition(
                type=ACCEPTED,
                status=ConditionStatus.TRUE,
                reason="Valid",
                message="it is understood",
                observed_generation=kept.metadata.generation,
            )
        old = _conditions(kept)
        known_as = next((one for one in old if one.type == ACCEPTED), None)
        if (known_as is None and verdict.status is ConditionStatus.TRUE) or (
            known_as is not None and (known_as.status, known_as.message) == (verdict.status, verdict.message)
        ):
            return
        conditions = set_condition(old, verdict, self._clock())
        self._start(self._pronounce(resource, kept, conditions, failures), f"verdict on {name}")

    async def _pronounce(self, resource: Resource, kept: Kept, conditions: tuple[Condition, ...], failures: int) -> None:
        # A patch and not an apply: of a status that is not understood either, the rest stays as it is.
        meta = meta_of(kept.metadata)
        status: dict[str, Any] = {"conditions": msgspec.to_builtins(conditions), "observedGeneration": meta.generation}
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": status}
        try:
            written = await self._api.patch(resource, self._namespace, meta.name, body, msgspec.Raw, subresource="status")
        except CoderunError as error:
            _log.warning("cannot write a condition", kind=resource.kind, name=meta.name, error=str(error))
            await asyncio.sleep(self._timings.pause(failures))
            self._judge(resource, meta.name, failures=failures + 1)
        else:
            self._saw(resource, written)


class _Conditions(msgspec.Struct, frozen=True):
    conditions: tuple[Condition, ...] = ()


def _conditions(kept: Kept) -> tuple[Condition, ...]:
    try:
        return msgspec.json.decode(kept.status, type=_Conditions).conditions
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _label_keys(kept: Kept) -> Iterable[str]:
    return [f"{key}={value}" for key, value in kept.metadata.labels.items() if key in _INDEXED]


def _check(new: Any) -> None:
    """Raise `RefusedError` where it would not come back as it is."""
    kind, meta = type(new), new.metadata
    encode_part(kind, meta.name, "spec", new.spec)
    encode_part(kind, meta.name, "status", new.status)
    encode_words(kind, meta.name, "labels", meta.labels)
    encode_words(kind, meta.name, "annotations", meta.annotations)


def _missing(kind: type[Any], name: str) -> NotFoundError:
    return NotFoundError(f"cannot write {kind.KIND} {name!r}: it does not exist (any more)")


def _conflict(kind: type[Any], name: str, read: str, found: str) -> WriteConflictError:
    return WriteConflictError(
        f"cannot write {kind.KIND} {name!r}: it was read at resourceVersion {read!r} and is at {found} by now; "
        "read it again and decide anew"
    )
