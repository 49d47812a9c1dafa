"""May a run be created now, and what is its agent told? Never while another run of the play is active."""

from msgspec.structs import replace

from coderun.model.coderun import RunPhase
from coderun.model.gates import GateKind
from coderun.model.names import coderun_name
from coderun.model.play import PlayPhase, PlayRun
from coderun.model.pulls import CheckState, Mergeability, ReviewState
from coderun.model.roster import Agent
from coderun.pipeline.decision import CreateRun
from coderun.pipeline.definition import Stage
from coderun.pipeline.draft import Draft, pull_ref
from coderun.pipeline.facts import RunFact
from coderun.pipeline.gates import short, verdicts


def create_run(
    draft: Draft, stage: Stage, agent: Agent, attempt: int, *, failed: RunFact | None = None, missing: str = ""
) -> None:
    """Ask for the run of this attempt, unless something must end or be settled first."""
    busy = [run for run in draft.facts.runs if run.is_active]
    if busy:
        names = ", ".join(run.name for run in busy)
        draft.wait(
            "stop", "RunsEnding", f"{names} must end first", "happens by itself: it saves its work and ends", target=names
        )
        return
    if draft.facts.rivals:
        numbers = ", ".join(f"#{number}" for number in draft.facts.rivals)
        draft.wait(
            "person",
            "AmbiguousPullRequests",
            f"pull requests {numbers} all claim task {draft.play.spec.task_id}",
            "closing all but one of them",
            target=numbers,
        )
        return
    if draft.play.spec.paused:
        draft.wait_paused()
        return
    iteration = draft.status.iteration
    name = coderun_name(draft.play.name, stage.name, iteration, attempt)
    pull = draft.facts.pull_request
    earlier = any(run.stage == stage.name for run in draft.facts.runs)
    draft.actions.append(
        CreateRun(
            name=name,
            stage=stage.name,
            iteration=iteration,
            attempt=attempt,
            agent=agent.name,
            evidence=tuple(gate for gate in stage.asked if gate.kind is not GateKind.MERGED),
            pull_request=pull_ref(pull) if pull is not None else None,
            continue_session=earlier,
            context=_context(draft, failed, missing),
            timeout=stage.timeout_seconds,
            instructions=stage.instructions,
        )
    )
    draft.created.append(
        PlayRun(
            name=name,
            stage=stage.name,
            iteration=iteration,
            attempt=attempt,
            agent=agent.name,
            phase=RunPhase.PENDING.value,
        )
    )
    draft.status = replace(draft.status, phase=PlayPhase.RUNNING)
    draft.note("RunCreated", f"{agent.name} works on {stage.name} (iteration {iteration}, attempt {attempt})")
    draft.wait("run", "RunPending", f"{agent.name} works on {stage.name}", f"the end of run {name}", target=name)


def _context(draft: Draft, failed: RunFact | None, missing: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    pull = draft.facts.pull_request
    if pull is not None:
        asked = [review for review in verdicts(pull) if review.state is ReviewState.CHANGES_REQUESTED]
        if asked:
            texts["requested-changes"] = "\n\n".join(
                f"{review.actor.login} on {short(review.head_sha)}:\n{review.body}" for review in asked
            )
        red = [check for check in pull.checks.counted if check.state is CheckState.FAILED]
        if red:
            texts["failed-checks"] = "\n\n".join(f"{check.name}:\n{check.summary}" for check in red)
        if pull.mergeability is Mergeability.CONFLICT:
            texts["conflict"] = (
                f"The branch {pull.head_branch} conflicts with {pull.base_branch}. "
                f"Merge origin/{pull.base_branch} into it and resolve the conflicts."
            )
    if failed is not None:
        texts["last-attempt"] = f"Attempt {failed.attempt} ended: {failed.reason}. {failed.message} {missing}".strip()
    return texts
