"""One run from beginning to end: checkout, agent CLI, push, pull request, checks, label, review, evidence, report.

`coderun agent` calls it inside its supervision, which ends processes, keeps locks and writes the report down. Whatever
happens in here becomes a report; whatever the agent had done by then is kept. What succeeds is decided by the forge alone.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from coderun.agent.access import git_settings, git_variables
from coderun.agent.adapters import AgentEnd, Commission, adapter_for
from coderun.agent.checkout import Checkout, Wanted, check_out
from coderun.agent.environment import build_environment, is_settable, secrets_of
from coderun.agent.evidence import missing_evidence
from coderun.agent.git import Git, git_environment
from coderun.agent.instructions import instructions
from coderun.agent.marker import add_marker
from coderun.agent.memory import prepare_memory, read_memory
from coderun.agent.patience import Patience
from coderun.agent.ports import Clock, Places, Programs
from coderun.agent.publish import (
    asks_for,
    check_verdict,
    find_pull_request,
    judges,
    open_pull_request,
    post_review,
    set_labels,
    wait_for_checks,
    wait_for_head,
)
from coderun.agent.push import Pushed, Shelf, commit_leftovers, has_work, push_branch, put_aside
from coderun.agent.rescue import save_changes, save_unreachable
from coderun.agent.result import SUMMARY_LIMIT, RunCancelledError, RunFailedError, clean_text, hide_secrets, without_secrets
from coderun.agent.stop import StopCause, StopSignal
from coderun.agent.taskfiles import copy_guidelines, write_instructions, write_task_files
from coderun.forge.protocol import Forge
from coderun.model.coderun import PullRequestRef, RunOutcome, RunPhase, RunReport, Verdict
from coderun.model.errors import CoderunError, ForgeUnavailableError, RefusedError
from coderun.model.gates import GateKind
from coderun.model.pulls import Mergeability, PullRequest, PullState
from coderun.plan.order import RunOrder

COMPLETED: Final = "Completed"
_CONFLICT: Final = (
    "The base branch {base!r} has moved and conflicts with this pull request. It has been fetched: merge `origin/{base}` into "
    "the branch, resolve the conflicts, and commit the merge."
)


async def carry_out(
    order: RunOrder,
    places: Places,
    programs: Programs,
    stop: StopSignal,
    *,
    forge: Forge,
    inherited: Mapping[str, str],
    clock: Clock,
    run_as_root: bool = False,
    news: Callable[[float], Awaitable[object]] | None = None,
    prove: Callable[[], Awaitable[object]] | None = None,
) -> RunReport:
    """Do what the order says and report how it ended; never raises for anything that went wrong in the run.

    Args:
        order: What to do.
        places: Folders of the run; its workspace's lock is held by the caller.
        programs: Runs the agent CLI and leaves nothing of it alive; takes notes and the agent's output.
        stop: Set when the run shall end: work is saved, nothing more is published.
        forge: The repository's forge, as this agent.
        inherited: The runner's own environment; what of it an agent sees is listed in `environment`.
        clock: Time.
        run_as_root: Whether this process is root.
        news: As in `Patience`.
        prove: Waits for a credential that the forge takes, where the one there may have ended; asked before a push.
    """
    patience = Patience(clock=clock, stop=stop, news=news)
    run = _Run(order, places, programs, patience, forge=forge, inherited=inherited, run_as_root=run_as_root)
    run.prove = prove
    begun = clock.now()
    outcome, phase = await _outcome(run)
    if phase is not RunPhase.SUCCEEDED:
        await run.keep_work()
    return run.report(phase, outcome, begun)


async def _outcome(run: "_Run") -> tuple[RunOutcome, RunPhase]:
    try:
        return await run.whole(), RunPhase.SUCCEEDED
    except RunCancelledError:
        return _stopped(run.stop), RunPhase.CANCELLED if run.stop.cause is StopCause.CANCELLED else RunPhase.FAILED
    except RunFailedError as failure:
        if run.stop.requested:
            return _stopped(run.stop), RunPhase.CANCELLED if run.stop.cause is StopCause.CANCELLED else RunPhase.FAILED
        reason, message = failure.reason, str(failure)
    except RefusedError as refusal:
        reason, message = "ForgeRefused", str(refusal)
    except ForgeUnavailableError as trouble:
        reason, message = "ForgeUnavailable", str(trouble)
    except (CoderunError, OSError) as trouble:
        reason, message = "RunnerFailed", f"the run could not go on: {trouble}"
    return RunOutcome(is_error=True, terminal_reason=reason, summary=message), RunPhase.FAILED


def _stopped(stop: StopSignal) -> RunOutcome:
    reason = {StopCause.CANCELLED: "Cancelled", StopCause.TIMED_OUT: "TimedOut"}.get(
        stop.cause or StopCause.CANCELLED, "RunnerFailed"
    )
    return RunOutcome(is_error=True, terminal_reason=reason, summary=stop.reason or "asked to stop")


class _Run:
    """The state of one run on its way through the steps."""

    def __init__(
        self,
        order: RunOrder,
        places: Places,
        programs: Programs,
        patience: Patience,
        *,
        forge: Forge,
        inherited: Mapping[str, str],
        run_as_root: bool,
    ) -> None:
        self.order = order
        self.places = places
        self.programs = programs
        self.stop = patience.stop
        self.forge = forge
        self.inherited = inherited
        self.clock = patience.clock
        self.log = programs.log
        self.run_as_root = run_as_root
        self.patience = patience
        self.secrets = secrets_of(places, inherited)
        environment = git_environment(inherited, order.agent, home=places.home, token=places.token)
        self.git = Git(
            folder=places.workspace,
            env={**environment, **git_variables(order.forge, inherited)},
            settings=git_settings(order.forge),
        )
        self.scratch = places.tmp / "git"
        self.checkout: Checkout | None = None
        self.pull: PullRequest | None = None
        self.agent: AgentEnd | None = None
        self.head = ""
        self.notes: list[str] = []
        self.prove: Callable[[], Awaitable[object]] | None = None

    async def whole(self) -> RunOutcome:
        """All steps. Raises what ends the run early."""
        adapter = adapter_for(self.order.cli.cli_type)
        self.pull = await self.look_at_pull_request()
        lacking_before = missing_evidence(self.order, self.pull)
        checkout = await self.check_out()
        commission = self.commission(checkout)
        self.log.event("agent started", cli=self.order.cli.cli_type, branch=checkout.wanted.branch, head=checkout.start)
        agent = self.agent = self.fit_to_show(await adapter(commission))
        for note in agent.notes:
            self.note(note)
        said = {"verdict": agent.result.verdict.value} if agent.result and agent.result.verdict else {}
        self.log.event("agent ended", reason=agent.reason or COMPLETED, **said)
        if agent.reason:
            return await self.judge_failure(agent, lacking_before)
        verdict = check_verdict(self.order, agent.result)
        self.patience.check()
        await self.publish(checkout, verdict)
        return await self.judge(checkout)

    async def look_at_pull_request(self) -> PullRequest | None:
        """The pull request as it is before anything is done. Raises `RunFailedError` where the one to work on is not open."""
        pull = await find_pull_request(self.order, self.forge, self.patience, self.order.branch)
        named = self.order.pull_request
        if named is not None and pull is None:
            raise RunFailedError("PullRequestGone", f"the forge has no pull request #{named.number}")
        if named is not None and pull is not None and pull.state is not PullState.OPEN:
            raise RunFailedError("PullRequestClosed", f"pull request #{named.number} is {pull.state.value}; nothing was run")
        return pull

    async def check_out(self) -> Checkout:
        """The worktree, with the marker file where this run's stage opens the pull request."""
        order, pull = self.order, self.pull
        wanted = Wanted(
            url=order.forge.repository,
            branch=pull.head_branch if pull else order.branch,
            base=order.base_branch,
            task_id=order.task_id,
            existing=order.pull_request is not None,
            keep_changes=order.continue_session,
        )
        made = self.checkout = await check_out(
            self.git,
            wanted,
            workspace=self.places.workspace,
            job=order.job,
            now=self.clock.now(),
            scratch=self.scratch,
            stop=self.stop,
        )
        for note in made.notes:
            self.note(note)
        if asks_for(order, GateKind.PULL_REQUEST):
            self.note(await add_marker(made, order, now=self.clock.now(), scratch=self.scratch))
        self.patience.check()
        return made

    def commission(self, checkout: Checkout) -> Commission:
        """Write the task files and put together what the adapter needs."""
        order, places = self.with_context(checkout), self.places
        files = write_task_files(order, places.task_dir)
        files += copy_guidelines(places.files, places.task_dir, files)
        told = instructions(order, result=places.result, files=files)
        write_instructions(places.task_dir, told)
        memory = prepare_memory(places.workspace, places.files / "CLAUDE.md", overwrite=order.overwrite_memory)
        for name, value in order.env.items():
            if not is_settable(name, value):
                self.note(f"variable {name[:60]!r} of the order was left out: it is the runner's own, or no proper variable")
        return Commission(
            order=order,
            places=places,
            folder=working_folder(checkout.tree.folder, order.working_directory),
            env=build_environment(order, places, self.inherited),
            inherited=self.inherited,
            secrets=self.secrets,
            instructions=told,
            system_prompt=with_memory(order.system_prompt, memory),
            run_as_root=self.run_as_root,
            run_program=self.programs.run,
            stop=self.stop,
            log=self.log,
        )

    def with_context(self, checkout: Checkout) -> RunOrder:
        """The order, with what was found on the way to the agent: a conflict with the base, work of earlier runs."""
        found = dict(self.order.context)
        if self.pull is not None and self.pull.mergeability is Mergeability.CONFLICT:
            found["Conflict with the base branch"] = _CONFLICT.format(base=self.order.base_branch)
        if checkout.notes:
            found["Found in your worktree"] = "\n".join(checkout.notes)
        return msgspec.structs.replace(self.order, context=found)

    async def publish(self, checkout: Checkout, verdict: Verdict) -> None:
        """Push, open, wait, label, review: as far as the order's evidence asks for it."""
        order, shelf = self.order, self.shelf()
        settle = commit_leftovers if order.agent.may_push or not checkout.remote_head else put_aside
        for note in await settle(checkout, order, shelf):
            self.note(note)
        if self.pull is None and not await has_work(checkout, order.task_id):
            if not asks_for(order, GateKind.PULL_REQUEST):
                return
            raise RunFailedError(
                "EvidenceMissing", f"{order.agent.name} changed nothing: there is nothing to open a pull request for"
            )
        self.patience.check()
        if self.prove is not None:
            await self.patience.ask(self.prove)
        pushed = await push_branch(checkout, shelf, judges=judges(order), stop=self.stop)
        self.head = pushed.head
        for note in pushed.notes:
            self.note(note)
        self.log.event("pushed" if pushed.moved else "nothing to push", branch=checkout.wanted.branch, head=pushed.head)
        await self.speak(checkout, pushed, verdict)

    async def speak(self, checkout: Checkout, pushed: Pushed, verdict: Verdict) -> None:
        """Everything on the forge after the push."""
        order, result = self.order, self.agent.result if self.agent else None
        if asks_for(order, GateKind.PULL_REQUEST):
            self.pull = await open_pull_request(order, self.forge, self.patience, branch=checkout.wanted.branch, result=result)
        if self.pull is None:
            return
        number = self.pull.number
        before = checkout.remote_head or pushed.head
        self.pull = await wait_for_head(
            number, self.forge, self.patience, head=pushed.head, before=before, poll=order.limits.poll
        )
        if asks_for(order, GateKind.LABEL, GateKind.CHECKS):
            self.pull = await wait_for_checks(number, self.forge, self.patience, order, head=pushed.head)
            await set_labels(self.pull, order, self.forge, self.patience)
        if asks_for(order, GateKind.REVIEW):
            await post_review(self.pull, self.forge, self.patience, verdict=verdict, result=result, head=pushed.head)

    async def judge(self, checkout: Checkout) -> RunOutcome:
        """Read the evidence back. Raises `RunFailedError` (`EvidenceMissing`, `HeadMoved`)."""
        self.pull = await self.fresh_pull_request(checkout)
        lacking = missing_evidence(self.order, self.pull)
        if lacking:
            denied = f" ({'; '.join(self.notes)})" if self.notes else ""
            raise RunFailedError(
                "EvidenceMissing", f"the forge does not show what the stage asks for: {'; '.join(lacking)}{denied}"
            )
        return self.completed()

    def fit_to_show(self, agent: AgentEnd) -> AgentEnd:
        """How the agent ended, without secrets in its words."""
        result = without_secrets(agent.result, self.secrets) if agent.result else None
        return msgspec.structs.replace(agent, result=result, problem=hide_secrets(agent.problem, self.secrets))

    async def judge_failure(self, agent: AgentEnd, lacking_before: list[str]) -> RunOutcome:
        """An agent that failed has succeeded all the same where the evidence came about while it ran."""
        if lacking_before and self.order.evidence and self.checkout is not None:
            self.pull = await self.fresh_pull_request(self.checkout) or self.pull
            if not missing_evidence(self.order, self.pull):
                self.note(f"the agent itself ended badly ({agent.reason}: {agent.problem}), but the evidence is there")
                return self.completed()
        raise RunFailedError(agent.reason, "; ".join((agent.problem, *agent.notes)))

    async def fresh_pull_request(self, checkout: Checkout) -> PullRequest | None:
        """The pull request as the forge shows it now."""
        if self.pull is not None:
            number = self.pull.number
            return await self.patience.ask(lambda: self.forge.get_pull_request(number))
        return await find_pull_request(self.order, self.forge, self.patience, checkout.wanted.branch)

    def completed(self) -> RunOutcome:
        """The outcome of a run whose evidence is there."""
        said = self.agent.result.summary if self.agent and self.agent.result else ""
        return RunOutcome(terminal_reason=COMPLETED, summary="\n".join(filter(None, (said, *self.notes))))

    async def keep_work(self) -> None:
        """Hold what lies in the worktree by a saved ref; it stays where it is, too."""
        if self.checkout is None:
            return
        tree, shelf = self.checkout.tree, self.shelf()
        try:
            why = f"Kept when {self.order.job} ended without success."
            saved = await save_changes(tree, job=shelf.job, now=shelf.now, scratch=shelf.scratch, why=why)
            saved = saved or await save_unreachable(tree, job=shelf.job, now=shelf.now)
        except (CoderunError, OSError) as trouble:
            self.note(f"the work in {tree.folder} could not be put under a saved ref ({trouble}); it is still there")
        else:
            self.note(f"unfinished work is kept in {saved.ref}, and in {tree.folder}" if saved else "")

    def shelf(self) -> Shelf:
        """Where work is put aside now."""
        return Shelf(job=self.order.job, now=self.clock.now(), scratch=self.scratch)

    def note(self, text: str) -> None:
        """Remember something for the report, and log it; nothing happens with an empty text."""
        if text:
            shown = clean_text(hide_secrets(text, self.secrets), SUMMARY_LIMIT)
            self.notes.append(shown)
            self.log.event("note", text=shown)

    def report(self, phase: RunPhase, outcome: RunOutcome, begun: datetime) -> RunReport:
        """The report, fit to be shown."""
        agent, pull = self.agent, self.pull
        whole = outcome.summary if phase is RunPhase.SUCCEEDED else "\n".join((outcome.summary, *self.notes))
        return RunReport(
            phase=phase,
            outcome=msgspec.structs.replace(
                outcome,
                exit_code=agent.exit_code if agent else None,
                verdict=agent.result.verdict if agent and agent.result else None,
                summary=clean_text(hide_secrets(whole, self.secrets), SUMMARY_LIMIT),
            ),
            usage=agent.usage if agent else None,
            session_id=agent.session_id if agent else "",
            pull_request=PullRequestRef(number=pull.number, url=pull.url, head_sha=pull.head_sha) if pull else None,
            head_sha=self.head or (pull.head_sha if pull else ""),
            started_at=begun,
            finished_at=self.clock.now(),
        )


def working_folder(root: Path, relative: str) -> Path:
    """The agent's working directory in the checkout, which must be there and in it, whatever links lead to.

    Raises:
        RunFailedError: `InvalidWorkingDirectory`.
    """
    folder = (root / (relative or ".")).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise RunFailedError("InvalidWorkingDirectory", f"working directory {relative[:200]!r} leads out of the checkout")
    if not folder.is_dir():
        raise RunFailedError(
            "InvalidWorkingDirectory", f"working directory {relative[:200]!r} is no folder of the checked-out branch"
        )
    return folder


def with_memory(system_prompt: str, memory: Path) -> str:
    """The system prompt, followed by the memory file where there is one."""
    text = read_memory(memory)
    if not text.strip():
        return system_prompt
    return "\n\n".join(filter(None, (system_prompt, f"# Your memory file ({memory})\n\n{text}")))
