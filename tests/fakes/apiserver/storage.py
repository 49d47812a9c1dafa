"""Objects by resource, namespace and name; one revision counter over all, and the history that watches read.

What is stored is never changed again: a write puts a new object in its place.
"""

import asyncio
import bisect
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from tests.fakes.apiserver.managers import Managers
from tests.fakes.apiserver.schema import Json

Table = tuple[str, str]
Key = tuple[str, str]
_ENCODER = msgspec.json.Encoder()
HISTORY = 50_000


class Stored:
    """One version of an object: without apiVersion and kind, which the version asked for decides."""

    __slots__ = ("managers", "raw", "revision", "value")

    def __init__(self, value: Json, managers: Managers, revision: int) -> None:
        self.value = value
        self.managers = managers
        self.revision = revision
        self.raw: bytes = _ENCODER.encode(value)

    @property
    def meta(self) -> Json:
        """Its metadata."""
        found: Json = self.value["metadata"]
        return found

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return (self.meta.get("namespace", ""), self.meta["name"])


class Event(NamedTuple):
    """A write: `old` is None for the first, `new` for the last (`last` then carries the revision of the deletion)."""

    revision: int
    old: Stored | None
    new: Stored | None
    last: Stored | None = None


class Shelf:
    """The objects of one resource, and what happened to them."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.history: list[Event] = []
        self.forgotten = 0
        self.listeners: set[asyncio.Event] = set()

    def record(self, event: Event) -> None:
        """Remember it, and wake who waits."""
        self.history.append(event)
        if len(self.history) > 2 * HISTORY:
            self.forget(self.history[HISTORY].revision)
        for listener in self.listeners:
            listener.set()

    def forget(self, revision: int) -> None:
        """Drop the events up to a revision: who watches from before gets 410."""
        at = self.after(revision)
        del self.history[:at]
        self.forgotten = max(self.forgotten, revision)

    def after(self, revision: int) -> int:
        """Where the events after a revision begin."""
        return bisect.bisect_right(self.history, revision, key=lambda event: event.revision)


class Storage:
    """All shelves."""

    def __init__(self) -> None:
        self.revision = 1
        self.shelves: dict[Table, Shelf] = {}
        self.dependents: dict[str, set[tuple[Table, Key]]] = {}
        self._places: dict[str, tuple[Table, Key]] = {}
        self._snapshots: dict[str, tuple[Table, int, list[Stored]]] = {}
        self._numbers = itertools.count(1)

    def shelf(self, table: Table) -> Shelf:
        """The shelf of a resource."""
        found = self.shelves.get(table)
        if found is None:
            found = self.shelves[table] = Shelf()
        return found

    def get(self, table: Table, key: Key) -> Stored | None:
        """The object as last written."""
        return self.shelf(table).objects.get(key)

    def put(self, table: Table, value: Json, managers: Managers) -> Stored:
        """Store a new version under the next revision, which becomes its resourceVersion."""
        shelf = self.shelf(table)
        self.revision += 1
        value["metadata"]["resourceVersion"] = str(self.revision)
        new = Stored(value, managers, self.revision)
        old = shelf.objects.get(new.key)
        shelf.objects[new.key] = new
        self._places[new.meta["uid"]] = (table, new.key)
        self._tie(table, old, new)
        shelf.record(Event(self.revision, old, new))
        return new

    def drop(self, table: Table, old: Stored) -> Stored:
        """Remove an object; what is returned is its last state at the revision of the deletion."""
        shelf = self.shelf(table)
        self.revision += 1
        del shelf.objects[old.key]
        self._places.pop(old.meta["uid"], None)
        self._tie(table, old, None)
        value = {**old.value, "metadata": {**old.meta, "resourceVersion": str(self.revision)}}
        last = Stored(value, old.managers, self.revision)
        shelf.record(Event(self.revision, old, None, last))
        return last

    def _tie(self, table: Table, old: Stored | None, new: Stored | None) -> None:
        before, now = _owners(old), _owners(new)
        if before == now:
            return
        thing = (table, (new or old).key)  # type: ignore[union-attr] # one of them is there
        for uid in before - now:
            self.dependents[uid].discard(thing)
            if not self.dependents[uid]:
                del self.dependents[uid]
        for uid in now - before:
            self.dependents.setdefault(uid, set()).add(thing)

    def where(self, uid: str) -> tuple[Table, Key] | None:
        """Where the object of a uid stands."""
        return self._places.get(uid)

    def all_of(self, table: Table, namespace: str) -> list[Stored]:
        """The objects of a namespace ("" for all), in the order of their keys."""
        objects = self.shelf(table).objects
        if not namespace:
            return [objects[key] for key in sorted(objects)]
        return [objects[key] for key in sorted(key for key in objects if key[0] == namespace)]

    def keep(self, table: Table, rest: list[Stored]) -> str:
        """A token under which the rest of a list can be asked for."""
        token = f"page-{next(self._numbers)}"
        self._snapshots[token] = (table, self.revision, rest)
        while len(self._snapshots) > 256:
            del self._snapshots[next(iter(self._snapshots))]
        return token

    def kept(self, token: str) -> tuple[int, list[Stored]] | None:
        """Revision and rest of a list; None where it is forgotten."""
        found = self._snapshots.pop(token, None)
        return found and (found[1], found[2])

    def keep_again(self, table: Table, revision: int, rest: list[Stored]) -> str:
        """As `keep`, at the revision at which the list began."""
        token = self.keep(table, rest)
        self._snapshots[token] = (table, revision, rest)
        return token

    def compact(self) -> None:
        """Forget the past: pages and watches from before now get 410."""
        self._snapshots.clear()
        for shelf in self.shelves.values():
            shelf.forget(self.revision)

    def everything(self) -> Iterator[tuple[Table, Stored]]:
        """All objects there are."""
        for table, shelf in list(self.shelves.items()):
            for stored in list(shelf.objects.values()):
                yield table, stored


def _owners(stored: Stored | None) -> set[str]:
    references = stored.meta.get("ownerReferences") if stored is not None else None
    return {one["uid"] for one in references} if references else set()
