"""Reads: one object, lists in pages, and watches that go on from a revision."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import msgspec
from tests.fakes.apiserver.errors import StatusError, bad_request, expired, not_found
from tests.fakes.apiserver.resources import Resource
from tests.fakes.apiserver.selectors import Match, both, field_match, label_match
from tests.fakes.apiserver.storage import Event, Storage, Stored
from tests.fakes.apiserver.writing import Place

TOO_OLD = "The provided continue parameter is too old to display a consistent list result."
_ENCODE = msgspec.json.encode


@dataclass(frozen=True, kw_only=True)
class Query:
    """The parameters of a list or a watch."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    version: str = ""
    exact: bool = False
    bookmarks: bool = False
    initial: bool = False
    timeout: float = 0.0

    def match(self, resource: Resource) -> Match | None:
        """Whether an object is meant; None for all."""
        return both(label_match(self.labels), field_match(self.fields, resource))


def head(resource: Resource) -> bytes:
    """How the JSON of an object begins."""
    return f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}",'.encode()


def encoded(resource: Resource, stored: Stored) -> bytes:
    """An object as it is sent."""
    return head(resource) + stored.raw[1:]


def partial(stored: Stored) -> bytes:
    """Its metadata alone."""
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":' + _ENCODE(stored.meta) + b"}"


class Reader:
    """Answers reads from the storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.bookmark_seconds = 60.0
        self.is_silent = False

    def get(self, place: Place) -> Stored:
        """One object. Raises 404."""
        found = self._storage.get(place.resource.table, place.key)
        if found is None:
            raise not_found(place.resource, place.name)
        return found

    def listed(self, place: Place, query: Query, *, metadata: bool = False) -> bytes:
        """A list, or a page of it. Raises 410 where its revision is forgotten."""
        resource = place.resource
        match = query.match(resource)
        revision, found = self._page(place, query)
        if match is not None and not query.token:
            found = [one for one in found if match(one.value)]
        meta: dict[str, object] = {"resourceVersion": str(revision)}
        if query.limit and len(found) > query.limit:
            rest = found[query.limit :]
            found = found[: query.limit]
            meta["continue"] = self._storage.keep_again(resource.table, revision, rest)
            if match is None:
                meta["remainingItemCount"] = len(rest)
        if metadata:
            items = [partial(one) for one in found]
            begin = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1",'
        else:
            # As in the real server, items of built-in lists do not say their kind.
            items = [encoded(resource, one) for one in found] if resource.is_custom else [one.raw for one in found]
            kind = resource.list_kind or f"{resource.kind}List"
            begin = f'{{"kind":"{kind}","apiVersion":"{resource.api_version}",'.encode()
        return begin + b'"metadata":' + _ENCODE(meta) + b',"items":[' + b",".join(items) + b"]}"

    def _page(self, place: Place, query: Query) -> tuple[int, list[Stored]]:
        if query.token:
            kept = self._storage.kept(query.token)
            if kept is None:
                raise expired(TOO_OLD, token="inconsistent")
            return kept
        version = _revision(query.version)
        if query.exact and version != self._storage.revision and version is not None:
            raise expired(f"The resourceVersion for the provided list is too old: {version}")
        if version is not None and version > self._storage.revision:
            text = f"Timeout: Too large resource version: {version}, current: {self._storage.revision}"
            raise StatusError(504, "Timeout", text, retry_after=1)
        return self._storage.revision, self._storage.all_of(place.resource.table, place.namespace)

    async def watch(self, place: Place, query: Query) -> AsyncIterator[bytes]:
        """Lines of a watch, several at once where there are several."""
        watch = _Watch(self._storage, place, query)
        shelf = self._storage.shelf(place.resource.table)
        wake = asyncio.Event()
        shelf.listeners.add(wake)
        ends = time.monotonic() + query.timeout if query.timeout else float("inf")
        marks = time.monotonic() + self.bookmark_seconds
        try:
            if begun := b"".join(watch.begin()):
                yield begun
            while not watch.ended:
                wake.clear()
                if not self.is_silent and (lines := b"".join(watch.news())):
                    yield lines
                    continue
                now = time.monotonic()
                if now >= ends:
                    break
                if now >= marks:
                    marks = now + self.bookmark_seconds
                    if query.bookmarks and not self.is_silent:
                        yield watch.bookmark()
                await _wait(wake, min(ends, marks) - now)
            if query.bookmarks and not watch.ended and not self.is_silent:
                yield watch.bookmark()
        finally:
            shelf.listeners.discard(wake)


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return


def _revision(text: str) -> int | None:
    if text in {"", "0"}:
        return None
    if not text.isdecimal():
        what = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: resourceVersion: {what}")
    return int(text)


class _Watch:
    """What one watch has told, and what it has still to tell."""

    def __init__(self, storage: Storage, place: Place, query: Query) -> None:
        self._storage = storage
        self._shelf = storage.shelf(place.resource.table)
        self._place = place
        self._query = query
        self._head = head(place.resource)
        self._match = query.match(place.resource)
        self._asked = _revision(query.version)
        self._at = storage.revision if self._asked is None else self._asked
        self.ended = False

    def begin(self) -> Iterator[bytes]:
        """What is there already, where the caller did not say from when on."""
        if self._asked is None or self._query.initial:
            self._at = self._storage.revision
            for one in self._storage.all_of(self._place.resource.table, self._place.namespace):
                if self._match is None or self._match(one.value):
                    yield self._line(b"ADDED", one)
        if self._query.initial and self._query.bookmarks:
            yield self._mark({"annotations": {"k8s.io/initial-events-end": "true"}})

    def news(self) -> Iterator[bytes]:
        """What happened since the last look."""
        if self._at < self._shelf.forgotten:
            self.ended = True
            text = f"too old resource version: {self._at} ({self._shelf.forgotten})"
            yield b'{"type":"ERROR","object":' + json.dumps(expired(text).body()).encode() + b"}\n"
            return
        history = self._shelf.history
        start = self._shelf.after(self._at)
        for event in history[start:]:
            self._at = event.revision
            if (line := self._told(event)) is not None:
                yield line

    def bookmark(self) -> bytes:
        """How far the watch is, where nothing happened."""
        if self._shelf.after(self._at) == len(self._shelf.history):
            self._at = max(self._at, self._storage.revision)
        return self._mark({})

    def _mark(self, more: dict[str, object]) -> bytes:
        resource = self._place.resource
        meta = {"resourceVersion": str(self._at), **more}
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        return _ENCODE({"type": "BOOKMARK", "object": body}) + b"\n"

    def _told(self, event: Event) -> bytes | None:
        was, is_ = self._means(event.old), self._means(event.new)
        if is_ and event.new is not None:
            return self._line(b"MODIFIED" if was else b"ADDED", event.new)
        if was and event.old is not None:
            last = event.last or _at_revision(event.old, event.revision)
            return self._line(b"DELETED", last)
        return None

    def _means(self, stored: Stored | None) -> bool:
        if stored is None:
            return False
        if self._place.namespace and stored.meta.get("namespace") != self._place.namespace:
            return False
        return self._match is None or self._match(stored.value)

    def _line(self, what: bytes, stored: Stored) -> bytes:
        return b'{"type":"' + what + b'","object":' + self._head + stored.raw[1:] + b"}\n"


def _at_revision(old: Stored, revision: int) -> Stored:
    """What a selector no longer covers is told as deleted: in its last state that fitted, at the revision of the change."""
    value = {**old.value, "metadata": {**old.meta, "resourceVersion": str(revision)}}
    return Stored(value, old.managers, revision)
