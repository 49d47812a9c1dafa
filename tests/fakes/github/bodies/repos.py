"""Bodies of repositories, commits, contents and activity."""

import base64
from typing import Any
from urllib.parse import quote

from tests.fakes.github.bodies.accounts import user
from tests.fakes.github.git import Commit, Entry, FileChange, Person
from tests.fakes.github.state import Activity, Repo, stamp
from tests.fakes.github.world import World

Body = dict[str, Any]

_TEMPLATES = {
    "archive": "/{archive_format}{/ref}",
    "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}",
    "commits": "/commits{/sha}",
    "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}",
    "contributors": "/contributors",
    "deployments": "/deployments",
    "downloads": "/downloads",
    "events": "/events",
    "forks": "/forks",
    "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}",
    "git_tags": "/git/tags{/sha}",
    "hooks": "/hooks",
    "issue_comment": "/issues/comments{/number}",
    "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}",
    "keys": "/keys{/key_id}",
    "labels": "/labels{/name}",
    "languages": "/languages",
    "merges": "/merges",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}",
    "pulls": "/pulls{/number}",
    "releases": "/releases{/id}",
    "stargazers": "/stargazers",
    "statuses": "/statuses/{sha}",
    "subscribers": "/subscribers",
    "subscription": "/subscription",
    "tags": "/tags",
    "teams": "/teams",
    "trees": "/git/trees{/sha}",
}


def api(world: World, repo: Repo) -> str:
    """The repository's place in the REST API."""
    return f"{world.api}/repos/{repo.full_name}"


def page(world: World, repo: Repo) -> str:
    """The repository's place in the browser."""
    return f"{world.url}/{repo.full_name}"


def repository(world: World, repo: Repo) -> Body:
    """`repository`, whole enough for `full-repository` and `minimal-repository` too."""
    root, web = api(world, repo), page(world, repo)
    opened = sum(pull.state == "open" for pull in repo.pulls.values())
    counts = {"open_issues_count": opened, "open_issues": opened}
    for name in ("forks_count", "forks", "stargazers_count", "watchers_count", "watchers", "size"):
        counts[name] = 0
    flags = dict.fromkeys(("has_wiki", "has_pages", "has_discussions", "archived", "disabled", "is_template"), False)
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": user(world, repo.owner),
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "html_url": web,
        "description": None,
        "fork": repo.fork,
        "url": root,
        **{f"{name}_url": root + suffix for name, suffix in _TEMPLATES.items()},
        "git_url": f"git://{web.partition('://')[2]}.git",
        "ssh_url": f"git@{web.partition('://')[2]}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "topics": [],
        "default_branch": repo.default_branch,
        **counts,
        **flags,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": True,
        "allow_forking": True,
        "web_commit_signoff_required": False,
        "pushed_at": stamp(repo.pushed_at),
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.pushed_at),
    }


def full_repository(world: World, repo: Repo) -> Body:
    """`full-repository`."""
    merging = {"allow_merge_commit": True, "allow_squash_merge": True, "allow_rebase_merge": True, "allow_auto_merge": False}
    return {**repository(world, repo), **merging, "subscribers_count": 0, "network_count": 0, "delete_branch_on_merge": False}


def commit(world: World, repo: Repo, one: Commit) -> Body:
    """`commit`."""
    root, web = api(world, repo), page(world, repo)
    return {
        "sha": one.sha,
        "node_id": f"C_{one.sha}",
        "commit": {
            "author": _dated(one.author),
            "committer": _dated(one.committer),
            "message": one.message,
            "tree": {"sha": one.tree, "url": f"{root}/git/trees/{one.tree}"},
            "url": f"{root}/git/commits/{one.sha}",
            "comment_count": 0,
            "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None},
        },
        "url": f"{root}/commits/{one.sha}",
        "html_url": f"{web}/commit/{one.sha}",
        "comments_url": f"{root}/commits/{one.sha}/comments",
        "author": _known(world, one.author),
        "committer": _known(world, one.committer),
        "parents": [{"sha": sha, "url": f"{root}/commits/{sha}", "html_url": f"{web}/commit/{sha}"} for sha in one.parents],
    }


def pushed_commit(world: World, repo: Repo, one: Commit, files: dict[str, list[str]]) -> Body:
    """A commit as a `push` event tells it; `files` has `added`, `removed` and `modified`."""
    people = {
        role: {"name": person.name, "email": person.email, "date": stamp(person.at)}
        for role, person in (("author", one.author), ("committer", one.committer))
    }
    return {
        "id": one.sha,
        "tree_id": one.tree,
        "distinct": True,
        "message": one.message,
        "timestamp": stamp(one.committer.at),
        "url": f"{page(world, repo)}/commit/{one.sha}",
        **people,
        **files,
    }


def file_change(world: World, repo: Repo, change: FileChange, head: str) -> Body:
    """`diff-entry`."""
    path = quote(change.path)
    body: Body = {
        "sha": change.sha,
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{page(world, repo)}/blob/{head}/{path}",
        "raw_url": f"{page(world, repo)}/raw/{head}/{path}",
        "contents_url": f"{api(world, repo)}/contents/{path}?ref={head}",
    }
    if change.patch:
        body["patch"] = change.patch
    return {**body, "previous_filename": change.previous} if change.previous else body


def content(world: World, repo: Repo, entry: Entry, revision: str, data: bytes | None = None) -> Body:
    """`content-file` with its data, an entry of `content-directory` without."""
    path = quote(entry.path)
    kind = {"tree": "dir", "blob": "file", "commit": "submodule"}[entry.kind]
    place = {"tree": "trees", "blob": "blobs", "commit": "commits"}[entry.kind]
    self_url = f"{api(world, repo)}/contents/{path}?ref={quote(revision, safe='')}"
    git_url = f"{api(world, repo)}/git/{place}/{entry.sha}"
    html_url = f"{page(world, repo)}/{'tree' if kind == 'dir' else 'blob'}/{quote(revision)}/{path}"
    body: Body = {
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": self_url,
        "html_url": html_url,
        "git_url": git_url,
        "download_url": f"{page(world, repo)}/raw/{quote(revision)}/{path}" if kind == "file" else None,
        "type": kind,
        "_links": {"self": self_url, "git": git_url, "html": html_url},
    }
    return body if data is None else {**body, "encoding": "base64", "content": base64.encodebytes(data).decode()}


def activity(world: World, one: Activity) -> Body:
    """`activity`."""
    return {
        "id": one.id,
        "node_id": f"ACT_{one.id}",
        "before": one.before,
        "after": one.after,
        "ref": one.ref,
        "timestamp": stamp(one.created_at),
        "activity_type": one.kind,
        "actor": user(world, one.actor),
    }


def ref(world: World, repo: Repo, name: str, sha: str) -> Body:
    """`git-ref`."""
    root = api(world, repo)
    target = {"sha": sha, "type": "commit", "url": f"{root}/git/commits/{sha}"}
    return {"ref": name, "node_id": f"REF_{repo.id}_{sha}", "url": f"{root}/git/{quote(name)}", "object": target}


def _dated(person: Person) -> Body:
    return {"name": person.name, "email": person.email, "date": stamp(person.at)}


def _known(world: World, person: Person) -> Body:
    """Whose mail it is; an empty object where nobody's, as the schema has it."""
    bot = person.email.partition("@")[0].partition("+")[2] if person.email.endswith("@users.noreply.github.com") else ""
    account = world.find_account(bot) or world.find_account(person.name)
    return user(world, account) if account else {}
