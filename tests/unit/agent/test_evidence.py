from collections.abc import Sequence
from typing import Any

import pytest

from coderun.agent.evidence import missing_evidence
from coderun.model.gates import Gate, GateActor, GateKind
from coderun.model.pulls import Actor, Check, Checks, CheckState, LabelMark, PullRequest, PullState, Review, ReviewState
from coderun.model.task import TaskText
from coderun.plan.order import AgentIdentity, ForgeRef, RunOrder

HEAD = "a" * 40
OLD = "b" * 40
REX, CLEO, ADA = (Actor(login=login, can_write=True) for login in ("rex[bot]", "Cleo[bot]", "ada"))
OPEN = Gate(kind=GateKind.PULL_REQUEST)
LABEL = Gate(kind=GateKind.LABEL, label="ready-for-qa")
CHECKS = Gate(kind=GateKind.CHECKS)
REVIEW = Gate(kind=GateKind.REVIEW)


def order(login: str, *gates: Gate) -> RunOrder:
    return RunOrder(
        coderun="r",
        job="j",
        attempt=1,
        stage="s",
        agent=AgentIdentity(name="x", login=login, email="x@x"),
        service="app",
        workspace="w",
        task_id=1,
        task=TaskText(title="t"),
        forge=ForgeRef(kind="local", location="", repository=""),
        base_branch="main",
        branch="b",
        evidence=gates,
    )


def pull(**changes: Any) -> PullRequest:
    told = {"number": 3, "url": "", "title": "t", "author": REX, "head_branch": "b", "base_branch": "main", "head_sha": HEAD}
    return PullRequest(**{**told, "state": PullState.OPEN, **changes})


def label(actor: Actor, head: str = HEAD, name: str = "ready-for-qa") -> LabelMark:
    return LabelMark(name=name, actor=actor, head_sha=head)


def review(number: int, actor: Actor, state: ReviewState, head: str = HEAD) -> Review:
    return Review(id=number, actor=actor, state=state, head_sha=head)


def checks(*states: CheckState, expected: tuple[str, ...] | None = None) -> Checks:
    return Checks(items=tuple(Check(name=f"c{n}", state=state) for n, state in enumerate(states)), expected=expected)


APPROVED, CHANGES = ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED
PASSED, FAILED, PENDING = CheckState.PASSED, CheckState.FAILED, CheckState.PENDING


@pytest.mark.parametrize(
    ("login", "gates", "found", "missing"),
    [
        ("rex[bot]", [], None, []),
        ("rex[bot]", [Gate(kind=GateKind.RUN)], None, []),
        ("rex[bot]", [OPEN], None, ["pull-request: there is no pull request"]),
        ("rex[bot]", [OPEN], pull(), []),
        ("REX", [OPEN], pull(), []),
        ("rex[bot]", [OPEN], pull(state=PullState.MERGED), []),
        ("rex[bot]", [OPEN], pull(state=PullState.CLOSED), ["pull-request: pull request #3 is closed"]),
        ("cleo[bot]", [OPEN], pull(), ["pull-request: #3 was opened by rex[bot], not by cleo[bot]"]),
        ("cleo[bot]", [Gate(kind=GateKind.PULL_REQUEST, by=GateActor.ANYONE)], pull(), []),
        ("cleo[bot]", [LABEL], pull(), ["label ready-for-qa: #3 does not carry it"]),
        ("cleo[bot]", [LABEL], pull(labels=(label(CLEO, name="Ready-for-QA"),)), ["label ready-for-qa: #3 does not carry it"]),
        ("cleo[bot]", [LABEL], pull(labels=(label(CLEO),)), []),
        ("cleo[bot]", [LABEL], pull(labels=(label(ADA),)), ["label ready-for-qa: it was set by ada, not by cleo[bot]"]),
        (
            "cleo[bot]",
            [LABEL],
            pull(labels=(label(CLEO, OLD),)),
            ["label ready-for-qa: it was set on bbbbbbbbbbbb, the head is aaaaaaaaaaaa"],
        ),
        (
            "cleo[bot]",
            [LABEL],
            pull(labels=(label(CLEO, OLD), label(ADA))),
            ["label ready-for-qa: it was set on aaaaaaaaaaaa, the head is aaaaaaaaaaaa"],
        ),
        ("cleo[bot]", [CHECKS], pull(), []),
        ("cleo[bot]", [CHECKS], pull(checks=checks(PASSED)), []),
        ("cleo[bot]", [CHECKS], pull(checks=checks(PASSED, FAILED)), ["checks: c1 failed"]),
        ("cleo[bot]", [CHECKS], pull(checks=checks(PENDING)), ["checks: c0 pending"]),
        ("cleo[bot]", [CHECKS], pull(checks=checks(PASSED, expected=("c0", "c9"))), ["checks: c9 not reported"]),
        ("cleo[bot]", [LABEL, CHECKS], pull(labels=(label(CLEO),), checks=checks(FAILED)), ["checks: c0 failed"]),
        ("cleo[bot]", [REVIEW], pull(), ["review: #3 has no approval or change request by cleo[bot]"]),
        ("cleo[bot]", [REVIEW], pull(reviews=(review(1, CLEO, APPROVED),)), []),
        ("cleo[bot]", [REVIEW], pull(reviews=(review(1, CLEO, CHANGES),)), []),
        (
            "cleo[bot]",
            [REVIEW],
            pull(reviews=(review(1, CLEO, ReviewState.COMMENTED), review(2, CLEO, ReviewState.DISMISSED))),
            ["review: #3 has no approval or change request by cleo[bot]"],
        ),
        (
            "cleo[bot]",
            [REVIEW],
            pull(reviews=(review(1, ADA, APPROVED),)),
            ["review: #3 has no approval or change request by cleo[bot]"],
        ),
        ("cleo[bot]", [Gate(kind=GateKind.REVIEW, by=GateActor.ANYONE)], pull(reviews=(review(1, ADA, APPROVED),)), []),
        (
            "cleo[bot]",
            [REVIEW],
            pull(reviews=(review(2, CLEO, APPROVED, OLD),)),
            ["review: the newest one by cleo[bot] is of bbbbbbbbbbbb, the head is aaaaaaaaaaaa"],
        ),
        ("cleo[bot]", [REVIEW], pull(reviews=(review(2, CLEO, APPROVED), review(1, CLEO, CHANGES, OLD))), []),
        ("rex[bot]", [Gate(kind=GateKind.MERGED)], pull(), ["merged: pull request #3 is not merged"]),
        ("rex[bot]", [Gate(kind=GateKind.MERGED)], pull(state=PullState.MERGED), []),
    ],
)
def test_what_the_forge_does_not_show_is_named(
    login: str, gates: Sequence[Gate], found: PullRequest | None, missing: list[str]
) -> None:
    assert missing_evidence(order(login, *gates), found) == missing


def test_a_review_by_a_stranger_never_counts() -> None:
    stranger = Actor(login="stranger", can_write=False)
    anyone = Gate(kind=GateKind.REVIEW, by=GateActor.ANYONE)

    assert missing_evidence(order("tess[bot]", anyone), pull(reviews=(review(1, stranger, APPROVED),))) == [
        "review: #3 has no approval or change request by anyone who may write"
    ]
