"""Talks with people on a play's pull request: takes their commands, keeps the status comment and the check up to date.

Beside the Play reconciler, after each of its passes, and never in its way: what fails here is tried again and stops no play. A
command and the record of it are one write of the spec, so that each comment is acted on once, also after a crash. Nothing is
judged here: `pipeline.commands` says what a comment asks for and who may, `pipeline.telling` what is told.
"""

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from coderun.forge.protocol import Forge, Forges
from coderun.model.errors import NotFoundError, RefusedError, WriteConflictError
from coderun.model.play import Play, PlayCommand, PlayPhase, PlaySpec, is_known_comment, with_commands
from coderun.model.pulls import Check, Comment, PullRequest
from coderun.model.roster import Roster
from coderun.pipeline.commands import DONE, KNOWN, Asked, Verb, asked_in, change_of, refusal_of, stale
from coderun.pipeline.definition import Pipeline
from coderun.pipeline.telling import orphaned_check, outdated_check, own_check, status_comment
from coderun.reconcile.result import NOT_AGAIN, Again
from coderun.store.protocol import ObjectStore

EDIT_SECONDS: Final = 15.0
"""A comment is not edited more often than this: each edit is a write at the forge, and there are limits."""

EDITS_A_MINUTE: Final = 20
"""Over all plays: what is told must leave room for what plays do on the forge. The end of a play is told all the same."""

OLD_HEADS: Final = 10
"""So many of the heads that a pull request had before are looked at for a check that an earlier controller left open."""

_ANSWERED_WITHIN: Final = timedelta(hours=1)
_MINUTE: Final = 60.0
_log = structlog.get_logger(__name__)


class TalkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is talked about. The roster's agents go by the logins that the forge knows them by."""

    pipelines: Mapping[str, Pipeline]
    roster: Roster
    commands: bool = True
    status_comment: bool = False
    check_run: bool = False


class _Checked(msgspec.Struct):
    """Commits of a play on which a check may be open."""

    repository_url: str
    heads: set[str]


class TalkReconciler:
    """Talks on the pull requests of Plays. One pass at a time per Play; the queue sees to that. `monotonic` is in seconds."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        forges: Forges,
        settings: TalkSettings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._forges = forges
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._told: dict[str, tuple[str, float]] = {}
        self._checked: dict[str, _Checked] = {}
        self._answered: set[tuple[str, int]] = set()
        self._edits: deque[float] = deque()

    async def reconcile(self, name: str) -> Again:
        """One pass over the Play of that name. Raises what store and forge raise; the pass is repeated then."""
        play = await self._store.get(Play, name)
        if play is None:
            await self._close_orphans(name)
        if play is None or play.status.pull_request is None:
            self._told.pop(name, None)
            return NOT_AGAIN
        forge = await self._forges.of(play.spec.repository_url)
        number = play.status.pull_request.number
        if self._settings.commands:
            play = await self._obey(play, forge, number)
            await self._answer(play, forge, number)
        pipeline = self._settings.pipelines.get(play.spec.pipeline)
        return Again(after=await self._tell(play, pipeline, forge, number) if pipeline is not None else None)

    # -- commands ----------------------------------------------------------------------------------------------------------

    async def _obey(self, play: Play, forge: Forge, number: int) -> Play:
        """Act on the commands that are new; the play then."""
        given = [(comment, asked) for comment in await forge.comments(number) if (asked := asked_in(comment.body)) is not None]
        while True:
            fresh = [(comment, asked) for comment, asked in given if _is_new(play, comment)]
            if not fresh:
                return play
            pull = await forge.get_pull_request(number)
            spec = self._after(play, sorted(fresh, key=lambda each: each[0].id), pull)
            if spec == play.spec:
                return play
            try:
                return await self._store.update(replace(play, spec=spec))
            except WriteConflictError:
                again = await self._store.get(Play, play.name)
                if again is None:
                    return play
                play = again

    def _after(self, play: Play, fresh: list[tuple[Comment, Asked]], pull: PullRequest | None) -> PlaySpec:
        """The spec after these commands, each seeing what those before it made."""
        for comment, asked in fresh:
            if asked.verb is Verb.APPROVE and not play.is_finished and not _sees_head(play, pull):
                # What it would approve is not known yet: the pass in which the play sees this head is followed by one here.
                return play.spec
            spec, record = self._one(play, comment, asked, pull)
            play = replace(play, spec=with_commands(spec, [record]))
            _log.info("command in a comment", play=play.name, by=record.by, accepted=record.accepted, outcome=record.outcome)
        return play.spec

    def _one(self, play: Play, comment: Comment, asked: Asked, pull: PullRequest | None) -> tuple[PlaySpec, PlayCommand]:
        record = PlayCommand(
            comment=comment.id,
            command=asked.verb.value if asked.verb is not None else asked.said,
            by=comment.actor.login,
            at=comment.at,
        )
        refusal = refusal_of(comment, self._settings.roster)
        if not refusal and asked.verb is None:
            refusal = f"{asked.said!r} is no command; there are {KNOWN}"
        if not refusal and asked.verb is not None and pull is not None:
            refusal = stale(asked.verb, comment, play, pull)
        if refusal or asked.verb is None:
            return play.spec, replace(record, outcome=f"refused: {refusal}")
        try:
            spec = change_of(asked.verb, comment.actor.login, comment.at or self._clock())(play)
        except RefusedError as error:
            return play.spec, replace(record, outcome=f"refused: {error}")
        return spec, replace(record, accepted=True, outcome=DONE[asked.verb])

    async def _answer(self, play: Play, forge: Forge, number: int) -> None:
        """Let those who gave commands see that they were heard; what was answered before costs nothing."""
        for record in play.spec.commands:
            key = (play.name, record.comment)
            is_old = record.at is not None and self._clock() - record.at > _ANSWERED_WITHIN
            if is_old or key in self._answered:
                continue
            try:
                await forge.react(number, record.comment, accepted=record.accepted)
            except RefusedError as error:
                _log.warning("command not answered", play=play.name, error=str(error))
            self._answered.add(key)

    # -- telling -----------------------------------------------------------------------------------------------------------

    async def _tell(self, play: Play, pipeline: Pipeline, forge: Forge, number: int) -> float | None:
        """Keep comment and check up to date; seconds until what is new may be told, None where all is told."""
        if not self._settings.status_comment and not self._settings.check_run:
            return None
        text = status_comment(play, pipeline)
        told, at = self._told.get(play.name, ("", -EDIT_SECONDS))
        head = play.status.pull_request.head_sha if play.status.pull_request is not None else ""
        digest = hashlib.sha256(f"{head}\n{text}".encode()).hexdigest()
        if told == digest:
            return None
        now = self._monotonic()
        # Whoever is waited for is told at once: the controller may go with the command that shows the play.
        spacing = 0.0 if play.status.phase is PlayPhase.WAITING else at + EDIT_SECONDS - now
        left = max(spacing, self._full_for(now))
        if left > 0 and not play.is_finished:
            return left
        self._edits.append(now)
        try:
            if self._settings.status_comment:
                await forge.comment(number, text, marker=f"status:{play.name}")
            if self._settings.check_run and head:
                await self._show_check(play, pipeline, forge, head)
        except RefusedError as error:
            # Said once, and tried again when there is something new to tell.
            _log.warning("nothing told on the pull request", play=play.name, error=str(error))
        self._told[play.name] = (digest, self._monotonic())
        return None

    async def _show_check(self, play: Play, pipeline: Pipeline, forge: Forge, head: str) -> None:
        """Show the check on this head, and leave none open on those before it."""
        checked = self._checked.get(play.name)
        if checked is None:
            # An earlier controller may have shown it on heads of which only the forge knows.
            pull = await forge.get_pull_request(play.status.pull_request.number) if play.status.pull_request else None
            pushes = pull.pushes[-OLD_HEADS:] if pull is not None else ()
            checked = _Checked(repository_url=play.spec.repository_url, heads={push.sha for push in pushes})
            self._checked[play.name] = checked
        for old in sorted(checked.heads - {head}):
            await self._close_check(forge, old, outdated_check(play, head))
            checked.heads.discard(old)
        checked.heads.add(head)
        await forge.set_checks(head, [own_check(play, pipeline)])

    async def _close_orphans(self, name: str) -> None:
        """Leave no check open of a play that was deleted."""
        checked = self._checked.get(name)
        if checked is None:
            return
        with contextlib.suppress(RefusedError):  # no way there any more: nobody can close them
            forge = await self._forges.of(checked.repository_url)
            for head in sorted(checked.heads):
                await self._close_check(forge, head, orphaned_check(name))
        del self._checked[name]

    async def _close_check(self, forge: Forge, head: str, check: Check) -> None:
        try:
            await forge.set_checks(head, [check], only_open=True)
        except (RefusedError, NotFoundError) as error:
            _log.info("check not closed", head=head, error=str(error))  # the commit may be gone

    def _full_for(self, now: float) -> float:
        """Seconds until there is room for one more edit."""
        while self._edits and self._edits[0] <= now - _MINUTE:
            self._edits.popleft()
        return self._edits[0] + _MINUTE - now if len(self._edits) >= EDITS_A_MINUTE else 0.0


def _sees_head(play: Play, pull: PullRequest | None) -> bool:
    """Whether the play knows the head that its pull request has."""
    known = play.status.pull_request
    return pull is None or known is None or pull.head_sha == known.head_sha


def _is_new(play: Play, comment: Comment) -> bool:
    """Whether a comment belongs to this play and was not acted on."""
    made = play.metadata.creation_timestamp
    is_older = comment.at is not None and made is not None and comment.at < made
    return not is_older and not is_known_comment(play.spec, comment.id)
