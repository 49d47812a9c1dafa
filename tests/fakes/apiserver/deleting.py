"""Deleting, with grace, preconditions and finalizers; and the garbage collector that follows owner references.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.fakes.apiserver.catalog import Catalog
from tests.fakes.apiserver.errors import conflict, not_found
from tests.fakes.apiserver.managers import shown
from tests.fakes.apiserver.resources import CRDS, NAMESPACES, PODS, Resource
from tests.fakes.apiserver.schema import Json
from tests.fakes.apiserver.storage import Key, Storage, Stored, Table
from tests.fakes.apiserver.writing import Place, Writer

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """`DeleteOptions`."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """What a deletion led to: the object as it stands, and whether it is gone."""

    stored: Stored
    gone: bool


class Deleter:
    """Deletes objects; what depends on them is left to the collector."""

    def __init__(self, storage: Storage, catalog: Catalog, writer: Writer) -> None:
        self._storage = storage
        self._catalog = catalog
        self._writer = writer

    def delete(self, place: Place, wanted: Deletion) -> Deleted:
        """DELETE of one object. Raises 404, and 409 where a precondition fails."""
        resource = place.resource
        old = self._storage.get(resource.table, place.key)
        if old is None:
            raise not_found(resource, place.name)
        self._preconditions(place, old, wanted)
        grace = _grace(resource, old, wanted)
        finalizers = _finalizers(resource, old, wanted)
        waits = bool(finalizers) or grace > 0 or (resource.table == NAMESPACES.table and self._has_content(place.name))
        if wanted.dry_run:
            return Deleted(stored=old, gone=not waits)
        if not waits:
            return Deleted(stored=self._writer.drop(resource, old), gone=True)
        return Deleted(stored=self._mark(resource, old, grace, finalizers), gone=False)

    def _mark(self, resource: Resource, old: Stored, grace: int, finalizers: list[str]) -> Stored:
        """Note on an object that it is to go."""
        until = (datetime.now(UTC) + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta = {**old.meta, "managedFields": shown(old.managers)}
        before = meta.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" not in meta or (before is not None and grace < before):
            meta |= {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace}
            if meta.get("generation"):
                meta["generation"] += 1
        if finalizers:
            meta["finalizers"] = finalizers
        value = {**old.value, "metadata": meta}
        if resource.table == NAMESPACES.table:
            value["status"] = {**value.get("status", {}), "phase": "Terminating"}
        if value == {**old.value, "metadata": {**old.meta, "managedFields": meta["managedFields"]}}:
            return old
        return self._storage.put(resource.table, value, old.managers)

    def _has_content(self, namespace: str) -> bool:
        return any(stored.meta.get("namespace") == namespace for _, stored in self._storage.everything())

    @staticmethod
    def _preconditions(place: Place, old: Stored, wanted: Deletion) -> None:
        pairs = (("UID", wanted.uid, old.meta["uid"]), ("ResourceVersion", wanted.version, old.meta["resourceVersion"]))
        for what, asked, found in pairs:
            if asked and asked != found:
                why = f"Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
                raise conflict(place.resource, place.name, why)


def _grace(resource: Resource, old: Stored, wanted: Deletion) -> int:
    if resource.table != PODS.table:
        return 0
    spec, phase = old.value.get("spec", {}), old.value.get("status", {}).get("phase")
    if not spec.get("nodeName") or phase in {"Succeeded", "Failed"}:
        return 0
    asked = wanted.grace if wanted.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
    before = old.meta.get("deletionGracePeriodSeconds")
    # A grace period that has begun can be made shorter, never longer.
    return int(asked if before is None else min(asked, before))


def _finalizers(resource: Resource, old: Stored, wanted: Deletion) -> list[str]:
    found = [one for one in old.meta.get("finalizers") or () if one not in {FOREGROUND, ORPHAN}]
    policy = wanted.propagation or ("Orphan" if resource.full == "jobs.batch" else "Background")
    if policy == "Foreground":
        return [*found, FOREGROUND]
    return [*found, ORPHAN] if policy == "Orphan" else found


class Collector:
    """Follows owner references, empties namespaces and removed kinds. It works a moment after what it reacts to."""

    def __init__(self, storage: Storage, catalog: Catalog, writer: Writer, deleter: Deleter) -> None:
        self._storage = storage
        self._catalog = catalog
        self._writer = writer
        self._deleter = deleter
        self._work: deque[tuple[Table, Key]] = deque()
        self._wake = asyncio.Event()
        self.is_on = True

    def look_at(self, table: Table, key: Key) -> None:
        """An object was written, or what it depends on was."""
        self._work.append((table, key))
        self._wake.set()

    def removed(self, resource: Resource, last: Stored) -> None:
        """An object is gone: look at what depended on it."""
        for table, key in list(self._storage.dependents.get(last.meta["uid"], ())):
            self.look_at(table, key)
        for owner in last.meta.get("ownerReferences") or ():
            if (found := self._storage.where(owner["uid"])) is not None:
                self.look_at(*found)
        if resource.table == CRDS.table:
            self._withdraw(last.value)
        namespace = last.meta.get("namespace")
        if namespace:
            self.look_at(NAMESPACES.table, ("", namespace))

    def _withdraw(self, definition: Json) -> None:
        """A kind is gone, and its objects with it."""
        table = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        resource = self._catalog.at(table)
        for stored in self._storage.all_of(table, ""):
            if resource is not None:
                self._writer.drop(resource, stored)
        self._catalog.uninstall(definition)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._work and self.is_on:
                self._collect(*self._work.popleft())
                await asyncio.sleep(0)

    def _collect(self, table: Table, key: Key) -> None:
        stored, resource = self._storage.get(table, key), self._catalog.at(table)
        if stored is None or resource is None:
            return
        place = Place(resource=resource, namespace=key[0], name=key[1])
        if stored.meta.get("deletionTimestamp"):
            self._going(place, stored)
        elif not self._is_owned(stored):
            self._deleter.delete(place, Deletion(propagation="Background", uid=stored.meta["uid"]))
            self.look_at(table, key)

    def _is_owned(self, stored: Stored) -> bool:
        """Whether it has no owners, or one that is there and is not waiting for it to go."""
        owners = stored.meta.get("ownerReferences") or []
        return not owners or any(self._is_there(owner, stored) for owner in owners)

    def _is_there(self, owner: Json, stored: Stored) -> bool:
        found = self._storage.where(owner["uid"])
        if found is None or found[1][0] not in {"", stored.meta.get("namespace", "")}:
            return False
        of = self._storage.get(*found)
        return of is not None and FOREGROUND not in (of.meta.get("finalizers") or ())

    def _going(self, place: Place, stored: Stored) -> None:
        """An object that is on its way out: what it waits for."""
        finalizers = stored.meta.get("finalizers") or []
        dependents = list(self._storage.dependents.get(stored.meta["uid"], ()))
        if ORPHAN in finalizers:
            for table, key in dependents:
                self._disown(table, key, stored.meta["uid"])
            self._release(place, stored, ORPHAN)
        elif FOREGROUND in finalizers:
            for table, key in dependents:
                self.look_at(table, key)
            if not dependents:
                self._release(place, stored, FOREGROUND)
        elif place.resource.table == NAMESPACES.table:
            self._empty(place.name)

    def _disown(self, table: Table, key: Key, uid: str) -> None:
        stored = self._storage.get(table, key)
        if stored is None:
            return
        owners = [one for one in stored.meta["ownerReferences"] if one["uid"] != uid]
        meta = {name: one for name, one in stored.meta.items() if name != "ownerReferences"}
        if owners:
            meta["ownerReferences"] = owners
        self._storage.put(table, {**stored.value, "metadata": meta}, stored.managers)

    def _release(self, place: Place, stored: Stored, finalizer: str) -> None:
        left = [one for one in stored.meta["finalizers"] if one != finalizer]
        meta = {name: one for name, one in stored.meta.items() if name != "finalizers"}
        if left:
            self._storage.put(place.resource.table, {**stored.value, "metadata": {**meta, "finalizers": left}}, stored.managers)
        else:
            self._writer.drop(place.resource, stored, {**stored.value, "metadata": dict(meta)}, stored.managers)

    def _empty(self, namespace: str) -> None:
        found = [(table, stored) for table, stored in self._storage.everything() if stored.meta.get("namespace") == namespace]
        for table, stored in found:
            resource = self._catalog.at(table)
            if resource is not None and not stored.meta.get("deletionTimestamp"):
                place = Place(resource=resource, namespace=namespace, name=stored.meta["name"])
                self._deleter.delete(place, Deletion(grace=0, propagation="Background"))
        last = self._storage.get(NAMESPACES.table, ("", namespace))
        if not found and last is not None:
            self._writer.drop(NAMESPACES, last)
