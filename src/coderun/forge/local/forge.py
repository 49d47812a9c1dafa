"""`LocalForge`: the forge protocol over a bare repository and a database, as one identity.

Thin: it looks at the refs (`reading`), asks the rules (`protection`), and hands on to the modules that know rows and git. All
state is in the folder; any number of processes may hold such objects at once.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from coderun.forge.local import derive, journal, pulls
from coderun.forge.local.database import Database
from coderun.forge.local.git import Git, is_object_id
from coderun.forge.local.merging import Merger, merge_once
from coderun.forge.local.opening import BaseBranch, check_settings, identity_of, make_forge, new_token, revoke_tokens
from coderun.forge.local.protection import refusal_to_merge, refusal_to_review, standing_review
from coderun.forge.local.reading import Reader
from coderun.forge.local.records import BaseSync, ForgeEvent, ForgeSettings, Identity
from coderun.forge.local.repository import DATABASE, REPOSITORY, HookPrograms
from coderun.forge.texts import (
    checked_body,
    checked_branch,
    checked_label,
    checked_marker,
    checked_title,
    hidden_marker,
    one_line,
)
from coderun.model.errors import ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.pulls import (
    Check,
    Comment,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    Review,
    ReviewState,
)

_MERGE_TRIES: Final = 5
_MAX_DIFF: Final = 20 * 1024 * 1024
_MAX_SUMMARY: Final = 64 * 1024
_MAX_CHECK_NAME: Final = 200


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def _nobody() -> None:
    """Tell nobody."""


class LocalForge:
    """The pull requests of one bare repository. Made by `init` and `open`, not directly."""

    def __init__(
        self,
        folder: Path,
        db: Database,
        identity: Identity,
        *,
        clock: Callable[[], datetime],
        on_change: Callable[[], None],
        environment: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.repository = folder / REPOSITORY
        self.identity = identity
        self._db = db
        self._git = Git(self.repository, environment)
        self._clock = clock
        self._on_change = on_change
        self._reader = Reader(db, self._git, clock=clock, on_change=on_change)

    @classmethod
    async def init(
        cls,
        folder: Path,
        *,
        source_repository: Path,
        base_branch: str,
        hook_python: Path,
        wake_script: Path | None = None,
        wake_dir: Path | None = None,
        settings: ForgeSettings | None = None,
        clock: Callable[[], datetime] = utc_now,
        environment: Mapping[str, str] = os.environ,
    ) -> BaseSync:
        """Make the forge, or put an existing one right: repository, hooks, database, settings, base branch.

        Safe to repeat, also after a crash at any point, and by two processes at once. The settings are replaced by `settings`;
        without, those of an existing forge stay. Tells how the base branch stands to the user's, as `sync_base`. After each
        push `hook_python -I -S wake_script wake_dir` is run.

        Raises:
            ConfigError: git is too old, `source_repository` is no git repository, the branch or the person's login is unusable.
        """
        hooks = HookPrograms(python=hook_python, wake_script=wake_script, wake_dir=wake_dir)
        await make_forge(folder, source_repository, base_branch, hooks=hooks, settings=settings, environment=environment)
        forge = cls.open(folder, token=None, clock=clock, environment=environment)
        try:
            return await forge.sync_base(source_repository, base_branch)
        finally:
            forge.close()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        token: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_change: Callable[[], None] = _nobody,
        environment: Mapping[str, str] = os.environ,
    ) -> "LocalForge":
        """The forge in `folder` as whoever holds `token`; without one, as the person of its settings.

        `on_change` is called after each change made or first seen through this object, never in the midst of one.

        Raises:
            NotFoundError: there is no forge.
            RefusedError: the token is unknown or revoked.
        """
        db = Database(folder / DATABASE)
        try:
            identity = identity_of(db, token)
        except BaseException:
            db.close()
            raise
        return cls(folder, db, identity, clock=clock, on_change=on_change, environment=environment)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    @property
    def login(self) -> str:
        """Whose identity this is."""
        return self.identity.login

    @property
    def settings(self) -> ForgeSettings:
        """The settings as they are now; another process may have changed them."""
        return journal.read_settings(self._db)

    async def configure(self, settings: ForgeSettings) -> None:
        """Replace the settings; an agent is refused."""
        self._refuse_agents("change the forge's settings")
        check_settings(settings)
        with self._db.transaction():
            journal.write_settings(self._db, settings)
        self._on_change()

    async def issue_token(self, agent_login: str, run: str) -> str:
        """A new token that acts as `agent_login` until the run's tokens are revoked. Only its hash is kept."""
        self._refuse_agents("issue tokens")
        return new_token(self._db, agent_login, run, at=self._now())

    async def revoke_token(self, run: str) -> None:
        """End all tokens of a run; nothing happens where there are none."""
        self._refuse_agents("revoke tokens")
        revoke_tokens(self._db, run, at=self._now())

    async def sync_base(self, source_repository: Path, base_branch: str | None = None) -> BaseSync:
        """Move the forge's base branch forward to the user's, where that loses nothing; else only tell how they stand.

        The user's repository is only read.
        """
        self._refuse_agents("bring the base branch up to date")
        base = BaseBranch(self._db, self._git, self._reader, login=self.login, clock=self._clock)
        return await base.sync(source_repository, base_branch or self.settings.base_branch)

    async def tidy(self) -> None:
        """Pack what has gathered in the repository; takes seconds, loses nothing that a branch or pull request holds."""
        await self._git.run("gc", "--quiet")

    async def get_pull_request(self, number: int) -> PullRequest | None:
        """The pull request, None where there is none."""
        try:
            return await self._reader.get(number)
        except NotFoundError:
            return None

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        """All pull requests (of a state), oldest first."""
        await self._reader.look()
        return await self._reader.read(pulls.pull_numbers(self._db, state))

    async def find_pull_requests(self, task_id: int) -> list[PullRequest]:
        """Pull requests of any state that carry at least one mark of this task, oldest first."""
        return await self._reader.of_task(task_id)

    async def comments(self, number: int) -> list[Comment]:
        """The conversation, oldest first."""
        self._reader.require(number)
        return pulls.read_comments(self._db, number)

    async def diff(self, number: int) -> str:
        """The diff of the head against where it left the base; a merged one's as it was before the merge."""
        pull = await self._reader.get(number)
        merge_base = derive.merge_base_of(self._db, number)
        if not merge_base:
            raise RefusedError(
                f"pull request {number} shares no history with its base branch, so there is nothing to compare with"
            )
        return await self._git.diff(merge_base, pull.head_sha, _MAX_DIFF)

    async def events_after(self, after: int, limit: int = 100) -> list[ForgeEvent]:
        """The oldest events with an id greater than `after`, moves of refs up to this moment included."""
        await self._reader.look()
        return journal.events_after(self._db, after, limit)

    async def revision(self) -> int:
        """Id of the last event: grows with every change, moves of refs up to this moment included. Cheap."""
        await self._reader.look()
        return journal.last_event(self._db)

    async def open_pull_request(self, new: NewPullRequest) -> PullRequest:
        """Open it, or give back the open one of the same head and base (labels it lacks are set).

        Raises:
            RefusedError: no such branch, no commits between them, unusable title, body or label.
        """
        checked_branch(new.head_branch)
        checked_branch(new.base_branch)
        labels = tuple(checked_label(label) for label in new.labels)
        title, body = checked_title(new.title), checked_body(new.body, "the body")
        wanted = msgspec.structs.replace(new, title=title, body=body, labels=labels)
        await self._reader.look()
        head, base, derived = await self._openable(wanted)
        before = journal.last_event(self._db)
        with self._db.transaction():
            number = pulls.ensure_pull(self._db, wanted, author=self.login, head_sha=head, at=self._now())
            for label in labels:
                if not pulls.has_label(self._db, number, label):
                    pulls.set_label(self._db, number, label, login=self.login, at=self._now())
        if derived is not None:
            derive.keep_derivation(self._db, number, head, base, derived)
        try:
            await self._reader.pin()
            return await self._reader.get(number)
        finally:  # told of last, so that whoever looks finds derived what follows from the commits
            if journal.last_event(self._db) != before:
                self._on_change()

    async def _openable(self, new: NewPullRequest) -> tuple[str, str, derive.Derivation | None]:
        """The head and base commit, where there is something to open, and for a new one what follows from them."""
        head = journal.known_branch(self._db, new.head_branch)
        base = journal.known_branch(self._db, new.base_branch)
        for sha, branch in ((head, new.head_branch), (base, new.base_branch)):
            if not sha:
                raise RefusedError(f"the forge has no branch {branch!r}; push it before opening a pull request")
        derived = None
        if pulls.open_pull_of(self._db, new.head_branch, new.base_branch) is None:
            derived = await derive.derive(self._git, head, base)
            if derived.commits == ():
                raise RefusedError(
                    f"{new.head_branch!r} has no commits that {new.base_branch!r} lacks; push some, then open it"
                )
            if not derived.merge_base:
                raise RefusedError(
                    f"{new.head_branch!r} shares no history with {new.base_branch!r}; branch off from it instead"
                )
        return head, base, derived

    async def set_draft(self, number: int, *, draft: bool) -> None:
        """Turn an open pull request into a draft, or mark it ready."""
        self._reader.require(number)
        await self._reader.look()
        with self._db.transaction():
            changed = pulls.set_draft(self._db, number, draft=draft, login=self.login, at=self._now())
        self._tell(changed=changed)

    async def add_label(self, number: int, label: str) -> None:
        """Set a label on the head as it is now; where it is there but bound to another head or login, it is set anew."""
        name = checked_label(label)
        self._reader.require(number)
        await self._reader.look()
        with self._db.transaction():
            changed = pulls.set_label(self._db, number, name, login=self.login, at=self._now())
        self._tell(changed=changed)

    async def remove_label(self, number: int, label: str) -> None:
        """Take a label off; nothing happens where it is not there."""
        self._reader.require(number)
        await self._reader.look()
        with self._db.transaction():
            changed = pulls.drop_label(self._db, number, label, login=self.login, at=self._now())
        self._tell(changed=changed)

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        """Add a comment; with a `marker`, the own comment that carries it is edited instead of repeated."""
        self._reader.require(number)
        text = checked_body(body, "the comment")
        if marker:
            text = f"{text}\n\n{hidden_marker(checked_marker(marker))}"
        with self._db.transaction():
            changed = pulls.put_comment(self._db, number, text, marker=marker, login=self.login, at=self._now())
        self._tell(changed=changed)

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:
        """Nothing: there are no reactions here, and `coderun why` tells what became of a command."""

    async def review(self, number: int, state: ReviewState, body: str, *, head_sha: str) -> Review:
        """Submit a review of that commit, or give back the own one that says the same of it and still stands.

        Raises:
            RefusedError: approval or change request on one's own pull request; the head is another one by now.
        """
        text = checked_body(body, "the review")
        pull = await self._reader.get(number)
        said = standing_review(pull.reviews, self.login, state, head_sha)
        if said is not None and said.state is state and said.body == text:
            return said
        with self._db.transaction():
            current = msgspec.structs.replace(pull, head_sha=pulls.head_of(self._db, number))
            _refuse(refusal_to_review(current, self.identity, state, head_sha))
            review = pulls.insert_review(self._db, number, state, text, login=self.login, head_sha=head_sha, at=self._now())
        self._on_change()
        return review

    async def merge(
        self, number: int, *, head_sha: str, method: MergeMethod = MergeMethod.MERGE, admin: bool = False
    ) -> PullRequest:
        """Merge exactly this head; merged already at it, it is given back.

        `admin` lets a person past a missing approval.

        Raises:
            RefusedError: moved on, conflicts, not approved, not open, not allowed.
        """
        for _ in range(_MERGE_TRIES):
            pull = await self._reader.get(number)
            if pull.state is PullState.MERGED and pull.head_sha == head_sha:
                return pull
            settings = self.settings
            _refuse(refusal_to_merge(pull, self.identity, settings, head_sha, admin=admin))
            merger = Merger(identity=self.identity, method=method, at=self._clock())
            if await merge_once(self._db, self._git, pull, settings, merger):
                return await self._reader.get(number)
        raise ForgeUnavailableError(f"pull request {number} kept moving while it was merged; try again")

    async def close_pull_request(self, number: int) -> None:
        """Close it unmerged; nothing happens where it is not open."""
        self._reader.require(number)
        await self._reader.look()
        with self._db.transaction():
            changed = pulls.close_pull(self._db, number, login=self.login, at=self._now())
        self._tell(changed=changed)

    async def reopen_pull_request(self, number: int) -> None:
        """Open a closed one again, at its branch's head as it is now; nothing happens where it is open.

        Raises:
            RefusedError: it is merged, its branch is gone, or another one of the same branches is open.
        """
        pull = await self._reader.get(number)
        if pull.state is PullState.OPEN:
            return
        head = journal.known_branch(self._db, pull.head_branch)
        if pull.state is PullState.MERGED or not head:
            found = "merged" if pull.state is PullState.MERGED else f"closed and its branch {pull.head_branch!r} is gone"
            raise RefusedError(f"pull request {number} is {found}, so it cannot be reopened; open another one")
        with self._db.transaction():
            other = pulls.open_pull_of(self._db, pull.head_branch, pull.base_branch)
            if other is not None:
                raise RefusedError(f"pull request {other} is open for the same branches; use that one instead of {number}")
            pulls.reopen_pull(self._db, number, head_sha=head, login=self.login, at=self._now())
        await self._reader.pin()
        self._on_change()

    async def set_checks(self, head_sha: str, checks: Iterable[Check], *, only_open: bool = False) -> None:
        """Record checks of a commit; one of the same name is replaced. Agents are refused: they would judge their own work.

        With `only_open` only what is there and pending is replaced.
        """
        self._refuse_agents("record checks")
        if not is_object_id(head_sha):
            raise RefusedError(f"{one_line(head_sha, 80)!r} is no full commit id; checks are recorded for one commit")
        calm = [_calm_check(check) for check in checks]
        with self._db.transaction():
            changed = pulls.put_checks(self._db, head_sha, calm, only_open=only_open, login=self.login, at=self._now())
        self._tell(changed=changed)

    def _now(self) -> int:
        return journal.micros(self._clock())

    def _tell(self, *, changed: bool) -> None:
        if changed:
            self._on_change()

    def _refuse_agents(self, deed: str) -> None:
        if self.identity.is_agent:
            raise RefusedError(
                f"{self.login} is an agent and may not {deed}; that is the controller's and the person's business"
            )


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise RefusedError(refusal)


def _calm_check(check: Check) -> Check:
    summary = checked_body(check.summary[-_MAX_SUMMARY:], "the summary")
    return msgspec.structs.replace(check, name=one_line(check.name, _MAX_CHECK_NAME), summary=summary)
