"""`decide(play, facts, now)`: what should happen to a play next.

It does no I/O and keeps nothing: the same play, facts and time give the same decision, and deciding again after its actions
were taken (or only some of them, before a crash) leads to the same end. Events play no part; they only make somebody look
again.

The rules are tried in order; the first that settles the play ends the pass:

1. a finished play stays as it is, unless somebody asked to retry;
2. abort, merged, marks that disagree, closed: runs are cancelled, then the play ends;
3. a play that has not started waits for its dependencies and for a slot;
4. the head moved: adopt it, or go back by the `push` rule;
5. a review or a conflict: go back by its rule;
6. the current stage: wait for its run, judge its gates, go on, try again, or ask a person.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from coderun.model.coderun import PullRequestRef, RunPhase
from coderun.model.gates import Gate, GateKind
from coderun.model.names import coderun_name
from coderun.model.play import (
    HistoryEntry,
    PassedGate,
    Play,
    PlayPhase,
    PlayRun,
    PlayStatus,
    Waiting,
    with_history,
)
from coderun.model.pulls import CheckState, Mergeability, PullRequest, PullState, Review, ReviewState
from coderun.model.roster import Agent
from coderun.pipeline.decision import (
    Action,
    CancelRun,
    CreateRun,
    Decision,
    MergePullRequest,
    PostComment,
    RemoveLabel,
)
from coderun.pipeline.definition import Remedy, Stage, Trigger
from coderun.pipeline.facts import Facts, RunFact
from coderun.pipeline.gates import GateView, Holding, evaluate, find_label, pushes_after, short, verdicts

MERGE_RECHECK_SECONDS = 2.0
RUNS_KEPT = 50


def decide(play: Play, facts: Facts, now: datetime) -> Decision:
    """The next status of `play` and what to do, from what is known now."""
    step = _Pass(play, facts, now)
    step.run()
    return Decision(status=step.finish(), actions=tuple(step.actions), because=step.because, recheck_at=step.recheck_at)


class _Pass:
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

    # -- the chain ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._reopen()
        if self.status.phase.is_finished:
            self._cancel_active("the play has ended")
            return
        if self._ended() or not self._started():
            return
        self._follow_head()
        self._retry()
        # Each turn goes one stage on or one rule back; a definition of n stages cannot make more turns than this in one pass.
        for _ in range(2 * len(self.facts.pipeline.stages) + 2):
            if self._remedied() is None:
                return
            if not self._advanced():
                return

    def finish(self) -> PlayStatus:
        """The status to write: runs and waiting refreshed, untouched where nothing changed."""
        status = replace(self.status, runs=self._play_runs(), observed_generation=self.play.metadata.generation)
        if status.phase.is_finished:
            return replace(status, waiting=None)
        old = self.play.status.waiting
        new = self.waiting
        if new is not None and old is not None and (old.kind, old.target, old.reason) == (new.kind, new.target, new.reason):
            new = replace(new, since=old.since)
        return replace(status, waiting=new)

    # -- ends --------------------------------------------------------------------------------------------------------------

    def _reopen(self) -> None:
        if self.status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED} and self._retry_asked:
            pull = self.facts.pull_request
            keep = pull is not None and pull.state is PullState.OPEN
            self.status = replace(
                self.status,
                phase=PlayPhase.RUNNING if self.status.stage else PlayPhase.PENDING,
                finished_at=None,
                message="",
                pull_request=self.status.pull_request if keep else None,
            )
            if not keep and self.status.stage:
                self._enter(self.facts.pipeline.stages[0], restart=True)

    def _ended(self) -> bool:
        pull = self.facts.pull_request
        known = self.status.pull_request
        if pull is not None and pull.state is PullState.MERGED:
            where = f"pull request #{pull.number} is merged"
            by = f" by {pull.merged_by}" if pull.merged_by else ""
            return self._end(PlayPhase.SUCCEEDED, "Merged", where + by, pull)
        if self.play.spec.abort_requested:
            return self._end(PlayPhase.ABORTED, "AbortRequested", "a person aborted the play", pull)
        if self.facts.mismatch and pull is not None:
            self._comment_mismatch(pull)
            text = f"the marks of pull request #{pull.number} disagree: {self.facts.mismatch}"
            return self._end(PlayPhase.FAILED, "AssociationMismatch", text, pull)
        if pull is not None and pull.state is PullState.CLOSED and known is not None and known.number == pull.number:
            text = f"pull request #{pull.number} was closed without merging"
            return self._end(PlayPhase.ABORTED, "PullRequestClosed", text, pull)
        return False

    def _end(self, phase: PlayPhase, reason: str, message: str, pull: PullRequest | None) -> bool:
        if pull is not None:
            self.status = replace(self.status, pull_request=_ref(pull))
        if self._cancel_active(message):
            self._wait(
                "stop", reason, f"{message}; its runs are ending", "happens by itself: running agents save their work first"
            )
            return True
        self._note(reason, message)
        done = phase is PlayPhase.SUCCEEDED
        self.status = replace(
            self.status,
            phase=phase,
            message=message,
            finished_at=self.now,
            started_at=self.status.started_at or self.now,
            stage="" if done else self.status.stage,
        )
        return True

    def _comment_mismatch(self, pull: PullRequest) -> None:
        body = (
            f"coderun stopped here: the marks of this pull request name different tasks ({self.facts.mismatch}), "
            f"so it cannot tell whether it belongs to task {self.play.spec.task_id}. "
            "Make label, branch and marker file agree, then run `coderun retry " + self.play.name + "`."
        )
        self.actions.append(PostComment(number=pull.number, marker="association-mismatch", body=body))

    # -- the start ---------------------------------------------------------------------------------------------------------

    def _started(self) -> bool:
        if self.status.phase is not PlayPhase.PENDING:
            return True
        facts, spec = self.facts, self.play.spec
        if spec.paused:
            self._wait_paused()
        elif facts.broken_dependencies:
            names = _tasks(facts.broken_dependencies)
            self._wait(
                "dependency",
                "DependencyFailed",
                f"{names} did not succeed",
                f"retry {names}, or abort this play",
                target=names,
                phase=PlayPhase.PENDING,
            )
        elif facts.blocked_by:
            names = _tasks(facts.blocked_by)
            self._wait(
                "dependency",
                "DependencyNotDone",
                f"{names} must be merged first",
                f"the merge of {names}",
                target=names,
                phase=PlayPhase.PENDING,
            )
        elif facts.ahead:
            others = ", ".join(facts.ahead[:3])
            self._wait(
                "slot",
                "PlaysAhead",
                f"{len(facts.ahead)} play(s) come first: {others}",
                "the end of one of them, or a larger play.parallel in coderun.yaml",
                phase=PlayPhase.PENDING,
            )
        else:
            first = facts.pipeline.stages[0]
            self.status = replace(self.status, phase=PlayPhase.RUNNING, started_at=self.now, retries_seen=spec.retries)
            self._enter(first)
            self._note("Started", f"task {spec.task_id} starts with stage {first.name}")
            return True
        return False

    # -- the head ----------------------------------------------------------------------------------------------------------

    def _follow_head(self) -> None:
        pull, known = self.facts.pull_request, self.status.pull_request
        if pull is None:
            return
        self.status = replace(self.status, pull_request=_ref(pull))
        if known is None or known.number != pull.number:
            self._note("PullRequestFound", f"pull request #{pull.number} by {pull.author.login} at {short(pull.head_sha)}")
            return
        if known.head_sha == pull.head_sha:
            return
        remedy = self.facts.pipeline.remedy(Trigger.PUSH)
        after = pushes_after(pull, known.head_sha)
        by = ", ".join(dict.fromkeys(push.actor.login for push in after)) if after else "unknown"
        moved = f"{by} pushed {short(pull.head_sha)}"
        agent = self._agent_of(self._stage)
        own = bool(after) and agent is not None and all(agent.is_login(push.actor.login) for push in after or ())
        if own or remedy is None or self._at < self.facts.pipeline.index(remedy.restart_at):
            self._note("HeadMoved", moved)
            return
        self._go_back(remedy, "Push", f"{moved}; back to {remedy.restart_at}", owed="")

    # -- remediation -------------------------------------------------------------------------------------------------------

    def _remedied(self) -> bool | None:
        """Go back where a review or a conflict asks for it. True: went back; False: nothing to do; None: settled, stop here."""
        pull = self.facts.pull_request
        if pull is None or pull.state is not PullState.OPEN:
            return False
        for trigger, message, review in self._calls(pull):
            remedy = self.facts.pipeline.remedy(trigger)
            if remedy is None or self._at <= self.facts.pipeline.index(remedy.restart_at):
                continue
            if remedy.is_counted and self._is_at_limit:
                self._wait_limit(message)
                return None
            self._go_back(remedy, trigger.value, f"{message}; back to {remedy.restart_at}", owed=pull.head_sha)
            if review is not None:
                self.status = replace(self.status, reviewed=review.id)
            return True
        return False

    def _calls(self, pull: PullRequest) -> list[tuple[Trigger, str, Review | None]]:
        calls: list[tuple[Trigger, str, Review | None]] = []
        asked = [review for review in verdicts(pull) if self._is_new_request(review)]
        if asked:
            names = ", ".join(dict.fromkeys(review.actor.login for review in asked))
            calls.append((Trigger.CHANGES_REQUESTED, f"{names} asked for changes on {short(asked[-1].head_sha)}", asked[-1]))
        if pull.mergeability is Mergeability.CONFLICT:
            calls.append((Trigger.CONFLICT, f"{short(pull.head_sha)} conflicts with {pull.base_branch}", None))
        return calls

    def _is_new_request(self, review: Review) -> bool:
        if review.state is not ReviewState.CHANGES_REQUESTED or review.id <= self.status.reviewed:
            return False
        if not (review.actor.can_write or self.facts.roster.of_login(review.actor.login) is not None):
            return False
        # The run that wrote it is about to end by itself: let it.
        agent, run = self._agent_of(self._stage), self._latest_run()
        return not (run is not None and run.is_active and agent is not None and agent.is_login(review.actor.login))

    @property
    def _is_at_limit(self) -> bool:
        return self.status.remediations >= self.play.spec.max_iterations + self.status.extra_iterations

    def _wait_limit(self, message: str) -> None:
        self._cancel_active(message)
        self._wait(
            "person",
            "MaxIterations",
            f"{message}, and {self.status.remediations} restarts have been made already",
            f"`coderun retry {self.play.name}` allows one more, or work on the pull request yourself",
        )

    def _go_back(self, remedy: Remedy, reason: str, message: str, *, owed: str) -> None:
        stage = self.facts.pipeline.stage(remedy.restart_at)
        if stage is None:  # a definition with such a rule is refused when it is read
            return
        self._cancel_active(message)
        pull = self.facts.pull_request
        if pull is not None:
            found = (find_label(pull, name) for name in remedy.remove_labels)
            self.actions.extend(RemoveLabel(number=pull.number, label=mark.name) for mark in found if mark is not None)
        self.status = replace(self.status, remediations=self.status.remediations + int(remedy.is_counted), resolved_head=owed)
        self._enter(stage, restart=True)
        self._note(_camel(reason), message)

    # -- people ------------------------------------------------------------------------------------------------------------

    @property
    def _retry_asked(self) -> bool:
        return self.play.spec.retries > self.status.retries_seen

    def _retry(self) -> None:
        if not self._retry_asked:
            return
        run = self._latest_run()
        extra = self.status.extra_iterations + (1 if self._is_at_limit else 0)
        self.status = replace(
            self.status,
            retries_seen=self.play.spec.retries,
            extra_iterations=extra,
            first_attempt=1 if run is None else run.attempt + (0 if run.is_active else 1),
            phase=PlayPhase.RUNNING,
        )
        self._note("Retry", "a person asked to go on")

    # -- stages ------------------------------------------------------------------------------------------------------------

    def _advanced(self) -> bool:
        """Judge the current stage; True when it was passed and the next one is to be judged."""
        stage = self._stage
        if stage is None:
            self._note("PipelineCompleted", "every stage has been passed")
            self.status = replace(
                self.status, phase=PlayPhase.SUCCEEDED, finished_at=self.now, message="every stage has been passed"
            )
            return False
        agent, run = self._agent_of(stage), self._latest_run()
        if run is not None and run.is_active:
            self._wait_run(run, stage)
            return False
        if self._is_approved(stage):
            self._pass(
                stage,
                [
                    (gate, Holding(holds=True, actor=self._approver(stage)))
                    for gate in stage.asked
                    if gate.kind is not GateKind.MERGED
                ],
            )
            return True
        view = GateView(
            pull_request=self.facts.pull_request,
            agent=agent,
            roster=self.facts.roster,
            run=run,
            checks_grace=self.facts.rules.checks_grace,
            now=self.now,
        )
        judged = [(gate, evaluate(gate, view)) for gate in stage.asked]
        if all(holding.holds for _, holding in judged) and not self._owes(stage, run):
            self._pass(stage, judged)
            return True
        if not stage.role:
            self._wait_people(stage, judged)
        elif agent is None:
            self._wait(
                "person",
                "NoAgentForRole",
                f"no agent of the roster has the role {stage.role!r}",
                "an agent with that role in coderun.yaml",
            )
        else:
            self._work(stage, agent, run, judged)
        return False

    def _owes(self, stage: Stage, run: RunFact | None) -> bool:
        """After a restart by review or conflict a stage is done only when its new run succeeded and the head is another one."""
        owed = self.status.resolved_head
        if not owed or not stage.role:
            return False
        pull = self.facts.pull_request
        return run is None or run.phase is not RunPhase.SUCCEEDED or pull is None or pull.head_sha == owed

    def _pass(self, stage: Stage, judged: list[tuple[Gate, Holding]]) -> None:
        head = self._head
        passed = tuple(
            PassedGate(name=gate.name, stage=stage.name, head_sha=head, actor=holding.actor, since=self.now)
            for gate, holding in judged
        )
        self.status = replace(self.status, gates=(*self.status.gates, *passed), resolved_head="")
        what = "; ".join(f"{gate.name} by {holding.actor}" for gate, holding in judged if holding.actor) or "its gates hold"
        self._note("StagePassed", f"{stage.name} passed on {short(head)}: {what}" if head else f"{stage.name} passed: {what}")
        after = self._at + 1
        stages = self.facts.pipeline.stages
        if after < len(stages):
            self._enter(stages[after])
        else:
            self.status = replace(self.status, stage="")

    def _work(self, stage: Stage, agent: Agent, run: RunFact | None, judged: list[tuple[Gate, Holding]]) -> None:
        """The stage's gates do not hold and nobody works on it: wait, try (again), or give up."""
        unmet = [holding for _, holding in judged if not holding.holds]
        missing = "; ".join(holding.missing for holding in unmet)
        if run is None:
            self._create(stage, agent, 1)
        elif run.phase is RunPhase.CANCELLED and run.attempt >= self.status.first_attempt:
            self._wait(
                "person",
                "RunCancelled",
                f"run {run.name} was cancelled: {run.message or run.reason}",
                f"`coderun retry {self.play.name}`",
                target=run.name,
            )
        elif run.phase is RunPhase.SUCCEEDED and unmet and all(holding.comes_by_itself for holding in unmet):
            self._wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
            self._recheck(min((h.recheck_at for h in unmet if h.recheck_at), default=None))
        elif run.phase is RunPhase.SUCCEEDED and self._is_settling(run):
            self._wait(
                "gate", "GateOpen", missing or "the forge shows no new commit yet", "the forge catching up", target=stage.name
            )
        else:
            self._try_again(stage, agent, run, missing)

    def _is_settling(self, run: RunFact) -> bool:
        until = (run.finished_at or self.now) + timedelta(seconds=self.facts.rules.settle)
        if run.attempt < self.status.first_attempt or run.finished_at is None or self.now >= until:
            return False
        self._recheck(until)
        return True

    def _try_again(self, stage: Stage, agent: Agent, run: RunFact, missing: str) -> None:
        if run.attempt < self.status.first_attempt:
            self._create(stage, agent, run.attempt + 1, failed=run, missing=missing)
            return
        why = (
            run.message
            if run.phase is RunPhase.FAILED
            else f"it ended, but {missing or 'the head is still the commit that was refused'}"
        )
        if run.reason == "AgentBlocked":
            self._wait(
                "person",
                "AgentBlocked",
                f"{agent.name} cannot go on: {why}",
                f"`coderun retry {self.play.name}`",
                target=run.name,
            )
            return
        used = run.attempt - self.status.first_attempt + 1
        allowed = stage.attempts or self.facts.rules.attempts
        if used >= allowed:
            self._note(
                "AttemptsExhausted", f"{stage.name} failed {used} time(s); last: {run.reason or 'EvidenceMissing'}: {why}"
            )
            self.status = replace(
                self.status,
                phase=PlayPhase.FAILED,
                finished_at=self.now,
                message=f"{stage.name} failed {used} time(s), last in {run.name}: {run.reason or 'EvidenceMissing'}: {why}",
            )
            return
        pause = self.facts.rules.backoff * 2 ** (used - 1)
        until = (run.finished_at or self.now) + timedelta(seconds=pause)
        # A clock that jumped back must not turn a pause of seconds into one of years.
        if self.now < until and until - self.now <= timedelta(seconds=pause):
            self._wait(
                "time",
                "BackOff",
                f"attempt {run.attempt} of {stage.name} failed: {run.reason or 'EvidenceMissing'}: {why}",
                f"attempt {run.attempt + 1} starts by itself in at most {pause:g} s",
                target=run.name,
            )
            self._recheck(until)
            return
        self._create(stage, agent, run.attempt + 1, failed=run, missing=missing)

    def _wait_people(self, stage: Stage, judged: list[tuple[Gate, Holding]]) -> None:
        pull = self.facts.pull_request
        unmet = [(gate, holding) for gate, holding in judged if not holding.holds]
        missing = "; ".join(holding.missing for _, holding in unmet)
        only_merge = all(gate.kind is GateKind.MERGED for gate, _ in unmet)
        may_merge = self.play.spec.auto_merge or self._is_approved(stage, merging=True)
        if pull is not None and only_merge and may_merge and not self.play.spec.paused:
            self._merge(pull)
            return
        self._recheck(min((h.recheck_at for _, h in unmet if h.recheck_at), default=None))
        if self.play.spec.paused:
            self._wait_paused()
        elif all(holding.comes_by_itself for _, holding in unmet):
            self._wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
        else:
            hint = f"`coderun approve {self.play.name}`"
            if pull is not None and only_merge:
                hint = f"merging #{pull.number}: `coderun pr merge {pull.number}` or {hint}"
            self._wait("person", "WaitingForPeople", missing, hint, target=stage.name)

    def _merge(self, pull: PullRequest) -> None:
        if pull.checks.state in {CheckState.FAILED, CheckState.PENDING}:
            names = ", ".join(check.name for check in pull.checks.counted if check.state is not CheckState.PASSED)
            self._wait(
                "gate", "ChecksNotPassed", f"checks have not passed on {short(pull.head_sha)}: {names}", "the checks passing"
            )
            return
        if pull.mergeability is Mergeability.UNKNOWN:
            self._wait(
                "gate",
                "MergeabilityUnknown",
                f"the forge is computing whether #{pull.number} can be merged",
                "happens by itself",
            )
            self._recheck(self.now + timedelta(seconds=MERGE_RECHECK_SECONDS))
            return
        method = self.facts.rules.merge_method
        self.actions.append(MergePullRequest(number=pull.number, head_sha=pull.head_sha, method=method))
        self._wait("gate", "Merging", f"#{pull.number} is being merged at {short(pull.head_sha)}", "happens by itself")
        self._recheck(self.now + timedelta(seconds=MERGE_RECHECK_SECONDS))

    # -- runs --------------------------------------------------------------------------------------------------------------

    def _create(self, stage: Stage, agent: Agent, attempt: int, *, failed: RunFact | None = None, missing: str = "") -> None:
        busy = [run for run in self.facts.runs if run.is_active]
        if busy:
            names = ", ".join(run.name for run in busy)
            self._wait(
                "stop", "RunsEnding", f"{names} must end first", "happens by itself: it saves its work and ends", target=names
            )
            return
        if self.facts.rivals:
            numbers = ", ".join(f"#{number}" for number in self.facts.rivals)
            self._wait(
                "person",
                "AmbiguousPullRequests",
                f"pull requests {numbers} all claim task {self.play.spec.task_id}",
                "closing all but one of them",
                target=numbers,
            )
            return
        if self.play.spec.paused:
            self._wait_paused()
            return
        iteration = self.status.iteration
        name = coderun_name(self.play.name, stage.name, iteration, attempt)
        pull = self.facts.pull_request
        earlier = any(run.stage == stage.name for run in self.facts.runs)
        self.actions.append(
            CreateRun(
                name=name,
                stage=stage.name,
                iteration=iteration,
                attempt=attempt,
                agent=agent.name,
                evidence=tuple(gate for gate in stage.asked if gate.kind is not GateKind.MERGED),
                pull_request=_ref(pull) if pull is not None else None,
                continue_session=earlier,
                context=self._context(failed, missing),
                timeout=stage.timeout_seconds,
                instructions=stage.instructions,
            )
        )
        self.created.append(
            PlayRun(
                name=name,
                stage=stage.name,
                iteration=iteration,
                attempt=attempt,
                agent=agent.name,
                phase=RunPhase.PENDING.value,
            )
        )
        self.status = replace(self.status, phase=PlayPhase.RUNNING)
        self._note("RunCreated", f"{agent.name} works on {stage.name} (iteration {iteration}, attempt {attempt})")
        self._wait("run", "RunPending", f"{agent.name} works on {stage.name}", f"the end of run {name}", target=name)

    def _context(self, failed: RunFact | None, missing: str) -> dict[str, str]:
        texts: dict[str, str] = {}
        pull = self.facts.pull_request
        if pull is not None:
            asked = [review for review in verdicts(pull) if review.state is ReviewState.CHANGES_REQUESTED]
            if asked:
                texts["requested-changes"] = "\n\n".join(
                    f"{review.actor.login} on {short(review.head_sha)}:\n{review.body}" for review in asked
                )
            red = [check for check in pull.checks.counted if check.state is CheckState.FAILED]
            if red:
                texts["failed-checks"] = "\n\n".join(f"{check.name}:\n{check.summary}" for check in red)
            if pull.mergeability is Mergeability.CONFLICT:
                texts["conflict"] = (
                    f"The branch {pull.head_branch} conflicts with {pull.base_branch}. "
                    f"Merge origin/{pull.base_branch} into it and resolve the conflicts."
                )
        if failed is not None:
            texts["last-attempt"] = f"Attempt {failed.attempt} ended: {failed.reason}. {failed.message} {missing}".strip()
        return texts

    def _cancel_active(self, reason: str) -> bool:
        active = [run for run in self.facts.runs if run.is_active]
        self.actions.extend(CancelRun(name=run.name, reason=reason) for run in active if not run.cancelling)
        return bool(active)

    def _latest_run(self) -> RunFact | None:
        here = [run for run in self.facts.runs if run.stage == self.status.stage and run.iteration == self.status.iteration]
        return max(here, key=lambda run: run.attempt, default=None)

    def _play_runs(self) -> tuple[PlayRun, ...]:
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
        ordered = sorted({**gone, **new, **seen}.values(), key=lambda run: (run.iteration, self._order(run.stage), run.attempt))
        return tuple(ordered[-RUNS_KEPT:])

    def _order(self, stage: str) -> int:
        return self.facts.pipeline.index(stage)

    # -- small words -------------------------------------------------------------------------------------------------------

    @property
    def _stage(self) -> Stage | None:
        return self.facts.pipeline.stage(self.status.stage)

    @property
    def _at(self) -> int:
        return self.facts.pipeline.index(self.status.stage)

    @property
    def _head(self) -> str:
        return self.facts.pull_request.head_sha if self.facts.pull_request is not None else ""

    def _agent_of(self, stage: Stage | None) -> Agent | None:
        return self.facts.agents.get(stage.role) if stage is not None and stage.role else None

    def _is_approved(self, stage: Stage, *, merging: bool = False) -> bool:
        is_merge = any(gate.kind is GateKind.MERGED for gate in stage.asked)
        return is_merge is merging and bool(self._approver(stage))

    def _approver(self, stage: Stage) -> str:
        found = (a.by for a in self.play.spec.approvals if a.stage == stage.name and a.head_sha == self._head)
        return next(found, "")

    def _enter(self, stage: Stage, *, restart: bool = False) -> None:
        at = self.facts.pipeline.index(stage.name)
        kept = tuple(gate for gate in self.status.gates if self._order(gate.stage) < at)
        self.status = replace(
            self.status,
            stage=stage.name,
            stage_since=self.now,
            first_attempt=1,
            gates=kept if restart else self.status.gates,
            iteration=self.status.iteration + int(restart),
            phase=PlayPhase.RUNNING,
        )

    def _note(self, reason: str, message: str) -> None:
        entry = HistoryEntry(
            at=self.now, stage=self.status.stage, iteration=self.status.iteration, reason=reason, message=message
        )
        self.status = with_history(self.status, entry)
        self.because = f"{reason}: {message}"

    def _wait(
        self, kind: str, reason: str, message: str, would_move: str, *, target: str = "", phase: PlayPhase | None = None
    ) -> None:
        self.waiting = Waiting(kind=kind, target=target, since=self.now, reason=reason, message=message, would_move=would_move)
        if phase is None:
            phase = PlayPhase.WAITING if kind == "person" else PlayPhase.RUNNING
        old = self.play.status.waiting
        changed = old is None or (old.kind, old.target, old.reason) != (kind, target, reason)
        if changed and kind in {"person", "time"}:
            self._note(reason, message)
        self.status = replace(self.status, phase=phase)

    def _wait_run(self, run: RunFact, stage: Stage) -> None:
        verb = "is being stopped" if run.cancelling else "works" if run.phase is RunPhase.RUNNING else "is about to work"
        message = f"{run.agent} {verb} on {stage.name} (iteration {run.iteration}, attempt {run.attempt})"
        detail = f": {run.message}" if run.phase is RunPhase.PENDING and run.message else ""
        reason = "RunRunning" if run.phase is RunPhase.RUNNING else "RunPending"
        self._wait("run", reason, message + detail, f"the end of run {run.name}", target=run.name)

    def _wait_paused(self) -> None:
        phase = PlayPhase.PENDING if not self.status.stage else None
        self._wait("person", "Paused", "a person paused the play", f"`coderun resume {self.play.name}`", phase=phase)

    def _recheck(self, at: datetime | None) -> None:
        if at is not None and (self.recheck_at is None or at < self.recheck_at):
            self.recheck_at = at


def _ref(pull: PullRequest) -> PullRequestRef:
    return PullRequestRef(number=pull.number, url=pull.url, head_sha=pull.head_sha)


def _tasks(ids: tuple[int, ...]) -> str:
    return ("task " if len(ids) == 1 else "tasks ") + ", ".join(map(str, ids))


def _camel(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in words.split("-"))
