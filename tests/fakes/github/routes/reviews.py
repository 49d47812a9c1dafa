"""Reviews: submit, list, dismiss."""

from tests.fakes.github import events
from tests.fakes.github.bodies import pulls as bodies
from tests.fakes.github.call import Answer, Call, read, write
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.state import Pull, Review
from tests.fakes.github.world import World

_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}


def refuse_own(world: World, pull: Pull, author: object, event: str) -> None:
    """Nobody judges their own pull request."""
    if author is pull.author and event in {"APPROVE", "REQUEST_CHANGES"}:
        word = "approve" if event == "APPROVE" else "request changes on"
        raise ApiError(422, "Unprocessable Entity", errors=[f"Can not {word} your own pull request"])


async def create_review(call: Call) -> Answer:
    """Submits a review of a commit, the head where none is named; without an `event` it stays pending."""
    pull, event = call.pull, call.fields.get("event")
    if event is None:
        return await _record(call, pull, "PENDING")
    if event not in _STATES:
        raise ApiError(422, "Unprocessable Entity", errors=["Event is not a valid value"])
    return await _submit(call, pull, event)


async def _submit(call: Call, pull: Pull, event: str) -> Answer:
    refuse_own(call.world, pull, call.account, event)
    if event != "APPROVE" and not call.fields.get("body") and not call.fields.get("comments"):
        raise ApiError(422, "Unprocessable Entity", errors=["Body can't be blank"])
    return await _record(call, pull, _STATES[event])


async def _record(call: Call, pull: Pull, state: str) -> Answer:
    sha = call.fields.get("commit_id") or pull.head_sha
    if await call.repo.git.resolve(sha) != sha or not await call.repo.git.is_ancestor(sha, pull.head_sha):
        raise ApiError(422, "Unprocessable Entity", errors=["The commit_id is not part of the pull request"])
    review = Review(
        id=call.world.new_id(),
        author=call.account,
        state=state,
        body=call.fields.get("body") or "",
        commit_id=sha,
        submitted_at=None if state == "PENDING" else call.world.clock(),
    )
    pull.reviews.append(review)
    if state != "PENDING":
        pull.updated_at = call.world.clock()
        pull.requested = [account for account in pull.requested if account is not call.account]
        events.review(call.world, call.repo, pull, "submitted", review, call.account)
    return Answer(body=bodies.review(call.world, call.repo, pull, review))


def _review(call: Call) -> Review:
    number = call.number("review_id")
    for review in call.pull.reviews:
        if review.id == number:
            return review
    raise not_found()


async def list_reviews(call: Call) -> Answer:
    """The submitted reviews, oldest first, and the caller's own pending one."""
    pull, me = call.pull, call.caller.account
    found = [one for one in pull.reviews if one.state != "PENDING" or one.author is me]
    return call.listed(found, lambda one: bodies.review(call.world, call.repo, pull, one))


async def get_review(call: Call) -> Answer:
    """One review."""
    return Answer(body=bodies.review(call.world, call.repo, call.pull, _review(call)))


async def submit_review(call: Call) -> Answer:
    """Submits a pending review."""
    review, event = _review(call), call.text("PullRequestReview", "event")
    if review.state != "PENDING" or event not in _STATES:
        raise ApiError(422, "Unprocessable Entity", errors=["Could not submit review"])
    call.pull.reviews.remove(review)
    call.fields.setdefault("body", review.body)
    return await _submit(call, call.pull, event)


async def dismiss_review(call: Call) -> Answer:
    """Takes the weight from an approval or a wish for changes."""
    review, pull = _review(call), call.pull
    call.text("PullRequestReview", "message")
    if review.state not in {"APPROVED", "CHANGES_REQUESTED"}:
        raise ApiError(422, "Unprocessable Entity", errors=["Can not dismiss a commented pull request review"])
    review.state = "DISMISSED"
    call.world.note(pull, "review_dismissed", call.account)
    events.review(call.world, call.repo, pull, "dismissed", review, call.account)
    return Answer(body=bodies.review(call.world, call.repo, pull, review))


_REVIEWS = "/repos/{owner}/{repo}/pulls/{pull_number}/reviews"
ROUTES = [
    write("POST", _REVIEWS, create_review, "pull_requests"),
    read(_REVIEWS, list_reviews, "pull_requests"),
    read(f"{_REVIEWS}/{{review_id}}", get_review, "pull_requests"),
    write("POST", f"{_REVIEWS}/{{review_id}}/events", submit_review, "pull_requests"),
    write("PUT", f"{_REVIEWS}/{{review_id}}/dismissals", dismiss_review, "pull_requests"),
]
