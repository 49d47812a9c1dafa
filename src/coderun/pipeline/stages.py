"""Is the current stage done? Wait for its run, judge its gates, go on, try again after a failure, or give up.

Gates themselves are judged in `gates`; starting a run is `runs`, asking a person is `people`.
"""

from msgspec.structs import replace

from coderun.model.coderun import RunPhase
from coderun.model.gates import Gate, GateKind
from coderun.model.play import PassedGate, PlayPhase
from coderun.model.roster import Agent
from coderun.pipeline.clock import deadline
from coderun.pipeline.definition import Stage
from coderun.pipeline.draft import Draft, brief
from coderun.pipeline.facts import RunFact
from coderun.pipeline.gates import NO_CHECKS, THE_CHECKS, Holding, evaluate, short
from coderun.pipeline.people import Unmet, approver, wait_people
from coderun.pipeline.runs import create_run

LONGEST_PAUSE_SECONDS = 3600.0
# The model's service is down, overloaded or knows no login: trying again at once would only burn the attempts.
OUTAGES = frozenset({"ApiError"})
OUTAGE_SECONDS = 300.0


def advanced(draft: Draft) -> bool:
    """Judge the current stage; True when it was passed and the next one is to be judged."""
    stage, run = draft.stage, draft.latest_run()
    if stage is None:
        _wait_unknown_stage(draft)
        return False
    if run is not None and run.is_active:
        _wait_run(draft, run, stage)
        return False
    if draft.facts.rivals:
        _wait_rivals(draft)
        return False
    by = approver(draft, stage)
    judged = [(gate, _judge(draft, gate, by)) for gate in stage.asked]
    unmet = [(gate, holding) for gate, holding in judged if not holding.holds]
    owes = not by and _owes(draft, run)
    if not unmet and not owes:
        return _passed(draft, stage, judged)
    _go_on(draft, stage, unmet, approved=bool(by), owes=owes)
    return False


def _judge(draft: Draft, gate: Gate, by: str) -> Holding:
    # Approving a merge is not merging.
    return Holding(holds=True, actor=by) if by and gate.kind is not GateKind.MERGED else evaluate(gate, draft.view())


def _owes(draft: Draft, run: RunFact | None) -> bool:
    """After a restart by review or conflict a stage is done only when its new run succeeded and the head is another one."""
    owed = draft.status.resolved_head
    return bool(owed) and (run is None or run.phase is not RunPhase.SUCCEEDED or draft.head in {owed, ""})


def _by_whom(gate: Gate, holding: Holding) -> str:
    """Which gate holds and who passed it; checks pass by themselves."""
    told = {THE_CHECKS: "checks passed", NO_CHECKS: NO_CHECKS}
    return told.get(holding.actor) or f"{gate.name} by {holding.actor}"


def _passed(draft: Draft, stage: Stage, judged: list[tuple[Gate, Holding]]) -> bool:
    """Record that the stage is done and enter the next one; False when it was the last, which ends the play."""
    head = draft.head
    gates = tuple(
        PassedGate(name=gate.name, stage=stage.name, head_sha=head, actor=holding.actor, since=draft.now)
        for gate, holding in judged
    )
    draft.status = replace(draft.status, gates=(*draft.status.gates, *gates), resolved_head="")
    what = "; ".join(_by_whom(gate, holding) for gate, holding in judged if holding.actor) or "its gates hold"
    draft.note("StagePassed", f"{stage.name} passed on {short(head)}: {what}" if head else f"{stage.name} passed: {what}")
    after = draft.at + 1
    if after < len(draft.facts.pipeline.stages):
        draft.enter(draft.facts.pipeline.stages[after])
        return True
    text = "every stage has been passed"
    draft.note("PipelineCompleted", text)
    draft.status = replace(draft.status, phase=PlayPhase.SUCCEEDED, finished_at=draft.now, message=text, stage="")
    return False


def _go_on(draft: Draft, stage: Stage, unmet: Unmet, *, approved: bool, owes: bool) -> None:
    """The stage is not done and nobody works on it: whose turn is it?"""
    agent, run = draft.agent_of(stage), draft.latest_run()
    has_worked = approved or (run is not None and run.phase is RunPhase.SUCCEEDED)
    only_merge = not owes and all(gate.kind is GateKind.MERGED for gate, _ in unmet)
    if not stage.role or (only_merge and has_worked):
        wait_people(draft, stage, unmet, approved=approved)
    elif agent is None:
        _wait_for_agent(draft, stage)
    elif run is None:
        create_run(draft, stage, agent, 1)
    else:
        _after_run(draft, stage, agent, run, [holding for _, holding in unmet])


def _wait_for_agent(draft: Draft, stage: Stage) -> None:
    named = draft.play.spec.agents.get(stage.role)
    if not named:
        message = f"no agent of the roster has the role {stage.role!r}"
        draft.wait("person", "NoAgentForRole", message, "an agent with that role in coderun.yaml")
        return
    known = ", ".join(sorted(draft.facts.roster.agents)) or "none"
    message = f"the play gives the role {stage.role!r} to {named!r}, who is not in the roster (known: {known})"
    draft.wait("person", "NoAgentForRole", message, f"another name in its `agents`, or an agent {named!r} in coderun.yaml")


def _after_run(draft: Draft, stage: Stage, agent: Agent, run: RunFact, unmet: list[Holding]) -> None:
    """The stage's run has ended and left something to be desired."""
    missing = "; ".join(holding.missing for holding in unmet) or "the head is still the commit that was refused"
    if run.attempt < draft.status.first_attempt:
        create_run(draft, stage, agent, run.attempt + 1, failed=run, missing=missing)
    elif run.phase is RunPhase.CANCELLED:
        message = f"run {run.name} was cancelled: {run.message or run.reason or 'nobody said why'}"
        draft.wait("person", "RunCancelled", message, f"`coderun retry {draft.play.name}`", target=run.name)
    elif run.phase is RunPhase.FAILED:
        _after_failure(draft, stage, agent, run, f"{run.reason or 'Failed'}: {run.message or 'nobody said why'}")
    elif unmet and all(holding.comes_by_itself for holding in unmet):
        draft.wait("gate", "GateOpen", missing, "happens by itself", target=stage.name)
        draft.recheck(min((holding.recheck_at for holding in unmet if holding.recheck_at), default=None))
    elif (until := deadline(run.finished_at, draft.facts.rules.settle, draft.now)) is not None:
        draft.wait("gate", "GateOpen", missing, "the forge catching up", target=stage.name)
        draft.recheck(until)
    else:
        _after_failure(draft, stage, agent, run, f"EvidenceMissing: it ended, but {missing}", missing)


def _after_failure(draft: Draft, stage: Stage, agent: Agent, run: RunFact, why: str, missing: str = "") -> None:
    used = run.attempt - draft.status.first_attempt + 1
    if run.reason == "AgentBlocked":
        message = f"{agent.name} cannot go on: {run.message or 'it did not say why'}"
        draft.wait("person", "AgentBlocked", message, f"`coderun retry {draft.play.name}`", target=run.name)
        return
    if run.reason == "OwnPullRequest":
        # Another attempt would end the same way: all agents act as one account.
        draft.wait(
            "person",
            "OwnPullRequest",
            brief(run.message or "an agent cannot judge its own pull request"),
            f"`coderun approve {draft.play.name}`",
            target=run.name,
        )
        return
    if run.reason == "InvalidSpec":
        # The same spec fails the same way: somebody has to change a template, the roster or the run first.
        draft.wait(
            "person",
            "InvalidSpec",
            brief(f"{run.name} can never run: {run.message}"),
            f"`coderun retry {draft.play.name}`",
            target=run.name,
        )
        return
    if used >= (stage.attempts or draft.facts.rules.attempts):
        draft.note("AttemptsExhausted", f"{stage.name} failed {used} time(s); last: {why}")
        message = brief(f"{stage.name} failed {used} time(s), last in {run.name}: {why}")
        draft.status = replace(draft.status, phase=PlayPhase.FAILED, finished_at=draft.now, message=message)
        return
    pause = _pause(draft, used, OUTAGE_SECONDS if run.reason in OUTAGES else 0.0)
    until = deadline(run.finished_at, pause, draft.now)
    if until is None:
        create_run(draft, stage, agent, run.attempt + 1, failed=run, missing=missing)
        return
    message = f"attempt {run.attempt} of {stage.name} failed: {why}"
    would_move = f"attempt {run.attempt + 1} starts by itself at {until:%H:%M:%S} UTC, {pause:g} s after that"
    draft.wait("time", "BackOff", message, would_move, target=run.name)
    draft.recheck(until)


def _pause(draft: Draft, used: int, least: float) -> float:
    """Seconds before the next attempt: at least `least` before the second, doubled for each one used, up to an hour."""
    pause = max(draft.facts.rules.backoff, least)
    for _ in range(used - 1):
        pause = min(2 * pause, max(LONGEST_PAUSE_SECONDS, draft.facts.rules.backoff))
    return pause


def _wait_run(draft: Draft, run: RunFact, stage: Stage) -> None:
    verb = "is being stopped" if run.cancelling else "works" if run.phase is RunPhase.RUNNING else "is about to work"
    message = f"{run.agent} {verb} on {stage.name} (iteration {run.iteration}, attempt {run.attempt})"
    detail = f": {run.message}" if run.phase is RunPhase.PENDING and run.message else ""
    reason = "RunRunning" if run.phase is RunPhase.RUNNING else "RunPending"
    draft.wait("run", reason, message + detail, f"the end of run {run.name}", target=run.name)


def _wait_rivals(draft: Draft) -> None:
    numbers = ", ".join(f"#{number}" for number in draft.facts.rivals)
    message = f"pull requests {numbers} all claim task {draft.play.spec.task_id}"
    draft.wait("person", "AmbiguousPullRequests", message, "closing all but one of them", target=numbers)


def _wait_unknown_stage(draft: Draft) -> None:
    known = ", ".join(stage.name for stage in draft.facts.pipeline.stages)
    message = (
        f"stage {draft.status.stage!r}, where the play stands, is not in pipeline {draft.facts.pipeline.name!r} "
        f"any more (stages: {known})"
    )
    hint = f"`coderun retry {draft.play.name}` begins at the first stage again, or put the stage back"
    draft.wait("person", "UnknownStage", message, hint, target=draft.status.stage)
