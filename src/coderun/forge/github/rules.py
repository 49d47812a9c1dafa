"""What is refused before GitHub is asked, so that the refusal is the same on every GitHub and says what to do. Pure.

GitHub's own protections stand behind: what they refuse is refused as well.
"""

from collections.abc import Iterable

from coderun.forge.texts import one_line
from coderun.model.logins import same_login
from coderun.model.pulls import PullRequest, PullState, Review, ReviewState

_DECISIVE = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED})
MAX_BODY = 65_536
_COLOURS = {"task-": "f29513", "run-": "0366d6", "service-": "0e8a16"}
_USUAL_COLOUR = "ededed"


def colour_of(label: str) -> str:
    """The colour of a label that is made by us: the one that the existing system gives it."""
    name = label.lower()
    return next((colour for prefix, colour in _COLOURS.items() if name.startswith(prefix)), _USUAL_COLOUR)


def refusal_to_review(pull: PullRequest, login: str, state: ReviewState, head_sha: str) -> str | None:
    """Why `login` cannot submit this review."""
    if state is ReviewState.DISMISSED:
        return f"a review of pull request {pull.number} cannot be submitted as dismissed; approve, request changes or comment"
    if state is not ReviewState.COMMENTED and same_login(pull.author.login, login):
        deed = "approve" if state is ReviewState.APPROVED else "request changes on"
        return f"{login} opened pull request {pull.number} and cannot {deed} it; let another account review it, or comment"
    if state is not ReviewState.COMMENTED and pull.state is not PullState.OPEN:
        return f"pull request {pull.number} is {pull.state.value}; only an open one can be approved or sent back"
    if head_sha != pull.head_sha:
        return (
            f"the review of pull request {pull.number} is of commit {one_line(head_sha, 64)[:12]}, "
            f"but its head is {pull.head_sha[:12]} by now; look at the new head and review that"
        )
    return None


def standing_review(reviews: Iterable[Review], login: str, state: ReviewState, head_sha: str) -> Review | None:
    """The last review by `login` of this commit that `state` would add to or replace: decisions and comments are apart."""
    own = [review for review in reviews if review.head_sha == head_sha and same_login(review.actor.login, login)]
    alike = [review for review in own if (review.state in _DECISIVE) == (state in _DECISIVE)]
    return alike[-1] if alike else None


def refusal_to_merge(pull: PullRequest, head_sha: str, *, require_approval: bool) -> str | None:
    """Why this pull request cannot be merged now; conflicts are another matter."""
    number = pull.number
    if pull.state is not PullState.OPEN:
        return f"pull request {number} is {pull.state.value}, so it cannot be merged; reopen it or open another one"
    if head_sha != pull.head_sha:
        return (
            f"pull request {number} was to be merged at {one_line(head_sha, 64)[:12]}, but its head is {pull.head_sha[:12]} "
            "by now; look at the new head and merge that"
        )
    if pull.draft:
        return f"pull request {number} is a draft; mark it ready before it is merged"
    return _missing_approval(pull) if require_approval else None


def _missing_approval(pull: PullRequest) -> str | None:
    last = {
        review.actor.login.lower(): review
        for review in pull.reviews
        if review.actor.can_write and review.state in _DECISIVE and review.head_sha == pull.head_sha
    }
    objecting = sorted(review.actor.login for review in last.values() if review.state is ReviewState.CHANGES_REQUESTED)
    if objecting:
        return (
            f"{', '.join(objecting)} requested changes on the head {pull.head_sha[:12]} of pull request {pull.number}; "
            "push what was asked for, or let them approve"
        )
    if any(review.state is ReviewState.APPROVED for review in last.values()):
        return None
    return (
        f"pull request {pull.number} has no approving review by anybody who may write on its head {pull.head_sha[:12]}; "
        "let it be approved"
    )
