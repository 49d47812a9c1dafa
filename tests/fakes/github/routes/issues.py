"""The conversation and history of a pull request, as the issues API tells it."""

from typing import Any

from tests.fakes.github import events
from tests.fakes.github.bodies import accounts, repos
from tests.fakes.github.bodies import pulls as bodies
from tests.fakes.github.call import Answer, Call, read, write
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.state import LEVELS, Comment, Level, Pull

EITHER = "issues|pull_requests"


async def list_issues(call: Call) -> Answer:
    """Pull requests as issues, by state and labels."""
    state, wanted = call.query.get("state", "open"), {name.lower() for name in call.query.get("labels", "").split(",") if name}
    found = [
        pull
        for pull in sorted(call.repo.pulls.values(), key=lambda pull: -pull.number)
        if state in {"all", pull.state} and wanted <= {label.name.lower() for label in pull.labels}
    ]
    return call.listed(found, lambda pull: bodies.issue(call.world, call.repo, pull))


async def get_issue(call: Call) -> Answer:
    """A pull request as an issue."""
    return Answer(body=bodies.issue(call.world, call.repo, call.pull))


async def list_comments(call: Call) -> Answer:
    """The conversation, oldest first."""
    pull = call.pull
    return call.listed(pull.comments, lambda one: bodies.comment(call.world, call.repo, pull, one))


async def create_comment(call: Call) -> Answer:
    """Adds to the conversation."""
    pull, body, now = call.pull, call.text("IssueComment", "body"), call.world.clock()
    app = call.world.app_of(call.account)
    one = Comment(id=call.world.new_id(), author=call.account, body=body, created_at=now, updated_at=now, app=app)
    pull.comments.append(one)
    pull.updated_at = now
    events.comment(call.world, call.repo, pull, "created", one, call.account)
    return Answer(status=201, body=bodies.comment(call.world, call.repo, pull, one))


def _comment(call: Call) -> tuple[Pull, Comment]:
    number = call.number("comment_id")
    for pull in call.repo.pulls.values():
        for one in pull.comments:
            if one.id == number:
                return pull, one
    raise not_found()


async def get_comment(call: Call) -> Answer:
    """One comment."""
    return Answer(body=bodies.comment(call.world, call.repo, *_comment(call)))


def _refuse_others(call: Call, one: Comment) -> None:
    person = call.caller.token is not None and call.caller.token.installation is None
    if one.author is not call.account and not (person and LEVELS[call.world.role(call.repo, call.account)] >= Level.WRITE):
        raise ApiError(403, "Resource not accessible by integration")


async def update_comment(call: Call) -> Answer:
    """Changes one's own comment."""
    pull, one = _comment(call)
    _refuse_others(call, one)
    before, one.body, one.updated_at = one.body, call.text("IssueComment", "body"), call.world.clock()
    events.comment(call.world, call.repo, pull, "edited", one, call.account, changes={"body": {"from": before}})
    return Answer(body=bodies.comment(call.world, call.repo, pull, one))


async def delete_comment(call: Call) -> Answer:
    """Takes one's own comment away."""
    pull, one = _comment(call)
    _refuse_others(call, one)
    pull.comments.remove(one)
    events.comment(call.world, call.repo, pull, "deleted", one, call.account)
    return Answer(status=204)


_REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


async def react(call: Call) -> Answer:
    """A reaction to a comment: 201 a new one, 200 the one that is there."""
    _, one = _comment(call)
    content = call.text("Reaction", "content")
    if content not in _REACTIONS:
        raise ApiError(422, "Validation Failed")
    is_new = (call.account, content) not in one.reactions
    if is_new:
        one.reactions.append((call.account, content))
    return Answer(status=201 if is_new else 200, body=bodies.reaction(call.world, one, call.account, content))


async def list_events(call: Call) -> Answer:
    """Who labelled, closed, merged and so on, and when; oldest first."""
    return call.listed(call.pull.events, lambda one: bodies.event(call.world, call.repo, one))


async def list_timeline(call: Call) -> Answer:
    """History, comments and reviews in one, oldest first."""
    pull, world, repo = call.pull, call.world, call.repo
    entries: list[tuple[float, dict[str, Any]]] = [(one.created_at, bodies.event(world, repo, one)) for one in pull.events]
    for comment in pull.comments:
        told = bodies.comment(world, repo, pull, comment)
        actor = accounts.user(world, comment.author)
        entries.append((comment.created_at, {**told, "event": "commented", "actor": actor}))
    for review in pull.reviews:
        if review.submitted_at is not None:
            told = bodies.review(world, repo, pull, review)
            entries.append((review.submitted_at, {**told, "event": "reviewed", "state": review.state.lower()}))
    commits = await repo.git.log(f"{pull.base_sha}..{pull.head_sha}")
    entries += [(float(one.committer.at), _committed(call, repos.commit(world, repo, one))) for one in commits]
    return call.listed([entry for _, entry in sorted(entries, key=lambda one: one[0])], lambda entry: entry)


def _committed(call: Call, told: dict[str, Any]) -> dict[str, Any]:
    kept = {name: told["commit"][name] for name in ("author", "committer", "message", "tree", "verification")}
    places = {name: told[name] for name in ("sha", "node_id", "html_url", "parents")}
    return {**kept, **places, "url": told["commit"]["url"], "event": "committed"}


_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}"
ROUTES = [
    read("/repos/{owner}/{repo}/issues", list_issues, EITHER),
    read(_ISSUE, get_issue, EITHER),
    read(f"{_ISSUE}/comments", list_comments, EITHER),
    write("POST", f"{_ISSUE}/comments", create_comment, EITHER),
    read(_COMMENT, get_comment, EITHER),
    write("PATCH", _COMMENT, update_comment, EITHER),
    write("DELETE", _COMMENT, delete_comment, EITHER),
    write("POST", f"{_COMMENT}/reactions", react, EITHER),
    read(f"{_ISSUE}/events", list_events, EITHER),
    read(f"{_ISSUE}/timeline", list_timeline, EITHER),
]
