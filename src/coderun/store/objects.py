"""Objects in their tables: what each call of `ObjectStore` does to the file, as one small transaction each.

Between `sqlite` (which adds waiting and watching) and `database` (which knows the file). It never awaits, and does not know
what an object means. Every change draws the next revision of the file; the revisions it drew are given back, for the watches.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from coderun.model.errors import AlreadyExistsError, NotFoundError, WriteConflictError
from coderun.model.meta import ObjectMeta
from coderun.store.codec import (
    COLUMNS,
    Row,
    decode_meta,
    decode_object,
    decode_part,
    encode_part,
    encode_words,
    to_number,
)
from coderun.store.database import Database
from coderun.store.protocol import Change, ObjectT

KEPT_TOMBSTONES: Final = 5000
"""Deletions younger than so many revisions are always remembered for the watches of other processes."""

_KEPT_MICROSECONDS: Final = 3600 * 1_000_000
_CHANGES: Final = """
    SELECT revision, kind, name, 0 FROM objects WHERE revision > ?1 AND namespace = ?2
    UNION ALL SELECT revision, kind, name, 1 FROM tombstones WHERE revision > ?1 AND namespace = ?2
    UNION ALL SELECT revision, 'Delivery', id, 0 FROM deliveries WHERE revision > ?1
    ORDER BY revision
"""


def last_revision(database: Database) -> int:
    """The newest revision of the file."""
    return int(database.rows("SELECT revision FROM counter")[0][0])


def draw_revisions(database: Database, count: int = 1) -> int:
    """Take the next `count` revisions, inside a transaction; the first of them."""
    last = last_revision(database)
    database.rows("UPDATE counter SET revision = ?", (last + count,))
    return last + 1


def changes_since(database: Database, revision: int, namespace: str) -> list[Change]:
    """What was written or deleted after `revision`, oldest first; a new delivery counts as an object of kind `Delivery`."""
    found = database.rows(_CHANGES, (revision, namespace))
    return [Change(kind=kind, name=name, deleted=bool(deleted)) for _, kind, name, deleted in found]


class ObjectTable:
    """The objects of one namespace."""

    def __init__(
        self, database: Database, *, namespace: str, clock: Callable[[], datetime], new_uid: Callable[[], str]
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._clock = clock
        self._new_uid = new_uid

    def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """The object, None where there is none. Raises `StoreCorruptError` where its row does not decode."""
        row = self._row(kind, name)
        return None if row is None else decode_object(kind, row, self._namespace)

    def find(self, kind: type[Any], labels: Mapping[str, str]) -> list[Row]:
        """The rows that carry all of `labels`, by name, as of one moment."""
        tests = "".join(" AND id IN (SELECT object FROM labels WHERE key = ? AND value = ?)" for _ in labels)
        wanted = [text for label in labels.items() for text in label]
        found = self._database.rows(
            f"SELECT {COLUMNS} FROM objects WHERE namespace = ? AND kind = ?{tests} ORDER BY name",  # noqa: S608 - constants only
            (self._namespace, kind.KIND, *wanted),
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
            if self._row(kind, name) is not None:
                raise AlreadyExistsError(f"cannot create {kind.KIND} {name!r}: one of this name exists already")
            row = Row(
                id=self._next_id(),
                name=name,
                uid=self._new_uid(),
                revision=draw_revisions(self._database),
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
        return kind(api_version=row.api_version, metadata=meta, spec=spec, status=status), row.revision

    def update(self, changed: ObjectT) -> tuple[ObjectT, int | None]:
        """Write spec, labels and annotations; the object as stored, and its revision (None where nothing differed)."""
        kind, name = type(changed), changed.metadata.name
        spec_stored, spec = encode_part(kind, name, "spec", changed.spec)
        labels = encode_words(kind, name, "labels", changed.metadata.labels)
        annotations = encode_words(kind, name, "annotations", changed.metadata.annotations)
        with self._database.writing():
            row = self._expected_row(changed.metadata, kind)
            old = decode_object(kind, row, self._namespace)
            respecified = spec != old.spec
            relabelled = changed.metadata.labels != old.metadata.labels
            if not respecified and not relabelled and changed.metadata.annotations == old.metadata.annotations:
                return old, None
            written = row._replace(
                revision=draw_revisions(self._database),
                generation=row.generation + respecified,
                labels=labels,
                annotations=annotations,
                spec=spec_stored if respecified else row.spec,
            )
            self._database.rows(
                "UPDATE objects SET revision = ?, generation = ?, labels = ?, annotations = ?, spec = ? WHERE id = ?",
                (written.revision, written.generation, written.labels, written.annotations, written.spec, written.id),
            )
            if relabelled:
                self._index_labels(written.id, changed.metadata.labels)
        meta = decode_meta(kind, written, self._namespace)
        return kind(api_version=row.api_version, metadata=meta, spec=spec, status=old.status), written.revision

    def update_status(self, changed: ObjectT) -> tuple[ObjectT, int | None]:
        """Write the status; the object as stored, and its revision (None where the status was equal)."""
        kind, name = type(changed), changed.metadata.name
        status_stored, status = encode_part(kind, name, "status", changed.status)
        with self._database.writing():
            row = self._expected_row(changed.metadata, kind)
            spec = decode_part(kind, name, "spec", row.spec)
            if status_stored == row.status or status == decode_part(kind, name, "status", row.status):
                return decode_object(kind, row, self._namespace), None
            written = row._replace(revision=draw_revisions(self._database), status=status_stored)
            self._database.rows(
                "UPDATE objects SET revision = ?, status = ? WHERE id = ?", (written.revision, written.status, written.id)
            )
        meta = decode_meta(kind, written, self._namespace)
        return kind(api_version=row.api_version, metadata=meta, spec=spec, status=status), written.revision

    def delete(self, kind: type[Any], name: str, uid: str) -> int | None:
        """Delete it, leaving a tombstone; its last revision, None where there was nothing to delete."""
        with self._database.writing():
            row = self._row(kind, name)
            if row is None or (uid and uid != row.uid):
                return None
            revision = draw_revisions(self._database)
            now = to_number(self._clock())
            self._database.rows("DELETE FROM objects WHERE id = ?", (row.id,))
            self._database.rows(
                "INSERT INTO tombstones (revision, namespace, kind, name, deleted) VALUES (?, ?, ?, ?, ?)",
                (revision, self._namespace, kind.KIND, name, now),
            )
            self._database.rows(
                "DELETE FROM tombstones WHERE revision < ? AND deleted < ?",
                (revision - KEPT_TOMBSTONES, now - _KEPT_MICROSECONDS),
            )
        return revision

    def _row(self, kind: type[Any], name: str) -> Row | None:
        found = self._database.rows(
            f"SELECT {COLUMNS} FROM objects WHERE namespace = ? AND kind = ? AND name = ?",  # noqa: S608 - constants only
            (self._namespace, kind.KIND, name),
        )
        return Row._make(found[0]) if found else None

    def _expected_row(self, meta: ObjectMeta, kind: type[Any]) -> Row:
        row = self._row(kind, meta.name)
        if row is None:
            raise NotFoundError(f"cannot write {kind.KIND} {meta.name!r}: it does not exist (any more)")
        if str(row.revision) != meta.resource_version:
            raise WriteConflictError(
                f"cannot write {kind.KIND} {meta.name!r}: it was read at resourceVersion {meta.resource_version!r} and is at "
                f"{row.revision} by now; read it again and decide anew"
            )
        return row

    def _insert(self, kind: type[Any], row: Row, labels: Mapping[str, str]) -> None:
        self._database.rows(
            f"INSERT INTO objects (namespace, kind, {COLUMNS}) VALUES (?, ?{', ?' * len(row)})",  # noqa: S608 - constants only
            (self._namespace, kind.KIND, *row),
        )
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
