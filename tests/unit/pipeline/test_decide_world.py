"""Random worlds: whatever agents, people and crashes do, `decide` keeps its promises and the play can always end well."""

import copy
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from tests.unit.pipeline.world import DEV, OUTSIDER, READY, Run, World, pushed_since, unjustified

from coderun.model.coderun import RunPhase
from coderun.model.names import task_label
from coderun.model.play import HISTORY_LIMIT, PlayPhase
from coderun.model.pulls import Actor, CheckState, Mergeability, PullState, ReviewState
from coderun.pipeline.decide import decide
from coderun.pipeline.decision import CancelRun, CreateRun, Decision, MergePullRequest, RemoveLabel
from coderun.pipeline.facts import Facts, Rules

PROFILES = {
    "default": settings(max_examples=400, stateful_step_count=40),
    "ci": settings(max_examples=1500, stateful_step_count=80),
}
PROFILE = settings(
    PROFILES.get(os.environ.get("HYPOTHESIS_PROFILE", "default"), PROFILES["default"]),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CREW = ("rex", "cleo", "tess")


def one_pass(world: World) -> None:
    world.reconcile()


def three_passes(world: World) -> None:
    for _ in range(3):
        world.reconcile()


def pass_after_crashes(world: World) -> None:
    """Each pass dies once before each of its actions, and once before it writes."""
    for cut in range(len(world.decide().actions) + 1):
        for action in world.decide().actions[:cut]:
            world.take(action)
    world.reconcile()


def lazy_passes(world: World) -> None:
    """Nobody looks while an agent is at work, unless it waits to be told to stop."""
    if all(run.phase is RunPhase.PENDING or run.cancelling for run in world.active()):
        world.reconcile()


Schedule = Callable[[World], None]
SCHEDULES: tuple[Schedule, ...] = (one_pass, three_passes, pass_after_crashes, lazy_passes)


class PlayWorld(RuleBasedStateMachine):
    """Events are never told to anybody: `look` may come at any moment, any number of times, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(limit=st.integers(0, 3), attempts=st.integers(1, 3), auto_merge=st.booleans())
    def begin(self, limit: int, attempts: int, auto_merge: bool) -> None:
        self.world.rules = Rules(attempts=attempts)
        self.world.respec(max_iterations=limit, auto_merge=auto_merge)

    # -- the controller ----------------------------------------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        self._pass(repeat=1)

    @rule()
    def look_and_take_each_action_twice(self) -> None:
        self._pass(repeat=2)

    @rule(cut=st.integers(0, 3))
    def crash_before_the_status_is_written(self, cut: int) -> None:
        decision = self._judged(self.world.facts())
        for action in decision.actions[:cut]:
            self.world.take(action)

    @rule(rounds=st.integers(1, 9))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self._pass(repeat=1)
            self.world.behave()

    def _pass(self, repeat: int) -> None:
        seen = self.world.facts()
        decision = self._judged(seen)
        for action in decision.actions:
            for _ in range(repeat):
                self.world.take(action)
        self.world.write(decision.status)
        self._assert_settled(seen, decision)

    def _judged(self, seen: Facts) -> Decision:
        world, before = self.world, self.world.play.status
        decision = decide(world.play, seen, world.now)
        after = decision.status
        if before.phase.is_finished:
            asked = world.play.spec.retries > before.retries_seen
            assert after.phase.is_finished or asked, f"{before.phase} → {after.phase} without a retry"
            if not asked:
                assert all(isinstance(action, CancelRun) for action in decision.actions)
                assert after.phase is before.phase
        assert after.retries_seen <= world.play.spec.retries
        new = tuple(gate for gate in after.gates if gate not in before.gates)
        pull = seen.pull_request
        assert not list(unjustified(world, new, world.pull(pull.number) if pull is not None else None))
        created = [action for action in decision.actions if isinstance(action, CreateRun)]
        assert len(created) <= 1
        assert not created or not world.active(), "a run is created only when nothing of the play is active"
        for action in decision.actions:
            if isinstance(action, MergePullRequest):
                self._assert_mergeable(decision, action)
        return decision

    def _assert_mergeable(self, decision: Decision, action: MergePullRequest) -> None:
        pull = self.world.pull(action.number)
        assert action.head_sha == pull.head_sha
        allowed = {"quality": {"tess[bot]"}, "testing": set[str]()}
        for gate in decision.status.gates:
            later = {push.actor.login for push in pushed_since(pull, gate.head_sha)} if gate.head_sha else set()
            assert gate.stage not in allowed or later <= allowed[gate.stage], f"{gate} is older than pushes by {later}"

    def _assert_settled(self, seen: Facts, decision: Decision) -> None:
        """Deciding again on the result, with the facts as they were, asks for nothing new."""
        again = decide(self.world.play, seen, self.world.now)
        assert again.status == decision.status
        for action in again.actions:
            assert action in decision.actions or isinstance(action, CancelRun | RemoveLabel)
        fresh = self.world.decide()
        twice = decide(replace(self.world.play, status=fresh.status), self.world.facts(), self.world.now)
        assert twice.status == fresh.status

    @rule(seconds=st.sampled_from([1, 4, 20, 70, 4000, -30, -100_000]))
    def time_passes_or_jumps(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    # -- the agents --------------------------------------------------------------------------------------------------------

    def _running(self) -> Run | None:
        return next(iter(self.world.active()), None)

    @rule()
    def an_agent_starts(self) -> None:
        run = self._running()
        if run is not None and not run.cancelling:
            run.phase = RunPhase.RUNNING

    @rule(with_push=st.booleans())
    def an_agent_works_well(self, with_push: bool) -> None:
        run = self._running()
        if run is not None and not run.cancelling:
            self.world.work_well(run, with_push=with_push)

    @rule(reason=st.sampled_from(["AgentFailed", "JobLost", "TimedOut", "AgentBlocked"]), after_push=st.booleans())
    def an_agent_fails(self, reason: str, after_push: bool) -> None:
        run, pull = self._running(), self.world.opened()
        if run is None:
            return
        if after_push and pull is not None:
            self.world.push(pull, self.world.actor(run))
        self.world.finish(run, RunPhase.FAILED, reason)

    @rule()
    def an_agent_lies(self) -> None:
        run = self._running()
        if run is not None:
            self.world.finish(run, RunPhase.SUCCEEDED, "Completed")

    @rule(pushes=st.booleans())
    def a_cancelled_agent_ends(self, pushes: bool) -> None:
        run, pull = self._running(), self.world.opened()
        if run is None or not run.cancelling:
            return
        if pushes and pull is not None:
            self.world.push(pull, self.world.actor(run))
        self.world.finish(run, RunPhase.CANCELLED, "Cancelled")

    @rule(ends=st.booleans())
    def an_agent_asks_for_changes(self, ends: bool) -> None:
        run, pull = self._running(), self.world.opened()
        if run is None or pull is None or run.order.agent == "rex":
            return
        self.world.review(pull, self.world.actor(run), ReviewState.CHANGES_REQUESTED)
        if ends:
            self.world.finish(run, RunPhase.SUCCEEDED, "Completed")

    @rule()
    def finished_runs_are_cleaned_up(self) -> None:
        seen = {run.name for run in self.world.play.status.runs if run.phase != RunPhase.PENDING.value}
        for name in [name for name, run in self.world.runs.items() if name in seen and not run.is_active]:
            del self.world.runs[name]

    # -- people and the forge ----------------------------------------------------------------------------------------------

    @rule(by=st.sampled_from([DEV, Actor(login="Rex[BOT]", can_write=True), Actor(login="5dlabs-cleo[bot]", can_write=True)]))
    def somebody_pushes(self, by: Actor) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.push(pull, by)

    @rule(
        by=st.sampled_from([DEV, OUTSIDER]),
        state=st.sampled_from([ReviewState.CHANGES_REQUESTED, ReviewState.APPROVED, ReviewState.COMMENTED]),
    )
    def a_person_reviews(self, by: Actor, state: ReviewState) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.review(pull, by, state)

    @rule(tells=st.booleans())
    def the_forge_tells_who_pushed_late_or_in_time(self, tells: bool) -> None:
        self.world.tells_pushes = tells

    @rule()
    def the_last_review_is_dismissed(self) -> None:
        pull = self.world.opened()
        if pull is not None and pull.reviews:
            dismissed = replace(pull.reviews[-1], state=ReviewState.DISMISSED)
            self.world.put(replace(pull, reviews=(*pull.reviews[:-1], dismissed)))

    @rule(name=st.sampled_from([READY, task_label(7), task_label(8), "task-7x"]))
    def a_person_sets_a_label(self, name: str) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.label(pull, name, DEV)

    @rule()
    def a_person_takes_all_labels_off(self) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.put(replace(pull, labels=()))

    @rule(state=st.sampled_from(CheckState))
    def checks_report(self, state: CheckState) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.check(pull, state)

    @rule(state=st.sampled_from(Mergeability))
    def the_base_moves(self, state: Mergeability) -> None:
        pull = self.world.opened()
        if pull is not None:
            self.world.put(replace(pull, mergeability=state))

    @rule(state=st.sampled_from([PullState.CLOSED, PullState.MERGED]))
    @precondition(lambda self: self.world.opened() is not None)
    def a_person_ends_the_pull_request(self, state: PullState) -> None:
        pull = self.world.opened()
        assert pull is not None
        if state is PullState.CLOSED or pull.mergeability is Mergeability.CLEAN:
            self.world.put(replace(pull, state=state, merged_by="dev" if state is PullState.MERGED else ""))

    @rule()
    def a_person_opens_a_pull_request_of_the_task(self) -> None:
        if not any(pull.author == DEV for pull in self.world.pulls):
            self.world.open_pull(DEV)

    @rule()
    def a_person_approves_the_stage(self) -> None:
        if self.world.play.status.stage and not self.world.play.is_finished:
            self.world.approve()

    @rule(paused=st.booleans())
    def a_person_pauses_or_resumes(self, paused: bool) -> None:
        self.world.respec(paused=paused)

    @rule()
    def a_person_aborts(self) -> None:
        self.world.respec(abort_requested=True)

    @rule(takes_back_abort=st.booleans())
    def a_person_retries(self, takes_back_abort: bool) -> None:
        spec = self.world.play.spec
        abort = spec.abort_requested and not takes_back_abort
        self.world.respec(retries=self.world.play.status.retries_seen + 1, abort_requested=abort)

    @rule()
    def a_person_cancels_the_run(self) -> None:
        run = self._running()
        if run is not None:
            run.cancelling = True

    # -- what always holds -------------------------------------------------------------------------------------------------

    @invariant()
    def one_agent_works_at_a_time(self) -> None:
        assert len(self.world.active()) <= 1

    @invariant()
    def restarts_are_limited(self) -> None:
        status, spec = self.world.play.status, self.world.play.spec
        assert status.remediations <= spec.max_iterations + status.extra_iterations

    @invariant()
    def the_history_stays_short(self) -> None:
        assert len(self.world.play.status.history) <= HISTORY_LIMIT

    @invariant()
    def an_unfinished_play_says_what_it_waits_for(self) -> None:
        status = self.world.play.status
        if status.observed_generation == 0:
            return
        if status.phase.is_finished:
            assert status.waiting is None
            assert status.finished_at is not None
        else:
            assert status.waiting is not None
            assert status.waiting.reason
            assert status.waiting.message
            assert status.waiting.would_move
            assert (status.phase is PlayPhase.PENDING) == (not status.stage)

    def teardown(self) -> None:
        """From wherever the world is now, good behaviour ends in a merge, however often and whenever anybody looks."""
        for schedule in SCHEDULES:
            world = copy.deepcopy(self.world)
            world.converge(schedule)
            assert world.play.status.phase is PlayPhase.SUCCEEDED
            assert any(pull.state is PullState.MERGED for pull in world.pulls)


PlayWorld.TestCase.settings = PROFILE
TestPlayWorld = pytest.mark.lesson(20, 21)(pytest.mark.timeout(600)(PlayWorld.TestCase))


@pytest.mark.lesson(11, 21)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
def test_a_task_that_nobody_disturbs_is_merged_by_one_run_of_each_agent_however_often_one_looks(schedule: Schedule) -> None:
    world = World()
    world.respec(auto_merge=True)
    world.converge(schedule)
    assert [run.order.agent for run in world.runs.values()] == list(CREW)
    assert world.play.status.iteration == 1
    assert [gate.name for gate in world.play.status.gates][:3] == ["pull-request", "label ready-for-qa", "checks"]


@pytest.mark.lesson(11, 21, 42)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
@pytest.mark.parametrize("trouble", ["review", "conflict", "push", "failure"])
def test_trouble_costs_the_same_runs_however_often_one_looks_and_crashes(trouble: str, schedule: Schedule) -> None:
    world = World()
    while world.play.status.stage != "merge":
        schedule(world)
        world.behave()
    pull = world.opened()
    assert pull is not None
    if trouble == "review":
        world.review(pull, DEV, ReviewState.CHANGES_REQUESTED)
    elif trouble == "conflict":
        world.put(replace(pull, mergeability=Mergeability.CONFLICT))
    else:
        world.push(pull, DEV)
    if trouble == "failure":
        schedule(world)
        world.finish(world.active()[0], RunPhase.FAILED, "JobLost")
    world.converge(schedule)
    again = {
        "review": ["implementation-2-1", "quality-2-1", "testing-2-1"],
        "conflict": ["implementation-2-1", "quality-2-1", "testing-2-1"],
        "push": ["quality-2-1", "testing-2-1"],
        "failure": ["quality-2-1", "quality-2-2", "testing-2-1"],
    }
    expected = ["implementation-1-1", "quality-1-1", "testing-1-1", *again[trouble]]
    assert [name.removeprefix("play-demo-7-") for name in world.runs] == expected
    assert world.play.status.remediations == int(trouble in {"review", "conflict"})
