"""Repositories, commits, comparisons, contents, refs and activity."""

import base64
import binascii
import re
from typing import Any
from urllib.parse import quote

from tests.fakes.github import pushes
from tests.fakes.github.bodies import repos
from tests.fakes.github.call import Answer, Call, Route, read, write
from tests.fakes.github.errors import ApiError, invalid, not_found
from tests.fakes.github.git import Commit
from tests.fakes.github.rules import refusals
from tests.fakes.github.state import LEVELS, NO_SHA, Level

DIFF = "application/vnd.github.diff"
PATCH = "application/vnd.github.patch"
RAW = "application/vnd.github.raw"
_SHA = re.compile("[0-9a-f]{40}")
_PERIODS = {"day": 1, "week": 7, "month": 30, "quarter": 90, "year": 365}


def media(accept: str) -> str | None:
    """The text form of a commit, comparison or pull request that was asked for."""
    kinds = {"diff": DIFF, "patch": PATCH, "raw": RAW}
    names = [part.split(";")[0].strip().replace(".v3", "").removesuffix("+json") for part in accept.split(",")]
    return next((kind for kind, name in kinds.items() if name in names), None)


async def get_repository(call: Call) -> Answer:
    """`GET /repos/{owner}/{repo}`; a person is told what they may do."""
    body = repos.full_repository(call.world, call.repo)
    token = call.caller.token
    if token is not None and token.installation is None:
        held = LEVELS[call.world.role(call.repo, token.account)]
        levels = {"admin": Level.ADMIN, "maintain": Level.ADMIN, "push": Level.WRITE, "triage": Level.READ, "pull": Level.READ}
        body["permissions"] = {name: held >= level for name, level in levels.items()}
    return Answer(body=body)


async def list_commits(call: Call) -> Answer:
    """Commits of a branch or SHA, newest first, also those of one path."""
    revision = call.query.get("sha") or call.repo.default_branch
    sha = await call.repo.git.resolve(revision)
    if sha is None:
        if not await call.repo.git.refs("refs/heads/"):
            raise ApiError(409, "Git Repository is empty.")
        raise not_found()
    found = await call.repo.git.log(sha)
    return call.listed(found, lambda one: repos.commit(call.world, call.repo, one))


async def get_commit(call: Call) -> Answer:
    """One commit with its files."""
    sha = await call.sha("ref")
    one = await call.repo.git.commit(sha)
    start = one.parents[0] if one.parents else (await call.repo.git.run("hash-object", "-t", "tree", "/dev/null")).text
    if media(call.accept) == "diff":
        return Answer(body=await call.repo.git.diff(start, sha), media=f"{DIFF}; charset=utf-8")
    changes = await call.repo.git.changes(start, sha)
    additions, deletions = sum(one.additions for one in changes), sum(one.deletions for one in changes)
    stats = {"additions": additions, "deletions": deletions, "total": additions + deletions}
    files = [repos.file_change(call.world, call.repo, change, sha) for change in changes]
    return Answer(body={**repos.commit(call.world, call.repo, one), "stats": stats, "files": files})


async def compare(call: Call) -> Answer:
    """`base...head`: where they part, and what the head has since."""
    left, dots, right = call.params["basehead"].partition("...")
    git = call.repo.git
    base, head = await git.resolve(left.rpartition(":")[2]), await git.resolve(right.rpartition(":")[2])
    if not dots or base is None or head is None:
        raise not_found()
    start = await git.merge_base(base, head)
    if start is None:
        raise ApiError(404, f"No common ancestor between {left} and {right}.")
    if media(call.accept) == "diff":
        return Answer(body=await git.diff(start, head), media=f"{DIFF}; charset=utf-8")
    ahead, behind = list(reversed(await git.log(f"{base}..{head}"))), await git.count(f"{head}..{base}")
    state = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    web = f"{repos.page(call.world, call.repo)}/compare/{quote(call.params['basehead'])}"
    shown, headers = call.page(ahead)
    body = {
        "url": f"{repos.api(call.world, call.repo)}/compare/{quote(call.params['basehead'])}",
        "html_url": web,
        "permalink_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "base_commit": await _told(call, base),
        "merge_base_commit": await _told(call, start),
        "status": state,
        "ahead_by": len(ahead),
        "behind_by": behind,
        "total_commits": len(ahead),
        "commits": [repos.commit(call.world, call.repo, one) for one in shown],
        "files": [repos.file_change(call.world, call.repo, one, head) for one in await git.changes(start, head)],
    }
    return Answer(body=body, headers=headers)


async def _told(call: Call, sha: str) -> dict[str, Any]:
    return repos.commit(call.world, call.repo, await call.repo.git.commit(sha))


async def get_content(call: Call) -> Answer:
    """A file with its bytes, or the entries of a folder."""
    revision = call.query.get("ref") or call.repo.default_branch
    path = call.params.get("path", "").strip("/")
    sha = await call.repo.git.resolve(revision)
    if sha is None or path.startswith(":"):
        raise not_found()
    entries = await call.repo.git.entries(sha, path) if path else await call.repo.git.entries(sha, "")
    if path and entries and entries[0].kind == "tree":
        entries = await call.repo.git.entries(sha, f"{path}/")
    elif path and entries:
        data = await call.repo.git.blob(entries[0].sha)
        if media(call.accept) == "raw":
            return Answer(body=data, media=f"{RAW}; charset=utf-8")
        return Answer(body=repos.content(call.world, call.repo, entries[0], revision, data))
    if path and not entries:
        raise not_found()
    return Answer(body=[repos.content(call.world, call.repo, entry, revision) for entry in entries])


async def get_blob(call: Call) -> Answer:
    """The bytes of a blob, base64 or raw."""
    sha = call.params["file_sha"]
    if not _SHA.fullmatch(sha) or not await call.repo.git.has_blob(sha):
        raise not_found()
    data = await call.repo.git.blob(sha)
    if media(call.accept) == "raw":
        return Answer(body=data, media=f"{RAW}; charset=utf-8")
    url = f"{repos.api(call.world, call.repo)}/git/blobs/{sha}"
    text = {"content": base64.encodebytes(data).decode(), "encoding": "base64"}
    return Answer(body={**text, "url": url, "sha": sha, "size": len(data), "node_id": f"B_{sha}"})


async def put_content(call: Call) -> Answer:
    """Writes one file as one commit; the `sha` of what is replaced must be the current one."""
    branch, path = call.fields.get("branch") or call.repo.default_branch, call.params["path"]
    git, ref = call.repo.git, f"refs/heads/{branch}"
    try:
        data = base64.b64decode(call.text("Content", "content"))
    except binascii.Error as error:
        raise invalid("Content", "content") from error
    async with git.lock:
        before = await pushes.watched(call.repo)
        old = before.get(ref)
        if old is None:
            raise ApiError(404, f"Branch {branch} not found")
        found = await git.entries(old, path)
        if found and found[0].sha != call.fields.get("sha"):
            raise ApiError(409, f"{path} does not match {call.fields.get('sha')}")
        if refused := refusals(call.world, call.repo, call.account, [(old, old, ref)]):
            raise ApiError(409, f"Repository rule violations found\n\n{refused[0][2]}\n\n")
        new = await git.commit_file(old, path, data, call.text("Content", "message"), call.account.login, call.world.clock())
        await git.update_ref(ref, new, old)
        await pushes.record(call.world, call.repo, before, call.account)
    entry = (await git.entries(new, path))[0]
    commit = await git.commit(new)
    told = repos.commit(call.world, call.repo, commit)
    brief = {**told["commit"], "sha": new, "node_id": told["node_id"], "html_url": told["html_url"], "parents": told["parents"]}
    content = repos.content(call.world, call.repo, entry, branch)
    return Answer(status=200 if found else 201, body={"content": content, "commit": brief})


async def get_ref(call: Call) -> Answer:
    """One ref by its name without `refs/`."""
    name = f"refs/{call.params['ref']}"
    found = await call.repo.git.refs(name)
    if name not in found:
        raise not_found()
    return Answer(body=repos.ref(call.world, call.repo, name, found[name]))


async def matching_refs(call: Call) -> Answer:
    """Every ref whose name begins so."""
    start = f"refs/{call.params.get('ref', '')}"
    found = [(name, sha) for name, sha in (await call.repo.git.refs()).items() if name.startswith(start)]
    return call.listed(found, lambda one: repos.ref(call.world, call.repo, *one))


async def create_ref(call: Call) -> Answer:
    """A new branch or tag at a commit that is there."""
    name, sha = call.text("Reference", "ref"), call.text("Reference", "sha")
    if not name.startswith("refs/") or await call.repo.git.resolve(sha) != sha:
        raise ApiError(422, "Object does not exist")
    if name in await call.repo.git.refs(name):
        raise ApiError(422, "Reference already exists")
    await _move(call, name, sha, NO_SHA)
    return Answer(status=201, body=repos.ref(call.world, call.repo, name, sha))


async def update_ref(call: Call) -> Answer:
    """Moves a branch; back or aside only with `force`."""
    name, sha = f"refs/{call.params['ref']}", call.text("Reference", "sha")
    old = (await call.repo.git.refs(name)).get(name)
    if old is None or await call.repo.git.resolve(sha) != sha:
        raise ApiError(422, "Reference does not exist" if old is None else "Object does not exist")
    if not call.fields.get("force") and not await call.repo.git.is_ancestor(old, sha):
        raise ApiError(422, "Update is not a fast forward")
    await _move(call, name, sha, old)
    return Answer(body=repos.ref(call.world, call.repo, name, sha))


async def delete_ref(call: Call) -> Answer:
    """Takes a branch or tag away."""
    name = f"refs/{call.params['ref']}"
    old = (await call.repo.git.refs(name)).get(name)
    if old is None:
        raise ApiError(422, "Reference does not exist")
    await _move(call, name, NO_SHA, old)
    return Answer(status=204)


async def _move(call: Call, name: str, new: str, old: str) -> None:
    if refused := refusals(call.world, call.repo, call.account, [(old, new, name)]):
        raise ApiError(422, f"Repository rule violations found\n\n{refused[0][2]}\n\n")
    async with call.repo.git.lock:
        before = await pushes.watched(call.repo)
        if new == NO_SHA:
            await call.repo.git.delete_ref(name)
        else:
            await call.repo.git.update_ref(name, new, old)
        await pushes.record(call.world, call.repo, before, call.account)


async def list_activity(call: Call) -> Answer:
    """Who moved which branch, newest first; paged by cursor, not by number."""
    ref, actor = call.query.get("ref"), call.query.get("actor")
    kind, period = call.query.get("activity_type"), call.query.get("time_period")
    oldest = call.world.clock() - 86400 * _PERIODS.get(period or "", 10_000)
    found = [
        one
        for one in reversed(call.repo.activity)
        if (ref is None or one.ref in {ref, f"refs/heads/{ref}"})
        and (actor is None or one.actor.login.lower() == actor.lower())
        and (kind is None or one.kind == kind)
        and one.created_at >= oldest
    ]
    if call.query.get("direction") == "asc":
        found.reverse()
    after, size = call.query.get("after"), call.page_size
    start = next((place + 1 for place, one in enumerate(found) if str(one.id) == after), 0)
    shown = found[start : start + size]
    headers = call.link({"next": shown[-1].id}, "after") if len(found) > start + size else {}
    return Answer(body=[repos.activity(call.world, one) for one in shown], headers=headers)


async def pulls_of_commit(call: Call) -> Answer:
    """The pull requests a commit is part of."""
    from tests.fakes.github.bodies.pulls import pull_simple  # noqa: PLC0415 - bodies.pulls itself is about pull requests only

    sha, git = await call.sha("commit_sha"), call.repo.git
    found = [
        pull
        for pull in call.repo.pulls.values()
        if pull.merge_commit_sha == sha
        or (await git.is_ancestor(sha, pull.head_sha) and not await git.is_ancestor(sha, pull.base_sha))
    ]
    return call.listed(found, lambda pull: pull_simple(call.world, call.repo, pull))


def commit_order(commits: list[Commit]) -> list[Commit]:
    """Oldest first, as pull requests list them."""
    return list(reversed(commits))


_CONTENTS = "/repos/{owner}/{repo}/contents/{path}"
ROUTES = [
    read("/repos/{owner}/{repo}", get_repository),
    read("/repos/{owner}/{repo}/commits", list_commits, "contents"),
    read("/repos/{owner}/{repo}/commits/{ref}", get_commit, "contents"),
    read("/repos/{owner}/{repo}/commits/{commit_sha}/pulls", pulls_of_commit, "pull_requests|contents"),
    read("/repos/{owner}/{repo}/compare/{basehead}", compare, "contents"),
    Route(method="GET", path="/repos/{owner}/{repo}/contents", handler=get_content, permission="contents", described=_CONTENTS),
    read(_CONTENTS, get_content, "contents"),
    write("PUT", _CONTENTS, put_content, "contents"),
    read("/repos/{owner}/{repo}/git/blobs/{file_sha}", get_blob, "contents"),
    read("/repos/{owner}/{repo}/git/ref/{ref}", get_ref, "contents"),
    read("/repos/{owner}/{repo}/git/matching-refs/{ref}", matching_refs, "contents"),
    write("POST", "/repos/{owner}/{repo}/git/refs", create_ref, "contents"),
    write("PATCH", "/repos/{owner}/{repo}/git/refs/{ref}", update_ref, "contents"),
    write("DELETE", "/repos/{owner}/{repo}/git/refs/{ref}", delete_ref, "contents"),
    read("/repos/{owner}/{repo}/activity", list_activity, "contents"),
]
