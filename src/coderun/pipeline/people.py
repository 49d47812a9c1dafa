"""What is a person asked for, and what did one ask for? Retry, approval, and the merge that people or `autoMerge` make."""

from datetime import timedelta

from msgspec.structs import replace

from coderun.model.gates import Gate, GateKind
from coderun.model.play import Approval, PlayPhase
from coderun.model.pulls import Mergeability, PullRequest, PullState
from coderun.pipeline.decision import MergePullRequest
from coderun.pipeline.definition import Stage
from coderun.pipeline.draft import Draft
from coderun.pipeline.gates import Holding, evaluate, short

MERGE_RECHECK_SECONDS = 2.0

Unmet = list[tuple[Gate, Holding]]


def retry(draft: Draft) -> None:
    """Act on a retry, once: a play that failed or was aborted goes on, the current stage gets fresh attempts.

    At the limit one restart more is allowed.
    """
    seen, asked = draft.status.retries_seen, draft.play.spec.retries
    if asked <= seen:
        return
    draft.status = replace(draft.status, retries_seen=asked)
    if draft.status.phase is PlayPhase.SUCCEEDED:
        return
    if draft.status.phase.is_finished:
        _reopen(draft)
    if draft.status.stage and draft.stage is None:
        draft.enter(draft.facts.pipeline.stages[0], restart=True)
    run = draft.latest_run()
    draft.status = replace(
        draft.status,
        extra_iterations=draft.status.extra_iterations + int(draft.is_at_limit),
        # An active run is one that a pass before this one created for the same retry.
        first_attempt=1 if run is None else run.attempt + (0 if run.is_active else 1),
    )
    draft.note("Retry", "a person asked to go on")


def _reopen(draft: Draft) -> None:
    pull, known = draft.facts.pull_request, draft.status.pull_request
    draft.status = replace(
        draft.status,
        phase=PlayPhase.RUNNING if draft.status.stage else PlayPhase.PENDING,
        finished_at=None,
        message="",
    )
    if known is None or (pull is not None and pull.state is not PullState.CLOSED):
        return
    # What was reached was reached on a pull request that is no more.
    draft.status = replace(draft.status, pull_request=None, resolved_head="")
    if draft.status.stage:
        draft.enter(draft.facts.pipeline.stages[0], restart=True)


def approver(draft: Draft, stage: Stage) -> str:
    """Who approved this stage for this head, "" where nobody did.

    An approval stands for what a gate asks of a pull request, not for the pull request itself: without one it counts only where
    none is asked for.
    """
    if not draft.head and any(gate.kind is not GateKind.RUN for gate in stage.asked):
        return ""
    return next((given.by for given in draft.play.spec.approvals if _stands(draft, stage, given)), "")


def _stands(draft: Draft, stage: Stage, given: Approval) -> bool:
    if (given.stage, given.head_sha) != (stage.name, draft.head):
        return False
    if given.iteration:
        return given.iteration == draft.status.iteration
    return not draft.status.resolved_head or draft.status.resolved_head != draft.head


def wait_people(draft: Draft, stage: Stage, unmet: Unmet, *, approved: bool) -> None:
    """Gates hold that no agent will pass: merge where that is allowed, else ask a person."""
    pull = draft.facts.pull_request
    missing = "; ".join(holding.missing for _, holding in unmet)
    only_merge = all(gate.kind is GateKind.MERGED for gate, _ in unmet)
    draft.recheck(min((h.recheck_at for _, h in unmet if h.recheck_at), default=None))
    if draft.play.spec.paused:
        draft.wait_paused()
    elif pull is not None and only_merge and (draft.play.spec.auto_merge or approved):
        _merge(draft, pull)
    elif all(holding.comes_by_itself for _, holding in unmet):
        draft.wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
    elif pull is not None and only_merge:
        hint = f"merging #{pull.number}: {_merging(pull)} or `coderun approve {draft.play.name}`"
        draft.wait("person", "WaitingForPeople", missing, hint, target=stage.name)
    else:
        draft.wait("person", "WaitingForPeople", missing, f"`coderun approve {draft.play.name}`", target=stage.name)


def _merging(pull: PullRequest) -> str:
    """How a person merges it: where its page is, or by the command of a forge that has no pages."""
    return f"by hand at {pull.url}" if pull.url.startswith(("https://", "http://")) else f"`coderun pr merge {pull.number}`"


def _merge(draft: Draft, pull: PullRequest) -> None:
    checks = evaluate(Gate(kind=GateKind.CHECKS), draft.view())
    if not checks.holds:
        _wait_checks(draft, pull, checks)
    elif pull.draft:
        message = f"pull request #{pull.number} is a draft"
        draft.wait("person", "PullRequestIsDraft", message, f"marking #{pull.number} ready for review")
    elif pull.mergeability is Mergeability.UNKNOWN:
        message = f"the forge is computing whether #{pull.number} can be merged"
        draft.wait("gate", "MergeabilityUnknown", message, "happens by itself")
        draft.recheck(draft.now + timedelta(seconds=MERGE_RECHECK_SECONDS))
    else:
        method = draft.facts.rules.merge_method
        draft.actions.append(MergePullRequest(number=pull.number, head_sha=pull.head_sha, method=method))
        draft.wait("gate", "Merging", f"#{pull.number} is being merged at {short(pull.head_sha)}", "happens by itself")
        draft.recheck(draft.now + timedelta(seconds=MERGE_RECHECK_SECONDS))


def _wait_checks(draft: Draft, pull: PullRequest, checks: Holding) -> None:
    if checks.comes_by_itself:
        draft.wait("gate", "ChecksNotPassed", checks.missing, "the checks passing")
        draft.recheck(checks.recheck_at)
        return
    hint = f"a push that mends them, or {_merging(pull)} all the same"
    draft.wait("person", "ChecksFailed", checks.missing, hint)
