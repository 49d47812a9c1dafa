"""Samples the tests of this room share: the packaged pipeline, a roster, and builders with sensible defaults."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from coderun.model.coderun import PullRequestRef, RunPhase
from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.meta import ObjectMeta
from coderun.model.play import Play, PlayPhase, PlayRun, PlaySpec, PlayStatus
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
from coderun.model.roster import Agent, make_roster
from coderun.pipeline.decide import decide
from coderun.pipeline.decision import Decision
from coderun.pipeline.definition import Pipeline, Remedy, Stage, Trigger
from coderun.pipeline.facts import Facts, RunFact

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

PULL_REQUEST = Gate(kind=GateKind.PULL_REQUEST)
LABEL = Gate(kind=GateKind.LABEL, label="ready-for-qa")
CHECKS = Gate(kind=GateKind.CHECKS)
REVIEW = Gate(kind=GateKind.REVIEW)
MERGED = Gate(kind=GateKind.MERGED)
RUN = Gate(kind=GateKind.RUN)

PACKAGED = Pipeline(
    name="play",
    stages=(
        Stage(name="implementation", role="implementation", gates=(PULL_REQUEST,)),
        Stage(name="quality", role="quality", gates=(LABEL, CHECKS)),
        Stage(name="testing", role="testing", gates=(REVIEW,)),
        Stage(name="merge", gates=(MERGED,)),
    ),
    remediation=(
        Remedy(on=Trigger.PUSH, restart_at="quality", remove_labels=("ready-for-qa",)),
        Remedy(on=Trigger.CHANGES_REQUESTED, restart_at="implementation", remove_labels=("ready-for-qa",)),
        Remedy(on=Trigger.CONFLICT, restart_at="implementation", remove_labels=("ready-for-qa",)),
    ),
)

ROSTER = make_roster(
    {
        "rex": Agent(name="rex", role="implementation", github_app="5DLabs-Rex"),
        "cleo": Agent(name="cleo", role="quality", github_app="5DLabs-Cleo"),
        "tess": Agent(name="tess", role="testing", github_app="5DLabs-Tess"),
    }
)
AGENTS = {agent.role: agent for agent in ROSTER.agents.values()}

REX = Actor(login="rex[bot]", can_write=True)
CLEO = Actor(login="cleo[bot]", can_write=True)
TESS = Actor(login="tess[bot]", can_write=True)
DEV = Actor(login="dev", can_write=True)
MALLORY = Actor(login="mallory", can_write=False)

GREEN = Checks(items=(Check(name="ci", state=CheckState.PASSED),))
RED = Checks(items=(Check(name="ci", state=CheckState.FAILED, summary="1 test failed"),))
RUNNING = Checks(items=(Check(name="ci", state=CheckState.PENDING),))


def after(seconds: float) -> datetime:
    """So long after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def pull_request(**changes: object) -> PullRequest:
    """Open, by rex, at `aaaa`, checks green, mergeable."""
    head = changes.get("head_sha", "aaaa")
    base = PullRequest(
        number=1,
        url="u",
        title="t",
        author=REX,
        head_branch="feature/task-7-implementation",
        base_branch="main",
        head_sha="aaaa",
        state=PullState.OPEN,
        pushes=(Push(sha="aaaa", actor=REX),) if head == "aaaa" else (),
        checks=GREEN,
        mergeability=Mergeability.CLEAN,
        head_since=NOW,
    )
    return replace(base, **changes)


def label(by: Actor = CLEO, head_sha: str = "aaaa", name: str = "ready-for-qa") -> LabelMark:
    return LabelMark(name=name, actor=by, head_sha=head_sha)


def review(state: ReviewState, by: Actor = TESS, *, id: int = 1, head_sha: str = "aaaa", body: str = "") -> Review:  # noqa: A002 - the field's name
    return Review(id=id, actor=by, state=state, head_sha=head_sha, body=body)


def run(stage: str, phase: RunPhase = RunPhase.SUCCEEDED, **changes: object) -> RunFact:
    agent = {"implementation": "rex", "quality": "cleo", "testing": "tess"}.get(stage, "rex")
    iteration, attempt = changes.get("iteration", 1), changes.get("attempt", 1)
    base = RunFact(
        name=f"play-demo-7-{stage}-{iteration}-{attempt}",
        stage=stage,
        iteration=1,
        attempt=1,
        agent=agent,
        phase=phase,
        finished_at=None if phase in {RunPhase.PENDING, RunPhase.RUNNING} else NOW,
    )
    return replace(base, **changes)


def play_at(stage: str = "", *, head: str = "aaaa", spec: Mapping[str, object] | None = None, **status: Any) -> Play:
    """A play at a stage, whose pull request is known at `head` ("" for none)."""
    known = PullRequestRef(number=1, url="u", head_sha=head) if head and stage else None
    phase = PlayPhase.RUNNING if stage else PlayPhase.PENDING
    base = PlayStatus(phase=phase, stage=stage, stage_since=NOW if stage else None, pull_request=known)
    plain = PlaySpec(task_id=7, repository_url="demo", service="demo")
    return Play(
        metadata=ObjectMeta(name="play-demo-7", generation=3),
        spec=replace(plain, **(spec or {})),
        status=replace(base, **status),
    )


def facts(pull: PullRequest | None = None, *runs: RunFact, **changes: Any) -> Facts:
    return replace(Facts(pipeline=PACKAGED, roster=ROSTER, agents=AGENTS, pull_request=pull, runs=runs), **changes)


def decided(play: Play, seen: Facts, now: datetime = NOW) -> Decision:
    """The decision, which must be the same when it is taken twice. The play knows the runs that are seen of it."""
    if not play.status.runs:
        known = tuple(
            PlayRun(name=each.name, stage=each.stage, iteration=each.iteration, attempt=each.attempt, agent=each.agent)
            for each in seen.runs
        )
        play = replace(play, status=replace(play.status, runs=known))
    decision = decide(play, seen, now)
    assert decision == decide(play, seen, now)
    msgspec.json.encode(decision.status)
    return decision


def reason(decision: Decision) -> str:
    """Why the play waits, "" when it does not."""
    return decision.status.waiting.reason if decision.status.waiting is not None else ""


__all__ = ["GateActor"]
