from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import (
    AGENTS,
    CHECKS,
    CLEO,
    DEV,
    GREEN,
    LABEL,
    MALLORY,
    MERGED,
    NOW,
    PULL_REQUEST,
    RED,
    REVIEW,
    REX,
    ROSTER,
    RUN,
    RUNNING,
    TESS,
    label,
    pull_request,
    review,
    run,
)

from coderun.model.coderun import RunPhase
from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.pulls import Actor, Check, Checks, CheckState, PullRequest, PullState, Push, ReviewState
from coderun.model.roster import Agent
from coderun.pipeline.facts import RunFact
from coderun.pipeline.gates import (
    GateView,
    Holding,
    change_requests,
    evaluate,
    find_label,
    pushes_after,
    short,
    verdicts,
)

ANYONE = {"by": GateActor.ANYONE}
APPROVED, REFUSED, COMMENTED = ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.COMMENTED


def look(gate: Gate, pull: PullRequest | None, role: str = "", *, at: RunFact | None = None, seconds: float = 0) -> Holding:
    agent: Agent | None = AGENTS.get(role)
    now = NOW + timedelta(seconds=seconds)
    return evaluate(
        gate, GateView(pull_request=pull, agent=agent, roster=ROSTER, run=at, checks_grace=60.0, now=now, since=NOW)
    )


def moved(*pushers: Actor, **changes: object) -> PullRequest:
    """The pull request after pushes: heads aaaa, bbbb1, bbbb2, …"""
    pushes = (Push(sha="aaaa", actor=REX), *(Push(sha=f"bbbb{at}", actor=by) for at, by in enumerate(pushers, 1)))
    return pull_request(head_sha=pushes[-1].sha, pushes=pushes, **changes)


@pytest.mark.lesson(40)
@pytest.mark.parametrize("gate", [PULL_REQUEST, LABEL, CHECKS, REVIEW, MERGED], ids=lambda gate: gate.kind.value)
def test_no_gate_of_the_forge_holds_without_a_pull_request(gate: Gate) -> None:
    holding = look(gate, None, "quality")
    assert not holding.holds
    assert holding.missing == "no pull request of this task is open"


# -- pull-request --------------------------------------------------------------------------------------------------------------


def test_a_pull_request_of_the_stages_agent_passes() -> None:
    assert look(PULL_REQUEST, pull_request(), "implementation") == Holding(holds=True, actor="rex[bot]")


@pytest.mark.lesson(26)
@pytest.mark.parametrize("login", ["REX", "Rex[bot]", "5dlabs-rex[bot]", "5DLabs-Rex"])
def test_the_agents_login_counts_in_any_spelling(login: str) -> None:
    assert look(PULL_REQUEST, pull_request(author=Actor(login=login)), "implementation").holds


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"state": PullState.CLOSED}, "pull request #1 is closed"),
        ({"draft": True}, "pull request #1 is a draft; mark it ready for review"),
        ({"author": DEV}, "pull request #1 was opened by dev, not by rex"),
    ],
)
def test_a_pull_request_that_is_not_open_ready_and_the_agents_does_not_pass(changes: dict[str, object], missing: str) -> None:
    assert look(PULL_REQUEST, pull_request(**changes), "implementation") == Holding(holds=False, missing=missing)


def test_a_pull_request_by_anyone_is_by_somebody_who_may_write() -> None:
    gate = replace(PULL_REQUEST, **ANYONE)
    assert look(gate, pull_request(author=DEV), "implementation").actor == "dev"
    missing = look(gate, pull_request(author=MALLORY), "implementation").missing
    assert missing == "pull request #1 was opened by mallory, not by somebody who may write"


def test_a_roster_agent_counts_as_anyone_even_where_the_forge_does_not_tell_that_it_may_write() -> None:
    assert look(replace(PULL_REQUEST, **ANYONE), pull_request(author=Actor(login="cleo[bot]"))).holds


# -- label ---------------------------------------------------------------------------------------------------------------------


def test_a_label_of_the_stages_agent_on_the_head_passes() -> None:
    assert look(LABEL, pull_request(labels=(label(),)), "quality") == Holding(holds=True, actor="cleo[bot]")


def test_a_label_passes_whatever_its_case() -> None:
    assert look(LABEL, pull_request(labels=(label(name="Ready-For-QA"),)), "quality").holds


@pytest.mark.lesson(45)
@pytest.mark.parametrize(
    ("pull", "missing"),
    [
        (pull_request(), "label ready-for-qa is not set on #1"),
        (pull_request(labels=(label(DEV),)), "label ready-for-qa was set by dev, not by cleo"),
        (moved(DEV, labels=(label(),)), "label ready-for-qa was set on aaaa, the head is bbbb1 by now"),
        (moved(CLEO, DEV, labels=(label(),)), "label ready-for-qa was set on aaaa, the head is bbbb2 by now"),
        (moved(REX, labels=(label(),)), "label ready-for-qa was set on aaaa, the head is bbbb1 by now"),
        (moved(labels=(label(head_sha="ffff"),)), "label ready-for-qa was set on ffff, the head is aaaa by now"),
    ],
    ids=[
        "absent",
        "by a person",
        "before a push",
        "before two pushes",
        "before a push of another agent",
        "on a foreign commit",
    ],
)
def test_a_label_does_not_pass_unless_it_is_the_agents_and_of_this_head(pull: PullRequest, missing: str) -> None:
    assert look(LABEL, pull, "quality") == Holding(holds=False, missing=missing)


def test_a_push_of_the_stages_own_agent_does_not_void_its_label() -> None:
    assert look(LABEL, moved(CLEO, CLEO, labels=(label(),)), "quality").holds


def test_a_head_whose_push_the_forge_has_not_told_of_yet_voids_a_label() -> None:
    pull = replace(moved(CLEO, labels=(label(),)), head_sha="cccc")
    assert look(LABEL, pull, "quality").missing == "label ready-for-qa was set on aaaa, the head is cccc by now"


def test_a_label_by_anyone_may_be_a_persons_in_a_stage_without_an_agent() -> None:
    gate = replace(LABEL, **ANYONE)
    assert look(gate, pull_request(labels=(label(DEV),))).actor == "dev"
    assert look(gate, pull_request(labels=(label(MALLORY),))).missing.endswith("not by somebody who may write")
    assert not look(gate, moved(DEV, labels=(label(DEV),))).holds


def test_a_gate_of_the_stages_agent_cannot_be_passed_where_there_is_none() -> None:
    missing = look(LABEL, pull_request(labels=(label(),))).missing
    assert missing == "label ready-for-qa was set by cleo[bot], not by somebody who may write"


# -- checks --------------------------------------------------------------------------------------------------------------------


def test_checks_pass_when_all_that_count_have_passed() -> None:
    items = (
        Check(name="unit", state=CheckState.PASSED),
        Check(name="flaky", state=CheckState.FAILED, required=False),
    )
    assert look(CHECKS, pull_request(checks=Checks(items=items))) == Holding(holds=True, actor="checks")


def test_all_checks_count_where_none_is_required() -> None:
    items = (Check(name="a", state=CheckState.PASSED, required=False), Check(name="b", state=CheckState.FAILED, required=False))
    assert look(CHECKS, pull_request(checks=Checks(items=items))).missing == "checks failed on aaaa: b"


@pytest.mark.parametrize(
    ("checks", "missing", "by_itself"),
    [
        (RED, "checks failed on aaaa: ci", False),
        (RUNNING, "checks of aaaa are running", True),
        (Checks(items=GREEN.items, expected=("ci", "e2e")), "checks of aaaa are running", True),
        (Checks(items=RED.items, expected=("ci", "e2e")), "checks failed on aaaa: ci", False),
    ],
    ids=["failed", "running", "one has not reported", "failed before all have reported"],
)
def test_checks_that_failed_need_work_and_checks_that_run_need_patience(checks: Checks, missing: str, by_itself: bool) -> None:
    assert look(CHECKS, pull_request(checks=checks)) == Holding(holds=False, missing=missing, comes_by_itself=by_itself)


def test_no_check_at_all_passes_only_after_the_grace_period() -> None:
    pull = pull_request(checks=Checks())
    early = look(CHECKS, pull, seconds=59)
    assert (early.holds, early.missing) == (False, "no check of aaaa has reported yet")
    assert early.recheck_at == NOW + timedelta(seconds=60)
    assert look(CHECKS, pull, seconds=60) == Holding(holds=True, actor="no checks")


def test_a_forge_that_knows_that_there_are_no_checks_need_not_be_waited_for() -> None:
    assert look(CHECKS, pull_request(checks=Checks(expected=()))).holds


def test_the_grace_period_counts_from_the_last_push_or_the_stage_where_the_head_has_no_time() -> None:
    stamped = (Push(sha="aaaa", actor=REX, at=NOW + timedelta(seconds=30)),)
    pull = pull_request(checks=Checks(), head_since=None, pushes=stamped)
    assert look(CHECKS, pull, seconds=40).recheck_at == NOW + timedelta(seconds=90)
    bare = replace(pull, pushes=())
    assert look(CHECKS, bare, seconds=40).recheck_at == NOW + timedelta(seconds=60)
    assert look(CHECKS, bare, seconds=61).holds


# -- review --------------------------------------------------------------------------------------------------------------------


def test_an_approval_of_the_head_by_the_stages_agent_passes() -> None:
    assert look(REVIEW, pull_request(reviews=(review(APPROVED),)), "testing") == Holding(holds=True, actor="tess[bot]")


def test_a_comment_after_an_approval_takes_nothing_back() -> None:
    pull = pull_request(reviews=(review(APPROVED), review(COMMENTED, id=2)))
    assert look(REVIEW, pull, "testing").holds


@pytest.mark.parametrize(
    ("reviews", "missing"),
    [
        ((), "no approving review by tess on aaaa"),
        ((review(APPROVED, DEV),), "no approving review by tess on aaaa"),
        ((review(COMMENTED),), "no approving review by tess on aaaa"),
        ((review(APPROVED, head_sha="0000"),), "tess[bot] approved 0000, the head is aaaa by now"),
        ((review(APPROVED), review(REFUSED, id=2)), "no approving review by tess on aaaa"),
        ((review(REFUSED, id=2), review(APPROVED)), "no approving review by tess on aaaa"),
        ((review(APPROVED), review(ReviewState.DISMISSED, id=2)), "no approving review by tess on aaaa"),
    ],
    ids=["none", "another's", "comment", "earlier head", "refused since", "refused since, told out of order", "dismissed"],
)
def test_only_the_agents_last_verdict_on_this_head_passes(reviews: tuple[object, ...], missing: str) -> None:
    assert look(REVIEW, pull_request(reviews=reviews), "testing") == Holding(holds=False, missing=missing)


def test_a_review_by_anyone_is_by_somebody_who_may_write() -> None:
    gate = replace(REVIEW, **ANYONE)
    assert look(gate, pull_request(reviews=(review(APPROVED, DEV),)), "testing").actor == "dev"
    missing = look(gate, pull_request(reviews=(review(APPROVED, MALLORY),)), "testing").missing
    assert missing == "no approving review by somebody who may write on aaaa"


# -- merged, run ---------------------------------------------------------------------------------------------------------------


def test_the_merged_gate_holds_once_the_pull_request_is_merged() -> None:
    assert look(MERGED, pull_request(state=PullState.MERGED, merged_by="dev")) == Holding(holds=True, actor="dev")
    assert look(MERGED, pull_request()).missing == "pull request #1 is not merged"


def test_the_run_gate_holds_once_the_stages_run_has_succeeded() -> None:
    assert look(RUN, None, at=run("quality")) == Holding(holds=True, actor="cleo")
    for other in (None, run("quality", RunPhase.FAILED), run("quality", RunPhase.RUNNING)):
        assert look(RUN, None, at=other).missing == "no run of this stage has succeeded"


# -- words ---------------------------------------------------------------------------------------------------------------------


def test_each_reviewer_has_one_verdict_the_last_that_was_more_than_a_comment() -> None:
    shouting = Actor(login="TESS[bot]")
    pull = pull_request(
        reviews=(review(APPROVED, id=4), review(REFUSED, shouting, id=5), review(COMMENTED, id=6), review(APPROVED, DEV, id=1))
    )
    assert [found.id for found in verdicts(pull)] == [1, 5]


def test_changes_are_requested_by_people_who_may_write_and_by_roster_agents_only() -> None:
    agent = Actor(login="cleo[bot]", can_write=False)
    pull = pull_request(reviews=(review(REFUSED, MALLORY, id=1), review(REFUSED, DEV, id=2), review(REFUSED, agent, id=3)))
    assert [found.id for found in change_requests(pull, ROSTER)] == [2, 3]


@pytest.mark.parametrize(
    ("pull", "since", "expected"),
    [
        (moved(DEV, TESS), "aaaa", ["bbbb1", "bbbb2"]),
        (moved(DEV, TESS), "bbbb2", []),
        (moved(DEV), "ffff", None),
        (replace(moved(DEV), head_sha="cccc"), "aaaa", None),
        (pull_request(pushes=()), "aaaa", None),
    ],
    ids=["two since", "none since", "never was the head", "the last push is not known yet", "nothing is known"],
)
def test_the_pushes_since_a_head_are_known_only_when_they_lead_to_todays_head(
    pull: PullRequest, since: str, expected: list[str] | None
) -> None:
    found = pushes_after(pull, since)
    assert expected == (None if found is None else [push.sha for push in found])


def test_a_head_that_came_twice_counts_from_its_last_time() -> None:
    pushes = tuple(Push(sha=sha, actor=DEV) for sha in ("aaaa", "bbbb", "aaaa", "cccc"))
    found = pushes_after(pull_request(head_sha="cccc", pushes=pushes), "aaaa")
    assert found == pushes[3:]


def test_a_label_is_found_by_name_alone() -> None:
    assert find_label(pull_request(labels=(label(),)), "READY-for-qa") == label()
    assert find_label(pull_request(labels=(label(),)), "ready") is None


def test_a_commit_for_people_has_eight_characters_or_is_nothing() -> None:
    assert short("0123456789abcdef") == "01234567"
    assert short("") == "nothing"


def test_gates_bound_to_the_head_are_label_checks_and_review() -> None:
    assert {kind for kind in GateKind if kind.is_head_bound} == {GateKind.LABEL, GateKind.CHECKS, GateKind.REVIEW}
