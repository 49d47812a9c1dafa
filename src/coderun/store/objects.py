"""Objects in their tables: what each call of `ObjectStore` does to the file, as one small transaction each.

Between `sqlite` (which adds waiting and watching) and `database` (which knows the file). It never awaits, and does not know
what an object means. Every change takes the next revision of the file; the revisions taken are given back, for the watches.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from coderun.model.errors import AlreadyExistsError, NotFoundError, WriteConflictError
from coderun.model.meta import ObjectMeta
from coderun.store.codec import (
    COLUMNS,
    Row,
    decode_meta,
    decode_object,
    encode_part,
    encode_words,
    to_number,
)
from coderun.store.database import Database
from coderun.store.protocol import Change, ObjectT

KEPT_TOMBSTONES: Final = 5000
"""Deletions younger than so many revisions are always remembered for the watches of other processes."""

_KEPT_MICROSECONDS: Final = 3600 * 1_000_000
_REMEMBERED: Final = 256
_LAST: Final = """
    SELECT max(
        coalesce((SELECT max(revision) FROM objects), 0),
        coalesce((SELECT max(revision) FROM tombstones), 0),
        coalesce((SELECT max(revision) FROM deliveries), 0)
    )
"""
_CHANGES: Final = """
    SELECT revision, kind, name, 0 FROM objects WHERE revision > ?1 AND namespace = ?2
    UNION ALL SELECT revision, kind, name, 1 FROM tombstones WHERE revision > ?1 AND namespace = ?2
    UNION ALL SELECT revision, 'Delivery', id, 0 FROM deliveries WHERE revision > ?1
    ORDER BY revision
"""


def last_revision(database: Database) -> int:
    """The newest revision of the file."""
    return int(database.rows(_LAST)[0][0])


def changes_since(database: Database, revision: int, namespace: str) -> list[Change]:
    """What was written or deleted after `revision`, oldest first; a new delivery counts as an object of kind `Delivery`."""
    found = database.rows(_CHANGES, (revision, namespace))
    return [Change(kind=kind, name=name, deleted=bool(deleted)) for _, kind, name, deleted in found]


class ObjectTable:
    """The objects of one namespace. What was read or written last is kept decoded and shared: never change the dicts inside."""

    def __init__(
        self, database: Database, *, namespace: str, clock: Callable[[], datetime], new_uid: Callable[[], str]
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._clock = clock
        self._new_uid = new_uid
        self._recent: dict[tuple[type[Any], str], Any] = {}

    def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """The object, None where there is none. Raises `StoreCorruptError` where its row does not decode."""
        found = self._whereabouts(kind, name)
        if found is None:
            return None
        try:
            return self._at(kind, name, found[1])
        except NotFoundError:  # deleted by another process between the two looks
            return None

    def find(self, kind: type[Any], labels: Mapping[str, str]) -> list[Row]:
        """The rows that carry all of `labels`, by name, as of one moment."""
        # With labels, from the first one to its objects: SQLite would look through all of the kind, to have them in order.
        source = "labels AS mark CROSS JOIN objects ON id = mark.object" if labels else "objects"
        first = " AND mark.key = ? AND mark.value = ?" if labels else ""
        others = " AND id IN (SELECT object FROM labels WHERE key = ? AND value = ?)" * (len(labels) - 1)
        found = self._database.rows(
            f"SELECT {COLUMNS} FROM {source} CROSS JOIN specs ON specs.object = id "  # noqa: S608 - constants only
            f"WHERE namespace = ? AND kind = ?{first}{others} ORDER BY name",
            (self._namespace, kind.KIND, *(text for label in labels.items() for text in label)),
        )
        return [Row._make(row) for row in found]

    def create(self, new: ObjectT) -> tuple[ObjectT, int]:
        """Store a new object; it as stored, and its revision."""
        kind, name = type(new), new.metadata.name
        spec_stored, spec = encode_part(kind, name, "spec", new.spec)
        status_stored, status = encode_part(kind, name, "status", new.status)
        labels = encode_words(kind, name, "labels", new.metadata.labels)
        annotations = encode_words(kind, name, "annotations", new.metadata.annotations)
        with self._database.writing():
            if self._whereabouts(kind, name) is not None:
                raise AlreadyExistsError(f"cannot create {kind.KIND} {name!r}: one of this name exists already")
            row = Row(
                id=self._next_id(),
                name=name,
                uid=self._new_uid(),
                revision=last_revision(self._database) + 1,
                generation=1,
                created=self._creation_time(kind),
                api_version=new.api_version,
                labels=labels,
                annotations=annotations,
                status=status_stored,
                spec=spec_stored,
            )
            self._insert(kind, row, new.metadata.labels)
        meta = decode_meta(kind, row, self._namespace)
        return self._remember(kind(api_version=row.api_version, metadata=meta, spec=spec, status=status)), row.revision

    def update(self, changed: ObjectT) -> tuple[ObjectT, int | None]:
        """Write spec, labels and annotations; the object as stored, and its revision (None where nothing differed)."""
        kind, meta = type(changed), changed.metadata
        spec_stored, spec = encode_part(kind, meta.name, "spec", changed.spec)
        labels = encode_words(kind, meta.name, "labels", meta.labels)
        annotations = encode_words(kind, meta.name, "annotations", meta.annotations)
        with self._database.writing():
            number, _ = self._expected(kind, meta)
            old = self._stored(kind, meta.name)  # not the shared one: that may be this very object, changed in place
            respecified = spec != old.spec
            relabelled = meta.labels != old.metadata.labels
            if not respecified and not relabelled and meta.annotations == old.metadata.annotations:
                return old, None
            revision = last_revision(self._database) + 1
            self._database.rows(
                "UPDATE objects SET revision = ?, generation = generation + ?, labels = ?, annotations = ? WHERE id = ?",
                (revision, int(respecified), labels, annotations, number),
            )
            if respecified:
                self._database.rows("UPDATE specs SET spec = ? WHERE object = ?", (spec_stored, number))
            if relabelled:
                self._index_labels(number, meta.labels)
            written = self._stored(kind, meta.name)
        return self._remember(written), revision

    def update_status(self, changed: ObjectT) -> tuple[ObjectT, int | None]:
        """Write the status; the object as stored, and its revision (None where the status was equal)."""
        kind, name = type(changed), changed.metadata.name
        status_stored, status = encode_part(kind, name, "status", changed.status)
        with self._database.writing():
            number, revision = self._expected(kind, changed.metadata)
            old = self._at(kind, name, revision)
            if status == old.status:
                return old, None
            revision = last_revision(self._database) + 1
            self._database.rows("UPDATE objects SET revision = ?, status = ? WHERE id = ?", (revision, status_stored, number))
        meta = msgspec.structs.replace(old.metadata, resource_version=str(revision))
        return self._remember(kind(api_version=old.api_version, metadata=meta, spec=old.spec, status=status)), revision

    def delete(self, kind: type[Any], name: str, uid: str) -> int | None:
        """Delete it, leaving a tombstone; its last revision, None where there was nothing to delete."""
        with self._database.writing():
            found = self._database.rows(
                "SELECT id FROM objects WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND ?4 IN ('', uid)",
                (self._namespace, kind.KIND, name, uid),
            )
            if not found:
                return None
            revision = last_revision(self._database) + 1
            now = to_number(self._clock())
            self._database.rows("DELETE FROM objects WHERE id = ?", found[0])
            self._database.rows(
                "INSERT INTO tombstones (revision, namespace, kind, name, deleted) VALUES (?, ?, ?, ?, ?)",
                (revision, self._namespace, kind.KIND, name, now),
            )
            self._database.rows(
                "DELETE FROM tombstones WHERE revision < ? AND deleted < ?",
                (revision - KEPT_TOMBSTONES, now - _KEPT_MICROSECONDS),
            )
        return revision

    def _whereabouts(self, kind: type[Any], name: str) -> tuple[int, int] | None:
        """Row number and revision of an object."""
        found = self._database.rows(
            "SELECT id, revision FROM objects WHERE namespace = ? AND kind = ? AND name = ?", (self._namespace, kind.KIND, name)
        )
        return (found[0][0], found[0][1]) if found else None

    def _expected(self, kind: type[Any], meta: ObjectMeta) -> tuple[int, int]:
        found = self._whereabouts(kind, meta.name)
        if found is None:
            raise _missing(kind, meta.name)
        if str(found[1]) != meta.resource_version:
            raise WriteConflictError(
                f"cannot write {kind.KIND} {meta.name!r}: it was read at resourceVersion {meta.resource_version!r} and is at "
                f"{found[1]} by now; read it again and decide anew"
            )
        return found

    def _at(self, kind: type[ObjectT], name: str, revision: int) -> ObjectT:
        known: ObjectT | None = self._recent.get((kind, name))
        if known is not None and known.metadata.resource_version == str(revision):
            return known
        return self._remember(self._stored(kind, name))

    def _stored(self, kind: type[ObjectT], name: str) -> ObjectT:
        found = self._database.rows(
            f"SELECT {COLUMNS} FROM objects JOIN specs ON object = id "  # noqa: S608 - constants only
            "WHERE namespace = ? AND kind = ? AND name = ?",
            (self._namespace, kind.KIND, name),
        )
        if not found:
            raise _missing(kind, name)
        return decode_object(kind, Row._make(found[0]), self._namespace)

    def _remember(self, stored: ObjectT) -> ObjectT:
        if len(self._recent) >= _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._recent[type(stored), stored.metadata.name] = stored
        return stored

    def _insert(self, kind: type[Any], row: Row, labels: Mapping[str, str]) -> None:
        *columns, spec = row
        names = ", ".join(Row._fields[:-1])
        self._database.rows(
            f"INSERT INTO objects (namespace, kind, {names}) VALUES (?, ?{', ?' * len(columns)})",  # noqa: S608 - constants only
            (self._namespace, kind.KIND, *columns),
        )
        self._database.rows("INSERT INTO specs (object, spec) VALUES (?, ?)", (row.id, spec))
        self._index_labels(row.id, labels)

    def _index_labels(self, number: int, labels: Mapping[str, str]) -> None:
        self._database.rows("DELETE FROM labels WHERE object = ?", (number,))
        for key, value in labels.items():
            self._database.rows("INSERT INTO labels (key, value, object) VALUES (?, ?, ?)", (key, value, number))

    def _next_id(self) -> int:
        return int(self._database.rows("SELECT coalesce(max(id), 0) + 1 FROM objects")[0][0])

    def _creation_time(self, kind: type[Any]) -> int:
        """Now, but never before the newest object of the kind: the clock may have been set back."""
        now = to_number(self._clock())
        [(newest,)] = self._database.rows(
            "SELECT max(created) FROM objects WHERE namespace = ? AND kind = ?", (self._namespace, kind.KIND)
        )
        return now if newest is None else max(now, newest)


def _missing(kind: type[Any], name: str) -> NotFoundError:
    return NotFoundError(f"cannot write {kind.KIND} {name!r}: it does not exist (any more)")
