"""Pull requests: list, look, open, edit, merge."""

from tests.fakes.github import events, merging, pulls
from tests.fakes.github.bodies import accounts, repos
from tests.fakes.github.bodies import pulls as bodies
from tests.fakes.github.call import Answer, Call, read, write
from tests.fakes.github.errors import ApiError, invalid, not_found
from tests.fakes.github.routes.code import DIFF, PATCH, commit_order, media
from tests.fakes.github.state import Pull


async def list_pulls(call: Call) -> Answer:
    """Pull requests by state, head (`owner:branch`) and base; the open ones, newest first, where nothing is said."""
    state = call.query.get("state", "open")
    head, base = call.query.get("head"), call.query.get("base")
    found = [
        pull
        for pull in call.repo.pulls.values()
        if state in {"all", pull.state} and base in {None, pull.base_ref} and (head is None or _is_head(call, pull, head))
    ]
    order = call.query.get("sort", "created")
    down = call.query.get("direction", "desc" if order == "created" else "asc") == "desc"
    found.sort(key=lambda pull: (pull.updated_at if order == "updated" else pull.created_at, pull.number), reverse=down)
    return call.listed(found, lambda pull: bodies.pull_simple(call.world, call.repo, pull))


def _is_head(call: Call, pull: Pull, head: str) -> bool:
    owner, colon, branch = head.partition(":")
    if not colon:
        return True  # GitHub ignores a head without its owner
    account = pull.head_repo.owner if pull.head_repo else pull.author
    return account.login.lower() == owner.lower() and pull.head_ref == branch


async def get_pull(call: Call) -> Answer:
    """One pull request; `mergeable` is null the first time after a move. Also as diff or patch."""
    pull, git = call.pull, call.repo.git
    match media(call.accept):
        case "diff":
            text = await git.diff(await pulls.start_of(call.repo, pull), pull.head_sha)
            return Answer(body=text, media=f"{DIFF}; charset=utf-8")
        case "patch":
            return Answer(body=await git.patch(pull.base_sha, pull.head_sha), media=f"{PATCH}; charset=utf-8")
        case _:
            body = events.pull_body(call.world, call.repo, pull)
            pull.computed = True
            return Answer(body=body)


async def create_pull(call: Call) -> Answer:
    """Opens one."""
    draft = bool(call.fields.get("draft"))
    title, head, base = (call.text("PullRequest", name) for name in ("title", "head", "base"))
    pull = await pulls.open_pull(
        call.world, call.repo, call.account, title=title, head=head, base=base, body=call.fields.get("body"), draft=draft
    )
    return Answer(status=201, body=events.pull_body(call.world, call.repo, pull))


async def update_pull(call: Call) -> Answer:
    """Changes title, body, base or state."""
    pull, state = call.pull, call.fields.get("state")
    if state not in {None, "open", "closed"}:
        raise invalid("PullRequest", "state")
    await pulls.edit(call.world, call.repo, pull, call.account, call.fields)
    if state == "closed":
        pulls.close(call.world, call.repo, pull, call.account)
    elif state == "open":
        await pulls.reopen(call.world, call.repo, pull, call.account)
    return Answer(body=events.pull_body(call.world, call.repo, pull))


async def merge_pull(call: Call) -> Answer:
    """Merges exactly the head that `sha` names, where it is named."""
    fields, method = call.fields, call.fields.get("merge_method", "merge")
    if method not in {"merge", "squash", "rebase"}:
        raise invalid("PullRequest", "merge_method")
    sha = await merging.merge(
        call.world,
        call.repo,
        call.pull,
        call.account,
        sha=fields.get("sha"),
        method=method,
        title=fields.get("commit_title") or "",
        message=fields.get("commit_message"),
    )
    return Answer(body={"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


async def is_merged(call: Call) -> Answer:
    """204 where it is merged, else 404."""
    if call.pull.merged_at is None:
        raise not_found()
    return Answer(status=204)


async def list_files(call: Call) -> Answer:
    """The files that it changes against where it left the base."""
    pull = call.pull
    found = await call.repo.git.changes(await pulls.start_of(call.repo, pull), pull.head_sha)
    return call.listed(found, lambda change: repos.file_change(call.world, call.repo, change, pull.head_sha))


async def list_commits(call: Call) -> Answer:
    """Its commits, oldest first."""
    found = commit_order(await call.repo.git.log(f"{call.pull.base_sha}..{call.pull.head_sha}"))
    return call.listed(found, lambda one: repos.commit(call.world, call.repo, one))


async def requested_reviewers(call: Call) -> Answer:
    """Whose review is asked for."""
    return Answer(body={"users": [accounts.user(call.world, one) for one in call.pull.requested], "teams": []})


async def request_reviewers(call: Call) -> Answer:
    """Asks people for their review."""
    pull = call.pull
    for login in call.fields.get("reviewers", []):
        account = call.world.find_account(login)
        if account is None or account is pull.author:
            raise ApiError(422, "Reviews may only be requested from collaborators.")
        if account not in pull.requested:
            pull.requested.append(account)
            told = accounts.user(call.world, account)
            events.pull_request(call.world, call.repo, pull, "review_requested", call.account, requested_reviewer=told)
    return Answer(status=201, body=bodies.pull_simple(call.world, call.repo, pull))


_PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
ROUTES = [
    read("/repos/{owner}/{repo}/pulls", list_pulls, "pull_requests"),
    write("POST", "/repos/{owner}/{repo}/pulls", create_pull, "pull_requests"),
    read(_PULL, get_pull, "pull_requests"),
    write("PATCH", _PULL, update_pull, "pull_requests"),
    write("PUT", f"{_PULL}/merge", merge_pull, "contents"),
    read(f"{_PULL}/merge", is_merged, "pull_requests"),
    read(f"{_PULL}/files", list_files, "pull_requests"),
    read(f"{_PULL}/commits", list_commits, "pull_requests"),
    read(f"{_PULL}/requested_reviewers", requested_reviewers, "pull_requests"),
    write("POST", f"{_PULL}/requested_reviewers", request_reviewers, "pull_requests"),
]
