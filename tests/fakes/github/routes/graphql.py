"""The few GraphQL mutations that REST has no word for: drafts and the merge queue.

No GraphQL engine: the name of the mutation decides.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.github import merging, pulls
from tests.fakes.github.auth import permit
from tests.fakes.github.call import Answer, Call, Route, Who
from tests.fakes.github.state import Level, Pull, Repo


async def _ready(call: Call, repo: Repo, pull: Pull) -> None:
    pulls.set_draft(call.world, repo, pull, call.account, draft=False)


async def _draft(call: Call, repo: Repo, pull: Pull) -> None:
    pulls.set_draft(call.world, repo, pull, call.account, draft=True)


async def _enqueue(call: Call, repo: Repo, pull: Pull) -> None:
    await merging.enqueue(call.world, repo, pull, call.account)


_MUTATIONS: dict[str, Callable[[Call, Repo, Pull], Awaitable[None]]] = {
    "markPullRequestReadyForReview": _ready,
    "convertPullRequestToDraft": _draft,
    "enqueuePullRequest": _enqueue,
}


async def mutate(call: Call) -> Answer:
    """One mutation on the pull request whose node id stands in the variables or in the text."""
    text = call.text("Query", "query") + str(call.fields.get("variables", ""))
    name = next((name for name in _MUTATIONS if name in text), None)
    found = re.search(r"PR_(\d+)", text)
    target = None if found is None else _find(call, int(found[1]))
    if name is None or target is None:
        kind = "undefinedField" if name is None else "NOT_FOUND"
        return Answer(body={"data": None, "errors": [{"type": kind, "message": "Could not resolve to a node with that id."}]})
    repo, pull = target
    permit(call.world, call.caller, repo, "pull_requests", Level.WRITE)
    await _MUTATIONS[name](call, repo, pull)
    told: dict[str, Any] = {"id": f"PR_{pull.id}", "number": pull.number, "isDraft": pull.draft}
    return Answer(body={"data": {name: {"pullRequest": told}}})


def _find(call: Call, number: int) -> tuple[Repo, Pull] | None:
    return next(((repo, pull) for repo in call.world.repos for pull in repo.pulls.values() if pull.id == number), None)


ROUTES = [Route(method="POST", path=path, handler=mutate, who=Who.TOKEN) for path in ("/graphql", "/api/graphql")]
