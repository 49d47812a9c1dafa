"""The CodeRun reconciler: gather (workspace, job), decide, apply through the runtime, write the status once.

Order of writes, for crashes: the attempt is in the status before its job exists; tokens and files are there before the start;
the token is revoked before the end is recorded. Each pass over a running run sees to it that its token is good for a while.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec.structs import replace

from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.errors import InvalidCodeRunError
from coderun.model.names import ANNOTATION_PLAY
from coderun.model.roster import Agent, Roster
from coderun.plan.lifecycle import JobView, RunDecision, Step, advance, finish
from coderun.plan.order import RunPlan
from coderun.plan.plan import plan, workspace_of
from coderun.plan.settings import RunSettings
from coderun.reconcile.result import NOT_AGAIN, Again
from coderun.reconcile.view import View
from coderun.runtime.protocol import Runtime
from coderun.store.protocol import ObjectStore

_log = structlog.get_logger(__name__)


class Tokens(Protocol):
    """Where forge tokens of runs come from."""

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        """A token that acts as `agent` on the run's repository, good for at least ten more minutes.

        Repeated calls give the same one until it must be renewed. What it may do follows from the run's stage.

        Raises:
            RefusedError: there can be none as things stand; the message says who has to do what.
        """
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
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._tokens = tokens
        self._view = view
        self._roster = roster
        self._settings = settings
        self._clock = clock

    async def reconcile(self, name: str) -> Again:
        """One pass over the CodeRun of that name. Raises what store and runtime raise; the pass is repeated then."""
        run = await self._store.get(CodeRun, name)
        if run is None:
            self._view.forget_run(name)
            return NOT_AGAIN
        if run.status.is_finished:
            self._view.forget_run(name)
            return await self._expire(run)
        keep = timedelta(days=self._settings.keep_finished_days)
        try:
            workspace = workspace_of(run, self._roster)
            if run.status.attempt == 0:
                self._plan(run)
            decision = await self._decide(run, workspace, keep)
        except InvalidCodeRunError as error:
            status = replace(run.status, observed_generation=run.metadata.generation)
            decision = finish(status, RunPhase.FAILED, "InvalidSpec", str(error), keep=keep, now=self._clock())
            await self._tokens.revoke(run.name)
            return await self._write(run, decision, workspace="")
        return await self._write(run, decision, workspace=workspace)

    def _plan(self, run: CodeRun) -> RunPlan:
        """What the run needs: planned before its first attempt is begun and at each start, never while it runs.

        A template that is broken while a run works on is no reason to call that run invalid.
        """
        return plan(run, self._roster, self._settings, attempt=max(1, run.status.attempt))

    async def _decide(self, run: CodeRun, workspace: str, keep: timedelta) -> RunDecision:
        self._view.see_run(run, workspace)
        job = await self._look(run)
        holder = self._view.holder_of(self._view.runs[run.name], self._settings.parallel_runs)
        decision = advance(run, workspace=workspace, holder=holder, job=job, keep=keep, now=self._clock())
        await self._apply(run, decision)
        return decision

    async def _look(self, run: CodeRun) -> JobView | None:
        if run.status.attempt == 0:
            return None
        seen = await self._runtime.observe(run.status.job_name)
        return JobView(state=seen.state.value, report=seen.report, detail=seen.detail)

    async def _apply(self, run: CodeRun, decision: RunDecision) -> None:
        if decision.step is Step.START:
            wanted = self._plan(run)
            token = await self._tokens.issue(run, self._agent_of(run))
            ready = replace(wanted, token=token)
            await self._runtime.prepare(ready)
            await self._runtime.start(ready)
            _log.info("run started", coderun=run.name, job=wanted.job)
        elif decision.step is Step.STOP:
            await self._runtime.stop(run.status.job_name, reason=run.spec.cancel_requested)
        if decision.status.work_completed:
            await self._tokens.revoke(run.name)
        elif decision.status.phase is RunPhase.RUNNING:
            token = await self._tokens.issue(run, self._agent_of(run))
            await self._runtime.renew_token(run.status.job_name, token)

    def _agent_of(self, run: CodeRun) -> Agent:
        return self._roster.of_app(run.spec.github_app, wanted_by=run.name)

    async def _write(self, run: CodeRun, decision: RunDecision, *, workspace: str) -> Again:
        written = run
        plays: tuple[str, ...] = ()
        if decision.status != run.status:
            written = await self._store.update_status(replace(run, status=decision.status))
            plays = tuple(filter(None, [run.metadata.annotations.get(ANNOTATION_PLAY, "")]))
        self._view.see_run(written, workspace)
        if not decision.status.work_completed:
            return Again(after=decision.again_after, plays=plays)
        result = decision.status.result
        reason = result.terminal_reason if result is not None else ""
        _log.info("run ended", coderun=run.name, phase=decision.status.phase.value, reason=reason)
        others = tuple(other for other, brief in self._view.runs.items() if not brief.begun)
        return Again(after=decision.again_after, runs=others, plays=plays)

    async def _expire(self, run: CodeRun) -> Again:
        expire_at = run.status.expire_at
        if expire_at is None or not run.status.job_name or run.status.attempt == 0:
            return NOT_AGAIN  # attempt 0: another controller's, whose job is not ours to remove
        left = (expire_at - self._clock()).total_seconds()
        if left > 0:
            return Again(after=left)
        await self._runtime.remove(run.status.job_name)
        return NOT_AGAIN
