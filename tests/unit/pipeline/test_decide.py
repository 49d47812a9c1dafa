"""The order of the rules, and what holds of every decision. Random worlds are in test_decide_world."""

from msgspec.structs import replace
from tests.unit.pipeline.samples import DEV, NOW, decided, facts, play_at, pull_request, reason, review, run

from coderun.model.coderun import RunPhase
from coderun.model.pulls import Mergeability, PullState, ReviewState
from coderun.pipeline.decide import decide
from coderun.pipeline.decision import Decision

REFUSED = review(ReviewState.CHANGES_REQUESTED, DEV)


def test_deciding_changes_neither_the_play_nor_the_facts() -> None:
    play, seen = play_at("testing"), facts(pull_request(reviews=(REFUSED,)), run("testing", RunPhase.RUNNING))
    copies = replace(play), replace(seen)
    decide(play, seen, NOW)
    assert (play, seen) == copies


def test_the_end_comes_before_everything_else() -> None:
    pull = pull_request(state=PullState.MERGED, head_sha="bbbb", reviews=(REFUSED,), mergeability=Mergeability.CONFLICT)
    assert decided(play_at("testing", spec={"paused": True}), facts(pull)).status.history[-1].reason == "Merged"


def test_a_review_comes_before_a_conflict_and_both_cost_one_restart() -> None:
    pull = pull_request(reviews=(REFUSED,), mergeability=Mergeability.CONFLICT)
    status = decided(play_at("merge"), facts(pull)).status
    assert (status.history[0].reason, status.remediations, status.iteration) == ("ChangesRequested", 1, 2)


def test_what_sends_a_play_back_comes_before_the_gates_of_its_stage() -> None:
    pull = pull_request(reviews=(review(ReviewState.APPROVED, id=1), replace(REFUSED, id=2)))
    assert decided(play_at("testing"), facts(pull, run("testing"))).status.stage == "implementation"


def test_a_paused_play_still_follows_the_forge() -> None:
    pull = pull_request(reviews=(REFUSED,))
    decision = decided(play_at("testing", spec={"paused": True}), facts(pull))
    assert (decision.status.stage, reason(decision), decision.actions) == ("implementation", "Paused", ())


def test_a_decision_of_nothing_is_the_status_alone() -> None:
    status = play_at().status
    assert Decision(status=status) == Decision(status=status, actions=(), because="", recheck_at=None)
