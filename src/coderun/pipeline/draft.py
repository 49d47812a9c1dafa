"""The draft of a decision: one pass over one play, while the rules work on it.

It holds what `decide` was given, the status that grows and the actions asked for, and knows the few words every rule needs (the
stage, its agent, its latest run; note, wait, enter, cancel). It judges nothing by itself: the modules of the rules do.
"""

from datetime import datetime

from msgspec.structs import replace

from coderun.model.coderun import PullRequestRef
from coderun.model.gates import GateKind
from coderun.model.play import HistoryEntry, Play, PlayPhase, PlayRun, PlayStatus, Waiting, with_history
from coderun.model.pulls import PullRequest
from coderun.model.roster import Agent
from coderun.pipeline.decision import Action, CancelRun
from coderun.pipeline.definition import Stage
from coderun.pipeline.facts import Facts, RunFact

RUNS_KEPT = 50


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

    def finish(self) -> PlayStatus:
        """The status to write: runs and waiting refreshed, untouched where nothing changed."""
        status = replace(self.status, runs=self.play_runs(), observed_generation=self.play.metadata.generation)
        if status.phase.is_finished:
            return replace(status, waiting=None)
        old = self.play.status.waiting
        new = self.waiting
        if new is not None and old is not None and (old.kind, old.target, old.reason) == (new.kind, new.target, new.reason):
            new = replace(new, since=old.since)
        return replace(status, waiting=new)

    def cancel_active(self, reason: str) -> bool:
        """Ask every active run of the play to end, once each; whether any is active (still)."""
        active = [run for run in self.facts.runs if run.is_active]
        self.actions.extend(CancelRun(name=run.name, reason=reason) for run in active if not run.cancelling)
        return bool(active)

    def latest_run(self) -> RunFact | None:
        """The last attempt of the current stage and iteration."""
        here = [run for run in self.facts.runs if run.stage == self.status.stage and run.iteration == self.status.iteration]
        return max(here, key=lambda run: run.attempt, default=None)

    def play_runs(self) -> tuple[PlayRun, ...]:
        """The runs for the status: as the facts have them, those just asked for, and those known before that are gone by now."""
        seen = {
            run.name: PlayRun(
                name=run.name,
                stage=run.stage,
                iteration=run.iteration,
                attempt=run.attempt,
                agent=run.agent,
                phase=run.phase.value,
            )
            for run in self.facts.runs
        }
        gone = {run.name: run for run in self.play.status.runs if run.name not in seen}
        new = {run.name: run for run in self.created}
        ordered = sorted({**gone, **new, **seen}.values(), key=lambda run: (run.iteration, self.order(run.stage), run.attempt))
        return tuple(ordered[-RUNS_KEPT:])

    def order(self, stage: str) -> int:
        """Position of a stage in the pipeline."""
        return self.facts.pipeline.index(stage)

    @property
    def stage(self) -> Stage | None:
        """The current stage; None once all are passed."""
        return self.facts.pipeline.stage(self.status.stage)

    @property
    def at(self) -> int:
        """Position of the current stage; after the last one once all are passed."""
        return self.facts.pipeline.index(self.status.stage)

    @property
    def head(self) -> str:
        """Head commit of the pull request, "" where there is none."""
        return self.facts.pull_request.head_sha if self.facts.pull_request is not None else ""

    def agent_of(self, stage: Stage | None) -> Agent | None:
        """The agent that works in a stage; None for a stage of people, and for a role that nobody has."""
        return self.facts.agents.get(stage.role) if stage is not None and stage.role else None

    def approver(self, stage: Stage) -> str:
        """Who approved this stage for this head, "" where nobody did."""
        found = (a.by for a in self.play.spec.approvals if a.stage == stage.name and a.head_sha == self.head)
        return next(found, "")

    def enter(self, stage: Stage, *, restart: bool = False) -> None:
        """Make `stage` the current one; a restart is a new iteration and forgets the gates passed from there on."""
        at = self.facts.pipeline.index(stage.name)
        kept = tuple(gate for gate in self.status.gates if self.order(gate.stage) < at)
        self.status = replace(
            self.status,
            stage=stage.name,
            stage_since=self.now,
            first_attempt=1,
            gates=kept if restart else self.status.gates,
            iteration=self.status.iteration + int(restart),
            phase=PlayPhase.RUNNING,
        )

    def note(self, reason: str, message: str) -> None:
        """Record a decision in the history."""
        entry = HistoryEntry(
            at=self.now, stage=self.status.stage, iteration=self.status.iteration, reason=reason, message=message
        )
        self.status = with_history(self.status, entry)
        self.because = f"{reason}: {message}"

    def wait(
        self, kind: str, reason: str, message: str, would_move: str, *, target: str = "", phase: PlayPhase | None = None
    ) -> None:
        """Say what the play waits for. A wait for a person or for time is recorded when it begins."""
        self.waiting = Waiting(kind=kind, target=target, since=self.now, reason=reason, message=message, would_move=would_move)
        if phase is None:
            phase = PlayPhase.WAITING if kind == "person" else PlayPhase.RUNNING
        old = self.play.status.waiting
        changed = old is None or (old.kind, old.target, old.reason) != (kind, target, reason)
        if changed and kind in {"person", "time"}:
            self.note(reason, message)
        self.status = replace(self.status, phase=phase)

    def wait_paused(self) -> None:
        """Wait for `resume`."""
        phase = PlayPhase.PENDING if not self.status.stage else None
        self.wait("person", "Paused", "a person paused the play", f"`coderun resume {self.play.name}`", phase=phase)

    def recheck(self, at: datetime | None) -> None:
        """Look again at `at`, or earlier."""
        if at is not None and (self.recheck_at is None or at < self.recheck_at):
            self.recheck_at = at

    @property
    def retry_asked(self) -> bool:
        """Whether a person asked for a retry that has not been acted on."""
        return self.play.spec.retries > self.status.retries_seen

    @property
    def is_at_limit(self) -> bool:
        """Whether all restarts that count have been used up."""
        return self.status.remediations >= self.play.spec.max_iterations + self.status.extra_iterations

    def is_approved(self, stage: Stage, *, merging: bool = False) -> bool:
        """Whether a person approved the stage for this head; `merging` asks for stages that merge, else for those that do not."""
        is_merge = any(gate.kind is GateKind.MERGED for gate in stage.asked)
        return is_merge is merging and bool(self.approver(stage))


def pull_ref(pull: PullRequest) -> PullRequestRef:
    """A pull request as a status and a run's spec name it."""
    return PullRequestRef(number=pull.number, url=pull.url, head_sha=pull.head_sha)
