"""Looks at the refs and lets pull requests and events follow them: heads move, merged ones are merged, orphans close.

The one place where a push, a merge of ours, a merge by push and a ref moved behind everybody's back become known, and so the
one place that repairs what a crash left between git and the database. Safe to run any number of times, in any number of
processes: what was decided on an older look is thrown away.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from coderun.forge.local.database import Database
from coderun.forge.local.derive import carry_over
from coderun.forge.local.git import Git
from coderun.forge.local.journal import (
    add_event,
    announcements,
    count_look,
    forget_announcements,
    known_refs,
    look_number,
    micros,
    set_known_ref,
    settle,
)
from coderun.forge.local.moves import Move, trace
from coderun.forge.local.pulls import close_pull, mark_merged, move_head
from coderun.forge.local.records import UNKNOWN_LOGIN
from coderun.forge.local.refs import RefReader, Snapshot
from coderun.forge.texts import branch_ref
from coderun.model.errors import ForgeUnavailableError

_TRIES: Final = 20
_ANNOUNCED_FOR: Final = timedelta(days=1)

Gains = Mapping[tuple[str, str], frozenset[str]]


class Observer:
    """Brings the database up to what the refs say."""

    def __init__(self, db: Database, git: Git, *, clock: Callable[[], datetime], refs: RefReader | None = None) -> None:
        self._db = db
        self._git = git
        self._clock = clock
        self._refs = refs or RefReader(git.directory)
        self._seen: Snapshot | None = None
        self._lock = asyncio.Lock()

    async def observe(self) -> bool:
        """Look, and record what has moved; whether anything had. A look that finds nothing new starts no process.

        Raises:
            ForgeUnavailableError: others kept moving refs during twenty looks.
        """
        if self._refs.look() is self._seen:
            return False
        async with self._lock:
            moved = False
            for _ in range(_TRIES):
                snapshot = self._refs.look()
                if snapshot is self._seen:
                    return moved
                outcome = await self._follow(snapshot)
                if outcome is not None:
                    moved = moved or outcome
                    await self.pin()
                    self._seen = snapshot
                    return moved
        raise ForgeUnavailableError(f"{self._git.directory} kept changing while it was read; try again")

    async def _follow(self, snapshot: Snapshot) -> bool | None:
        """Record the moves that lead to `snapshot`; None where somebody else recorded some meanwhile."""
        look = look_number(self._db)
        moves = trace(known_refs(self._db), snapshot.values, announcements(self._db))
        if not moves:
            return False
        gains = await self._gains(moves)
        now = micros(self._clock())
        with self._db.transaction():
            if look_number(self._db) != look:
                return None
            for move in moves:
                _apply(self._db, move, gains, now)
            forget_announcements(self._db, now - micros_of(_ANNOUNCED_FOR))
            count_look(self._db)
        return True

    async def _gains(self, moves: Sequence[Move]) -> Gains:
        """Commits that each moved base branch has gained, for the bases that open pull requests aim at."""
        rows = self._db.rows("SELECT DISTINCT base_branch FROM pull WHERE state = 'open'")
        bases = {branch_ref(row[0]) for row in rows}
        gains: dict[tuple[str, str], frozenset[str]] = {}
        for move in moves:
            if move.ref in bases and move.new and (move.old, move.new) not in gains:
                gains[move.old, move.new] = frozenset(await self._git.commits_between(move.old, move.new))
        return gains

    async def pin(self) -> None:
        """Keep each head under `refs/pull/N/head`, whatever becomes of its branch."""
        rows = self._db.rows("SELECT number, head_sha FROM pull WHERE head_sha <> pinned_sha ORDER BY number")
        if not rows:
            return
        refused = await self._git.update_refs([f"update refs/pull/{number}/head\0{sha}\0" for number, sha in rows])
        if not refused:
            for number, sha in rows:
                self._db.execute("UPDATE pull SET pinned_sha = ? WHERE number = ?", (sha, number))


def micros_of(span: timedelta) -> int:
    """A span as the times are stored."""
    return span // timedelta(microseconds=1)


def _apply(db: Database, move: Move, gains: Gains, now: int) -> None:
    login = move.announced.login if move.announced else UNKNOWN_LOGIN
    at = move.announced.at if move.announced else now
    branch = move.ref.removeprefix("refs/heads/")
    set_known_ref(db, move.ref, move.new)
    add_event(db, "push", at=at, login=login, ref=move.ref, head_sha=move.new, detail=move.old)
    if move.announced is not None:
        settle(db, move.announced)
        if move.announced.pull is not None:
            mark_merged(db, move.announced.pull, base_before=move.old, merge_sha=move.new, login=login, at=at)
    for number in _open_with("head_branch", db, branch):
        if move.new:
            move_head(db, number, move.new, login=login, at=at)
        else:
            close_pull(db, number, login=login, at=at)
    _follow_base(db, move, branch, gains.get((move.old, move.new), frozenset()), login=login, at=at)


def _follow_base(db: Database, move: Move, branch: str, gained: frozenset[str], *, login: str, at: int) -> None:
    for number in _open_with("base_branch", db, branch):
        head = db.value("SELECT head_sha FROM pull WHERE number = ?", (number,))
        if not move.new:
            close_pull(db, number, login=login, at=at)
        elif head in gained:
            mark_merged(db, number, base_before=move.old, merge_sha=move.new, login=login, at=at)
        else:
            carry_over(db, number, move.old, move.new, gained)


def _open_with(column: str, db: Database, branch: str) -> list[int]:
    query = f"SELECT number FROM pull WHERE state = 'open' AND {column} = ? ORDER BY number"  # noqa: S608 - one of two literals
    return [row[0] for row in db.rows(query, (branch,))]
