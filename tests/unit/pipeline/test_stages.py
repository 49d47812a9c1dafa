import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import (
    AGENTS,
    DEV,
    GREEN,
    LABEL,
    MERGED,
    NOW,
    PACKAGED,
    RED,
    REVIEW,
    ROSTER,
    RUNNING,
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
from coderun.model.play import PlayPhase
from coderun.model.pulls import Checks, PullRequest, ReviewState
from coderun.pipeline.decision import CreateRun, Decision, MergePullRequest
from coderun.pipeline.definition import Stage
from coderun.pipeline.facts import Rules

FAILED, SUCCEEDED, CANCELLED = RunPhase.FAILED, RunPhase.SUCCEEDED, RunPhase.CANCELLED
READY = pull_request(labels=(label(),))


def attempt_of(decision: Decision) -> int:
    (created,) = decision.actions
    assert isinstance(created, CreateRun)
    return created.attempt


# -- at work -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why", "message"),
    [
        ({}, "RunRunning", "tess works on testing (iteration 1, attempt 1)"),
        ({"cancelling": True}, "RunRunning", "tess is being stopped on testing (iteration 1, attempt 1)"),
        ({"phase": RunPhase.PENDING}, "RunPending", "tess is about to work on testing (iteration 1, attempt 1)"),
        (
            {"phase": RunPhase.PENDING, "message": "parked until 15:00"},
            "RunPending",
            "tess is about to work on testing (iteration 1, attempt 1): parked until 15:00",
        ),
    ],
)
def test_a_stage_at_work_is_waited_for(changes: dict[str, object], why: str, message: str) -> None:
    busy = replace(run("testing", RunPhase.RUNNING), **changes)
    approved = pull_request(reviews=(review(ReviewState.APPROVED),))
    decision = decided(play_at("testing"), facts(approved, busy))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.message, waiting.target) == ("run", why, message, busy.name)
    assert waiting.would_move == f"the end of run {busy.name}"
    assert (decision.status.stage, decision.actions) == ("testing", ())


# -- done ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.lesson(42)
@pytest.mark.parametrize(
    ("stage", "pull", "following", "what"),
    [
        ("implementation", pull_request(), "quality", "implementation passed on aaaa: pull-request by rex[bot]"),
        ("quality", READY, "testing", "quality passed on aaaa: label ready-for-qa by cleo[bot]; checks passed"),
        (
            "testing",
            pull_request(reviews=(review(ReviewState.APPROVED),)),
            "merge",
            "testing passed on aaaa: review by tess[bot]",
        ),
    ],
)
def test_a_stage_whose_gates_hold_leads_to_the_next(stage: str, pull: PullRequest, following: str, what: str) -> None:
    status = decided(play_at(stage), facts(pull, run(stage))).status
    assert (status.stage, status.iteration) == (following, 1)
    assert (status.history[0].reason, status.history[0].message) == ("StagePassed", what)
    assert {(gate.stage, gate.head_sha, gate.since) for gate in status.gates} == {(stage, "aaaa", NOW)}


@pytest.mark.lesson(21)
def test_several_stages_are_passed_in_one_pass_where_their_gates_hold_already() -> None:
    pull = pull_request(labels=(label(),), reviews=(review(ReviewState.APPROVED),))
    status = decided(play_at("implementation"), facts(pull)).status
    assert status.stage == "merge"
    assert [gate.stage for gate in status.gates] == ["implementation", "quality", "quality", "testing"]


def test_a_pipeline_that_ends_without_a_merge_succeeds_when_all_stages_are_passed() -> None:
    pipeline = replace(PACKAGED, stages=(Stage(name="tidy", role="quality"),), remediation=())
    status = decided(play_at("tidy", head=""), facts(None, run("tidy"), pipeline=pipeline)).status
    assert (status.phase, status.stage, status.finished_at) == (PlayPhase.SUCCEEDED, "", NOW)
    assert [(entry.reason, entry.message) for entry in status.history] == [
        ("StagePassed", "tidy passed: run by rex"),
        ("PipelineCompleted", "every stage has been passed"),
    ]


@pytest.mark.parametrize(
    ("head", "phase", "passes"),
    [
        ("bbbb", SUCCEEDED, True),
        ("bbbb", FAILED, False),
        ("aaaa", SUCCEEDED, False),
        ("bbbb", None, False),
    ],
    ids=["new head, success", "new head, failure", "same head, success", "new head, no run"],
)
def test_after_changes_were_asked_for_only_a_run_that_succeeds_with_a_new_head_is_done(
    head: str, phase: RunPhase | None, passes: bool
) -> None:
    runs = () if phase is None else (run("implementation", phase, iteration=2),)
    owing = play_at("implementation", head=head, iteration=2, resolved_head="aaaa")
    status = decided(owing, facts(pull_request(head_sha=head), *runs)).status
    assert (status.stage == "quality") is passes
    assert status.resolved_head == ("" if passes else "aaaa")


def test_a_run_that_changes_nothing_after_a_review_is_tried_again_for_that() -> None:
    owing = play_at("implementation", iteration=2, resolved_head="aaaa")
    idle = run("implementation", iteration=2)
    settling = decided(owing, facts(pull_request(), idle))
    assert settling.status.waiting is not None
    assert settling.status.waiting.message == "the head is still the commit that was refused"
    later = decided(owing, facts(pull_request(), idle), after(30))
    assert attempt_of(later) == 2
    assert isinstance(later.actions[0], CreateRun)
    assert later.actions[0].context["last-attempt"].endswith("the head is still the commit that was refused")


# -- not done ------------------------------------------------------------------------------------------------------------------


def test_a_stage_nobody_has_worked_on_gets_its_first_run() -> None:
    assert attempt_of(decided(play_at("quality"), facts(pull_request()))) == 1


def test_a_run_of_another_iteration_is_none_of_this_one() -> None:
    created = decided(play_at("quality", iteration=3), facts(pull_request(), run("quality", iteration=2)))
    assert attempt_of(created) == 1


def test_a_role_that_nobody_has_is_a_persons_business() -> None:
    agents = {role: agent for role, agent in AGENTS.items() if role != "quality"}
    decision = decided(play_at("quality"), facts(pull_request(), agents=agents))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "NoAgentForRole")
    assert waiting.message == "no agent of the roster has the role 'quality'"
    assert waiting.would_move == "an agent with that role in coderun.yaml"


def test_an_agent_that_the_play_names_and_nobody_knows_is_named_beside_those_there_are() -> None:
    agents = {role: agent for role, agent in AGENTS.items() if role != "quality"}
    decision = decided(play_at("quality", spec={"agents": {"quality": "zed"}}), facts(pull_request(), agents=agents))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "NoAgentForRole")
    known = ", ".join(sorted(ROSTER.agents))
    assert waiting.message == f"the play gives the role 'quality' to 'zed', who is not in the roster (known: {known})"
    assert waiting.would_move == "another name in its `agents`, or an agent 'zed' in coderun.yaml"


@pytest.mark.lesson(12, 45)
def test_an_agent_that_ends_well_without_its_evidence_has_failed() -> None:
    early = decided(play_at("quality"), facts(pull_request(), run("quality")), NOW)
    assert early.status.waiting is not None
    assert (early.status.waiting.reason, early.status.waiting.would_move) == ("GateOpen", "the forge catching up")
    assert early.recheck_at == after(5)
    late = decided(play_at("quality"), facts(pull_request(), run("quality")), after(6))
    assert reason(late) == "BackOff"
    assert late.status.waiting is not None
    expected = "attempt 1 of quality failed: EvidenceMissing: it ended, but label ready-for-qa is not set on #1"
    assert late.status.waiting.message == expected


@pytest.mark.parametrize("checks", [RUNNING, Checks()], ids=["running", "none yet"])
def test_evidence_that_comes_by_itself_is_waited_for(checks: Checks) -> None:
    pull = pull_request(labels=(label(),), checks=checks)
    decision = decided(play_at("quality"), facts(pull, run("quality")), after(30))
    assert decision.status.waiting is not None
    assert (decision.status.waiting.kind, decision.status.waiting.reason) == ("gate", "GateOpen")
    assert decision.actions == ()
    assert decision.recheck_at == (None if checks is RUNNING else after(60))


def test_checks_that_fail_after_the_run_are_worked_on_by_another_attempt() -> None:
    pull = pull_request(labels=(label(),), checks=RED)
    decision = decided(play_at("quality"), facts(pull, run("quality")), after(30))
    assert attempt_of(decision) == 2
    assert isinstance(decision.actions[0], CreateRun)
    assert decision.actions[0].context["failed-checks"] == "ci:\n1 test failed"


@pytest.mark.lesson(4)
@pytest.mark.parametrize(("attempt", "pause"), [(1, 10.0), (2, 20.0), (3, 40.0)])
def test_a_failed_attempt_is_repeated_after_a_pause_that_doubles(attempt: int, pause: float) -> None:
    failed = run("quality", FAILED, attempt=attempt, reason="JobLost", message="it is gone")
    seen = facts(pull_request(), failed, rules=Rules(attempts=9))
    waits = decided(play_at("quality"), seen, after(pause - 1))
    waiting = waits.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("time", "BackOff")
    assert waiting.message == f"attempt {attempt} of quality failed: JobLost: it is gone"
    at = f"{after(pause):%H:%M:%S} UTC"
    assert waiting.would_move == f"attempt {attempt + 1} starts by itself at {at}, {pause:g} s after that"
    assert waits.recheck_at == after(pause)
    assert attempt_of(decided(play_at("quality"), seen, after(pause))) == attempt + 1


@pytest.mark.lesson(36)
def test_a_pause_is_a_time_to_look_again_and_never_a_sleep() -> None:
    decision = decided(play_at("quality"), facts(pull_request(), run("quality", FAILED)))
    assert (reason(decision), decision.recheck_at) == ("BackOff", after(10))


def test_a_pause_grows_to_an_hour_and_no_further() -> None:
    failed = run("quality", FAILED, attempt=5000)
    decision = decided(play_at("quality"), facts(pull_request(), failed, rules=Rules(attempts=9999)))
    assert decision.recheck_at == after(3600)


def test_a_configured_pause_of_more_than_an_hour_stays_what_it_is() -> None:
    failed = run("quality", FAILED, attempt=2)
    decision = decided(play_at("quality"), facts(pull_request(), failed, rules=Rules(backoff=7200.0)))
    assert decision.recheck_at == after(7200)


@pytest.mark.parametrize("seconds", [-86400 * 365, 86400 * 365])
def test_a_clock_that_jumps_ends_a_pause_and_never_lengthens_it(seconds: float) -> None:
    failed = run("quality", FAILED)
    decision = decided(play_at("quality"), facts(pull_request(), failed), after(seconds))
    assert attempt_of(decision) == 2


def test_a_failed_run_that_does_not_say_when_it_ended_is_followed_at_once() -> None:
    assert attempt_of(decided(play_at("quality"), facts(pull_request(), run("quality", FAILED, finished_at=None)))) == 2


@pytest.mark.parametrize(
    ("attempts", "message", "last"),
    [
        (None, "it broke", "quality failed 3 time(s), last in play-demo-7-quality-1-3: AgentFailed: it broke"),
        (2, "", "quality failed 3 time(s), last in play-demo-7-quality-1-3: AgentFailed: nobody said why"),
    ],
)
def test_a_play_fails_when_all_attempts_have_failed(attempts: int | None, message: str, last: str) -> None:
    pipeline = replace(PACKAGED, stages=(PACKAGED.stages[0], replace(PACKAGED.stages[1], attempts=attempts)))
    failed = run("quality", FAILED, attempt=3, reason="AgentFailed", message=message)
    decision = decided(play_at("quality"), facts(pull_request(), failed, pipeline=pipeline))
    status = decision.status
    assert (status.phase, status.message, status.finished_at, status.waiting) == (PlayPhase.FAILED, last, NOW, None)
    assert status.history[-1].reason == "AttemptsExhausted"
    assert decision.actions == ()


def test_attempts_are_counted_from_the_last_retry_on() -> None:
    failed = run("quality", FAILED, attempt=4, finished_at=None)
    decision = decided(play_at("quality", first_attempt=3), facts(pull_request(), failed))
    assert attempt_of(decision) == 5


@pytest.mark.parametrize(
    ("message", "expected"),
    [("no database", "cleo cannot go on: no database"), ("", "cleo cannot go on: it did not say why")],
)
def test_an_agent_that_is_blocked_asks_a_person_and_is_not_tried_again(message: str, expected: str) -> None:
    blocked = run("quality", FAILED, reason="AgentBlocked", message=message)
    decision = decided(play_at("quality"), facts(pull_request(), blocked), after(9999))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.message) == ("person", "AgentBlocked", expected)
    assert waiting.would_move == "`coderun retry play-demo-7`"


@pytest.mark.parametrize(
    ("said", "shown"), [("ada opened it", "ada opened it"), ("", "an agent cannot judge its own pull request")]
)
def test_agents_that_share_an_account_ask_a_person_to_approve_and_are_not_tried_again(said: str, shown: str) -> None:
    own = run("testing", FAILED, reason="OwnPullRequest", message=said)
    decision = decided(play_at("testing"), facts(pull_request(), own), after(9999))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason, waiting.message) == ("person", "OwnPullRequest", shown)
    assert waiting.would_move == "`coderun approve play-demo-7`"


def test_a_run_that_can_never_run_asks_a_person_and_is_not_tried_again() -> None:
    invalid = run("quality", FAILED, reason="InvalidSpec", message="code/claude.md.hbs:3:3: unknown variable 'x'")
    decision = decided(play_at("quality"), facts(pull_request(), invalid), after(9999))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "InvalidSpec")
    assert waiting.message == f"{invalid.name} can never run: code/claude.md.hbs:3:3: unknown variable 'x'"
    assert waiting.would_move == "`coderun retry play-demo-7`"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"message": "enough"}, "enough"), ({"reason": "Cancelled"}, "Cancelled"), ({}, "nobody said why")],
)
def test_a_run_that_a_person_cancelled_is_not_started_again_by_itself(changes: dict[str, object], why: str) -> None:
    decision = decided(play_at("quality"), facts(pull_request(), run("quality", CANCELLED, **changes)))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "RunCancelled")
    assert waiting.message == f"run play-demo-7-quality-1-1 was cancelled: {why}"
    assert decision.actions == ()


@pytest.mark.lesson(22)
@pytest.mark.parametrize("stage", ["implementation", "merge"])
def test_two_pull_requests_that_claim_the_task_are_a_persons_business(stage: str) -> None:
    decision = decided(play_at(stage, head=""), facts(None, run(stage), rivals=(1, 2)), after(9999))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (waiting.kind, waiting.reason) == ("person", "AmbiguousPullRequests")
    assert waiting.message == "pull requests #1, #2 all claim task 7"
    assert waiting.would_move == "closing all but one of them"
    assert decision.actions == ()


@pytest.mark.lesson(42)
def test_a_stage_that_the_pipeline_lost_is_no_reason_to_call_the_play_done() -> None:
    decision = decided(play_at("review"), facts(pull_request()))
    waiting = decision.status.waiting
    assert waiting is not None
    assert (decision.status.phase, waiting.reason) == (PlayPhase.WAITING, "UnknownStage")
    expected = (
        "stage 'review', where the play stands, is not in pipeline 'play' any more "
        "(stages: implementation, quality, testing, merge)"
    )
    assert waiting.message == expected
    assert "`coderun retry play-demo-7`" in waiting.would_move


# -- an agent's stage that ends in a merge -------------------------------------------------------------------------------------

RELEASE = replace(PACKAGED, stages=(PACKAGED.stages[0], Stage(name="release", role="testing", gates=(REVIEW, MERGED))))


def test_a_stage_of_an_agent_may_end_in_the_merge() -> None:
    pull = pull_request(reviews=(review(ReviewState.APPROVED),))
    seen = facts(pull, run("release"), pipeline=RELEASE)
    assert reason(decided(play_at("release"), seen)) == "WaitingForPeople"
    merging = decided(play_at("release", spec={"auto_merge": True}), seen)
    assert [type(action) for action in merging.actions] == [MergePullRequest]


def test_the_agent_of_a_stage_that_ends_in_the_merge_works_first() -> None:
    only = replace(RELEASE, stages=(RELEASE.stages[0], Stage(name="release", role="testing", gates=(MERGED,))))
    decision = decided(play_at("release", spec={"auto_merge": True}), facts(pull_request(checks=GREEN), pipeline=only))
    assert attempt_of(decision) == 1


def test_nothing_is_merged_while_a_review_is_still_to_be_answered() -> None:
    only = replace(RELEASE, stages=(RELEASE.stages[0], Stage(name="release", role="testing", gates=(MERGED,))))
    owing = play_at("release", spec={"auto_merge": True}, resolved_head="aaaa")
    decision = decided(owing, facts(pull_request(), run("release", agent="tess"), pipeline=only))
    assert decision.actions == ()
    assert reason(decision) == "GateOpen"


def test_a_label_by_a_person_does_not_stand_for_the_agents() -> None:
    decision = decided(play_at("quality"), facts(pull_request(labels=(label(DEV),))))
    assert attempt_of(decision) == 1
    assert LABEL in PACKAGED.stages[1].gates
