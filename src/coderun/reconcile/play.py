"""The Play reconciler: gather facts, decide, apply, write the status once.

It never judges: `pipeline.decide` does. Runs are read before the forge, so that what a finished run published is seen. A pass
that writes a status is followed by another one, which is how a decision that takes two steps comes to its second.
"""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

import msgspec
import structlog
from msgspec.structs import replace

from coderun.forge.protocol import Forge, Forges
from coderun.model.coderun import CodeRun, CodeRunSpec
from coderun.model.errors import AlreadyExistsError, ForgeUnavailableError, NotFoundError, RefusedError, WriteConflictError
from coderun.model.meta import ControllerRef, ObjectMeta, find_condition
from coderun.model.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_PLAY,
    LABEL_AGENT,
    LABEL_PLAY,
    LABEL_SERVICE,
    LABEL_STAGE,
    LABEL_TASK,
    shorten,
)
from coderun.model.play import HistoryEntry, Play, PlayPhase, PlayStatus, Waiting, with_history
from coderun.model.pulls import PullRequest, PullState
from coderun.model.repository import default_service
from coderun.model.roster import Agent, Roster
from coderun.pipeline.decide import decide
from coderun.pipeline.decision import (
    Action,
    CancelRun,
    CreateRun,
    Decision,
    MergePullRequest,
    PostComment,
    RemoveLabel,
)
from coderun.pipeline.definition import Pipeline
from coderun.pipeline.facts import Association, Facts, Rules, RunFact, associate
from coderun.plan.lifecycle import READY
from coderun.reconcile.herald import Herald, Silent
from coderun.reconcile.result import AT_ONCE, NOT_AGAIN, Again
from coderun.reconcile.view import View
from coderun.store.protocol import ObjectStore

REFUSAL_RECHECK = 60.0
LONG_WAIT = 30.0
_log = structlog.get_logger(__name__)


class PlaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the Play reconciler is configured with.

    Attributes:
        pipelines: Definitions by name.
        parallel: How many plays may be under way at once.
        resync: Seconds after which an open play is looked at even if nothing was heard; spread by ±25 %.
    """

    pipelines: dict[str, Pipeline]
    roster: Roster
    rules: Rules = Rules()
    parallel: int = 1
    resync: float = 600.0


class _Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a decision's actions.

    Attributes:
        refusal: What the forge refused for good, "" where nothing.
        queued: The pull request that was put on a merge queue, or is there.
        runs: Those that were touched.
    """

    refusal: str = ""
    queued: int = 0
    runs: tuple[str, ...] = ()


class PlayReconciler:
    """Brings Plays forward. One pass at a time per Play; the queue sees to that."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        forges: Forges,
        view: View,
        settings: PlaySettings,
        clock: Callable[[], datetime],
        herald: Herald | None = None,
    ) -> None:
        self._herald = herald or Silent()
        self._store = store
        self._forges = forges
        self._view = view
        self._settings = settings
        self._clock = clock

    async def reconcile(self, name: str) -> Again:
        """One pass over the Play of that name. Raises what store and forge raise; the pass is repeated then."""
        play = await self._store.get(Play, name)
        if play is None or play.metadata.deletion_timestamp is not None:
            self._view.forget_play(name)
            return self._wake_pending()
        known = self._view.plays.get(name)
        self._view.see_play(play)
        if known is not None and _makes_room(known.phase, play.status.phase):
            # The answer to what was written was lost, or it was made again: others are looked at before this is gone on with.
            return replace(self._wake_pending(), after=AT_ONCE)
        pipeline = self._settings.pipelines.get(play.spec.pipeline)
        if pipeline is None:
            return await self._write(play, _seen(play, _no_pipeline(play, sorted(self._settings.pipelines), self._clock())))
        settled = play.is_finished and play.spec.retries == play.status.retries_seen
        if settled and not self._view.has_runs(shorten(name)):
            return await self._write(play, _seen(play, play.status))
        try:
            forge = await self._forges.of(play.spec.repository_url)
            facts = await self._gather(play, pipeline, forge)
        except (RefusedError, NotFoundError) as error:
            status = _refused(play.status, str(error), self._clock(), play.status.waiting)
            again = await self._write(play, _seen(play, status))
            return replace(again, after=REFUSAL_RECHECK)
        except ForgeUnavailableError as error:
            if (error.retry_after or 0.0) >= LONG_WAIT:
                await self._write(play, _seen(play, _held_up(play.status, str(error), self._clock())))
            raise
        return await self._carry_out(play, _in_two_steps(play, decide(play, facts, self._clock())), forge)

    async def _carry_out(self, play: Play, decision: Decision, forge: Forge) -> Again:
        # While this is carried out others are looked at: they must find the slot taken already.
        self._view.see_play(replace(play, status=decision.status))
        try:
            done = await self._apply(play, decision, forge)
            before, status = play.status.waiting, decision.status
            if done.refusal:
                status = _refused(status, done.refusal, self._clock(), before)
            elif done.queued:
                status = _queued(status, done.queued, self._clock(), before)
            if decision.because:
                _log.info("play moved", play=play.name, because=decision.because)
            again = await self._write(play, status)
        except BaseException:
            self._view.see_play(play)
            raise
        return replace(again, after=self._when(decision, status, is_held=bool(done.refusal or done.queued)), runs=done.runs)

    async def _gather(self, play: Play, pipeline: Pipeline, forge: Forge) -> Facts:
        runs = await self._store.find(CodeRun, labels={LABEL_PLAY: shorten(play.name)})
        found = await _associate(play, forge)
        brief = self._view.plays[play.name]
        return Facts(
            pipeline=pipeline,
            roster=self._settings.roster,
            agents=self._agents(play, pipeline),
            rules=self._settings.rules,
            pull_request=found.pull_request,
            mismatch=found.mismatch,
            rivals=found.rivals,
            runs=tuple(fact for run in runs if (fact := _fact(run)) is not None),
            blocked_by=self._view.unmet(brief),
            broken_dependencies=self._view.broken(brief),
            ahead=self._view.ahead_of(brief, self._settings.parallel) if brief.phase is PlayPhase.PENDING else (),
            twin=self._view.twin_of(brief) if brief.phase is PlayPhase.PENDING else "",
        )

    def _agents(self, play: Play, pipeline: Pipeline) -> dict[str, Agent]:
        roster = self._settings.roster
        chosen: dict[str, Agent] = {}
        for role in {stage.role for stage in pipeline.stages if stage.role}:
            named = play.spec.agents.get(role)
            agent = roster.agents.get(named) if named else roster.in_role(role)
            if agent is not None:
                chosen[role] = agent
        return chosen

    async def _apply(self, play: Play, decision: Decision, forge: Forge) -> "_Done":
        """Take the actions in order."""
        runs: list[str] = []
        refusal, queued = "", 0
        for action in decision.actions:
            if isinstance(action, CreateRun | CancelRun):
                runs.append(action.name)
            try:
                queued = await self._take(play, action, forge) or queued
            except RefusedError as error:
                refusal = str(error)
                _log.warning("an action was refused", play=play.name, action=type(action).__name__, error=refusal)
        return _Done(refusal=refusal, queued=queued, runs=tuple(runs))

    async def _take(self, play: Play, action: Action, forge: Forge) -> int:
        """Take one action; the number of the pull request that waits in a merge queue now, 0 where none does."""
        match action:
            case CreateRun():
                await self._create_run(play, action)
            case CancelRun():
                await self._cancel_run(action)
            case RemoveLabel():
                await forge.remove_label(action.number, action.label)
            case PostComment():
                await forge.comment(action.number, action.body, marker=action.marker)
            case MergePullRequest():
                pull = await forge.merge(action.number, head_sha=action.head_sha, method=action.method)
                return action.number if pull.state is PullState.OPEN else 0
            case _:
                assert_never(action)
        return 0

    async def _create_run(self, play: Play, action: CreateRun) -> None:
        agent = self._settings.roster.agents[action.agent]
        spec = play.spec
        service = spec.service or default_service(spec.repository_url)
        run = CodeRun(
            metadata=ObjectMeta(
                name=action.name,
                labels={
                    LABEL_PLAY: shorten(play.name),
                    LABEL_TASK: str(spec.task_id),
                    LABEL_SERVICE: service,
                    LABEL_AGENT: agent.name,
                    LABEL_STAGE: action.stage,
                },
                annotations={ANNOTATION_PLAY: play.name, ANNOTATION_ATTEMPT: str(action.attempt)},
                controller=ControllerRef(api_version=play.api_version, kind=play.KIND, name=play.name, uid=play.metadata.uid),
            ),
            spec=CodeRunSpec(
                task_id=spec.task_id,
                service=service,
                repository_url=spec.repository_url,
                docs_repository_url=spec.repository_url,
                github_app=agent.github_app or agent.name,
                context_version=action.iteration,
                continue_session=action.continue_session,
                stage=action.stage,
                base_branch=spec.base_branch,
                pull_request=action.pull_request,
                evidence=action.evidence,
                task=spec.task,
                context=action.context,
                prompt_modification=action.instructions,
                budget=spec.budget,
                cli_config=spec.cli_config,
                timeout=action.timeout,
            ),
        )
        try:
            await self._store.create(run)
        except AlreadyExistsError:
            # A pass before this one made it and did not come to write the status.
            return

    async def _cancel_run(self, action: CancelRun) -> None:
        while True:
            run = await self._store.get(CodeRun, action.name)
            if run is None or run.status.phase.is_finished or run.spec.cancel_requested:
                return
            try:
                await self._store.update(replace(run, spec=replace(run.spec, cancel_requested=action.reason)))
            except WriteConflictError:
                continue
            except NotFoundError:
                return
            return

    async def _write(self, play: Play, status: PlayStatus) -> Again:
        if status == play.status:
            return NOT_AGAIN
        written = await self._store.update_status(replace(play, status=status))
        self._view.see_play(written)
        for entry in status.history:
            if entry not in play.status.history:
                ended_badly = status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED} and entry is status.history[-1]
                self._herald.tell(written, entry.reason, entry.message, warning=ended_badly)
        return self._wake_pending() if _makes_room(play.status.phase, status.phase) else NOT_AGAIN

    def _wake_pending(self) -> Again:
        """Look at the plays that have not started: one of them may now."""
        return Again(plays=tuple(other.name for other in self._view.pending()))

    def _when(self, decision: Decision, status: PlayStatus, *, is_held: bool) -> float | None:
        if status.phase.is_finished:
            return None
        seconds = self._settings.resync
        if is_held:
            return min(seconds, REFUSAL_RECHECK)
        if decision.recheck_at is None:
            return seconds
        return min(seconds, max(0.05, (decision.recheck_at - self._clock()).total_seconds()))


def _makes_room(before: PlayPhase, now: PlayPhase) -> bool:
    """Whether others may start now, or wait for it again: one that waits for a person holds no slot."""
    return before is not now and (before.is_finished or now.is_finished or before is PlayPhase.RUNNING)


async def _associate(play: Play, forge: Forge) -> Association:
    known = play.status.pull_request
    candidates: list[PullRequest] = []
    if known is not None:
        bound = await forge.get_pull_request(known.number)
        candidates = [] if bound is None else [bound]
    if not candidates:
        candidates = await forge.find_pull_requests(play.spec.task_id)
    return associate(candidates, play.spec.task_id, play.spec.base_branch, known.number if known is not None else None)


def _in_two_steps(play: Play, decision: Decision) -> Decision:
    """Without the merge where the stage that merges is only being entered: the next pass makes it.

    A merge ends the play whatever its status says, so that what led to it must have been written before.
    """
    if decision.status.stage == play.status.stage:
        return decision
    return replace(decision, actions=tuple(each for each in decision.actions if not isinstance(each, MergePullRequest)))


def _seen(play: Play, status: PlayStatus) -> PlayStatus:
    return replace(status, observed_generation=play.metadata.generation)


def _fact(run: CodeRun) -> RunFact | None:
    spec, status = run.spec, run.status
    attempt = run.metadata.annotations.get(ANNOTATION_ATTEMPT, "1")
    if not spec.stage or not attempt.isdecimal():
        return None
    ready = find_condition(status.conditions, READY)
    return RunFact(
        name=run.name,
        stage=spec.stage,
        iteration=spec.context_version,
        attempt=int(attempt),
        agent=run.metadata.labels.get(LABEL_AGENT, ""),
        phase=status.phase,
        cancelling=bool(spec.cancel_requested),
        reason=status.result.terminal_reason if status.result is not None else (ready.reason if ready is not None else ""),
        message=status.message,
        finished_at=status.finished_at,
    )


def _refused(status: PlayStatus, refusal: str, now: datetime, old: Waiting | None) -> PlayStatus:
    """`status`, waiting for what was refused; since when, `old` says, so that the same refusal gives the same status."""
    since = old.since if old is not None and old.message == refusal else now
    waiting = Waiting(
        kind="person",
        reason="ForgeRefused",
        message=refusal,
        would_move="what the message asks for; it is tried again every minute",
        since=since,
    )
    return replace(status, waiting=waiting)


def _queued(status: PlayStatus, number: int, now: datetime, old: Waiting | None) -> PlayStatus:
    """`status`, waiting for the merge queue; since when, `old` says."""
    message = f"#{number} is on the merge queue"
    since = old.since if old is not None and old.message == message else now
    would_move = "the queue merging it; it is looked at every minute"
    return replace(
        status, waiting=Waiting(kind="gate", reason="MergeQueued", message=message, would_move=would_move, since=since)
    )


def _held_up(status: PlayStatus, why: str, now: datetime) -> PlayStatus:
    """`status`, waiting for a forge that has said that it will not answer for a while."""
    old = status.waiting
    since = old.since if old is not None and old.reason == "ForgeUnavailable" else now
    waiting = Waiting(
        kind="time", reason="ForgeUnavailable", message=why, would_move="happens by itself, once the forge answers", since=since
    )
    return replace(status, waiting=waiting)


def _no_pipeline(play: Play, known: list[str], now: datetime) -> PlayStatus:
    message = f"pipeline {play.spec.pipeline!r} is not known (known: {', '.join(known) or 'none'})"
    if play.status.waiting is not None and play.status.waiting.message == message:
        return play.status
    status = with_history(play.status, HistoryEntry(at=now, reason="UnknownPipeline", message=message))
    waiting = Waiting(
        kind="person", reason="UnknownPipeline", message=message, since=now, would_move="`pipeline:` in coderun.yaml"
    )
    return replace(status, waiting=waiting)
