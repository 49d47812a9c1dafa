"""The rules for reviews and merges, as a table."""

import itertools

import msgspec
import pytest

from coderun.forge.local.protection import latest_word, refusal_to_merge, refusal_to_review, standing_review
from coderun.forge.local.records import ForgeSettings, Identity
from coderun.model.pulls import Actor, PullRequest, PullState, Review, ReviewState

HEAD = "a" * 40
OLD = "b" * 40
PULL = PullRequest(
    number=7,
    url="",
    title="T",
    author=Actor(login="rex[bot]", can_write=True),
    head_branch="x",
    base_branch="main",
    head_sha=HEAD,
    state=PullState.OPEN,
)
TESS = Identity(login="tess[bot]", is_agent=True)
REX = Identity(login="Rex", is_agent=True)
ADA = Identity(login="ada")
_ids = itertools.count(1)


def said(login: str, state: ReviewState, sha: str = HEAD, *, can_write: bool = True) -> Review:
    return Review(id=next(_ids), actor=Actor(login=login, can_write=can_write), state=state, head_sha=sha)


def with_reviews(*reviews: Review) -> PullRequest:
    return msgspec.structs.replace(PULL, reviews=reviews)


YES, NO, TALK, GONE = ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.COMMENTED, ReviewState.DISMISSED


@pytest.mark.parametrize(
    ("reviews", "settings", "words"),
    [
        ((), ForgeSettings(), "no approving review by anybody but its author rex[bot]"),
        ((said("tess[bot]", YES),), ForgeSettings(), None),
        ((said("tess[bot]", YES, OLD),), ForgeSettings(), "no approving review"),
        ((said("rex[bot]", YES),), ForgeSettings(), "no approving review"),
        ((said("eve", YES, can_write=False),), ForgeSettings(), "no approving review"),
        ((said("ada", YES),), ForgeSettings(approvers=("tess[bot]",)), "no approving review by tess[bot]"),
        ((said("Tess", YES),), ForgeSettings(approvers=("tess[bot]", "x")), None),
        ((said("tess[bot]", YES), said("tess[bot]", GONE)), ForgeSettings(), "no approving review"),
        ((said("tess[bot]", YES), said("tess[bot]", TALK)), ForgeSettings(), None),
        ((said("tess[bot]", YES), said("ada", NO)), ForgeSettings(), "ada requested changes"),
        ((said("tess[bot]", YES), said("ada", NO, OLD)), ForgeSettings(), None),
        ((said("tess[bot]", NO), said("tess[bot]", YES)), ForgeSettings(), None),
        ((), ForgeSettings(require_approval=False), None),
        ((said("ada", NO),), ForgeSettings(require_approval=False), "ada requested changes"),
    ],
)
def test_a_merge_needs_the_approval_that_the_settings_ask_for(
    reviews: tuple[Review, ...], settings: ForgeSettings, words: str | None
) -> None:
    refusal = refusal_to_merge(with_reviews(*reviews), ADA, settings, HEAD)
    assert refusal is None if words is None else words in (refusal or "")


@pytest.mark.parametrize(
    ("pull", "identity", "sha", "words"),
    [
        (msgspec.structs.replace(PULL, state=PullState.CLOSED), ADA, HEAD, "is closed, so it cannot be merged"),
        (msgspec.structs.replace(PULL, state=PullState.MERGED), ADA, HEAD, "is merged"),
        (PULL, ADA, OLD, "but its head is aaaaaaaaaaaa by now"),
        (msgspec.structs.replace(PULL, draft=True), ADA, HEAD, "is a draft; mark it ready"),
        (PULL, TESS, HEAD, "tess[bot] may not merge into 'main'"),
    ],
)
def test_no_admin_gets_past_what_is_not_about_approval(pull: PullRequest, identity: Identity, sha: str, words: str) -> None:
    assert words in (refusal_to_merge(pull, identity, ForgeSettings(), sha, admin=True) or "")


def test_a_person_gets_past_a_missing_approval_as_admin() -> None:
    assert refusal_to_merge(PULL, ADA, ForgeSettings(), HEAD, admin=True) is None


@pytest.mark.parametrize(
    ("identity", "state", "sha", "words"),
    [
        (TESS, YES, HEAD, None),
        (TESS, NO, HEAD, None),
        (REX, TALK, HEAD, None),
        (REX, YES, HEAD, "Rex opened pull request 7 and cannot approve it"),
        (REX, NO, HEAD, "cannot request changes on it"),
        (TESS, YES, OLD, "its head is aaaaaaaaaaaa by now"),
        (TESS, GONE, HEAD, "cannot be submitted as dismissed"),
    ],
)
def test_reviews_are_of_the_head_and_by_others(identity: Identity, state: ReviewState, sha: str, words: str | None) -> None:
    refusal = refusal_to_review(PULL, identity, state, sha)
    assert refusal is None if words is None else words in (refusal or "")


def test_only_an_open_pull_request_is_approved() -> None:
    closed = msgspec.structs.replace(PULL, state=PullState.CLOSED)
    assert "is closed" in (refusal_to_review(closed, TESS, YES, HEAD) or "")
    assert refusal_to_review(closed, TESS, TALK, HEAD) is None


def test_the_latest_decision_on_a_commit_counts_and_comments_stand_apart() -> None:
    reviews = (said("tess[bot]", YES), said("tess[bot]", TALK), said("ada", NO), said("tess[bot]", NO, OLD))
    assert latest_word(reviews, "TESS", HEAD) is YES
    assert latest_word(reviews, "tess[bot]", OLD) is NO
    assert latest_word(reviews, "bob", HEAD) is None
    assert standing_review(reviews, "tess", NO, HEAD) == reviews[0]
    assert standing_review(reviews, "tess", TALK, HEAD) == reviews[1]
    assert standing_review(reviews, "bob", TALK, HEAD) is None
