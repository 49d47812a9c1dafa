"""The pipeline as data: stages, gates and remediation rules, and what makes such a definition impossible.

Reading YAML is somebody else's; here are the shapes and `problems`, which names every mistake with the path to it, so that the
reader can add file and line.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.names import is_dns_label
from coderun.model.text import nearest


class Trigger(StrEnum):
    """What sends a play back."""

    PUSH = "push"
    CHANGES_REQUESTED = "changes-requested"
    CONFLICT = "conflict"


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Base of the structs below."""


class Stage(Shape, frozen=True, kw_only=True):
    """One stage.

    Attributes:
        role: Role of the agent that works in it; "" is a stage of people.
        gates: All must hold before the next stage; a stage with a role and no gate asks for its run to succeed.
        attempts: How often a run may fail before the play fails; None takes the configured number.
        timeout_seconds: Wall-clock limit of one run; None takes the configured one.
        instructions: Added to the prompt of the stage's agent.
    """

    name: str
    role: str = ""
    gates: tuple[Gate, ...] = ()
    attempts: int | None = None
    timeout_seconds: int | None = None
    instructions: str = ""

    @property
    def asked(self) -> tuple[Gate, ...]:
        """The gates that count: the declared ones, or the success of the run."""
        return self.gates or ((Gate(kind=GateKind.RUN),) if self.role else ())


class Remedy(Shape, frozen=True, kw_only=True):
    """A rule that sends a play back.

    Attributes:
        on: `push`: the head moved by anyone but the running stage's agent. `changes-requested`: a review by somebody who
            counts. `conflict`: head and base do not go together.
        restart_at: The stage to go back to; a play that has not come past it stays where it is.
        remove_labels: Taken off the pull request.
        counts: Whether it counts towards `maxIterations`; by default pushes do not, the others do.
        continue_session: Whether the agents go on with the sessions they had before.
    """

    on: Trigger
    restart_at: str
    remove_labels: tuple[str, ...] = ()
    counts: bool | None = None
    continue_session: bool = True

    @property
    def is_counted(self) -> bool:
        """Whether it counts towards `maxIterations`."""
        return self.on is not Trigger.PUSH if self.counts is None else self.counts


class Pipeline(Shape, frozen=True, kw_only=True):
    """A pipeline: stages in order, and what sends a play back."""

    name: str
    description: str = ""
    stages: tuple[Stage, ...]
    remediation: tuple[Remedy, ...] = ()

    def index(self, stage: str) -> int:
        """Position of a stage; after the last one for a name that is none."""
        return next((at for at, known in enumerate(self.stages) if known.name == stage), len(self.stages))

    def stage(self, name: str) -> Stage | None:
        """The stage of that name."""
        at = self.index(name)
        return self.stages[at] if at < len(self.stages) else None

    def remedy(self, trigger: Trigger) -> Remedy | None:
        """The rule for a trigger; without one for pushes, they go back to the first stage with a gate bound to the head."""
        declared = next((remedy for remedy in self.remediation if remedy.on is trigger), None)
        if declared is not None or trigger is not Trigger.PUSH:
            return declared
        bound = (stage for stage in self.stages if any(gate.kind.is_head_bound for gate in stage.gates))
        return next((Remedy(on=trigger, restart_at=stage.name) for stage in bound), None)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake in a definition: where (`("stages", 1, "role")`) and what to do."""

    path: tuple[str | int, ...]
    message: str


def problems(pipeline: Pipeline, roles: Iterable[str]) -> list[Problem]:
    """All mistakes of a definition; `roles` are those the roster can fill."""
    return [
        *_stage_problems(pipeline, sorted(set(roles))),
        *_reach_problems(pipeline),
        *_author_problems(pipeline),
        *_remedy_problems(pipeline),
    ]


def _stage_problems(pipeline: Pipeline, roles: list[str]) -> Iterator[Problem]:
    if not pipeline.stages:
        yield Problem(path=("stages",), message="a pipeline needs at least one stage")
    seen: set[str] = set()
    for at, stage in enumerate(pipeline.stages):
        if not is_dns_label(stage.name):
            yield Problem(
                path=("stages", at, "name"),
                message=f"stage name {stage.name!r} is not usable: lower-case letters, digits and '-'",
            )
        if stage.name in seen:
            yield Problem(path=("stages", at, "name"), message=f"stage {stage.name!r} is there twice; give each its own name")
        seen.add(stage.name)
        if stage.role and stage.role not in roles:
            yield Problem(
                path=("stages", at, "role"),
                message=f"stage {stage.name!r} wants role {stage.role!r}, which no agent of the roster has"
                + _nearest(stage.role, roles),
            )
        if stage.attempts is not None and stage.attempts < 1:
            yield Problem(path=("stages", at, "attempts"), message="attempts must be at least 1")
        if stage.timeout_seconds is not None and stage.timeout_seconds < 1:
            yield Problem(path=("stages", at, "timeoutSeconds"), message="timeoutSeconds must be at least 1")
        yield from _gate_problems(stage, at)


def _gate_problems(stage: Stage, at: int) -> Iterator[Problem]:
    if not stage.role and not stage.gates:
        yield Problem(
            path=("stages", at), message=f"stage {stage.name!r} has neither a role nor a gate: nothing would ever end it"
        )
    for place, gate in enumerate(stage.gates):
        path = ("stages", at, "gates", place)
        if gate.kind is GateKind.LABEL and not gate.label.strip():
            yield Problem(path=path, message="a label gate names its label: {kind: label, label: ready-for-qa}")
        if gate.kind is not GateKind.LABEL and gate.label:
            yield Problem(path=(*path, "label"), message=f"a {gate.kind.value} gate has no label")
        if not stage.role and gate.kind is GateKind.RUN:
            yield Problem(path=path, message=f"stage {stage.name!r} has no agent, so no run of it can ever succeed")
        own = {GateKind.LABEL, GateKind.REVIEW, GateKind.PULL_REQUEST}
        if not stage.role and gate.kind in own and gate.by is GateActor.STAGE:
            yield Problem(
                path=path,
                message=f"stage {stage.name!r} has no agent, so nobody can pass its gate {gate.name!r}; write `by: anyone`",
            )


def _reach_problems(pipeline: Pipeline) -> Iterator[Problem]:
    ended = next((s.name for s in pipeline.stages if any(g.kind is GateKind.MERGED for g in s.gates)), None)
    if ended is not None:
        for at in range(pipeline.index(ended) + 1, len(pipeline.stages)):
            name = pipeline.stages[at].name
            yield Problem(
                path=("stages", at),
                message=f"stage {name!r} is unreachable: a play ends when its pull request is merged, "
                f"in stage {ended!r}; move it before that",
            )
    opened = False
    for at, stage in enumerate(pipeline.stages):
        kinds = {gate.kind for gate in stage.asked}
        needs = kinds & {GateKind.LABEL, GateKind.REVIEW, GateKind.CHECKS, GateKind.MERGED}
        if needs and not opened and GateKind.PULL_REQUEST not in kinds:
            yield Problem(
                path=("stages", at),
                message=f"stage {stage.name!r} looks at a pull request, but no stage up to here opens one; "
                "add a pull-request gate before it",
            )
            return
        opened = opened or GateKind.PULL_REQUEST in kinds


def _author_problems(pipeline: Pipeline) -> Iterator[Problem]:
    """A pull request has one author, who cannot approve it."""
    author: Stage | None = None
    for at, stage in enumerate(pipeline.stages):
        own = {gate.kind for gate in stage.asked if stage.role and gate.by is GateActor.STAGE}
        if GateKind.PULL_REQUEST in own:
            if author is not None and author.role != stage.role:
                yield Problem(
                    path=("stages", at, "gates"),
                    message=f"stage {stage.name!r} wants a pull request opened by role {stage.role!r}, but stage "
                    f"{author.name!r} has one opened by role {author.role!r}; write `by: anyone` in one of them",
                )
            author = author or stage
        if GateKind.REVIEW in own and author is not None and author.role == stage.role:
            yield Problem(
                path=("stages", at, "gates"),
                message=f"stage {stage.name!r} wants role {stage.role!r} to approve the pull request that it opens itself in "
                f"stage {author.name!r}, which no forge allows; give the review to another role",
            )


def _remedy_problems(pipeline: Pipeline) -> Iterator[Problem]:
    names = [stage.name for stage in pipeline.stages]
    seen: set[Trigger] = set()
    for at, remedy in enumerate(pipeline.remediation):
        stage = pipeline.stage(remedy.restart_at)
        if stage is None:
            yield Problem(
                path=("remediation", at, "restartAt"),
                message=f"restartAt names stage {remedy.restart_at!r}, which does not exist"
                + _nearest(remedy.restart_at, names),
            )
        elif not stage.role:
            yield Problem(
                path=("remediation", at, "restartAt"),
                message=f"restartAt names stage {stage.name!r}, in which no agent works; name one with a role",
            )
        if remedy.on in seen:
            yield Problem(path=("remediation", at, "on"), message=f"there are two rules for {remedy.on.value!r}; keep one")
        seen.add(remedy.on)


def _nearest(word: str, known: list[str]) -> str:
    close = nearest(word, known)
    return f"; did you mean {close!r}?" if close else f" (known: {', '.join(known) or 'none'})"
