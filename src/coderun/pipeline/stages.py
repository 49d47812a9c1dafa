"""Is the current stage done? Wait for its run, judge its gates, go on, try again after a failure, or give up.

Gates themselves are judged in `gates`; starting a run is `runs`.
"""

from datetime import timedelta

from msgspec.structs import replace

from coderun.model.coderun import RunPhase
from coderun.model.gates import Gate, GateKind
from coderun.model.play import PassedGate, PlayPhase
from coderun.model.roster import Agent
from coderun.pipeline.definition import Stage
from coderun.pipeline.draft import Draft
from coderun.pipeline.facts import RunFact
from coderun.pipeline.gates import GateView, Holding, evaluate, short
from coderun.pipeline.people import wait_people
from coderun.pipeline.runs import create_run


def advanced(draft: Draft) -> bool:
    """Judge the current stage; True when it was passed and the next one is to be judged."""
    stage = draft.stage
    if stage is None:
        draft.note("PipelineCompleted", "every stage has been passed")
        draft.status = replace(
            draft.status, phase=PlayPhase.SUCCEEDED, finished_at=draft.now, message="every stage has been passed"
        )
        return False
    agent, run = draft.agent_of(stage), draft.latest_run()
    if run is not None and run.is_active:
        _wait_run(draft, run, stage)
        return False
    if draft.is_approved(stage):
        _pass_stage(
            draft,
            stage,
            [
                (gate, Holding(holds=True, actor=draft.approver(stage)))
                for gate in stage.asked
                if gate.kind is not GateKind.MERGED
            ],
        )
        return True
    view = GateView(
        pull_request=draft.facts.pull_request,
        agent=agent,
        roster=draft.facts.roster,
        run=run,
        checks_grace=draft.facts.rules.checks_grace,
        now=draft.now,
    )
    judged = [(gate, evaluate(gate, view)) for gate in stage.asked]
    if all(holding.holds for _, holding in judged) and not _owes(draft, stage, run):
        _pass_stage(draft, stage, judged)
        return True
    if not stage.role:
        wait_people(draft, stage, judged)
    elif agent is None:
        draft.wait(
            "person",
            "NoAgentForRole",
            f"no agent of the roster has the role {stage.role!r}",
            "an agent with that role in coderun.yaml",
        )
    else:
        _work(draft, stage, agent, run, judged)
    return False


def _owes(draft: Draft, stage: Stage, run: RunFact | None) -> bool:
    """After a restart by review or conflict a stage is done only when its new run succeeded and the head is another one."""
    owed = draft.status.resolved_head
    if not owed or not stage.role:
        return False
    pull = draft.facts.pull_request
    return run is None or run.phase is not RunPhase.SUCCEEDED or pull is None or pull.head_sha == owed


def _pass_stage(draft: Draft, stage: Stage, judged: list[tuple[Gate, Holding]]) -> None:
    head = draft.head
    passed = tuple(
        PassedGate(name=gate.name, stage=stage.name, head_sha=head, actor=holding.actor, since=draft.now)
        for gate, holding in judged
    )
    draft.status = replace(draft.status, gates=(*draft.status.gates, *passed), resolved_head="")
    what = "; ".join(f"{gate.name} by {holding.actor}" for gate, holding in judged if holding.actor) or "its gates hold"
    draft.note("StagePassed", f"{stage.name} passed on {short(head)}: {what}" if head else f"{stage.name} passed: {what}")
    after = draft.at + 1
    stages = draft.facts.pipeline.stages
    if after < len(stages):
        draft.enter(stages[after])
    else:
        draft.status = replace(draft.status, stage="")


def _work(draft: Draft, stage: Stage, agent: Agent, run: RunFact | None, judged: list[tuple[Gate, Holding]]) -> None:
    """The stage's gates do not hold and nobody works on it: wait, try (again), or give up."""
    unmet = [holding for _, holding in judged if not holding.holds]
    missing = "; ".join(holding.missing for holding in unmet)
    if run is None:
        create_run(draft, stage, agent, 1)
    elif run.phase is RunPhase.CANCELLED and run.attempt >= draft.status.first_attempt:
        draft.wait(
            "person",
            "RunCancelled",
            f"run {run.name} was cancelled: {run.message or run.reason}",
            f"`coderun retry {draft.play.name}`",
            target=run.name,
        )
    elif run.phase is RunPhase.SUCCEEDED and unmet and all(holding.comes_by_itself for holding in unmet):
        draft.wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
        draft.recheck(min((h.recheck_at for h in unmet if h.recheck_at), default=None))
    elif run.phase is RunPhase.SUCCEEDED and _is_settling(draft, run):
        draft.wait(
            "gate", "GateOpen", missing or "the forge shows no new commit yet", "the forge catching up", target=stage.name
        )
    else:
        _try_again(draft, stage, agent, run, missing)


def _is_settling(draft: Draft, run: RunFact) -> bool:
    until = (run.finished_at or draft.now) + timedelta(seconds=draft.facts.rules.settle)
    if run.attempt < draft.status.first_attempt or run.finished_at is None or draft.now >= until:
        return False
    draft.recheck(until)
    return True


def _try_again(draft: Draft, stage: Stage, agent: Agent, run: RunFact, missing: str) -> None:
    if run.attempt < draft.status.first_attempt:
        create_run(draft, stage, agent, run.attempt + 1, failed=run, missing=missing)
        return
    why = (
        run.message
        if run.phase is RunPhase.FAILED
        else f"it ended, but {missing or 'the head is still the commit that was refused'}"
    )
    if run.reason == "AgentBlocked":
        draft.wait(
            "person",
            "AgentBlocked",
            f"{agent.name} cannot go on: {why}",
            f"`coderun retry {draft.play.name}`",
            target=run.name,
        )
        return
    used = run.attempt - draft.status.first_attempt + 1
    allowed = stage.attempts or draft.facts.rules.attempts
    if used >= allowed:
        draft.note("AttemptsExhausted", f"{stage.name} failed {used} time(s); last: {run.reason or 'EvidenceMissing'}: {why}")
        draft.status = replace(
            draft.status,
            phase=PlayPhase.FAILED,
            finished_at=draft.now,
            message=f"{stage.name} failed {used} time(s), last in {run.name}: {run.reason or 'EvidenceMissing'}: {why}",
        )
        return
    pause = draft.facts.rules.backoff * 2 ** (used - 1)
    until = (run.finished_at or draft.now) + timedelta(seconds=pause)
    # A clock that jumped back must not turn a pause of seconds into one of years.
    if draft.now < until and until - draft.now <= timedelta(seconds=pause):
        draft.wait(
            "time",
            "BackOff",
            f"attempt {run.attempt} of {stage.name} failed: {run.reason or 'EvidenceMissing'}: {why}",
            f"attempt {run.attempt + 1} starts by itself in at most {pause:g} s",
            target=run.name,
        )
        draft.recheck(until)
        return
    create_run(draft, stage, agent, run.attempt + 1, failed=run, missing=missing)


def _wait_run(draft: Draft, run: RunFact, stage: Stage) -> None:
    verb = "is being stopped" if run.cancelling else "works" if run.phase is RunPhase.RUNNING else "is about to work"
    message = f"{run.agent} {verb} on {stage.name} (iteration {run.iteration}, attempt {run.attempt})"
    detail = f": {run.message}" if run.phase is RunPhase.PENDING and run.message else ""
    reason = "RunRunning" if run.phase is RunPhase.RUNNING else "RunPending"
    draft.wait("run", reason, message + detail, f"the end of run {run.name}", target=run.name)
