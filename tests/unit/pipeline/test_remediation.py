from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import (
    CLEO,
    DEV,
    MALLORY,
    PACKAGED,
    REX,
    TESS,
    after,
    decided,
    facts,
    label,
    play_at,
    pull_request,
    reason,
    review,
    run,
)

from coderun.model.coderun import RunPhase
from coderun.model.play import PassedGate, PlayPhase
from coderun.model.pulls import Actor, Mergeability, PullRequest, Push, ReviewState
from coderun.pipeline.decision import Action, CancelRun, CreateRun, RemoveLabel
from coderun.pipeline.definition import Remedy, Trigger

APPROVED, REFUSED = ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED
GATES = tuple(PassedGate(name="g", stage=stage, head_sha="aaaa") for stage in ("implementation", "quality"))


def pushed(*by: Actor, **changes: object) -> PullRequest:
    pushes = (Push(sha="aaaa", actor=REX), *(Push(sha=f"bbbb{at}", actor=actor) for at, actor in enumerate(by, 1)))
    return pull_request(head_sha=pushes[-1].sha, pushes=pushes, **changes)


def cancelled(actions: Iterable[Action]) -> list[str]:
    return [action.name for action in actions if isinstance(action, CancelRun)]


def ruled(**rule: Any) -> dict[str, Any]:
    """The packaged pipeline with one rule only."""
    return {"pipeline": replace(PACKAGED, remediation=(Remedy(**rule),))}


# -- pushes --------------------------------------------------------------------------------------------------------------------


def test_the_first_pull_request_seen_becomes_the_plays() -> None:
    decision = decided(play_at("implementation", head=""), facts(pull_request(), run("implementation", RunPhase.RUNNING)))
    assert decision.status.pull_request is not None
    assert decision.status.pull_request.head_sha == "aaaa"
    entry = decision.status.history[0]
    assert (entry.reason, entry.message) == ("PullRequestFound", "pull request #1 by rex[bot] at aaaa")


@pytest.mark.lesson(42)
@pytest.mark.parametrize("stage", ["quality", "testing"])
def test_a_push_by_a_person_cancels_the_run_takes_the_label_off_and_restarts_at_quality(stage: str) -> None:
    busy = run(stage, RunPhase.RUNNING)
    decision = decided(play_at(stage, gates=GATES), facts(pushed(DEV, labels=(label(),)), busy))
    why = "dev pushed bbbb1; back to quality"
    assert decision.actions == (CancelRun(name=busy.name, reason=why), RemoveLabel(number=1, label="ready-for-qa"))
    status = decision.status
    assert (status.stage, status.iteration, status.remediations) == ("quality", 2, 0)
    assert [gate.stage for gate in status.gates] == ["implementation"]
    assert (status.history[0].reason, status.history[0].message) == ("Push", why)
    assert reason(decision) == "RunsEnding"


def test_a_push_while_people_decide_restarts_at_quality_with_a_new_run() -> None:
    decision = decided(play_at("merge", gates=GATES), facts(pushed(DEV), run("quality"), run("testing")))
    (created,) = decision.actions
    assert isinstance(created, CreateRun)
    assert (created.name, created.continue_session) == ("play-demo-7-quality-2-1", True)


@pytest.mark.parametrize(
    ("stage", "by"),
    [("testing", (TESS,)), ("testing", (TESS, TESS)), ("quality", (CLEO,)), ("testing", (Actor(login="5DLabs-Tess[bot]"),))],
)
def test_pushes_of_the_stages_own_agent_keep_the_gates_passed_before(stage: str, by: tuple[Actor, ...]) -> None:
    decision = decided(play_at(stage, gates=GATES), facts(pushed(*by), run(stage, RunPhase.RUNNING)))
    assert (decision.status.stage, decision.status.iteration, decision.actions) == (stage, 1, ())
    assert decision.status.gates == GATES
    assert decision.status.history[0].reason == "HeadMoved"
    assert decision.status.pull_request is not None
    assert decision.status.pull_request.head_sha == f"bbbb{len(by)}"


@pytest.mark.parametrize(
    ("stage", "by", "who"),
    [
        ("testing", (CLEO,), "cleo[bot]"),
        ("testing", (TESS, DEV), "tess[bot], dev"),
        ("quality", (TESS,), "tess[bot]"),
        ("merge", (TESS,), "tess[bot]"),
    ],
)
def test_pushes_of_other_agents_are_like_those_of_people(stage: str, by: tuple[Actor, ...], who: str) -> None:
    decision = decided(play_at(stage, gates=GATES), facts(pushed(*by)))
    assert (decision.status.stage, decision.status.iteration) == ("quality", 2)
    assert decision.status.history[0].message.startswith(f"{who} pushed")


def told_late(*by: Actor) -> PullRequest:
    """A pull request that shows its new head already, and does not tell yet who pushed it."""
    return replace(pushed(*by), head_sha="cccc", pushes=pushed(*by).pushes[:-1])


def test_a_head_is_nobodys_before_the_forge_has_told_who_pushed_it() -> None:
    play, busy = play_at("testing", gates=GATES), run("testing", RunPhase.RUNNING)
    waits = decided(play, facts(told_late(TESS), busy))
    waiting = waits.status.waiting
    assert waiting is not None
    assert (waits.status.stage, waits.actions, reason(waits)) == ("testing", (), "PusherUnknown")
    assert waiting.message == "cccc was pushed, and the forge does not say yet by whom"
    assert waits.recheck_at == after(2)
    told = replace(told_late(TESS), pushes=(*told_late(TESS).pushes, Push(sha="cccc", actor=TESS)))
    decision = decided(replace(play, status=waits.status), facts(told, busy), after(2))
    assert (decision.status.stage, decision.status.iteration, decision.actions) == ("testing", 1, ())
    assert decision.status.history[0].message == "tess[bot] pushed cccc"


def test_a_head_that_nobody_is_known_to_have_pushed_restarts_at_quality_after_a_while() -> None:
    play = play_at("testing", gates=GATES)
    waits = decided(play, facts(told_late(TESS)))
    later = decided(replace(play, status=waits.status), facts(told_late(TESS)), after(19))
    assert reason(later) == "PusherUnknown"
    decision = decided(replace(play, status=later.status), facts(told_late(TESS)), after(20))
    assert decision.status.stage == "quality"
    assert decision.status.history[0].message == "somebody unknown pushed cccc; back to quality"


def test_a_wait_for_one_pusher_is_no_wait_for_the_next() -> None:
    play = play_at("testing", gates=GATES)
    waits = decided(play, facts(told_late(TESS)))
    again = replace(told_late(TESS), head_sha="dddd")
    decision = decided(replace(play, status=waits.status), facts(again), after(60))
    assert (decision.status.stage, reason(decision)) == ("testing", "PusherUnknown")


def test_where_the_forge_tells_of_the_head_and_not_of_the_way_to_it_nobody_waits() -> None:
    lost = pull_request(head_sha="cccc", pushes=(Push(sha="cccc", actor=Actor(login="unknown")),))
    decision = decided(play_at("testing", gates=GATES), facts(lost))
    assert decision.status.history[0].message == "somebody unknown pushed cccc; back to quality"


def test_a_push_during_implementation_goes_back_nowhere() -> None:
    decision = decided(play_at("implementation"), facts(pushed(DEV), run("implementation", RunPhase.RUNNING)))
    assert (decision.status.stage, decision.status.iteration) == ("implementation", 1)
    assert decision.status.history[0].message == "dev pushed bbbb1"


def test_without_a_rule_for_pushes_the_gates_bound_to_the_head_are_asked_again() -> None:
    decision = decided(play_at("merge", gates=GATES), facts(pushed(DEV), pipeline=replace(PACKAGED, remediation=())))
    assert (decision.status.stage, decision.status.iteration) == ("quality", 2)


def test_without_any_gate_bound_to_the_head_a_push_is_only_noted() -> None:
    plain = replace(PACKAGED, stages=(PACKAGED.stages[0], PACKAGED.stages[3]), remediation=())
    decision = decided(play_at("merge"), facts(pushed(DEV), pipeline=plain))
    assert (decision.status.stage, decision.status.history[0].reason) == ("merge", "HeadMoved")


def test_a_rule_that_names_no_stage_of_the_pipeline_goes_back_nowhere() -> None:
    decision = decided(play_at("testing"), facts(pushed(DEV), **ruled(on=Trigger.PUSH, restart_at="nowhere")))
    assert decision.status.stage == "testing"


def test_pushes_that_count_stop_at_the_limit_and_the_new_head_is_not_adopted_before_a_person_has_spoken() -> None:
    rule = ruled(on=Trigger.PUSH, restart_at="quality", counts=True)
    at_limit = play_at("testing", spec={"max_iterations": 1}, remediations=1)
    decision = decided(at_limit, facts(pushed(DEV), **rule))
    assert (reason(decision), decision.actions) == ("MaxIterations", ())
    assert decision.status.pull_request == at_limit.status.pull_request
    retried = replace(at_limit, spec=replace(at_limit.spec, retries=1), status=decision.status)
    after = decided(retried, facts(pushed(DEV), **rule)).status
    assert (after.stage, after.iteration, after.remediations, after.extra_iterations) == ("quality", 2, 2, 1)


def test_a_push_keeps_what_an_earlier_review_still_asks_of_the_stage() -> None:
    decision = decided(
        play_at("implementation", resolved_head="aaaa", iteration=2),
        facts(pushed(DEV), **ruled(on=Trigger.PUSH, restart_at="implementation")),
    )
    assert (decision.status.stage, decision.status.iteration, decision.status.resolved_head) == ("implementation", 3, "aaaa")
    assert isinstance(decision.actions[0], CreateRun)


# -- reviews -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "stage"), [(TESS, "testing"), (DEV, "testing"), (CLEO, "testing"), (DEV, "merge")])
def test_a_review_that_asks_for_changes_restarts_implementation_with_its_session(by: Actor, stage: str) -> None:
    pull = pull_request(reviews=(review(REFUSED, by, id=4, body="mend it"),), labels=(label(),))
    decision = decided(play_at(stage, gates=GATES), facts(pull, run("implementation"), run("quality"), run("testing")))
    removed, created = decision.actions
    assert removed == RemoveLabel(number=1, label="ready-for-qa")
    assert isinstance(created, CreateRun)
    assert (created.name, created.agent, created.continue_session) == ("play-demo-7-implementation-2-1", "rex", True)
    assert created.context["requested-changes"] == f"{by.login} on aaaa:\nmend it"
    status = decision.status
    assert (status.iteration, status.remediations, status.reviewed, status.resolved_head) == (2, 1, 4, "aaaa")
    assert status.gates == ()
    expected = f"{by.login} asked for changes on aaaa; back to implementation"
    assert (status.history[0].reason, status.history[0].message) == ("ChangesRequested", expected)


def test_a_rule_may_ask_for_a_fresh_session() -> None:
    rule = ruled(on=Trigger.CHANGES_REQUESTED, restart_at="implementation", continue_session=False)
    first = facts(pull_request(reviews=(review(REFUSED),)), run("implementation"), **rule)
    decision = decided(play_at("testing"), first)
    assert isinstance(decision.actions[0], CreateRun)
    assert not decision.actions[0].continue_session
    failed = run("implementation", RunPhase.FAILED, iteration=2, finished_at=None)
    second = decided(replace(play_at("testing"), status=decision.status), replace(first, runs=(*first.runs, failed)))
    assert isinstance(second.actions[0], CreateRun)
    assert second.actions[0].continue_session


@pytest.mark.parametrize(
    ("pull", "status"),
    [
        (pull_request(reviews=(review(REFUSED, MALLORY),)), {}),
        (pull_request(reviews=(review(REFUSED),)), {"reviewed": 1}),
        (pull_request(reviews=(review(REFUSED), review(APPROVED, id=2))), {}),
        (pull_request(reviews=(review(ReviewState.COMMENTED, DEV),)), {}),
    ],
    ids=["by somebody who may not write", "answered", "taken back", "a comment"],
)
def test_reviews_that_do_not_count_change_nothing(pull: PullRequest, status: dict[str, Any]) -> None:
    decision = decided(play_at("merge", **status), facts(pull))
    assert (decision.status.stage, decision.status.iteration, decision.actions) == ("merge", 1, ())


def test_two_reviewers_are_answered_by_one_restart() -> None:
    pull = pull_request(reviews=(review(REFUSED, DEV, id=3), review(REFUSED, TESS, id=5)))
    status = decided(play_at("merge"), facts(pull)).status
    assert (status.iteration, status.remediations, status.reviewed) == (2, 1, 5)
    assert status.history[0].message == "dev, tess[bot] asked for changes on aaaa; back to implementation"


def test_a_review_that_a_run_is_told_of_is_answered_by_that_run() -> None:
    pull = pull_request(reviews=(review(REFUSED, DEV, id=3), review(REFUSED, TESS, id=5)))
    waiting = play_at("implementation", iteration=2, remediations=1, reviewed=3, resolved_head="aaaa")
    status = decided(waiting, facts(pull)).status
    assert (status.reviewed, status.remediations, status.resolved_head) == (5, 1, "aaaa")


def test_the_run_that_wrote_a_review_is_left_to_end_by_itself() -> None:
    pull = pull_request(reviews=(review(REFUSED),))
    decision = decided(play_at("testing"), facts(pull, run("testing", RunPhase.RUNNING)))
    assert (decision.status.stage, decision.actions, reason(decision)) == ("testing", (), "RunRunning")


def test_a_review_by_another_cancels_the_run_at_work() -> None:
    pull = pull_request(reviews=(review(REFUSED, DEV),))
    busy = run("testing", RunPhase.RUNNING)
    decision = decided(play_at("testing"), facts(pull, busy))
    assert cancelled(decision.actions) == [busy.name]
    assert (decision.status.stage, reason(decision)) == ("implementation", "RunsEnding")


def test_a_review_without_a_rule_for_it_is_left_to_the_gates() -> None:
    pull = pull_request(reviews=(review(REFUSED, DEV),))
    decision = decided(play_at("merge"), facts(pull, **ruled(on=Trigger.PUSH, restart_at="quality")))
    assert (decision.status.stage, reason(decision)) == ("merge", "WaitingForPeople")


def test_a_rule_cannot_restart_at_a_stage_of_people() -> None:
    pull = pull_request(mergeability=Mergeability.CONFLICT)
    stages = (*PACKAGED.stages[:1], replace(PACKAGED.stages[3], name="talk"), *PACKAGED.stages[1:])
    rules = (Remedy(on=Trigger.CONFLICT, restart_at="talk", counts=False),)
    decision = decided(play_at("merge"), facts(pull, pipeline=replace(PACKAGED, stages=stages, remediation=rules)))
    assert (decision.status.stage, decision.status.iteration) == ("merge", 1)


# -- conflicts -----------------------------------------------------------------------------------------------------------------


def test_a_conflict_restarts_implementation_and_says_how_to_end_it() -> None:
    pull = pull_request(mergeability=Mergeability.CONFLICT)
    decision = decided(play_at("merge", gates=GATES), facts(pull))
    (created,) = decision.actions
    assert isinstance(created, CreateRun)
    assert "Merge origin/main into it" in created.context["conflict"]
    status = decision.status
    assert (status.stage, status.iteration, status.remediations, status.resolved_head) == ("implementation", 2, 1, "aaaa")
    assert (status.history[0].reason, status.history[0].message) == (
        "Conflict",
        "aaaa conflicts with main; back to implementation",
    )


def test_a_conflict_during_implementation_changes_nothing() -> None:
    pull = pull_request(mergeability=Mergeability.CONFLICT)
    decision = decided(play_at("implementation"), facts(pull, run("implementation", RunPhase.RUNNING)))
    assert (decision.status.stage, decision.status.iteration) == ("implementation", 1)


# -- the limit -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pull", "what"),
    [
        (pull_request(reviews=(review(REFUSED),)), "tess[bot] asked for changes on aaaa"),
        (pull_request(mergeability=Mergeability.CONFLICT), "aaaa conflicts with main"),
    ],
)
def test_at_the_limit_the_play_waits_for_a_person(pull: PullRequest, what: str) -> None:
    decision = decided(play_at("testing", spec={"max_iterations": 2}, remediations=2), facts(pull, run("testing")))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "MaxIterations")
    assert waiting.message == f"{what}, and 2 restarts have been made already"
    assert waiting.would_move == "`coderun retry play-demo-7` allows one more, or work on the pull request yourself"
    assert (decision.status.phase, decision.status.iteration, decision.actions) == (PlayPhase.WAITING, 1, ())


def test_a_retry_at_the_limit_allows_one_restart_more() -> None:
    pull = pull_request(reviews=(review(REFUSED),))
    asked = play_at("testing", spec={"max_iterations": 2, "retries": 1}, remediations=2)
    status = decided(asked, facts(pull, run("testing"))).status
    assert (status.stage, status.remediations, status.extra_iterations) == ("implementation", 3, 1)


def test_a_persons_push_at_the_limit_answers_what_was_asked_of_earlier_heads() -> None:
    pull = pushed(DEV, reviews=(review(REFUSED, id=4),))
    at_limit = play_at("testing", spec={"max_iterations": 2}, remediations=2)
    status = decided(at_limit, facts(pull, run("testing"))).status
    assert (status.stage, status.reviewed, status.remediations) == ("quality", 4, 2)


def test_an_agents_push_at_the_limit_answers_nothing() -> None:
    pull = pushed(CLEO, reviews=(review(REFUSED, id=4),))
    decision = decided(play_at("testing", spec={"max_iterations": 2}, remediations=2), facts(pull))
    assert (decision.status.stage, decision.status.reviewed, reason(decision)) == ("quality", 0, "MaxIterations")


def test_a_push_and_a_review_before_the_limit_send_the_play_back_to_implementation() -> None:
    pull = pushed(DEV, reviews=(review(REFUSED, id=4),))
    status = decided(play_at("testing"), facts(pull, run("testing"))).status
    assert (status.stage, status.iteration, status.remediations, status.resolved_head) == ("implementation", 3, 1, "bbbb1")


# -- crashes -------------------------------------------------------------------------------------------------------------------


@pytest.mark.lesson(21)
def test_going_back_again_after_a_crash_leaves_the_run_alone_that_the_lost_pass_created() -> None:
    pull = pull_request(reviews=(review(REFUSED, id=4),))
    made = run("implementation", RunPhase.RUNNING, iteration=2)
    decision = decided(play_at("testing"), facts(pull, run("testing"), made))
    assert decision.actions == ()
    assert (decision.status.stage, decision.status.iteration, reason(decision)) == ("implementation", 2, "RunRunning")
