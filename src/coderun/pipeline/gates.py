"""Does a gate hold? Each kind is one function from the facts to a `Holding`; all are bound to the head commit and the actor."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from coderun.model.coderun import RunPhase
from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.pulls import Actor, CheckState, LabelMark, PullRequest, PullState, Push, Review, ReviewState
from coderun.model.roster import Agent, Roster
from coderun.pipeline.clock import deadline
from coderun.pipeline.facts import RunFact


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a gate holds.

    Attributes:
        actor: Whose doing made it hold.
        missing: For people: what is missing, "" when it holds.
        comes_by_itself: Nobody has to do anything but wait (checks that run).
        recheck_at: When waiting alone may change the answer.
    """

    holds: bool
    actor: str = ""
    missing: str = ""
    comes_by_itself: bool = False
    recheck_at: datetime | None = None


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """What gates look at: the pull request, the stage's agent and run, and the clock.

    Attributes:
        since: Since when the stage is at work: stands in where the forge does not tell since when the head is there.
    """

    pull_request: PullRequest | None
    agent: Agent | None
    roster: Roster
    run: RunFact | None
    checks_grace: float
    now: datetime
    since: datetime | None = None


THE_CHECKS: Final = "checks"
NO_CHECKS: Final = "no checks"
"""What passed a gate of checks, where nobody did: they did, or there are none."""


def evaluate(gate: Gate, view: GateView) -> Holding:
    """Whether `gate` holds in `view`."""
    if gate.kind is GateKind.RUN:
        return _run(view)
    if view.pull_request is None:
        return _no("no pull request of this task is open")
    return _KINDS[gate.kind](gate, view, view.pull_request)


def _pull_request(gate: Gate, view: GateView, pull: PullRequest) -> Holding:
    if pull.state is not PullState.OPEN:
        return _no(f"pull request #{pull.number} is {pull.state.value}")
    if pull.draft:
        return _no(f"pull request #{pull.number} is a draft; mark it ready for review")
    if not counts(gate, view, pull.author):
        return _no(f"pull request #{pull.number} was opened by {pull.author.login}, not by {_wanted(gate, view)}")
    return _yes(pull.author)


def _label(gate: Gate, view: GateView, pull: PullRequest) -> Holding:
    mark = find_label(pull, gate.label)
    if mark is None:
        return _no(f"label {gate.label} is not set on #{pull.number}")
    if not counts(gate, view, mark.actor):
        return _no(f"label {gate.label} was set by {mark.actor.login}, not by {_wanted(gate, view)}")
    if not _reaches(mark, view, pull):
        return _no(f"label {gate.label} was set on {short(mark.head_sha)}, the head is {short(pull.head_sha)} by now")
    return _yes(mark.actor)


def _checks(gate: Gate, view: GateView, pull: PullRequest) -> Holding:
    _ = gate
    state = pull.checks.state
    if state is CheckState.PASSED:
        return Holding(holds=True, actor=THE_CHECKS)
    if state is CheckState.FAILED:
        names = ", ".join(check.name for check in pull.checks.counted if check.state is CheckState.FAILED)
        return _no(f"checks failed on {short(pull.head_sha)}: {names}")
    if state is CheckState.PENDING:
        return Holding(holds=False, missing=f"checks of {short(pull.head_sha)} are running", comes_by_itself=True)
    since = pull.head_since or (pull.pushes[-1].at if pull.pushes else None) or view.since
    until = deadline(since, view.checks_grace, view.now)
    if until is None:
        return Holding(holds=True, actor=NO_CHECKS)
    return Holding(
        holds=False, missing=f"no check of {short(pull.head_sha)} has reported yet", comes_by_itself=True, recheck_at=until
    )


def _review(gate: Gate, view: GateView, pull: PullRequest) -> Holding:
    ours = [review for review in verdicts(pull) if counts(gate, view, review.actor)]
    approving = [review for review in ours if review.state is ReviewState.APPROVED]
    on_head = [review for review in approving if review.head_sha == pull.head_sha]
    if on_head:
        return _yes(on_head[-1].actor)
    if approving:
        return _no(
            f"{approving[-1].actor.login} approved {short(approving[-1].head_sha)}, the head is {short(pull.head_sha)} by now"
        )
    return _no(f"no approving review by {_wanted(gate, view)} on {short(pull.head_sha)}")


def _merged(gate: Gate, view: GateView, pull: PullRequest) -> Holding:
    _ = gate, view
    if pull.state is PullState.MERGED:
        return Holding(holds=True, actor=pull.merged_by)
    return _no(f"pull request #{pull.number} is not merged")


def _run(view: GateView) -> Holding:
    if view.run is not None and view.run.phase is RunPhase.SUCCEEDED:
        return Holding(holds=True, actor=view.run.agent)
    return _no("no run of this stage has succeeded")


_KINDS: Mapping[GateKind, Callable[[Gate, GateView, PullRequest], Holding]] = {
    GateKind.PULL_REQUEST: _pull_request,
    GateKind.LABEL: _label,
    GateKind.CHECKS: _checks,
    GateKind.REVIEW: _review,
    GateKind.MERGED: _merged,
}


def counts(gate: Gate, view: GateView, actor: Actor) -> bool:
    """Whether this actor's doing counts for the gate: the stage's agent, or anyone who may write (people and roster agents)."""
    if gate.by is GateActor.ANYONE:
        return actor.can_write or view.roster.of_login(actor.login) is not None
    return view.agent is not None and view.agent.is_login(actor.login)


def verdicts(pull: PullRequest) -> list[Review]:
    """The review that counts of each reviewer, oldest first: their last one that was more than a comment."""
    last: dict[str, Review] = {}
    for review in sorted(pull.reviews, key=lambda review: review.id):
        if review.state is not ReviewState.COMMENTED:
            last[review.actor.login.lower()] = review
    return sorted(last.values(), key=lambda review: review.id)


def change_requests(pull: PullRequest, roster: Roster) -> list[Review]:
    """The reviews that ask for changes and count: by people who may write, and by agents of the roster."""
    asked = (review for review in verdicts(pull) if review.state is ReviewState.CHANGES_REQUESTED)
    return [review for review in asked if review.actor.can_write or roster.of_login(review.actor.login) is not None]


def is_head_told(pull: PullRequest) -> bool:
    """Whether the pushes that the forge tells of lead to today's head."""
    return bool(pull.pushes) and pull.pushes[-1].sha == pull.head_sha


def pushes_after(pull: PullRequest, head_sha: str) -> tuple[Push, ...] | None:
    """Pushes since the head was `head_sha`; None where it never was, or where they do not lead to today's head.

    A forge may tell of a new head before it tells who pushed it: nobody is to be taken for its author then.
    """
    if not is_head_told(pull):
        return None
    for at in range(len(pull.pushes) - 1, -1, -1):
        if pull.pushes[at].sha == head_sha:
            return pull.pushes[at + 1 :]
    return None


def find_label(pull: PullRequest, name: str) -> LabelMark | None:
    """The label of that name, whatever its case."""
    return next((label for label in pull.labels if label.name.lower() == name.lower()), None)


def short(sha: str) -> str:
    """A commit for people."""
    return sha[:8] or "nothing"


def _reaches(mark: LabelMark, view: GateView, pull: PullRequest) -> bool:
    # A later push voids a label, except a push of the stage's own agent.
    if mark.head_sha == pull.head_sha:
        return True
    later = pushes_after(pull, mark.head_sha)
    return bool(later) and view.agent is not None and all(view.agent.is_login(push.actor.login) for push in later or ())


def _wanted(gate: Gate, view: GateView) -> str:
    if gate.by is GateActor.STAGE and view.agent is not None:
        return view.agent.name
    return "somebody who may write"


def _yes(actor: Actor) -> Holding:
    return Holding(holds=True, actor=actor.login)


def _no(missing: str) -> Holding:
    return Holding(holds=False, missing=missing)
