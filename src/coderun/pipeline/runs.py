"""May a run be created now, and what is its agent told? Never while another run of the play is active."""

from msgspec.structs import replace

from coderun.model.coderun import RunPhase
from coderun.model.gates import GateKind
from coderun.model.names import coderun_name
from coderun.model.play import PlayRun
from coderun.model.pulls import CheckState, Mergeability, PullRequest, Review
from coderun.model.roster import Agent
from coderun.pipeline.decision import CancelRun, CreateRun
from coderun.pipeline.definition import Stage, Trigger
from coderun.pipeline.draft import Draft, brief, pull_ref
from coderun.pipeline.facts import RunFact
from coderun.pipeline.gates import change_requests, short

CONTEXT_LIMIT = 100_000


def create_run(
    draft: Draft, stage: Stage, agent: Agent, attempt: int, *, failed: RunFact | None = None, missing: str = ""
) -> None:
    """Ask for the run of this attempt, unless something must end first or the play is paused."""
    busy = [run for run in draft.facts.runs if run.is_active]
    if busy:
        _wait_busy(draft, busy)
        return
    if draft.play.spec.paused:
        draft.wait_paused()
        return
    iteration = draft.status.iteration
    name = coderun_name(draft.play.name, stage.name, iteration, attempt)
    pull = draft.facts.pull_request
    asked = change_requests(pull, draft.facts.roster) if pull is not None else []
    if pull is not None:
        _answer(draft, stage, pull, asked)
    draft.actions.append(
        CreateRun(
            name=name,
            stage=stage.name,
            iteration=iteration,
            attempt=attempt,
            agent=agent.name,
            evidence=tuple(gate for gate in stage.asked if gate.kind is not GateKind.MERGED),
            pull_request=pull_ref(pull) if pull is not None else None,
            continue_session=any(run.stage == stage.name and run.iteration >= draft.status.fresh_since for run in draft.runs),
            context=_context(pull, asked, failed, missing),
            timeout=stage.timeout_seconds,
            instructions=stage.instructions,
        )
    )
    new = PlayRun(
        name=name, stage=stage.name, iteration=iteration, attempt=attempt, agent=agent.name, phase=RunPhase.PENDING.value
    )
    draft.created.append(new)
    if all(run.name != name for run in draft.play.status.runs):
        draft.note("RunCreated", f"{agent.name} works on {stage.name} (iteration {iteration}, attempt {attempt})")
    draft.wait("run", "RunPending", f"{agent.name} works on {stage.name}", f"the end of run {name}", target=name)


def _wait_busy(draft: Draft, busy: list[RunFact]) -> None:
    names = ", ".join(run.name for run in busy)
    stale = [run for run in busy if run.iteration < draft.status.iteration and not run.cancelling]
    asked = {action.name for action in draft.actions if isinstance(action, CancelRun)}
    draft.actions.extend(
        CancelRun(name=run.name, reason=f"the play is at iteration {draft.status.iteration} by now")
        for run in stale
        if run.name not in asked
    )
    would_move = "happens by itself: it saves its work and ends"
    draft.wait("stop", "RunsEnding", f"{names} must end first", would_move, target=names)


def _answer(draft: Draft, stage: Stage, pull: PullRequest, asked: list[Review]) -> None:
    """The run that is told of a review answers it: the review does not send the play back once more."""
    remedy = draft.facts.pipeline.remedy(Trigger.CHANGES_REQUESTED)
    newest = max((review.id for review in asked), default=0)
    if remedy is not None and remedy.restart_at == stage.name and newest > draft.status.reviewed:
        draft.status = replace(draft.status, reviewed=newest, resolved_head=pull.head_sha)


def _context(pull: PullRequest | None, asked: list[Review], failed: RunFact | None, missing: str) -> dict[str, str]:
    """Why the agent works (again): texts by title, untrusted."""
    texts: dict[str, str] = {}
    if asked:
        words = (f"{review.actor.login} on {short(review.head_sha)}:\n{review.body}" for review in asked)
        texts["requested-changes"] = "\n\n".join(words)
    red = [check for check in pull.checks.counted if check.state is CheckState.FAILED] if pull is not None else []
    if red:
        texts["failed-checks"] = "\n\n".join(f"{check.name}:\n{check.summary}" for check in red)
    if pull is not None and pull.mergeability is Mergeability.CONFLICT:
        texts["conflict"] = (
            f"The branch {pull.head_branch} conflicts with {pull.base_branch}. "
            f"Merge origin/{pull.base_branch} into it and resolve the conflicts."
        )
    if failed is not None:
        texts["last-attempt"] = f"Attempt {failed.attempt} ended: {failed.reason}. {failed.message} {missing}".strip()
    return {title: brief(text, CONTEXT_LIMIT) for title, text in texts.items()}
