"""The one table of what is asked of GitHub, and for what: by runs, by the controller, by an App as a whole. Pure.

Tokens of runs and of the controller are asked for with it, Apps are made and checked with it, and the pages for people are
written from it. A run may do what its stage's gates ask for and no more; whoever only reviews cannot push. `metadata: read`
comes with every token and is not named. Facts: GitHub's page "Permissions required for GitHub Apps" and, for events, "Webhook
events and payloads".
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from coderun.model.gates import GateKind
from coderun.model.roster import Agent
from coderun.pipeline.definition import Pipeline

READ: Final = "read"
WRITE: Final = "write"
ADMIN: Final = "admin"
WORKFLOWS: Final = "write-workflows"
"""The capability of an agent that may change files below `.github/workflows`."""

_LEVELS: Final = {"": 0, READ: 1, WRITE: 2, ADMIN: 3}


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A permission, how much of it, and what it is for."""

    name: str
    level: str
    why: str


LOOK: Final = (
    Need(name="contents", level=READ, why="clone the repository; read branches, files and who moved a branch"),
    Need(name="pull_requests", level=READ, why="read pull requests, reviews, labels and comments"),
    Need(name="checks", level=READ, why="read the check runs of a commit"),
    Need(name="statuses", level=READ, why="read the commit statuses of a commit"),
)
"""What everybody needs who looks at a pull request."""

_PUSH: Final = Need(name="contents", level=WRITE, why="push the task's branch")
_WORKFLOW_FILES: Final = Need(name="workflows", level=WRITE, why=f"push changes of .github/workflows (capability {WORKFLOWS})")
_RUNS: Final[Mapping[GateKind, tuple[Need, ...]]] = {
    GateKind.PULL_REQUEST: (Need(name="pull_requests", level=WRITE, why="open the pull request and set its labels"),),
    GateKind.LABEL: (Need(name="pull_requests", level=WRITE, why="set the label that hands the pull request on"),),
    GateKind.REVIEW: (Need(name="pull_requests", level=WRITE, why="post the review"),),
    GateKind.CHECKS: (),
    GateKind.MERGED: (),
    GateKind.RUN: (),
}

CONTROL: Final = (
    *LOOK,
    Need(name="pull_requests", level=WRITE, why="set and take off labels, keep the status comment of a play, close and merge"),
    Need(name="contents", level=WRITE, why="merge a pull request (`autoMerge`)"),
    Need(name="checks", level=WRITE, why="show a play as a check run on its pull request"),
)
"""What the controller does in an App's name."""

_EVENTS_ONLY: Final = (Need(name="issues", level=READ, why="be told of comments on pull requests (the event `issue_comment`)"),)

EVENTS: Final[Mapping[str, str]] = {
    "check_run": "a check ended",
    "check_suite": "all checks of a commit ended",
    "create": "a branch was made",
    "delete": "a branch was deleted",
    "issue_comment": "somebody wrote a comment",
    "pull_request": "a pull request was opened, labelled, pushed to, closed or merged",
    "pull_request_review": "a review was posted or dismissed",
    "push": "a branch moved",
    "repository": "the repository was renamed or transferred",
    "status": "a commit status was set",
}
"""Events that an App subscribes to, and what they tell; those about the installation come by themselves."""


def strongest(needs: Iterable[Need]) -> dict[str, str]:
    """Each permission with the highest level that is asked for, by name, sorted: the shape that GitHub takes."""
    found: dict[str, str] = {}
    for need in needs:
        if _LEVELS[need.level] > _LEVELS[found.get(need.name, "")]:
            found[need.name] = need.level
    return dict(sorted(found.items()))


def covers(held: str, wanted: str) -> bool:
    """Whether a level (`read`, `write`, `admin`, "" for none) is enough for another; one we do not know is none."""
    return _LEVELS.get(held, 0) >= _LEVELS.get(wanted, 0)


def missing_permissions(held: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """What of `wanted` is not held, as it is wanted."""
    return {name: level for name, level in wanted.items() if not covers(held.get(name, ""), level)}


def run_needs(gates: Iterable[GateKind], agent: Agent) -> tuple[Need, ...]:
    """What a run of `agent` needs whose stage asks for these gates, with the reasons."""
    kinds = tuple(gates)
    needs = [*LOOK, *(need for kind in kinds for need in _RUNS[kind])]
    if agent.may_write or GateKind.PULL_REQUEST in kinds:
        needs.append(_PUSH)
        if WORKFLOWS in agent.capabilities:
            needs.append(_WORKFLOW_FILES)
    return tuple(needs)


def run_permissions(gates: Iterable[GateKind], agent: Agent) -> dict[str, str]:
    """The least permissions of a run's token."""
    return strongest(run_needs(gates, agent))


def control_permissions() -> dict[str, str]:
    """The permissions of the token that the controller works with."""
    return strongest(CONTROL)


def app_needs(agent: Agent, roles: Iterable[str], pipeline: Pipeline, *, controls: bool) -> tuple[Need, ...]:
    """All that an agent's App must hold: for its runs in every stage of the roles it takes.

    The App that the controller acts as (`controls`) holds what that needs, and what its events need.
    """
    taken = set(roles)
    gates = [gate.kind for stage in pipeline.stages if stage.role in taken for gate in stage.asked]
    return (*run_needs(gates, agent), *(controller_needs() if controls else ()))


def controller_needs() -> tuple[Need, ...]:
    """All that the App which the controller acts as must hold for that, with the reasons."""
    return (*CONTROL, *_EVENTS_ONLY)
