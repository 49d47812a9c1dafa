"""Who may do what to a pull request: the rules that reviews and merges are held against.

Pure: each rule gives the refusal as text for a person (what was found, what to do), or None. The rules for pushes are the
hook's (`hook.py`), which cannot import this.
"""

from collections.abc import Iterable

from coderun.forge.local.records import ForgeSettings, Identity
from coderun.forge.texts import one_line
from coderun.model.logins import same_login
from coderun.model.pulls import PullRequest, PullState, Review, ReviewState

DECISIVE = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED})


def refusal_to_review(pull: PullRequest, identity: Identity, state: ReviewState, head_sha: str) -> str | None:
    """Why this review cannot be submitted."""
    if state is ReviewState.DISMISSED:
        return f"a review of pull request {pull.number} cannot be submitted as dismissed; approve, request changes or comment"
    if state is not ReviewState.COMMENTED and same_login(pull.author.login, identity.login):
        deed = "approve" if state is ReviewState.APPROVED else "request changes on"
        return (
            f"{identity.login} opened pull request {pull.number} and cannot {deed} it; "
            "let another account review it, or leave a comment"
        )
    if state is not ReviewState.COMMENTED and pull.state is not PullState.OPEN:
        return f"pull request {pull.number} is {pull.state.value}; only an open one can be approved or sent back"
    if head_sha != pull.head_sha:
        return (
            f"the review of pull request {pull.number} is of commit {one_line(head_sha, 64)[:12]}, "
            f"but its head is {pull.head_sha[:12]} by now; look at the new head and review that"
        )
    return None


def latest_word(reviews: Iterable[Review], login: str, head_sha: str) -> ReviewState | None:
    """What `login` last decided on this commit; comments decide nothing."""
    said = [r.state for r in reviews if r.head_sha == head_sha and r.state in DECISIVE and same_login(r.actor.login, login)]
    return said[-1] if said else None


def standing_review(reviews: Iterable[Review], login: str, state: ReviewState, head_sha: str) -> Review | None:
    """The last review by `login` of this commit that `state` would add to or replace: decisions and comments are apart."""
    own = [r for r in reviews if r.head_sha == head_sha and same_login(r.actor.login, login)]
    alike = [r for r in own if (r.state in DECISIVE) == (state in DECISIVE)]
    return alike[-1] if alike else None


def refusal_to_merge(
    pull: PullRequest, identity: Identity, settings: ForgeSettings, head_sha: str, *, admin: bool = False
) -> str | None:
    """Why this pull request cannot be merged now by that identity; conflicts are another matter.

    `admin` lets a person, never an agent, past the missing approval.
    """
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
    if identity.is_agent and not settings.agents_may_merge:
        return f"{identity.login} may not merge into {pull.base_branch!r}; let a person merge, or set agents_may_merge"
    if admin and not identity.is_agent:
        return None
    return _missing_approval(pull, settings)


def _missing_approval(pull: PullRequest, settings: ForgeSettings) -> str | None:
    reviewers = {review.actor.login for review in pull.reviews if review.actor.can_write}
    words = {login: latest_word(pull.reviews, login, pull.head_sha) for login in sorted(reviewers)}
    objecting = [login for login, word in words.items() if word is ReviewState.CHANGES_REQUESTED]
    if objecting:
        return (
            f"{', '.join(objecting)} requested changes on the head {pull.head_sha[:12]} of pull request {pull.number}; "
            "push what was asked for, or let them approve"
        )
    if not settings.require_approval:
        return None
    approving = [
        login for login, word in words.items() if word is ReviewState.APPROVED and not same_login(login, pull.author.login)
    ]
    if not settings.approvers:
        if approving:
            return None
        wanted = f"anybody but its author {pull.author.login}"
    else:
        if any(same_login(login, wanted) for login in approving for wanted in settings.approvers):
            return None
        wanted = " or ".join(settings.approvers)
    return (
        f"pull request {pull.number} has no approving review by {wanted} on its head {pull.head_sha[:12]}; "
        "let it be approved, or, as a person, merge with --admin"
    )
