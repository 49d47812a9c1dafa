"""Rows of the forge's database that are no pull requests: settings, branches as last seen, announced moves, events.

Functions over `Database`, each one statement or a few; whoever needs several to hold together opens the transaction. Times are
microseconds since the epoch.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from coderun.forge.local.database import Database
from coderun.forge.local.moves import Announcement
from coderun.forge.local.records import UNKNOWN_LOGIN, ForgeEvent, ForgeSettings
from coderun.forge.texts import branch_ref

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """A time as it is stored."""
    return (at - EPOCH) // _MICROSECOND


def moment(stored: int) -> datetime:
    """A stored time."""
    return EPOCH + timedelta(microseconds=stored)


def read_settings(db: Database) -> ForgeSettings:
    """The settings as last written."""
    stored: str | None = db.value("SELECT value FROM setting WHERE key = 'settings'")
    return msgspec.json.decode(stored, type=ForgeSettings) if stored else ForgeSettings()


def write_settings(db: Database, settings: ForgeSettings) -> None:
    """Replace the settings, and what the hook reads of them as plain text."""
    rows = (
        ("settings", msgspec.json.encode(settings).decode()),
        ("base_ref", branch_ref(settings.base_branch)),
        ("person", settings.person),
    )
    db.execute_many(
        "INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", rows
    )


def known_refs(db: Database) -> dict[str, str]:
    """Branches as they stood at the last look, by full ref."""
    return dict(db.rows("SELECT ref, sha FROM known_ref"))  # type: ignore[arg-type]  # each row is such a pair


def known_branch(db: Database, branch: str) -> str:
    """Where a branch stood at the last look, "" where there was none."""
    sha: str | None = db.value("SELECT sha FROM known_ref WHERE ref = ?", (branch_ref(branch),))
    return sha or ""


def set_known_ref(db: Database, ref: str, sha: str) -> None:
    """Remember where a branch stands; "" forgets it."""
    if sha:
        db.execute(
            "INSERT INTO known_ref (ref, sha) VALUES (?, ?) ON CONFLICT (ref) DO UPDATE SET sha = excluded.sha", (ref, sha)
        )
    else:
        db.execute("DELETE FROM known_ref WHERE ref = ?", (ref,))


def look_number(db: Database) -> int:
    """Grows whenever a look at the refs has changed something: who decided on an older one decides anew."""
    stored: str | None = db.value("SELECT value FROM setting WHERE key = 'look'")
    return int(stored or 0)


def count_look(db: Database) -> None:
    """Raise the look number."""
    db.execute(
        "INSERT INTO setting (key, value) VALUES ('look', '1') ON CONFLICT (key) DO UPDATE "
        "SET value = CAST(value AS INTEGER) + 1"
    )


def announcements(db: Database) -> list[Announcement]:
    """Moves that somebody was about to make and nobody has seen yet, oldest first."""
    rows = db.rows("SELECT id, ref, old, new, login, at, pull, head_sha FROM announced ORDER BY id")
    return [
        Announcement(id=id_, ref=ref, old=old, new=new, login=login, at=at, pull=pull, head_sha=head)
        for id_, ref, old, new, login, at, pull, head in rows
    ]


def announce(
    db: Database, ref: str, old: str, new: str, *, login: str, at: int, pull: int | None = None, head_sha: str = ""
) -> int:
    """Say that a ref is about to move; the announcement's id."""
    return db.execute(
        "INSERT INTO announced (ref, old, new, login, at, pull, head_sha) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ref, old, new, login, at, pull, head_sha),
    )


def withdraw(db: Database, announcement: int) -> None:
    """Forget a move that git did not make."""
    db.execute("DELETE FROM announced WHERE id = ?", (announcement,))


def settle(db: Database, seen: Announcement) -> None:
    """Forget an announcement that came true, and older ones of its ref, which no longer can."""
    db.execute("DELETE FROM announced WHERE ref = ? AND id <= ?", (seen.ref, seen.id))


def forget_announcements(db: Database, before: int) -> None:
    """Drop those that never came true."""
    db.execute("DELETE FROM announced WHERE at < ?", (before,))


def pusher_of(db: Database, branch: str, sha: str) -> str:
    """Who last moved a branch to a commit, `unknown` where no event tells."""
    found: str | None = db.value(
        "SELECT actor FROM event WHERE name = 'push' AND ref = ? AND head_sha = ? ORDER BY id DESC LIMIT 1",
        (branch_ref(branch), sha),
    )
    return found or UNKNOWN_LOGIN


def add_event(
    db: Database,
    name: str,
    *,
    at: int,
    login: str,
    pull: int | None = None,
    ref: str = "",
    head_sha: str = "",
    detail: str = "",
) -> None:
    """Append to the log."""
    db.execute(
        "INSERT INTO event (at, name, pull, ref, head_sha, actor, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at, name, pull, ref, head_sha, login, detail),
    )


def last_event(db: Database) -> int:
    """Id of the newest event, 0 where there is none."""
    return int(db.value("SELECT max(id) FROM event") or 0)


def events_after(db: Database, after: int, limit: int) -> list[ForgeEvent]:
    """Events with a greater id, oldest first."""
    rows = db.rows(
        "SELECT id, at, name, pull, ref, head_sha, actor, detail FROM event WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
    )
    return [
        ForgeEvent(id=id_, at=moment(at), name=name, pull=pull, ref=ref, head_sha=head, actor=login, detail=detail)
        for id_, at, name, pull, ref, head, login, detail in rows
    ]
