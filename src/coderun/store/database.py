"""One SQLite file, and everything that can go wrong with it: the only module of this room that knows sqlite3.

Beneath `objects` and `inbox`, which speak SQL through it. It opens and migrates the file, makes transactions, and translates
what SQLite reports into the errors of `model`. Once the file is open it never waits longer than `_BUSY_SECONDS` for another
process (it is called on the event loop's thread), and it never writes again to a file that is damaged or was deleted.

A transaction is on the disk when it ends (WAL, `synchronous=FULL`).
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from coderun.model.errors import (
    CoderunError,
    ConfigError,
    RefusedError,
    StoreCorruptError,
    StoreUnavailableError,
)
from coderun.store.schema import APPLICATION_ID, MIGRATIONS, Step, missing_steps

_BUSY_SECONDS: Final = 0.005
_OPEN_SECONDS: Final = 5.0
_LITTLE_SPACE: Final = 256 * 1024
_COLUMNS: Final = (
    "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
    "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)


class StoreBusyError(StoreUnavailableError):
    """Another process holds the file's write lock just now; the next try will most likely succeed."""


class Database:
    """One open file. Not for two threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._identity = _identity(path)
        self._damage: str | None = None
        self._open = True

    @classmethod
    def open(cls, path: Path, *, migrations: tuple[Step, ...] = MIGRATIONS) -> "Database":
        """Open the file, made where it is missing (mode 0600, its folder 0700), and bring it to the version of `migrations`.

        Waits up to five seconds for others that are opening it.

        Raises:
            ConfigError: a newer coderun or another program made the file.
            StoreUnavailableError: it cannot be opened or written now.
            StoreCorruptError: it is damaged.
        """
        try:
            _make_file(path)
            connection = sqlite3.connect(path, timeout=_OPEN_SECONDS, isolation_level=None)
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot open the store {path}: {error.strerror or error}; check that its folder exists and may be written"
            ) from error
        except sqlite3.Error as error:
            raise _translate(error, path) from error
        try:
            database = cls(path, connection)
            database._prepare(migrations)
        except BaseException:
            connection.close()
            raise
        return database

    def close(self) -> None:
        """Release the file; the last to leave folds the write-ahead log into it. Repeating it does nothing."""
        self._open = False
        with contextlib.suppress(sqlite3.Error):  # what is left in the log is read at the next start
            self._connection.close()

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give back all its rows (so that no read snapshot stays open behind it)."""
        if not self._open:
            raise StoreUnavailableError(f"cannot use the store {self.path}: it has been closed")
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            self._fail(error)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: on the disk when the block ends, undone when it raises.

        Raises:
            StoreBusyError: somebody else is writing; nothing was done.
            StoreCorruptError: the file is damaged or gone; nothing counts as written.
            StoreUnavailableError: the disk is full, or the file cannot be written.
        """
        if self._damage is not None:
            raise StoreCorruptError(self._damage)
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self.check_file()  # after, not before: it is what was written that must be where others will find it

    def change_mark(self) -> int:
        """A number that differs from the last one when another connection has written since; cheap (PRAGMA data_version)."""
        self.check_file()
        return int(self.rows("PRAGMA data_version")[0][0])

    def check_file(self) -> None:
        """Raise `StoreCorruptError` where the path no longer leads to the open file: what is written to it would be lost."""
        if self._identity is None or _identity(self.path) != self._identity:
            self._damage = (
                f"cannot go on with the store {self.path}: the file was deleted or replaced while it was open, so what is "
                f"written now would be lost; stop every coderun of this repository, put the file back (or begin with an empty "
                f"store), then start again"
            )
            raise StoreCorruptError(self._damage)

    def _roll_back(self) -> None:
        if self._open and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back on its own, or will when the file is opened next
                self._connection.execute("ROLLBACK")

    def _fail(self, error: Exception) -> NoReturn:
        translated = _translate(error, self.path)
        if isinstance(translated, StoreCorruptError):
            self._damage = str(translated)
        raise translated from error

    def _prepare(self, migrations: tuple[Step, ...]) -> None:
        self._refuse_foreign_file()
        self._use_write_ahead_log()
        self.rows("PRAGMA synchronous = FULL")
        self.rows("PRAGMA foreign_keys = ON")
        self.rows(
            "PRAGMA secure_delete = OFF"
        )  # some builds overwrite what they free, which doubles the pages of a small update
        if self._version() != len(migrations):
            self._migrate(migrations)
        self._check_columns(migrations)
        self.rows(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")

    def _refuse_foreign_file(self) -> None:
        # In this order: another process may be making the tables just now, and sets our id together with them.
        is_empty = not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")
        [(owner,)] = self.rows("PRAGMA application_id")
        if owner != APPLICATION_ID and not (owner == 0 and is_empty):
            raise ConfigError(
                f"cannot use {self.path} as the store: it is another program's SQLite database; choose another path"
            )

    def _use_write_ahead_log(self) -> None:
        # The switch to WAL fails at once while another process is making the same switch: no busy timeout covers it.
        deadline = time.monotonic() + _OPEN_SECONDS
        mode = None
        while mode is None:
            try:
                [(mode,)] = self.rows("PRAGMA journal_mode = WAL")
            except StoreBusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise StoreUnavailableError(
                f"cannot use the store {self.path}: its file system has no shared memory for a write-ahead log (journal mode "
                f"{mode!r}); put the state folder on a local disk with XDG_STATE_HOME"
            )

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    def _migrate(self, migrations: tuple[Step, ...]) -> None:
        missing_steps(self._version(), migrations, path=str(self.path))  # says no to a newer file before it asks for the lock
        with self.writing():
            for version, step in missing_steps(self._version(), migrations, path=str(self.path)):
                for statement in step:
                    self.rows(statement)
                self.rows(f"PRAGMA user_version = {version:d}")
            self.rows(f"PRAGMA application_id = {APPLICATION_ID:d}")

    def _check_columns(self, migrations: tuple[Step, ...]) -> None:
        expected = _columns_made_by(migrations)
        found = {(table, column) for table, column in self.rows(_COLUMNS)}
        if unknown := sorted(found - expected):
            raise ConfigError(
                f"cannot use the store {self.path}: it has columns that this coderun does not know "
                f"({', '.join(f'{table}.{column}' for table, column in unknown)}), so a newer one wrote it; upgrade coderun"
            )
        if missing := sorted(expected - found):
            raise StoreCorruptError(
                f"cannot use the store {self.path}: columns are missing "
                f"({', '.join(f'{table}.{column}' for table, column in missing)}); {_REPAIR}"
            )


_REPAIR: Final = (
    "nothing more is written to it; stop coderun, keep a copy of the folder, then restore a backup, run `sqlite3 … .recover`, "
    "or move the file away and begin anew: plays find their pull requests again"
)


def _make_file(path: Path) -> None:
    # Made here only where it is missing: closing a second descriptor of an open SQLite file would drop this process's locks.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - called around every write, where Path.stat costs twice as much
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _columns_made_by(migrations: tuple[Step, ...]) -> set[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        for step in migrations:
            for statement in step:
                pattern.execute(statement)
        return {(table, column) for table, column in pattern.execute(_COLUMNS)}


def _translate(error: Exception, path: Path) -> CoderunError:
    if not isinstance(error, sqlite3.Error):
        return RefusedError(f"cannot store this in {path}: it is no valid Unicode text, or a number is too large ({error})")
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    detail = f"SQLite says {name}: {error}"
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusyError(
                f"the store {path} is busy: another process is writing ({detail}); try again", retry_after=1.0
            )
        case sqlite3.SQLITE_FULL:
            return _full(path, detail)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreUnavailableError(
                f"cannot write the store {path}: the file or its folder is read-only ({detail}); make both writable"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailableError(
                f"cannot open the store {path} ({detail}); check that its folder exists, is writable and on a disk with space"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorruptError(f"the store {path} is damaged ({detail}); {_REPAIR}")
        case sqlite3.SQLITE_IOERR if _space(path) < _LITTLE_SPACE:
            return _full(path, detail)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_NOLFS:
            return StoreUnavailableError(
                f"cannot use the store {path}: reading or writing failed ({detail}); check the disk and its messages",
                retry_after=30.0,
            )
        case sqlite3.SQLITE_TOOBIG:
            return RefusedError(f"cannot store this in {path}: it is larger than SQLite takes ({detail})")
        case _:
            return StoreCorruptError(f"the store {path} is not as this coderun made it ({detail}); {_REPAIR}")


def _full(path: Path, detail: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"cannot write the store {path}: its disk or quota is full ({detail}); free some space: what was stored is kept",
        retry_after=30.0,
    )


def _space(path: Path) -> int:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return _LITTLE_SPACE
    return disk.f_bavail * disk.f_frsize
