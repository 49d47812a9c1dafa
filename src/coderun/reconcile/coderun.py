"""The CodeRun reconciler: gather (workspace, job), decide, apply through the runtime, write the status once.

Order of writes, for crashes: the attempt is in the status before its job exists; tokens and files are there before the start;
the token is revoked before the end is recorded. Each pass over a running run sees to it that its token is good for a while. A
token that a controller which is gone has given lies with the job: it is read there before anything takes its place. A run
that is refused a token is not begun, and stands aside: it holds neither workspace nor slot up for others.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec.structs import replace

from coderun.model.coderun import CodeRun, CodeRunStatus, RunPhase
from coderun.model.errors import (
    CoderunError,
    ForgeUnavailableError,
    InvalidCodeRunError,
    OwnershipConflictError,
    RefusedError,
    UnavailableError,
)
from coderun.model.meta import find_condition
from coderun.model.names import ANNOTATION_PLAY
from coderun.model.roster import Agent, Roster
from coderun.plan.lifecycle import CANNOT_START, READY, STARTS, JobView, RunDecision, Step, advance, finish, hindered, started
from coderun.plan.order import RunPlan
from coderun.plan.plan import plan, workspace_of
from coderun.plan.settings import RunSettings
from coderun.reconcile.herald import Herald, Silent
from coderun.reconcile.result import AT_ONCE, NOT_AGAIN, Again
from coderun.reconcile.view import RunBrief, View
from coderun.runtime.protocol import Runtime
from coderun.store.protocol import ObjectStore

_log = structlog.get_logger(__name__)
_ENDING = 2.0
"""When (seconds) a job that was told to end is looked at again, if nothing is heard of it before."""


class Tokens(Protocol):
    """Where forge tokens of runs come from."""

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        """A token that acts as `agent` on the run's repository, good for at least ten more minutes.

        Repeated calls give the same one until it must be renewed. What it may do follows from the run's stage.

        Raises:
            RefusedError: there can be none as things stand; the message says who has to do what.
        """
        ...

    def knows(self, run: str) -> bool:
        """Whether nothing has to be inherited for all tokens of a run to be ended."""
        ...

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        """Remember a token that a controller before this one gave the run: it is ended with the others."""
        ...

    async def revoke(self, run: str) -> None:
        """End all tokens of a run."""
        ...


class CodeRunReconciler:
    """Brings CodeRuns forward. One pass at a time per CodeRun; the queue sees to that."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        runtime: Runtime,
        tokens: Tokens,
        view: View,
        roster: Roster,
        settings: RunSettings,
        clock: Callable[[], datetime],
        herald: Herald | None = None,
    ) -> None:
        self._herald = herald or Silent()
        self._store = store
        self._runtime = runtime
        self._tokens = tokens
        self._view = view
        self._roster = roster
        self._settings = settings
        self._clock = clock
        self._planned: dict[str, tuple[str, int, RunPlan]] = {}
        self._begun_here: set[str] = set()

    async def reconcile(self, name: str) -> Again:
        """One pass over the CodeRun of that name, and the next where that is due at once.

        Raises what store and runtime raise; the pass is repeated then.
        """
        try:
            again = await self._pass(name)
            if again.after != 0:
                return again
            next_ = await self._pass(name)
            return replace(next_, plays=again.plays or next_.plays, runs=(*again.runs, *next_.runs))
        finally:
            self._planned.pop(name, None)

    async def _pass(self, name: str) -> Again:
        run = await self._store.get(CodeRun, name)
        if run is None or run.metadata.deletion_timestamp is not None:
            return await self._vanished(name)
        known = self._view.runs.get(name)
        if known is not None and known.uid != run.metadata.uid:
            # Deleted and made again, told as one: those who waited for the earlier one are looked at first.
            return replace(await self._vanished(name), after=AT_ONCE)
        if run.status.is_finished:
            return await self._finished(run)
        keep = timedelta(days=self._settings.keep_finished_days)
        try:
            workspace = workspace_of(run, self._roster)
            if run.status.attempt == 0:
                self._plan(run)
            decision = await self._decide(run, workspace, keep)
            if decision.status.attempt > run.status.attempt:
                if (refusal := await self._refusal(run)) is not None:
                    return await self._stand_aside(run, workspace, refusal)
                # To get the token took a while: another run may hold the workspace by now.
                decision = await self._decide(run, workspace, keep)
        except (InvalidCodeRunError, OwnershipConflictError) as error:
            status = replace(run.status, observed_generation=run.metadata.generation)
            reason = "InvalidSpec" if isinstance(error, InvalidCodeRunError) else "OwnershipConflict"
            decision = finish(status, RunPhase.FAILED, reason, str(error), keep=keep, now=self._clock())
            await self._end_tokens(run)
            if await self._is_being_ended(run, str(error)):
                return Again(after=_ENDING)
            return await self._write(run, decision, workspace="")
        return await self._write(run, decision, workspace=workspace)

    def _plan(self, run: CodeRun) -> RunPlan:
        """What the run needs: planned before its first attempt is begun and at each start, never while it runs.

        A template that is broken while a run works on is no reason to call that run invalid.
        """
        # The pass that begins an attempt and the one that starts its job follow each other: planning once is enough for both.
        known = self._planned.pop(run.name, None)
        if known is not None and known[:2] == (run.metadata.uid, run.metadata.generation):
            return known[2]
        wanted = plan(run, self._roster, self._settings, attempt=max(1, run.status.attempt))
        if run.status.attempt == 0:
            self._planned[run.name] = (run.metadata.uid, run.metadata.generation, wanted)
        return wanted

    async def _decide(self, run: CodeRun, workspace: str, keep: timedelta) -> RunDecision:
        self._view.see_run(run, workspace)
        job = await self._look(run)
        holder = self._view.holder_of(self._view.runs[run.name], self._settings.parallel_runs)
        decision = advance(run, workspace=workspace, holder=holder, job=job, keep=keep, now=self._clock())
        await self._apply(run, decision)
        if decision.step is Step.START and (seen := await self._look(run)) is not None:
            decision = started(run, decision, seen)
        if decision.status.phase is RunPhase.RUNNING and not decision.status.work_completed:
            return replace(decision, status=replace(decision.status, message=await self._renew(run) or decision.status.message))
        return decision

    async def _look(self, run: CodeRun) -> JobView | None:
        if run.status.attempt == 0:
            return None
        seen = await self._runtime.observe(run.status.job_name, owner=run.metadata.uid)
        again = 0.5 if seen.again is None else seen.again
        return JobView(state=seen.state.value, report=seen.report, detail=seen.detail, again=again, files=seen.files)

    async def _apply(self, run: CodeRun, decision: RunDecision) -> None:
        if decision.step is Step.START:
            await self._start(run, self._plan(run))
        elif decision.step is Step.STOP:
            await self._runtime.stop(run.status.job_name, reason=run.spec.cancel_requested)
        if decision.status.work_completed:
            await self._end_tokens(run)

    async def _end_tokens(self, run: CodeRun) -> None:
        """Revoke the run's tokens, whoever gave them, and leave none lying about."""
        await self._inherit(run)
        await self._tokens.revoke(run.name)
        if run.status.attempt > 0:
            try:
                await self._runtime.drop_token(run.status.job_name)
            except CoderunError as error:
                # It has been revoked: no reason to keep the run from its end.
                _log.warning("token not taken away", coderun=run.name, error=str(error))

    async def _inherit(self, run: CodeRun) -> None:
        """Take over what a controller that is gone gave the run, where this one does not know: it would be lost."""
        if run.status.attempt == 0 or run.name in self._begun_here or self._tokens.knows(run.name):
            return
        with contextlib.suppress(InvalidCodeRunError):  # no agent of the roster: nobody there whose token it could be
            agent = self._agent_of(run)
            if token := await self._runtime.token_of(run.status.job_name):
                self._tokens.inherit(run, agent, token)

    async def _renew(self, run: CodeRun) -> str:
        """See to it that the token of a running run is good for a while; why it is not, "" where all is well."""
        await self._inherit(run)
        try:
            token = await self._tokens.issue(run, self._agent_of(run))
        except RefusedError as error:
            return f"its token is not renewed: {error}"
        except ForgeUnavailableError as error:
            _log.warning("token not renewed yet", coderun=run.name, error=str(error))
            return ""
        await self._runtime.renew_token(run.status.job_name, token)
        return ""

    async def _refusal(self, run: CodeRun) -> RefusedError | None:
        """Why the run gets no token. Where the forge does not answer that is unknown, and the same for all others."""
        try:
            await self._tokens.issue(run, self._agent_of(run))
        except RefusedError as error:
            return error
        except ForgeUnavailableError as error:
            _log.warning("token not issued yet", coderun=run.name, error=str(error))
        return None

    async def _stand_aside(self, run: CodeRun, workspace: str, refusal: RefusedError) -> Again:
        """Say why the run is not begun, and let others go first until it is tried again."""
        written = await self._write_hindrance(run, refusal)
        self._view.see_run(written, workspace)
        return Again(runs=self._freed(self._view.runs[run.name]) if written is not run else (), trouble=refusal)

    async def _write_hindrance(self, run: CodeRun, error: CoderunError) -> CodeRun:
        """The run as it is written once its status says what keeps it from starting; itself where that stands there already."""
        status = hindered(run, str(error), now=self._clock())
        if status == run.status:
            return run
        written = await self._store.update_status(replace(run, status=status))
        self._announce(run, written)
        return written

    async def _start(self, run: CodeRun, wanted: RunPlan) -> None:
        """Start the job. What keeps it from that stands in the status before it is raised."""
        try:
            await self._inherit(run)
            ready = replace(wanted, token=await self._tokens.issue(run, self._agent_of(run)))
            await self._runtime.prepare(ready)
            await self._runtime.start(ready)
        except (UnavailableError, RefusedError) as error:
            await self._write_hindrance(run, error)
            raise
        _log.info("run started", coderun=run.name, job=wanted.job)

    def _agent_of(self, run: CodeRun) -> Agent:
        return self._roster.of_app(run.spec.github_app, wanted_by=run.name)

    async def _write(self, run: CodeRun, decision: RunDecision, *, workspace: str) -> Again:
        written = run
        plays: tuple[str, ...] = ()
        before = self._view.runs.get(run.name)
        if decision.status != run.status:
            written = await self._write_status(run, decision.status, workspace)
            self._announce(run, written)
            plays = _one(run.metadata.annotations.get(ANNOTATION_PLAY, ""))
        self._view.see_run(written, workspace)
        if not decision.status.work_completed:
            return Again(after=decision.again_after, plays=plays)
        self._begun_here.discard(run.name)
        result = decision.status.result
        reason = result.terminal_reason if result is not None else ""
        _log.info("run ended", coderun=run.name, phase=decision.status.phase.value, reason=reason)
        return Again(after=decision.again_after, runs=self._freed(before), plays=plays)

    async def _write_status(self, run: CodeRun, status: CodeRunStatus, workspace: str) -> CodeRun:
        changed = replace(run, status=status)
        if status.attempt > run.status.attempt:
            # While this is written others are looked at: they must find workspace and slot taken already.
            self._view.see_run(changed, workspace)
        try:
            written = await self._store.update_status(changed)
        except BaseException:
            self._view.see_run(run, workspace)
            raise
        if status.attempt > run.status.attempt:
            self._begun_here.add(run.name)
        return written

    def _announce(self, before: CodeRun, after: CodeRun) -> None:
        """Tell what has become of it, where that is something new; that it is about to start is nobody's news."""
        old, new = find_condition(before.status.conditions, READY), find_condition(after.status.conditions, READY)
        if new is None or new.message == STARTS:
            return
        if old is None or (old.reason, old.message) != (new.reason, new.message):
            warning = after.status.phase is RunPhase.FAILED or new.reason == CANNOT_START
            self._herald.tell(after, new.reason, new.message, warning=warning)

    async def _vanished(self, name: str) -> Again:
        """The CodeRun was deleted: what was made for it goes with it, its Play goes on, and others may have waited for it."""
        brief = self._view.runs.get(name)
        self._view.forget_run(name)
        self._begun_here.discard(name)
        if brief is None:
            return NOT_AGAIN
        if brief.begun or self._tokens.knows(name):
            await self._tokens.revoke(name)
        return Again(runs=self._freed(brief), plays=_one(brief.told))

    def _freed(self, brief: RunBrief | None) -> tuple[str, ...]:
        """Runs that may start now that the run of this brief is over."""
        return () if brief is None else self._view.may_start_after(brief, self._settings.parallel_runs)

    async def _finished(self, run: CodeRun) -> Again:
        """Its job is removed in time. Where it was known as unfinished, its end is news, and its job is seen to its end.

        Either the answer to what this controller wrote was lost, or somebody else wrote it.
        """
        brief = self._view.runs.get(run.name)
        if brief is not None and brief.begun:
            await self._end_tokens(run)
            if await self._is_being_ended(run, "its CodeRun is finished"):
                return Again(after=_ENDING)
        again = await self._expire(run)
        self._view.forget_run(run.name)
        self._begun_here.discard(run.name)
        return again if brief is None else replace(again, runs=self._freed(brief), plays=_one(brief.told))

    async def _is_being_ended(self, run: CodeRun, reason: str) -> bool:
        """Whether there is a job yet, which is told to end: nobody else may have its workspace before it has."""
        seen = await self._look(run)
        if seen is None or seen.state not in {"starting", "running"}:
            return False
        await self._runtime.stop(run.status.job_name, reason=reason)
        return True

    async def _expire(self, run: CodeRun) -> Again:
        expire_at = run.status.expire_at
        if expire_at is None or not run.status.job_name or run.status.attempt == 0:
            return NOT_AGAIN  # attempt 0: another controller's, whose job is not ours to remove
        left = (expire_at - self._clock()).total_seconds()
        if left > 0:
            return Again(after=left)
        await self._runtime.remove(run.status.job_name)
        return NOT_AGAIN


def _one(name: str) -> tuple[str, ...]:
    return (name,) if name else ()
