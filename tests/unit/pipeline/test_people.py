from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import (
    CHECKS,
    DEV,
    LABEL,
    MERGED,
    NOW,
    PACKAGED,
    RED,
    RUNNING,
    decided,
    facts,
    play_at,
    pull_request,
    reason,
    review,
    run,
)

from coderun.model.coderun import PullRequestRef, RunPhase
from coderun.model.gates import GateActor
from coderun.model.play import Approval, PlayPhase
from coderun.model.pulls import Check, Checks, CheckState, Mergeability, MergeMethod, PullRequest, PullState, ReviewState
from coderun.pipeline.decision import Action, CreateRun, MergePullRequest
from coderun.pipeline.definition import Stage
from coderun.pipeline.facts import Rules

SOON = NOW + timedelta(seconds=2)
MERGE = MergePullRequest(number=1, head_sha="aaaa", method=MergeMethod.MERGE)
AUTO = {"auto_merge": True}


def approved(stage: str, head: str = "aaaa", iteration: int = 1) -> dict[str, object]:
    return {"approvals": (Approval(stage=stage, head_sha=head, by="dev", at=NOW, iteration=iteration),)}


# -- merging -------------------------------------------------------------------------------------------------------------------


def test_a_merge_is_a_persons_unless_it_was_allowed() -> None:
    decision = decided(play_at("merge"), facts(pull_request()))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.target) == ("person", "WaitingForPeople", "merge")
    assert waiting.message == "pull request #1 is not merged"
    assert waiting.would_move == "merging #1: `coderun pr merge 1` or `coderun approve play-demo-7`"
    assert decision.actions == ()


def test_a_pull_request_that_has_a_page_is_merged_there() -> None:
    waiting = decided(play_at("merge"), facts(replace(pull_request(), url="https://hub.example/a/b/pull/1"))).status.waiting
    assert waiting is not None
    assert waiting.would_move == "merging #1: by hand at https://hub.example/a/b/pull/1 or `coderun approve play-demo-7`"


@pytest.mark.parametrize("spec", [AUTO, approved("merge"), approved("merge", iteration=0)], ids=["autoMerge", "approved", "0"])
def test_an_allowed_merge_merges_exactly_this_head(spec: dict[str, object]) -> None:
    decision = decided(play_at("merge", spec=spec), facts(pull_request()))
    assert decision.actions == (MERGE,)
    assert decision.status.waiting is not None
    assert (decision.status.waiting.reason, decision.status.waiting.message) == ("Merging", "#1 is being merged at aaaa")
    assert decision.recheck_at == SOON


def test_the_configured_method_is_used() -> None:
    rules = Rules(merge_method=MergeMethod.SQUASH)
    decision = decided(play_at("merge", spec=AUTO), facts(pull_request(), rules=rules))
    assert decision.actions == (replace(MERGE, method=MergeMethod.SQUASH),)


@pytest.mark.parametrize(
    ("pull", "kind", "why", "message"),
    [
        (pull_request(checks=RUNNING), "gate", "ChecksNotPassed", "checks of aaaa are running"),
        (
            pull_request(checks=Checks(items=(Check(name="a", state=CheckState.PASSED),), expected=("a", "b"))),
            "gate",
            "ChecksNotPassed",
            "checks of aaaa are running",
        ),
        (pull_request(checks=Checks()), "gate", "ChecksNotPassed", "no check of aaaa has reported yet"),
        (pull_request(checks=RED), "person", "ChecksFailed", "checks failed on aaaa: ci"),
        (pull_request(draft=True), "person", "PullRequestIsDraft", "pull request #1 is a draft"),
        (
            pull_request(mergeability=Mergeability.UNKNOWN),
            "gate",
            "MergeabilityUnknown",
            "the forge is computing whether #1 can be merged",
        ),
    ],
    ids=["running", "one missing", "none yet", "failed", "draft", "mergeability unknown"],
)
def test_nothing_is_merged_before_checks_and_mergeability_are_clear(
    pull: PullRequest, kind: str, why: str, message: str
) -> None:
    decision = decided(play_at("merge", spec=AUTO), facts(pull))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.message) == (kind, why, message)
    assert waiting.would_move
    assert decision.actions == ()


def test_a_merge_without_any_checks_is_looked_at_again_when_the_grace_period_is_over() -> None:
    pull = pull_request(checks=Checks())
    assert decided(play_at("merge", spec=AUTO), facts(pull)).recheck_at == NOW + timedelta(seconds=60)
    assert decided(play_at("merge", spec=AUTO), facts(pull), NOW + timedelta(seconds=60)).actions == (MERGE,)


def test_mergeability_is_asked_for_again_soon() -> None:
    unknown = pull_request(mergeability=Mergeability.UNKNOWN)
    assert decided(play_at("merge", spec=AUTO), facts(unknown)).recheck_at == SOON


def test_a_paused_play_is_not_merged() -> None:
    decision = decided(play_at("merge", spec={"paused": True, **AUTO}), facts(pull_request()))
    assert (reason(decision), decision.actions) == ("Paused", ())


# -- stages of people ----------------------------------------------------------------------------------------------------------

SIGN_OFF = replace(LABEL, by=GateActor.ANYONE, label="signed-off")


def with_stage(*gates: object) -> dict[str, object]:
    people = Stage(name="people", gates=gates)  # type: ignore[arg-type] # gates
    return {"pipeline": replace(PACKAGED, stages=(*PACKAGED.stages[:3], people))}


def test_a_stage_of_people_waits_for_them() -> None:
    decision = decided(play_at("people"), facts(pull_request(), **with_stage(SIGN_OFF)))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.reason, waiting.message) == ("WaitingForPeople", "label signed-off is not set on #1")
    assert waiting.would_move == "`coderun approve play-demo-7`"


def test_a_stage_of_people_without_a_pull_request_says_so() -> None:
    decision = decided(play_at("people", head=""), facts(None, **with_stage(MERGED)))
    assert decision.status.waiting is not None
    assert decision.status.waiting.message == "no pull request of this task is open"
    assert decision.status.waiting.would_move == "`coderun approve play-demo-7`"


def test_a_stage_of_checks_alone_waits_for_nobody() -> None:
    decision = decided(play_at("people"), facts(pull_request(checks=Checks()), **with_stage(CHECKS)))
    assert decision.status.waiting is not None
    assert (decision.status.waiting.kind, decision.status.waiting.reason) == ("gate", "GateOpen")
    assert decision.recheck_at == NOW + timedelta(seconds=60)


def test_nothing_is_merged_while_people_have_not_signed_off() -> None:
    decision = decided(play_at("people", spec=AUTO), facts(pull_request(), **with_stage(SIGN_OFF, MERGED)))
    assert decision.actions == ()
    assert decision.status.waiting is not None
    assert decision.status.waiting.message == "label signed-off is not set on #1; pull request #1 is not merged"


def test_approving_a_stage_that_merges_passes_its_other_gates_and_merges() -> None:
    decision = decided(play_at("people", spec=approved("people")), facts(pull_request(), **with_stage(SIGN_OFF, MERGED)))
    assert decision.actions == (MERGE,)


# -- approvals -----------------------------------------------------------------------------------------------------------------


def created(actions: tuple[Action, ...]) -> list[str]:
    return [action.stage for action in actions if isinstance(action, CreateRun)]


def test_an_approval_passes_the_stage_for_this_head_as_the_persons_doing() -> None:
    decision = decided(play_at("quality", spec=approved("quality")), facts(pull_request()))
    assert created(decision.actions) == ["testing"]
    assert {(gate.name, gate.actor) for gate in decision.status.gates} == {("label ready-for-qa", "dev"), ("checks", "dev")}
    assert decision.status.history[0].message == "quality passed on aaaa: label ready-for-qa by dev; checks by dev"


@pytest.mark.parametrize(
    "given",
    [approved("quality", head="0000"), approved("testing"), approved("quality", iteration=2)],
    ids=["another head", "another stage", "another iteration"],
)
def test_an_approval_of_something_else_passes_nothing(given: dict[str, object]) -> None:
    assert created(decided(play_at("quality", spec=given), facts(pull_request())).actions) == ["quality"]


def test_an_approval_waits_for_the_run_at_work() -> None:
    decision = decided(play_at("quality", spec=approved("quality")), facts(pull_request(), run("quality", RunPhase.RUNNING)))
    assert (decision.status.stage, reason(decision)) == ("quality", "RunRunning")


@pytest.mark.lesson(40)
def test_an_approval_does_not_stand_for_a_pull_request_that_is_missing() -> None:
    given = approved("implementation", head="")
    assert created(decided(play_at("implementation", head="", spec=given), facts()).actions) == ["implementation"]


def test_an_approval_needs_no_pull_request_where_no_gate_looks_at_one() -> None:
    pipeline = replace(PACKAGED, stages=(Stage(name="tidy", role="quality"),), remediation=())
    status = decided(play_at("tidy", head="", spec=approved("tidy", head="")), facts(pipeline=pipeline)).status
    assert status.phase is PlayPhase.SUCCEEDED
    assert status.history[0].message == "tidy passed: run by dev"


@pytest.mark.parametrize(("iteration", "stage"), [(2, "quality"), (0, "implementation")])
def test_what_a_review_asks_for_is_settled_only_by_an_approval_given_after_it(iteration: int, stage: str) -> None:
    owing = play_at("implementation", iteration=2, resolved_head="aaaa", spec=approved("implementation", iteration=iteration))
    assert created(decided(owing, facts(pull_request())).actions) == [stage]


def test_an_old_approval_does_not_spend_all_restarts_on_one_conflict() -> None:
    given = approved("implementation", iteration=0)
    pull = pull_request(mergeability=Mergeability.CONFLICT)
    status = decided(play_at("merge", spec=given), facts(pull)).status
    assert (status.stage, status.iteration, status.remediations) == ("implementation", 2, 1)


# -- retry ---------------------------------------------------------------------------------------------------------------------


def test_a_retry_gives_a_failed_play_fresh_attempts_where_it_stands() -> None:
    failed = run("quality", RunPhase.FAILED, attempt=3)
    asked = play_at("quality", spec={"retries": 1}, phase=PlayPhase.FAILED, finished_at=NOW, message="over")
    decision = decided(asked, facts(pull_request(), failed))
    status = decision.status
    assert (status.phase, status.stage, status.iteration, status.first_attempt) == (PlayPhase.RUNNING, "quality", 1, 4)
    assert (status.finished_at, status.message, status.retries_seen) == (None, "", 1)
    assert (status.history[0].reason, status.history[0].message) == ("Retry", "a person asked to go on")
    assert created(decision.actions) == ["quality"]


def test_a_retry_of_a_play_that_never_had_a_pull_request_stays_at_its_stage() -> None:
    asked = play_at("implementation", head="", spec={"retries": 1}, phase=PlayPhase.FAILED)
    status = decided(asked, facts(None, run("implementation", RunPhase.FAILED, attempt=3))).status
    assert (status.stage, status.iteration, status.first_attempt) == ("implementation", 1, 4)


@pytest.mark.parametrize("pull", [None, pull_request(state=PullState.CLOSED)], ids=["gone", "closed"])
def test_a_retry_without_the_pull_request_begins_anew(pull: PullRequest | None) -> None:
    asked = play_at("testing", spec={"retries": 1}, phase=PlayPhase.ABORTED, resolved_head="aaaa")
    decision = decided(asked, facts(pull, run("testing", RunPhase.CANCELLED)))
    status = decision.status
    assert (status.phase, status.stage, status.iteration) == (PlayPhase.RUNNING, "implementation", 2)
    assert (status.pull_request, status.resolved_head, status.gates) == (None, "", ())
    (order,) = decision.actions
    assert isinstance(order, CreateRun)
    assert (order.name, order.pull_request) == ("play-demo-7-implementation-2-1", None)


def test_a_retry_of_an_aborted_play_goes_on_where_it_stood() -> None:
    asked = play_at("testing", spec={"retries": 1}, phase=PlayPhase.ABORTED)
    decision = decided(asked, facts(pull_request(), run("testing", RunPhase.CANCELLED)))
    assert (decision.status.stage, created(decision.actions)) == ("testing", ["testing"])


def test_a_retry_of_a_play_aborted_before_its_start_starts_it() -> None:
    decision = decided(play_at(spec={"retries": 1}, phase=PlayPhase.ABORTED), facts())
    assert (decision.status.stage, created(decision.actions)) == ("implementation", ["implementation"])


def test_a_retry_of_a_play_that_knew_a_pull_request_before_its_start_starts_without_it() -> None:
    asked = play_at(spec={"retries": 1}, phase=PlayPhase.ABORTED, pull_request=PullRequestRef(number=1))
    decision = decided(asked, facts(pull_request(state=PullState.CLOSED)))
    assert (decision.status.stage, decision.status.iteration) == ("implementation", 1)
    assert decision.status.pull_request is None


@pytest.mark.parametrize(
    ("spec", "changes"),
    [({"abort_requested": True}, {}), ({}, {"mismatch": "label task-8, branch of task-7"})],
    ids=["abort", "mismatch"],
)
def test_a_retry_that_changes_nothing_ends_once_more_and_not_again_and_again(
    spec: dict[str, object], changes: dict[str, object]
) -> None:
    asked = play_at("testing", spec={"retries": 1, **spec}, phase=PlayPhase.FAILED, finished_at=NOW)
    seen = facts(pull_request(), **changes)
    first = decided(asked, seen)
    assert first.status.phase.is_finished
    assert first.status.retries_seen == 1
    again = decided(replace(asked, status=first.status), seen, NOW + timedelta(hours=1))
    assert (again.status, again.actions) == (first.status, ())


def test_a_retry_while_a_run_is_at_work_leaves_it_alone_and_forgets_earlier_failures() -> None:
    busy = run("quality", RunPhase.RUNNING, attempt=3)
    decision = decided(play_at("quality", spec={"retries": 1}), facts(pull_request(), busy))
    assert (decision.status.first_attempt, decision.actions) == (3, ())


def test_a_retry_of_a_cancelled_run_makes_another_attempt() -> None:
    decision = decided(play_at("quality", spec={"retries": 1}), facts(pull_request(), run("quality", RunPhase.CANCELLED)))
    (order,) = decision.actions
    assert isinstance(order, CreateRun)
    assert order.attempt == 2


def test_a_retry_at_a_stage_that_the_pipeline_lost_begins_at_the_first_one() -> None:
    status = decided(play_at("review", spec={"retries": 1}), facts(pull_request())).status
    assert (status.stage, status.iteration) == ("quality", 2)


def test_a_play_that_succeeded_has_nothing_to_retry() -> None:
    asked = play_at("", spec={"retries": 1}, phase=PlayPhase.SUCCEEDED, finished_at=NOW)
    decision = decided(asked, facts(pull_request(state=PullState.MERGED)))
    assert decision.status == replace(asked.status, retries_seen=1, observed_generation=3)
    assert decision.actions == ()


def test_a_pause_lets_the_run_at_work_go_on() -> None:
    busy = run("quality", RunPhase.RUNNING)
    decision = decided(play_at("quality", spec={"paused": True}), facts(pull_request(), busy))
    assert (reason(decision), decision.actions) == ("RunRunning", ())


def test_a_person_may_dismiss_what_a_review_asked_for() -> None:
    dismissed = review(ReviewState.DISMISSED, DEV)
    assert reason(decided(play_at("merge"), facts(pull_request(reviews=(dismissed,))))) == "WaitingForPeople"
