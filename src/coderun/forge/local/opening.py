"""Makes a forge, finds out whom an object acts for, and brings the base branch over: what comes before pull requests.

Safe to repeat after a crash at any point, and by two processes at once.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from coderun.forge.local import journal
from coderun.forge.local.database import Database
from coderun.forge.local.git import Git
from coderun.forge.local.reading import Reader
from coderun.forge.local.records import BOT_SUFFIX, UNKNOWN_LOGIN, BaseState, BaseSync, ForgeSettings, Identity
from coderun.forge.local.repository import DATABASE, HookPrograms, alone, fetch_base, make_repository, point_head
from coderun.forge.texts import branch_ref, checked_branch, one_line
from coderun.model.errors import ConfigError, ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.logins import same_login

_TRIES: Final = 5


async def make_forge(
    folder: Path,
    source: Path,
    base_branch: str,
    *,
    hooks: HookPrograms,
    settings: ForgeSettings | None,
    environment: Mapping[str, str],
) -> None:
    """Make repository, hooks, database and settings, or put existing ones right. Raises as `LocalForge.init`."""
    wanted = settings or stored_settings(folder) or ForgeSettings()
    wanted = msgspec.structs.replace(wanted, base_branch=base_branch)
    check_settings(wanted)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with alone(folder):
        db = Database(folder / DATABASE, create=True)
        try:
            with db.transaction():
                journal.write_settings(db, wanted)
        finally:
            db.close()
        git = await make_repository(folder, source, hooks, environment)
        await point_head(git, base_branch)


def check_settings(settings: ForgeSettings) -> None:
    """Raises `ConfigError` where the person's login could pass for an agent's, or the base branch is none git takes."""
    person = settings.person
    if not person.strip() or one_line(person, 100) != person or person.endswith(BOT_SUFFIX) or person == UNKNOWN_LOGIN:
        shown = one_line(person, 100)
        raise ConfigError(f"{shown!r} is no login for a person; use one printable line that does not end in {BOT_SUFFIX}")
    try:
        checked_branch(settings.base_branch)
    except RefusedError as error:
        raise ConfigError(f"the base branch cannot be used: {error}") from error


def stored_settings(folder: Path) -> ForgeSettings | None:
    """The settings of an existing forge."""
    try:
        db = Database(folder / DATABASE)
    except NotFoundError:
        return None
    try:
        return journal.read_settings(db)
    finally:
        db.close()


def identity_of(db: Database, token: str | None) -> Identity:
    """Whom a token stands for; None is the person. Raises `RefusedError` for an unknown or revoked one."""
    if token is None:
        return Identity(login=journal.read_settings(db).person)
    row = db.row("SELECT login, run FROM token WHERE digest = ? AND revoked_at IS NULL", (_digest(token.strip()),))
    if row is None:
        raise RefusedError("the forge token is unknown or revoked: its run is over; leave it out to act as yourself")
    return Identity(login=row[0], is_agent=True, run=row[1])


def new_token(db: Database, login: str, run: str, *, at: int) -> str:
    """Issue a token; only its hash is kept. Raises `ConfigError` for a login that is no agent's, or is the person's too."""
    if not login.endswith(BOT_SUFFIX) or login == BOT_SUFFIX or one_line(login) != login:
        shown = one_line(login, 80)
        raise ConfigError(f"agent login {shown!r} is not usable; it ends in {BOT_SUFFIX}, as in rex{BOT_SUFFIX}")
    person = journal.read_settings(db).person
    if same_login(login, person):
        raise ConfigError(f"agent {login!r} and the person {person!r} are one login to the pipeline; rename one of them")
    token = f"crf_{secrets.token_urlsafe(32)}"
    db.execute("INSERT INTO token (digest, login, run, issued_at) VALUES (?, ?, ?, ?)", (_digest(token), login, run, at))
    return token


def revoke_tokens(db: Database, run: str, *, at: int) -> None:
    """End all tokens of a run."""
    db.execute("UPDATE token SET revoked_at = ? WHERE run = ? AND revoked_at IS NULL", (at, run))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class BaseBranch:
    """The forge's base branch beside the user's."""

    def __init__(self, db: Database, git: Git, reader: Reader, *, login: str, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._git = git
        self._reader = reader
        self._login = login
        self._clock = clock

    async def sync(self, source: Path, branch: str) -> BaseSync:
        """Move the forge's forward to the user's, where that loses nothing; else only tell how they stand."""
        theirs = await fetch_base(self._git, source, branch)
        for _ in range(_TRIES):
            await self._reader.look()
            ours = journal.known_branch(self._db, branch)
            state = await self._compare(ours, theirs)
            if state is not BaseState.ADVANCED:
                return BaseSync(state=state, branch=branch, forge_sha=ours, source_sha=theirs)
            if await self._advance(branch, ours, theirs):
                return BaseSync(state=state, branch=branch, forge_sha=theirs, source_sha=theirs)
        raise ForgeUnavailableError(f"the base branch {branch!r} kept moving while it was brought up to date; try again")

    async def _compare(self, ours: str, theirs: str) -> BaseState:
        if not theirs:
            return BaseState.MISSING
        if ours == theirs:
            return BaseState.SAME
        if not ours or await self._git.is_ancestor(ours, theirs):
            return BaseState.ADVANCED
        return BaseState.BEHIND if await self._git.is_ancestor(theirs, ours) else BaseState.DIVERGED

    async def _advance(self, branch: str, ours: str, theirs: str) -> bool:
        ref = branch_ref(branch)
        announced = journal.announce(self._db, ref, ours, theirs, login=self._login, at=journal.micros(self._clock()))
        if await self._git.update_refs([f"update {ref}\0{theirs}\0{ours or '0' * len(theirs)}"]):
            journal.withdraw(self._db, announced)
            return False
        await self._reader.look()
        return True
