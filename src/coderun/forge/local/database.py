"""The forge's database file: opening it, its schema, transactions, and what SQLite's errors mean here.

The only module of this room that imports sqlite3, apart from the hook, which stands alone. It knows no pull requests: what the
rows mean is said in `journal` and `pulls`. Calls are direct, not in threads: every statement is small.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from coderun.model.errors import ConfigError, ForgeUnavailableError, NotFoundError, StoreCorruptError

VERSION: Final = 1
_BUSY_SECONDS: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE token (digest TEXT PRIMARY KEY, login TEXT NOT NULL, run TEXT NOT NULL, issued_at INTEGER NOT NULL,
    revoked_at INTEGER);
CREATE INDEX token_run ON token (run);
CREATE TABLE announced (id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
    login TEXT NOT NULL, at INTEGER NOT NULL, pull INTEGER, head_sha TEXT NOT NULL DEFAULT '');
CREATE TABLE known_ref (ref TEXT PRIMARY KEY, sha TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pull (number INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, body TEXT NOT NULL, author TEXT NOT NULL,
    head_branch TEXT NOT NULL, base_branch TEXT NOT NULL, head_sha TEXT NOT NULL, pinned_sha TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, draft INTEGER NOT NULL, branch_task INTEGER, created_at INTEGER NOT NULL, head_since INTEGER NOT NULL,
    merged_at INTEGER, merged_by TEXT NOT NULL DEFAULT '', merge_sha TEXT NOT NULL DEFAULT '',
    final_base TEXT NOT NULL DEFAULT '',
    settled INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX pull_open ON pull (head_branch, base_branch) WHERE state = 'open';
CREATE INDEX pull_state ON pull (state, base_branch);
CREATE INDEX pull_task ON pull (branch_task);
CREATE INDEX pull_unsettled ON pull (state, number) WHERE settled = 0;
CREATE INDEX pull_unpinned ON pull (number) WHERE head_sha <> pinned_sha;
CREATE TABLE label (pull INTEGER NOT NULL REFERENCES pull (number), key TEXT NOT NULL, name TEXT NOT NULL, login TEXT NOT NULL,
    head_sha TEXT NOT NULL, at INTEGER NOT NULL, task INTEGER, PRIMARY KEY (pull, key)) WITHOUT ROWID;
CREATE INDEX label_task ON label (task);
CREATE TABLE review (id INTEGER PRIMARY KEY AUTOINCREMENT, pull INTEGER NOT NULL REFERENCES pull (number), login TEXT NOT NULL,
    state TEXT NOT NULL, head_sha TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX review_pull ON review (pull);
CREATE TABLE comment (id INTEGER PRIMARY KEY AUTOINCREMENT, pull INTEGER NOT NULL REFERENCES pull (number), login TEXT NOT NULL,
    body TEXT NOT NULL, marker TEXT NOT NULL, at INTEGER NOT NULL, edited_at INTEGER);
CREATE UNIQUE INDEX comment_marker ON comment (pull, login, marker) WHERE marker <> '';
CREATE INDEX comment_pull ON comment (pull);
CREATE TABLE push (id INTEGER PRIMARY KEY AUTOINCREMENT, pull INTEGER NOT NULL REFERENCES pull (number), sha TEXT NOT NULL,
    login TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX push_pull ON push (pull);
CREATE TABLE check_run (sha TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, required INTEGER NOT NULL,
    summary TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (sha, name)) WITHOUT ROWID;
CREATE TABLE derived (pull INTEGER PRIMARY KEY REFERENCES pull (number), head_sha TEXT NOT NULL, base_sha TEXT NOT NULL,
    merge_base TEXT NOT NULL, commits TEXT);
CREATE TABLE marker (pull INTEGER NOT NULL REFERENCES pull (number), task INTEGER NOT NULL,
    PRIMARY KEY (pull, task)) WITHOUT ROWID;
CREATE INDEX marker_task ON marker (task);
CREATE TABLE mergeability (pull INTEGER PRIMARY KEY REFERENCES pull (number), head_sha TEXT NOT NULL, base_sha TEXT NOT NULL,
    state TEXT NOT NULL);
CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, name TEXT NOT NULL, pull INTEGER,
    ref TEXT NOT NULL, head_sha TEXT NOT NULL, actor TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX event_ref ON event (ref, head_sha) WHERE name = 'push';
"""

Row = Sequence[Any]
Value = str | int | None


class Database:
    """One connection to the forge's database."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file.

        Raises:
            NotFoundError: it is not there and `create` is not set.
            ConfigError: a newer coderun made it.
        """
        if not create and not path.exists():
            raise NotFoundError(f"there is no local forge at {path.parent}: {path.name} is missing; `coderun play` makes one")
        self._path = path
        with self._translated("opening"):
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA foreign_keys = ON")
        if self.value("PRAGMA user_version") == VERSION:
            return
        with self.transaction():
            found = self.value("PRAGMA user_version")
            if found == 0:
                for statement in _SCHEMA.strip().split(";\n"):
                    self.execute(statement.removesuffix(";"))
                self.execute(f"PRAGMA user_version = {VERSION}")
            elif found != VERSION:
                raise ConfigError(
                    f"{self._path} has layout {found}, this coderun knows {VERSION}; use the coderun that made it"
                )

    def close(self) -> None:
        """Close the connection; nothing happens where it is closed."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, alone among writers. Nothing inside may wait for anything else."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        try:
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def execute(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; the row id of what it inserted."""
        with self._translated("writing"):
            return self._connection.execute(statement, values).lastrowid or 0

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement for each row of values."""
        with self._translated("writing"):
            self._connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query."""
        with self._translated("reading"):
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row, None where there is none."""
        with self._translated("reading"):
            found: Row | None = self._connection.execute(query, values).fetchone()
            return found

    def value(self, query: str, values: Sequence[Value] = ()) -> Any:
        """The first column of the first row, None where there is none."""
        row = self.row(query, values)
        return None if row is None else row[0]

    @contextlib.contextmanager
    def _translated(self, deed: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ForgeUnavailableError(
                f"{deed} the forge's database {self._path} failed: {error}; check the disk's space and the file's permissions"
            ) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise  # a bug of ours, not of the file
            raise StoreCorruptError(
                f"{deed} the forge's database {self._path} failed: {error}; "
                "put back a copy of it, or move it away to start anew"
            ) from error
