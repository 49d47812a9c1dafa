"""The shape of the store's file, as a row of steps from each version to the next.

Version N of the file is what the first N steps have made; `database` applies those that are missing when it opens a file. A
step that was released is never changed: a new shape is a new step. Nothing here touches a file.

Revisions count every change of the file; objects, tombstones and deliveries share the count, so that "all that is newer than N"
is one question. The newest revision is the greatest of the three tables (no fourth page to write at every change), so its row
is never removed without a newer one. A spec has a row of its own because it may hold a whole task's text, while the status
is written at every step.
"""

from typing import Final

from coderun.model.errors import ConfigError

APPLICATION_ID: Final = 0x63725374  # "crSt": tells our files from other programs' databases (PRAGMA application_id)

Step = tuple[str, ...]

MIGRATIONS: Final[tuple[Step, ...]] = (
    (
        """CREATE TABLE objects (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            uid TEXT NOT NULL,
            revision INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            created INTEGER NOT NULL,
            api_version TEXT NOT NULL,
            labels BLOB NOT NULL,
            annotations BLOB NOT NULL,
            status BLOB NOT NULL,
            UNIQUE (namespace, kind, name)
        )""",
        """CREATE TABLE specs (
            object INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
            spec BLOB NOT NULL
        )""",
        "CREATE UNIQUE INDEX objects_by_revision ON objects (revision)",
        "CREATE INDEX objects_by_creation ON objects (namespace, kind, created)",
        """CREATE TABLE labels (
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            object INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
            PRIMARY KEY (key, value, object)
        ) WITHOUT ROWID""",
        "CREATE INDEX labels_by_object ON labels (object)",
        """CREATE TABLE tombstones (
            revision INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            deleted INTEGER NOT NULL
        )""",
        """CREATE TABLE deliveries (
            revision INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            event TEXT NOT NULL,
            repository TEXT NOT NULL,
            received INTEGER NOT NULL,
            state TEXT NOT NULL,
            outcome TEXT NOT NULL,
            body BLOB NOT NULL
        )""",
        "CREATE INDEX deliveries_pending ON deliveries (received, revision) WHERE state = 'pending'",
        "CREATE INDEX deliveries_by_time ON deliveries (received, revision)",
        "CREATE INDEX deliveries_by_length ON deliveries (length(id), id)",
        "CREATE TABLE sources (prefix TEXT PRIMARY KEY) WITHOUT ROWID",
    ),
)


def missing_steps(found: int, steps: tuple[Step, ...], *, path: str) -> tuple[tuple[int, Step], ...]:
    """The steps that a file of version `found` still needs, each with the version it leads to.

    Raises:
        ConfigError: the file is newer than this program.
    """
    if found > len(steps):
        raise ConfigError(
            f"cannot use the store {path}: it was written by a newer coderun (its version is {found}, this coderun knows up to "
            f"{len(steps)}); upgrade coderun, or choose another state folder with XDG_STATE_HOME"
        )
    return tuple(enumerate(steps[found:], start=found + 1))
