"""The draft of a decision: one pass over one play, while the rules work on it.

It holds what `decide` was given, the status that grows and the actions asked for, and knows the few words every rule needs (the
stage, its agent, its latest run; note, wait, enter, cancel). It judges nothing by itself: the modules of the rules do.
"""

from datetime import datetime

from msgspec.structs import replace

from coderun.model.coderun import PullRequestRef, RunPhase
from coderun.model.play import HistoryEntry, Play, PlayPhase, PlayRun, PlayStatus, Waiting, with_history
from coderun.model.pulls import PullRequest
from coderun.model.roster import Agent
from coderun.pipeline.decision import Action, CancelRun
from coderun.pipeline.definition import Stage
from coderun.pipeline.facts import Facts, RunFact
from coderun.pipeline.gates import GateView

RUNS_KEPT = 50
MESSAGE_LIMIT = 2000


class Draft:
    """One pass over one play: a status that grows, and the actions it asks for."""

    def __init__(self, play: Play, facts: Facts, now: datetime) -> None:
        self.play = play
        self.facts = facts
        self.now = now
        self.status = play.status
        self.actions: list[Action] = []
        self.because = ""
        self.recheck_at: datetime | None = None
        self.waiting: Waiting | None = None
        self.created: list[PlayRun] = []
        self.runs = (*facts.runs, *_gone_runs(play.status.runs, facts.runs))

    def finish(self) -> PlayStatus:
        """The status to write: runs and waiting refreshed, untouched where nothing changed."""
        status = replace(self.status, runs=self._play_runs(), observed_generation=self.play.metadata.generation)
        if status.phase.is_finished:
            return replace(status, waiting=None)
        new, old = self.waiting, self.play.status.waiting
        if new is not None and old is not None and _same_wait(new, old):
            new = replace(new, since=old.since)
        return replace(status, waiting=new)

    def _play_runs(self) -> tuple[PlayRun, ...]:
        asked_for = {run.name: run for run in (*self.play.status.runs, *self.created)}
        known = {run.name: _play_run(run) for run in self.runs}
        order = self.facts.pipeline.index
        ordered = sorted({**asked_for, **known}.values(), key=lambda run: (run.iteration, order(run.stage), run.attempt))
        return tuple(ordered[-RUNS_KEPT:])

    # -- what there is -----------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage | None:
        """The current stage; None before the first one, and for one that is not in the pipeline any more."""
        return self.facts.pipeline.stage(self.status.stage)

    @property
    def at(self) -> int:
        """Position of the current stage; after the last one where it is not in the pipeline."""
        return self.facts.pipeline.index(self.status.stage)

    @property
    def head(self) -> str:
        """Head commit of the pull request, "" where there is none."""
        return self.facts.pull_request.head_sha if self.facts.pull_request is not None else ""

    def agent_of(self, stage: Stage | None) -> Agent | None:
        """The agent that works in a stage; None for a stage of people, and for a role that nobody has."""
        return self.facts.agents.get(stage.role) if stage is not None and stage.role else None

    def latest_run(self) -> RunFact | None:
        """The last attempt of the current stage and iteration."""
        here = [run for run in self.runs if run.stage == self.status.stage and run.iteration == self.status.iteration]
        return max(here, key=lambda run: run.attempt, default=None)

    def view(self) -> GateView:
        """What the gates of the current stage look at."""
        return GateView(
            pull_request=self.facts.pull_request,
            agent=self.agent_of(self.stage),
            roster=self.facts.roster,
            run=self.latest_run(),
            checks_grace=self.facts.rules.checks_grace,
            now=self.now,
            since=self.status.stage_since,
        )

    @property
    def is_at_limit(self) -> bool:
        """Whether all restarts that count have been used up."""
        return self.status.remediations >= self.play.spec.max_iterations + self.status.extra_iterations

    # -- what is done ------------------------------------------------------------------------------------------------------

    def enter(self, stage: Stage, *, restart: bool = False) -> None:
        """Make `stage` the current one; a restart is a new iteration and forgets the gates passed from there on."""
        at = self.facts.pipeline.index(stage.name)
        kept = tuple(gate for gate in self.status.gates if self.facts.pipeline.index(gate.stage) < at)
        self.status = replace(
            self.status,
            stage=stage.name,
            stage_since=self.now,
            first_attempt=1,
            gates=kept if restart else self.status.gates,
            iteration=self.status.iteration + int(restart),
            phase=PlayPhase.RUNNING,
        )

    def cancel_active(self, reason: str, *, until_iteration: int | None = None) -> bool:
        """Ask every active run of the play to end, once each; whether any is active (still).

        With `until_iteration` only runs up to that iteration. Later ones were created by a pass whose status was never
        written: the pass that repeats it must find them at work.
        """
        active = [run for run in self.facts.runs if run.is_active]
        if until_iteration is not None:
            active = [run for run in active if run.iteration <= until_iteration]
        self.actions.extend(CancelRun(name=run.name, reason=brief(reason)) for run in active if not run.cancelling)
        return bool(active)

    def note(self, reason: str, message: str) -> None:
        """Record a decision in the history."""
        entry = HistoryEntry(
            at=self.now, stage=self.status.stage, iteration=self.status.iteration, reason=reason, message=brief(message)
        )
        self.status = with_history(self.status, entry)
        self.because = f"{reason}: {entry.message}"

    def wait(self, kind: str, reason: str, message: str, would_move: str, *, target: str = "") -> None:
        """Say what the play waits for. A wait for a person or for time is recorded when it begins."""
        self.waiting = Waiting(
            kind=kind, target=target, since=self.now, reason=reason, message=brief(message), would_move=would_move
        )
        old = self.play.status.waiting
        if kind in {"person", "time"} and (old is None or not _same_wait(self.waiting, old)):
            self.note(reason, message)
        phase = PlayPhase.WAITING if kind == "person" else PlayPhase.RUNNING
        self.status = replace(self.status, phase=phase if self.status.stage else PlayPhase.PENDING)

    def wait_paused(self) -> None:
        """Wait for `resume`."""
        self.wait("person", "Paused", "a person paused the play", f"`coderun resume {self.play.name}`")

    def recheck(self, at: datetime | None) -> None:
        """Look again at `at`, or earlier."""
        if at is not None and (self.recheck_at is None or at < self.recheck_at):
            self.recheck_at = at


def pull_ref(pull: PullRequest) -> PullRequestRef:
    """A pull request as a status and a run's spec name it."""
    return PullRequestRef(number=pull.number, url=pull.url, head_sha=pull.head_sha)


def brief(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text`, cut where it would make an object too large to store: agents and reviewers write what they like."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def _same_wait(one: Waiting, other: Waiting) -> bool:
    return (one.kind, one.target, one.reason) == (other.kind, other.target, other.reason)


def _play_run(run: RunFact) -> PlayRun:
    return PlayRun(
        name=run.name,
        stage=run.stage,
        iteration=run.iteration,
        attempt=run.attempt,
        agent=run.agent,
        phase=run.phase.value,
        reason="" if run.is_active else run.reason,
    )


def _gone_runs(remembered: tuple[PlayRun, ...], there: tuple[RunFact, ...]) -> list[RunFact]:
    """Runs that the status remembers and nobody has any more, so that none is ever made twice.

    One that was pending is left out: it was only asked for, and is asked for again under the same name.
    """
    names = {run.name for run in there}
    gone = [run for run in remembered if run.name not in names and run.phase != RunPhase.PENDING.value]
    return [_gone_run(run) for run in gone]


def _gone_run(run: PlayRun) -> RunFact:
    phase = RunPhase(run.phase)
    was = RunFact(
        name=run.name,
        stage=run.stage,
        iteration=run.iteration,
        attempt=run.attempt,
        agent=run.agent,
        phase=phase,
        reason=run.reason,
        message="its CodeRun has been removed since",
    )
    return was if phase.is_finished else replace(was, phase=RunPhase.FAILED, reason="RunGone")
