"""What was done and seen in the demo, and what of that is not as promised. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

TASKS: Final = 3
WEBHOOKS: Final = ("drop", "vanish", "double", "reorder", "delay")


@dataclass(kw_only=True)
class Evidence:
    """Filled while the demo goes on.

    Attributes:
        webhooks: How many deliveries met which trouble; `well` are those that met none.
        pushed: The commit that a person pushed while task 3 was being tested.
        pushes_answered: Times that quality was restarted because of a push.
        expired: Installation tokens that were ended while a run was at work with one of them.
        expired_run: That run, and how it ended: its phase and attempts.
        renewed: Tokens that its agent's App was given after that.
        limited: Requests that a rate limit refused, by kind (`primary`, `secondary`).
        killed: Process ids of controllers that were killed with SIGKILL, and of their successors.
        killed_run: The run at work meanwhile, and how it ended.
        second: Exit code of a second controller that was started beside the first.
        starts: Every start of an agent.
        merged: Merged pull requests on GitHub by task.
        phases: How the plays ended, by task.
        scopes: What tokens were given for: the number of repositories (None: all of them) and the permissions.
        broken: What the lint and the tests of the merged branch said, where they failed.
    """

    webhooks: dict[str, int] = field(default_factory=dict)
    pushed: str = ""
    pushes_answered: int = 0
    expired: int = 0
    expired_run: tuple[str, str, int] = ("", "", 0)
    renewed: int = 0
    limited: dict[str, int] = field(default_factory=dict)
    killed: list[tuple[int, int]] = field(default_factory=list)
    killed_run: tuple[str, str, int] = ("", "", 0)
    second: int | None = None
    starts: Sequence[str] = ()
    merged: Mapping[int, int] = field(default_factory=dict)
    phases: Mapping[int, str] = field(default_factory=dict)
    scopes: Sequence[tuple[int | None, Mapping[str, str]]] = ()
    broken: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table at the end: which trouble, how much of it, and how it was survived; `problem` where it was not."""

    trouble: str
    made: str
    survived: str
    problem: str = ""


def rows(seen: Evidence) -> list[Row]:
    """The table."""
    return [
        *(_webhooks(seen, kind) for kind in WEBHOOKS),
        _push(seen),
        _token(seen),
        _limits(seen),
        _kill(seen),
        _second(seen),
        _starts(seen),
        _scopes(seen),
        _end(seen),
    ]


def problems(seen: Evidence) -> list[str]:
    """Everything that was promised and is not so."""
    return [f"{row.trouble}: {row.problem}" for row in rows(seen) if row.problem]


_HOW: Final = {
    "drop": ("webhooks dropped", "found in GitHub's log of deliveries, or by looking"),
    "vanish": ("webhooks never sent", "found by looking"),
    "double": ("webhooks doubled", "taken in once"),
    "reorder": ("webhooks reordered", "only hints: the forge was read again"),
    "delay": ("webhooks late", "only hints: the forge was read again"),
}


def _webhooks(seen: Evidence, kind: str) -> Row:
    trouble, survived = _HOW[kind]
    number = seen.webhooks.get(kind, 0)
    return Row(trouble=trouble, made=str(number), survived=survived, problem="" if number else "there was none")


def _push(seen: Evidence) -> Row:
    problem = ""
    if not seen.pushed:
        problem = "nobody pushed while a task was being tested"
    elif not seen.pushes_answered:
        problem = "the push did not restart quality"
    made = f"a person's commit {seen.pushed[:7]} to task 3"
    return Row(trouble="push during testing", made=made, survived="testing stopped, quality once more", problem=problem)


def _token(seen: Evidence) -> Row:
    name, phase, attempts = seen.expired_run
    problem = ""
    if not seen.expired:
        problem = "no token ended while a run was at work"
    elif phase != "Succeeded":
        problem = f"run {name} ended as {phase or 'nothing'}"
    elif attempts != 1:
        problem = f"run {name} needed {attempts} attempts"
    elif not seen.renewed:
        problem = f"no new token was given to run {name}"
    return Row(
        trouble="token ended during a run",
        made=f"{seen.expired} tokens ended early",
        survived=f"{name} got another one and went on",
        problem=problem,
    )


def _limits(seen: Evidence) -> Row:
    missing = [kind for kind in ("primary", "secondary") if not seen.limited.get(kind)]
    made = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.limited.items())) or "none"
    problem = f"no request met the {' and the '.join(missing)} limit" if missing else ""
    return Row(
        trouble="rate limits", made=f"requests refused: {made}", survived="waited as long as GitHub said", problem=problem
    )


def _kill(seen: Evidence) -> Row:
    name, phase, attempts = seen.killed_run
    problem = ""
    if not seen.killed:
        problem = "no controller was killed"
    elif any(old == new or not new for old, new in seen.killed):
        problem = "no other controller took over"
    elif (phase, attempts) != ("Succeeded", 1):
        problem = f"run {name}, at work meanwhile, ended as {phase or 'nothing'} after {attempts} attempts"
    return Row(
        trouble="controller killed (-9)",
        made=", ".join(f"process {old}" for old, _ in seen.killed),
        survived=f"the next one found {name} at work",
        problem=problem,
    )


def _second(seen: Evidence) -> Row:
    problem = "" if seen.second == 6 else f"it ended with {seen.second}"
    return Row(trouble="a second controller", made="started beside the first", survived="refused", problem=problem)


def _starts(seen: Evidence) -> Row:
    twice = sorted({start for start in seen.starts if seen.starts.count(start) > 1})
    problem = f"started twice: {', '.join(twice)}" if twice else "" if seen.starts else "no agent was started"
    return Row(trouble="all of it", made=f"{len(seen.starts)} agents started", survived="none of them twice", problem=problem)


def _scopes(seen: Evidence) -> Row:
    wide = [repositories for repositories, held in seen.scopes if repositories != 1 or "admin" in held.values()]
    problem = f"{len(wide)} tokens reach more than one repository, or too far" if wide else ""
    if not seen.scopes:
        problem = "no token was given"
    return Row(
        trouble="tokens",
        made=f"{len(seen.scopes)} given",
        survived="each for one repository and named permissions",
        problem=problem,
    )


def _end(seen: Evidence) -> Row:
    ends = [f"task {task} is {phase}" for task, phase in sorted(seen.phases.items()) if phase != "Succeeded"]
    if len(seen.phases) != TASKS:
        ends.append(f"{len(seen.phases)} plays instead of {TASKS}")
    if len(seen.merged) != TASKS:
        ends.append(f"{len(seen.merged)} tasks are merged instead of {TASKS}")
    ends.extend(seen.broken)
    return Row(
        trouble="the tasks",
        made=f"{TASKS} played",
        survived=f"{len(seen.merged)} merged, lint and tests of main pass",
        problem="; ".join(ends),
    )
