"""Evidence: whether the forge shows what the run's stage asks for. Pure; the agent's word is not asked.

Last step of a run, on a pull request read afresh; and first, to know what was there before the run began.
"""

from typing import assert_never

from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.logins import same_login
from coderun.model.pulls import Actor, CheckState, PullRequest, PullState, Review, ReviewState
from coderun.plan.order import RunOrder

_JUDGEMENTS = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED})


def missing_evidence(order: RunOrder, pull_request: PullRequest | None) -> list[str]:
    """What the order's gates ask for and `pull_request` does not show, as clauses for people; empty when all is there.

    A change request counts as the evidence of a review stage: it is what that stage was for. No check at all counts as passed:
    whether one may still come was waited for before.
    """
    return [missing for gate in order.evidence if (missing := _missing(gate, order.agent.login, pull_request))]


def _missing(gate: Gate, login: str, pull: PullRequest | None) -> str:
    if gate.kind is GateKind.RUN:
        return ""
    if pull is None:
        return f"{gate.name}: there is no pull request"
    if pull.state is PullState.CLOSED:
        return f"{gate.name}: pull request #{pull.number} is closed"
    match gate.kind:
        case GateKind.PULL_REQUEST:
            return _missing_author(gate, login, pull)
        case GateKind.LABEL:
            return _missing_label(gate, login, pull)
        case GateKind.CHECKS:
            return _missing_checks(pull)
        case GateKind.REVIEW:
            return _missing_review(gate, login, pull)
        case GateKind.MERGED:
            return "" if pull.state is PullState.MERGED else f"merged: pull request #{pull.number} is not merged"
        case _:
            assert_never(gate.kind)


def _missing_author(gate: Gate, login: str, pull: PullRequest) -> str:
    if _counts(gate, login, pull.author):
        return ""
    return f"pull-request: #{pull.number} was opened by {pull.author.login}, not by {login}"


def _missing_label(gate: Gate, login: str, pull: PullRequest) -> str:
    marks = [mark for mark in pull.labels if mark.name == gate.label]
    if not marks:
        return f"{gate.name}: #{pull.number} does not carry it"
    if not any(_counts(gate, login, mark.actor) for mark in marks):
        return f"{gate.name}: it was set by {marks[-1].actor.login}, not by {login}"
    if not any(mark.head_sha == pull.head_sha and _counts(gate, login, mark.actor) for mark in marks):
        return f"{gate.name}: it was set on {marks[-1].head_sha[:12]}, the head is {pull.head_sha[:12]}"
    return ""


def _missing_checks(pull: PullRequest) -> str:
    if pull.checks.state in {CheckState.PASSED, None}:
        return ""
    return f"checks: {checks_in_words(pull)}"


def checks_in_words(pull: PullRequest) -> str:
    """Which of the checks that count have not passed, and which have not come yet."""
    open_ones = [f"{check.name} {check.state.value}" for check in pull.checks.counted if check.state is not CheckState.PASSED]
    known = {check.name for check in pull.checks.items}
    awaited = [f"{name} not reported" for name in pull.checks.expected or () if name not in known]
    return ", ".join((*open_ones, *awaited)) or "all passed"


def _missing_review(gate: Gate, login: str, pull: PullRequest) -> str:
    reviews = [review for review in pull.reviews if review.state in _JUDGEMENTS and _may_review(gate, login, review.actor)]
    whose = login if gate.by is GateActor.STAGE else "anyone who may write"
    if not reviews:
        return f"review: #{pull.number} has no approval or change request by {whose}"
    newest = max(reviews, key=_age)
    if newest.head_sha != pull.head_sha:
        return f"review: the newest one by {whose} is of {newest.head_sha[:12]}, the head is {pull.head_sha[:12]}"
    return ""


def _age(review: Review) -> int:
    return review.id


def _may_review(gate: Gate, login: str, actor: Actor) -> bool:
    return same_login(actor.login, login) or (gate.by is GateActor.ANYONE and actor.can_write)


def _counts(gate: Gate, login: str, actor: Actor) -> bool:
    return gate.by is GateActor.ANYONE or same_login(actor.login, login)
