"""What is a person asked for, and what did one ask for? Retry, approval, and the merge that people or `autoMerge` make."""

from datetime import timedelta

from msgspec.structs import replace

from coderun.model.gates import Gate, GateKind
from coderun.model.play import PlayPhase
from coderun.model.pulls import CheckState, Mergeability, PullRequest
from coderun.pipeline.decision import MergePullRequest
from coderun.pipeline.definition import Stage
from coderun.pipeline.draft import Draft
from coderun.pipeline.gates import Holding, short

MERGE_RECHECK_SECONDS = 2.0


def retry(draft: Draft) -> None:
    """Act on a retry: fresh attempts for the current stage, and one restart more at the limit."""
    if not draft.retry_asked:
        return
    run = draft.latest_run()
    extra = draft.status.extra_iterations + (1 if draft.is_at_limit else 0)
    draft.status = replace(
        draft.status,
        retries_seen=draft.play.spec.retries,
        extra_iterations=extra,
        first_attempt=1 if run is None else run.attempt + (0 if run.is_active else 1),
        phase=PlayPhase.RUNNING,
    )
    draft.note("Retry", "a person asked to go on")


def wait_people(draft: Draft, stage: Stage, judged: list[tuple[Gate, Holding]]) -> None:
    """A stage without an agent, whose gates do not hold: merge where that is allowed, else ask a person."""
    pull = draft.facts.pull_request
    unmet = [(gate, holding) for gate, holding in judged if not holding.holds]
    missing = "; ".join(holding.missing for _, holding in unmet)
    only_merge = all(gate.kind is GateKind.MERGED for gate, _ in unmet)
    may_merge = draft.play.spec.auto_merge or draft.is_approved(stage, merging=True)
    if pull is not None and only_merge and may_merge and not draft.play.spec.paused:
        _merge(draft, pull)
        return
    draft.recheck(min((h.recheck_at for _, h in unmet if h.recheck_at), default=None))
    if draft.play.spec.paused:
        draft.wait_paused()
    elif all(holding.comes_by_itself for _, holding in unmet):
        draft.wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
    else:
        hint = f"`coderun approve {draft.play.name}`"
        if pull is not None and only_merge:
            hint = f"merging #{pull.number}: `coderun pr merge {pull.number}` or {hint}"
        draft.wait("person", "WaitingForPeople", missing, hint, target=stage.name)


def _merge(draft: Draft, pull: PullRequest) -> None:
    if pull.checks.state in {CheckState.FAILED, CheckState.PENDING}:
        names = ", ".join(check.name for check in pull.checks.counted if check.state is not CheckState.PASSED)
        draft.wait(
            "gate", "ChecksNotPassed", f"checks have not passed on {short(pull.head_sha)}: {names}", "the checks passing"
        )
        return
    if pull.mergeability is Mergeability.UNKNOWN:
        draft.wait(
            "gate",
            "MergeabilityUnknown",
            f"the forge is computing whether #{pull.number} can be merged",
            "happens by itself",
        )
        draft.recheck(draft.now + timedelta(seconds=MERGE_RECHECK_SECONDS))
        return
    method = draft.facts.rules.merge_method
    draft.actions.append(MergePullRequest(number=pull.number, head_sha=pull.head_sha, method=method))
    draft.wait("gate", "Merging", f"#{pull.number} is being merged at {short(pull.head_sha)}", "happens by itself")
    draft.recheck(draft.now + timedelta(seconds=MERGE_RECHECK_SECONDS))
