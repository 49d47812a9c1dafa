"""A small world for `decide`: a forge with pull requests, runs with agents in them, people, and a clock.

It is not a mock of ours: it is what plays happen in, so that its own records (who pushed what, who set which label on which
commit) judge what `decide` did.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from msgspec.structs import replace
from tests.unit.pipeline.samples import AGENTS, PACKAGED, ROSTER

from coderun.model.coderun import RunPhase
from coderun.model.gates import GateKind
from coderun.model.meta import ObjectMeta
from coderun.model.names import task_branch
from coderun.model.play import Approval, PassedGate, Play, PlayPhase, PlaySpec, PlayStatus
from coderun.model.pulls import (
    Actor,
    Check,
    Checks,
    CheckState,
    LabelMark,
    Mergeability,
    PullRequest,
    PullState,
    Push,
    Review,
    ReviewState,
)
from coderun.model.roster import Agent, Roster
from coderun.pipeline.decide import decide
from coderun.pipeline.decision import Action, CancelRun, CreateRun, Decision, MergePullRequest, PostComment, RemoveLabel
from coderun.pipeline.definition import Pipeline
from coderun.pipeline.facts import Facts, Rules, RunFact, associate

TASK = 7
START = datetime(2026, 1, 1, tzinfo=UTC)
DEV = Actor(login="dev", can_write=True)
OUTSIDER = Actor(login="mallory", can_write=False)
READY = "ready-for-qa"
CLEO = {"cleo[bot]", "5dlabs-cleo[bot]"}


@dataclass
class Run:
    """A CodeRun and the agent in it."""

    order: CreateRun
    phase: RunPhase = RunPhase.PENDING
    cancelling: bool = False
    reason: str = ""
    finished_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        return not self.phase.is_finished


@dataclass
class World:
    """Everything `decide` does not see as a whole."""

    pipeline: Pipeline = PACKAGED
    roster: Roster = ROSTER
    agents: dict[str, Agent] = field(default_factory=lambda: dict(AGENTS))
    rules: Rules = field(default_factory=lambda: Rules(attempts=2))
    now: datetime = START
    commits: int = 0
    ids: int = 0
    pulls: list[PullRequest] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    slots_taken: set[tuple[str, int, int]] = field(default_factory=set)
    comments: dict[tuple[int, str], str] = field(default_factory=dict)
    tells_pushes: bool = True
    play: Play = field(
        default_factory=lambda: Play(
            metadata=ObjectMeta(name="play-demo-7", generation=1),
            spec=PlaySpec(task_id=TASK, repository_url="demo", service="demo", max_iterations=2),
        )
    )

    # -- what decide sees --------------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        known = self.play.status.pull_request
        found = associate([self.told(pull) for pull in self.pulls], TASK, "main", known.number if known is not None else None)
        return Facts(
            pipeline=self.pipeline,
            roster=self.roster,
            agents=self.agents,
            rules=self.rules,
            pull_request=found.pull_request,
            mismatch=found.mismatch,
            rivals=found.rivals,
            runs=tuple(
                RunFact(
                    name=name,
                    stage=run.order.stage,
                    iteration=run.order.iteration,
                    attempt=run.order.attempt,
                    agent=run.order.agent,
                    phase=run.phase,
                    cancelling=run.cancelling,
                    reason=run.reason,
                    message=run.reason and f"it says {run.reason}",
                    finished_at=run.finished_at,
                )
                for name, run in self.runs.items()
            ),
        )

    def decide(self) -> Decision:
        return decide(self.play, self.facts(), self.now)

    def told(self, pull: PullRequest) -> PullRequest:
        """What the forge tells of it: sometimes of a new head before it tells who pushed it."""
        return pull if self.tells_pushes or len(pull.pushes) == 1 else replace(pull, pushes=pull.pushes[:-1])

    # -- a pass of the controller ------------------------------------------------------------------------------------------

    def reconcile(self) -> Decision:
        decision = self.decide()
        for action in decision.actions:
            self.take(action)
        self.write(decision.status)
        return decision

    def write(self, status: PlayStatus) -> None:
        self.play = replace(self.play, status=status)

    def take(self, action: Action) -> None:
        match action:
            case CreateRun():
                self._create(action)
            case CancelRun():
                run = self.runs[action.name]
                run.cancelling = run.cancelling or run.is_active
            case RemoveLabel():
                pull = self.pull(action.number)
                self.put(replace(pull, labels=tuple(label for label in pull.labels if label.name != action.label)))
            case PostComment():
                self.comments[action.number, action.marker] = action.body
            case MergePullRequest():
                self._merge(action)
            case _:
                assert_never(action)

    def _create(self, action: CreateRun) -> None:
        if action.name in self.runs:
            return
        assert action.name not in self.ever, f"{action.name} was created a second time"
        busy = [name for name, run in self.runs.items() if run.is_active]
        assert not busy, f"{action.name} is created while {busy} are active"
        attempt = (action.stage, action.iteration, action.attempt)
        assert attempt not in self.slots_taken, f"two runs for {attempt}"
        self.slots_taken.add(attempt)
        self.ever.add(action.name)
        self.runs[action.name] = Run(order=action)

    def _merge(self, action: MergePullRequest) -> None:
        pull = self.pull(action.number)
        if pull.state is PullState.OPEN and pull.head_sha == action.head_sha and pull.mergeability is Mergeability.CLEAN:
            self.put(replace(pull, state=PullState.MERGED, merged_by="coderun", merged_at=self.now))

    # -- the forge ---------------------------------------------------------------------------------------------------------

    def pull(self, number: int) -> PullRequest:
        return self.pulls[number - 1]

    def put(self, pull: PullRequest) -> None:
        self.pulls[pull.number - 1] = pull

    def opened(self, author: Actor | None = None) -> PullRequest | None:
        """The open pull request (of an author)."""
        found = (p for p in self.pulls if p.state is PullState.OPEN and (author is None or p.author == author))
        return next(found, None)

    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    def next_commit(self) -> str:
        self.commits += 1
        return f"{self.commits:08x}"

    def open_pull(self, author: Actor) -> PullRequest:
        head = self.next_commit()
        pull = PullRequest(
            number=len(self.pulls) + 1,
            url="",
            title="task 7",
            author=author,
            head_branch=task_branch(TASK),
            base_branch="main",
            head_sha=head,
            state=PullState.OPEN,
            pushes=(Push(sha=head, actor=author, at=self.now),),
            checks=pending_checks(),
            mergeability=Mergeability.CLEAN,
            head_since=self.now,
            created_at=self.now,
        )
        self.pulls.append(pull)
        return pull

    def push(self, pull: PullRequest, by: Actor) -> PullRequest:
        """A new head; it contains the base, so that a conflict is resolved."""
        head = self.next_commit()
        moved = replace(
            pull,
            head_sha=head,
            pushes=(*pull.pushes, Push(sha=head, actor=by, at=self.now)),
            checks=pending_checks(),
            mergeability=Mergeability.UNKNOWN,
            head_since=self.now,
        )
        self.put(moved)
        return moved

    def label(self, pull: PullRequest, name: str, by: Actor) -> PullRequest:
        mark = LabelMark(name=name, actor=by, head_sha=pull.head_sha, at=self.now)
        labelled = replace(pull, labels=(*(label for label in pull.labels if label.name != name), mark))
        self.put(labelled)
        return labelled

    def review(self, pull: PullRequest, by: Actor, state: ReviewState) -> PullRequest:
        review = Review(id=self.next_id(), actor=by, state=state, head_sha=pull.head_sha, body="words", at=self.now)
        reviewed = replace(pull, reviews=(*pull.reviews, review))
        self.put(reviewed)
        return reviewed

    def check(self, pull: PullRequest, state: CheckState) -> None:
        self.put(replace(pull, checks=Checks(items=(Check(name="ci", state=state),), expected=("ci",))))

    # -- the agents --------------------------------------------------------------------------------------------------------

    def active(self) -> list[Run]:
        return [run for run in self.runs.values() if run.is_active]

    def actor(self, run: Run) -> Actor:
        return Actor(login=f"{run.order.agent}[bot]", can_write=True)

    def finish(self, run: Run, phase: RunPhase, reason: str) -> None:
        run.phase, run.reason, run.finished_at = phase, reason, self.now

    def work_well(self, run: Run, *, with_push: bool = False) -> None:
        """Do all the run's evidence asks for, and succeed."""
        actor = self.actor(run)
        kinds = {gate.kind for gate in run.order.evidence}
        pull = self.opened(actor) if GateKind.PULL_REQUEST in kinds else self.opened()
        if GateKind.PULL_REQUEST in kinds:
            pull = self.push(pull, actor) if pull is not None else self.open_pull(actor)
        elif pull is None:
            self.finish(run, RunPhase.FAILED, "NoPullRequest")
            return
        elif with_push:
            pull = self.push(pull, actor)
        for gate in run.order.evidence:
            if gate.kind is GateKind.LABEL:
                pull = self.label(pull, gate.label, actor)
            elif gate.kind is GateKind.REVIEW:
                pull = self.review(pull, actor, ReviewState.APPROVED)
        self.finish(run, RunPhase.SUCCEEDED, "Completed")

    # -- a fair world ------------------------------------------------------------------------------------------------------

    def converge(self, passes: Callable[["World"], None], rounds: int = 120) -> None:
        """Let everybody behave: agents work well, checks pass, people answer what they are asked."""
        for _ in range(rounds):
            passes(self)
            if self.play.status.phase is PlayPhase.SUCCEEDED:
                return
            self._answer()
            self.behave()
        waiting, history = self.play.status.waiting, self.play.status.history[-8:]
        msg = f"no end in sight: {self.play.status.phase}, {waiting}, {history}"
        raise AssertionError(msg)

    def behave(self) -> None:
        """Some time passes, in which agents, checks and the forge do what they ought to."""
        self.tells_pushes = True
        self.now += timedelta(seconds=45)
        for run in self.active():
            if run.cancelling:
                self.finish(run, RunPhase.CANCELLED, "Cancelled")
            elif run.phase is RunPhase.PENDING:
                run.phase = RunPhase.RUNNING
            else:
                self.work_well(run)
        for pull in self.pulls:
            if pull.state is PullState.OPEN:
                self._settle(pull)

    def _settle(self, pull: PullRequest) -> None:
        self.check(pull, CheckState.PASSED)
        pull = self.pull(pull.number)
        labels = tuple(label for label in pull.labels if not label.name.startswith("task-"))
        clean = Mergeability.CLEAN if pull.mergeability is Mergeability.UNKNOWN else pull.mergeability
        by_person = not pull.author.login.endswith("[bot]")
        state = PullState.CLOSED if by_person else pull.state
        self.put(replace(pull, labels=labels, mergeability=clean, state=state, draft=False))

    def _answer(self) -> None:
        spec, status = self.play.spec, self.play.status
        waiting = status.waiting
        asked = status.phase.is_finished or (waiting is not None and waiting.kind == "person")
        retries = max(spec.retries, status.retries_seen + 1) if asked else spec.retries
        self.play = replace(
            self.play, spec=replace(spec, paused=False, auto_merge=True, abort_requested=False, retries=retries)
        )

    def approve(self) -> None:
        status = self.play.status
        head = status.pull_request.head_sha if status.pull_request is not None else ""
        given = Approval(stage=status.stage, head_sha=head, by="dev", at=self.now, iteration=status.iteration)
        self.respec(approvals=(*self.play.spec.approvals, given))

    def respec(self, **changes: object) -> None:
        """Change the spec as a person would."""
        self.play = replace(self.play, spec=replace(self.play.spec, **changes))


def pending_checks() -> Checks:
    return Checks(items=(), expected=("ci",))


def unjustified(world: World, gates: tuple[PassedGate, ...], pull: PullRequest | None) -> Iterator[str]:
    """Gates passed just now that the forge's own records do not bear out."""
    for gate in gates:
        approved = any(
            (given.stage, given.head_sha, given.by) == (gate.stage, gate.head_sha, gate.actor)
            for given in world.play.spec.approvals
        )
        if gate.head_sha != (pull.head_sha if pull is not None else ""):
            yield f"{gate.name} passed for {gate.head_sha!r}, which is not the head"
        elif pull is not None and not approved and not _borne_out(gate, pull):
            yield f"{gate.name} passed on {gate.head_sha}, but {pull.labels} {pull.reviews} {pull.pushes}"


def _borne_out(gate: PassedGate, pull: PullRequest) -> bool:
    if gate.name.startswith("label"):
        marks = [mark for mark in pull.labels if mark.name == READY and mark.actor.login == "cleo[bot]"]
        return any(all(p.actor.login in CLEO for p in pushed_since(pull, mark.head_sha)) for mark in marks)
    if gate.name == "review":
        last = [r for r in pull.reviews if r.actor.login == "tess[bot]" and r.state is not ReviewState.COMMENTED][-1:]
        return any(r.state is ReviewState.APPROVED and r.head_sha == pull.head_sha for r in last)
    if gate.name == "checks":
        return pull.checks.state is CheckState.PASSED
    return gate.name == "pull-request" and pull.author.login == "rex[bot]"


def pushed_since(pull: PullRequest, sha: str) -> list[Push]:
    at = [push.sha for push in pull.pushes].index(sha)
    return list(pull.pushes[at + 1 :])
