"""A list-watch cache: all objects of one kind in one namespace, as the API server last told them, and as we last wrote them.

List in pages, then watch from the list's resourceVersion; a stream that ends goes on from the last version seen, one that is
silent too long is taken for dead, a version that is too old (410) means to list again. An object that does not decode is
reported and left out, others go on. What this process has written itself is put in at once (`saw`, `went`), so that the cache
is never behind our own writes; anybody else's arrive with the watch. Nothing here means anything to a pipeline.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from coderun.kube.api import Api, decoder_of
from coderun.kube.errors import ExpiredError, read_status, translate
from coderun.kube.objects import Bare, Event, HasMeta, KubeMeta
from coderun.kube.resources import Resource
from coderun.model.errors import ClusterUnavailableError, CoderunError, UnavailableError

T = TypeVar("T", bound=HasMeta)
_log = structlog.get_logger(__name__)
_event: Final = msgspec.json.Decoder(Event)
_DECODED_AT_ONCE: Final = 500


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a cache is, in seconds.

    Attributes:
        silence: A stream without even a bookmark for so long is dead.
        watch: A watch ends by itself after somewhere between so long and twice as long.
        first_pause, last_pause: Back-off after failures.
    """

    silence: float = 75.0
    watch: int = 240
    first_pause: float = 0.5
    last_pause: float = 30.0

    def pause(self, failures: int) -> float:
        """How long to wait after so many failures in a row before the last."""
        return min(self.last_pause, self.first_pause * float(2 ** min(failures, 10)))


def _ignore(_name: str, _error: Exception) -> None:
    """Who hears of objects that do not decode where nobody cares."""


class Informer(Generic[T]):
    """The cache of one kind. `run` keeps it; read it once it is `synced`.

    Attributes:
        synced: Set when everything has been listed for the first time.
        error: The last trouble in words, "" while all is well.
        version: The resourceVersion up to which news have been heard.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        decode: Callable[[msgspec.Raw], T],
        *,
        namespace: str,
        labels: str = "",
        indexes: Mapping[str, Callable[[T], Iterable[str]]] = {},
        on_broken: Callable[[str, Exception], None] = _ignore,
        timings: Timings = Timings(),  # noqa: B008 - immutable
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._decode = decode
        self._labels = labels
        self._on_broken = on_broken
        self._timings = timings
        self._jitter = jitter
        self._clock = clock
        self._objects: dict[str, T] = {}
        self._indexers = dict(indexes)
        self._indexes: dict[str, dict[str, set[str]]] = {name: {} for name in indexes}
        self._gone: dict[str, str] = {}
        self._listeners: list[Callable[[str, bool], None]] = []
        self.version = ""
        self._failures = 0
        self.resource = resource
        self.namespace = namespace
        self.synced = asyncio.Event()
        self.error = ""
        self.lists = 0

    # -- reading -----------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> T | None:
        """The object of that name."""
        return self._objects.get(name)

    def all(self) -> list[T]:
        """All objects, in no order."""
        return list(self._objects.values())

    def by(self, index: str, key: str) -> list[T]:
        """The objects that an index has under a key, by name."""
        return [self._objects[name] for name in sorted(self._indexes[index].get(key, ()))]

    def __len__(self) -> int:
        return len(self._objects)

    def listen(self, hear: Callable[[str, bool], None]) -> None:
        """Call `hear(name, deleted)` at each change from now on. It must not wait."""
        self._listeners.append(hear)

    # -- own writes --------------------------------------------------------------------------------------------------------

    def saw(self, written: T) -> None:
        """Put in what this process has written, unless something newer is there, or it is known to be gone by now."""
        meta = written.metadata
        # Later news have been heard, and it is not among what is there: its end came before the answer did.
        if meta.name in self._objects or not self.version or _is_newer(meta.resource_version, self.version):
            self._put(written)

    def went(self, name: str, uid: str) -> None:
        """Take out what this process has deleted; late news of it are not believed."""
        held = self._objects.get(name)
        if held is None or held.metadata.uid == uid:
            self._gone[uid] = name
            self._drop(name)

    # -- list and watch ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        while True:
            try:
                if not self.version:
                    await self._list()
                await self._watch()
            except ExpiredError:
                self.version = ""
                pause = self._pause() if self._failures else 0.0
                self._failures += 1
            except CoderunError as error:
                pause = max(self._pause(), (error.retry_after or 0.0) if isinstance(error, UnavailableError) else 0.0)
                self._failures += 1
                self._trouble(str(error))
            else:
                continue
            await asyncio.sleep(pause)

    def _pause(self) -> float:
        return self._timings.pause(self._failures) * (0.5 + 0.5 * self._jitter())

    def _trouble(self, text: str) -> None:
        if text != self.error:
            _log.warning("watch failed", kind=self.resource.kind, namespace=self.namespace, error=text)
        self.error = text

    def _is_well(self) -> None:
        self._failures = 0
        if self.error:
            _log.info("watch goes on", kind=self.resource.kind, namespace=self.namespace)
            self.error = ""

    async def _list(self) -> None:
        listed: dict[str, T] = {}
        version = continue_ = ""
        while True:
            page = await self._api.list_page(self.resource, self.namespace, labels=self._labels, continue_=continue_)
            version = page.metadata.resource_version
            for count, item in enumerate(page.items or (), start=1):
                found = self._decoded(item)
                if found is not None:
                    listed[found.metadata.name] = found
                if count % _DECODED_AT_ONCE == 0:
                    await asyncio.sleep(0)  # others get their turn
            continue_ = page.metadata.continue_
            if not continue_:
                break
        self.lists += 1
        self._replace(listed, version)
        self.version = version
        self._is_well()
        self.synced.set()

    def _replace(self, listed: dict[str, T], version: str) -> None:
        for name, held in list(self._objects.items()):
            # What we have written since the list was taken is not in it yet.
            if name not in listed and not _is_newer(held.metadata.resource_version, version):
                self._drop(name)
        for found in listed.values():
            self._put(found)

    async def _watch(self) -> None:
        seconds = int(self._timings.watch * (1.0 + self._jitter()))
        start, before = self._clock(), self.version
        async with self._api.watch(
            self.resource,
            self.namespace,
            since=self.version,
            labels=self._labels,
            seconds=max(1, seconds),
            silence=self._timings.silence,
        ) as chunks:
            await self._follow(chunks)
        if self.version == before and self._clock() - start < 1.0:
            raise ClusterUnavailableError(f"the watch of {self.resource.kinds} ended at once")

    async def _follow(self, chunks: AsyncIterator[bytes]) -> None:
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            for line in lines:
                if line.strip():
                    self._take(line)
            if lines:
                self._is_well()

    def _take(self, line: bytes) -> None:
        try:
            event = _event.decode(line)
        except msgspec.MsgspecError as error:
            raise ClusterUnavailableError(f"the watch of {self.resource.kinds} said what is no event: {error}") from error
        if event.type == "ERROR":
            status = read_status(bytes(event.object))
            attempted = f"watch {self.resource.kinds} in namespace {self.namespace!r}"
            raise translate(attempted, status.code or 500, status)
        meta = _meta_of(event.object)
        if event.type == "DELETED":
            self._deleted(meta)
        elif event.type != "BOOKMARK" and not self._is_known(meta):
            found = self._decoded(event.object)
            if found is not None:
                self._put(found)
        if meta.resource_version:
            self.version = meta.resource_version

    def _is_known(self, meta: KubeMeta) -> bool:
        """Whether this is what is held already: the echo of our own write, as half of all news are."""
        held = self._objects.get(meta.name)
        return held is not None and (held.metadata.uid, held.metadata.resource_version) == (meta.uid, meta.resource_version)

    def _deleted(self, meta: KubeMeta) -> None:
        self._gone.pop(meta.uid, None)
        held = self._objects.get(meta.name)
        if held is not None and (
            held.metadata.uid == meta.uid or _is_newer(meta.resource_version, held.metadata.resource_version)
        ):
            self._drop(meta.name)

    # -- the cache ---------------------------------------------------------------------------------------------------------

    def _decoded(self, item: msgspec.Raw) -> T | None:
        try:
            return self._decode(item)
        except (msgspec.MsgspecError, ValueError) as error:
            meta = _meta_of(item)
            self._drop(meta.name)
            self._on_broken(meta.name, error)
            return None

    def _put(self, found: T) -> None:
        meta = found.metadata
        held = self._objects.get(meta.name)
        if meta.uid in self._gone:
            return
        if held is not None:
            if not _is_newer(meta.resource_version, held.metadata.resource_version):
                return
            self._unindex(held)
        self._objects[meta.name] = found
        for name, keys_of in self._indexers.items():
            for key in keys_of(found):
                self._indexes[name].setdefault(key, set()).add(meta.name)
        self._tell(meta.name, deleted=False)

    def _drop(self, name: str) -> None:
        held = self._objects.pop(name, None)
        if held is not None:
            self._unindex(held)
            self._tell(name, deleted=True)

    def _unindex(self, held: T) -> None:
        for name, keys_of in self._indexers.items():
            for key in keys_of(held):
                names = self._indexes[name].get(key, set())
                names.discard(held.metadata.name)
                if not names:
                    self._indexes[name].pop(key, None)

    def _tell(self, name: str, *, deleted: bool) -> None:
        for hear in self._listeners:
            hear(name, deleted)


def decoding(type_: type[T]) -> Callable[[msgspec.Raw], T]:
    """What decodes into a shape, for an informer that keeps it as it is."""
    return decoder_of(type_).decode


def _meta_of(item: msgspec.Raw) -> KubeMeta:
    """The metadata of an object of which nothing else may be readable."""
    try:
        return decoder_of(Bare).decode(item).metadata
    except msgspec.MsgspecError:
        return KubeMeta()


def _is_newer(version: str, than: str) -> bool:
    """Whether `version` was given later than `than`. Versions are numbers that grow; of anything else, "different" must do."""
    if version.isascii() and version.isdecimal() and than.isascii() and than.isdecimal():
        return int(version) > int(than)
    return version != than
