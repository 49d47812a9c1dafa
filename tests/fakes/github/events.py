"""The events of webhooks: what happened becomes a body and goes to the sender, which adds `installation` for each receiver."""

from typing import Any

from tests.fakes.github.bodies import accounts, checks, pulls, repos
from tests.fakes.github.git import Commit
from tests.fakes.github.rules import check_states, unmet
from tests.fakes.github.state import NO_SHA, Account, CheckRun, Comment, Installation, Label, Pull, Repo, Review, Status
from tests.fakes.github.world import World

Body = dict[str, Any]


def mergeable_state(world: World, repo: Repo, pull: Pull) -> tuple[bool | None, str]:
    """`mergeable` and `mergeable_state`."""
    if pull.state == "closed" or not pull.computed:
        return None, "unknown"
    if pull.conflicts:
        return False, "dirty"
    if pull.draft:
        return True, "draft"
    lacks = unmet(world, repo, pull)
    if lacks:
        return True, "behind" if all("out of date" in lack for lack in lacks) else "blocked"
    return True, "unstable" if set(check_states(repo, pull.head_sha).values()) - {"success"} else "clean"


def pull_body(world: World, repo: Repo, pull: Pull) -> Body:
    """`pull-request` as it stands now."""
    return pulls.pull_full(world, repo, pull, *mergeable_state(world, repo, pull))


def _about(world: World, repo: Repo, sender: Account, action: str | None = None) -> Body:
    body = {"repository": repos.repository(world, repo), "sender": accounts.user(world, sender)}
    return body if action is None else {"action": action, **body}


def pull_request(world: World, repo: Repo, pull: Pull, action: str, sender: Account, **extra: Any) -> None:
    """`pull_request`."""
    body = {"number": pull.number, "pull_request": pull_body(world, repo, pull), **extra}
    world.send("pull_request", {**_about(world, repo, sender, action), **body}, repo=repo)


def pull_label(world: World, repo: Repo, pull: Pull, action: str, label: Label, sender: Account) -> None:
    """`pull_request.labeled` and `unlabeled`."""
    pull_request(world, repo, pull, action, sender, label=pulls.label(world, repo, label))


def review(world: World, repo: Repo, pull: Pull, action: str, one: Review, sender: Account) -> None:
    """`pull_request_review`; here the state is lower case."""
    told = pulls.review(world, repo, pull, one)
    told = {**told, "state": told["state"].lower(), "body": told["body"] or None}
    body = {"review": told, "pull_request": pulls.pull_simple(world, repo, pull)}
    world.send("pull_request_review", {**_about(world, repo, sender, action), **body}, repo=repo)


def comment(world: World, repo: Repo, pull: Pull, action: str, one: Comment, sender: Account, **extra: Any) -> None:
    """`issue_comment`."""
    body = {"issue": pulls.issue(world, repo, pull), "comment": pulls.comment(world, repo, pull, one), **extra}
    world.send("issue_comment", {**_about(world, repo, sender, action), **body}, repo=repo)


def label(world: World, repo: Repo, action: str, one: Label, sender: Account) -> None:
    """`label`."""
    world.send("label", {**_about(world, repo, sender, action), "label": pulls.label(world, repo, one)}, repo=repo)


def status(world: World, repo: Repo, one: Status, commit: Commit, branches: list[str]) -> None:
    """`status`."""
    told = repos.commit(world, repo, commit)
    place = {"sha": one.sha, "url": told["url"]}
    body = {
        **checks.simple_status(world, repo, one),
        "sha": one.sha,
        "name": repo.full_name,
        "commit": {**told, "author": told["author"] or None, "committer": told["committer"] or None},
        "branches": [{"name": name, "commit": place, "protected": False} for name in branches],
    }
    body.pop("url")
    body.pop("node_id")
    world.send("status", {**_about(world, repo, one.creator), **body}, repo=repo)


def check_run(world: World, repo: Repo, action: str, one: CheckRun, branch: str | None) -> None:
    """`check_run`; suites are told inside it, not by events of their own."""
    told = checks.check_run(world, repo, one)
    suite = {
        "id": checks.suite_id(one),
        "node_id": f"CS_{checks.suite_id(one)}",
        "head_branch": branch,
        "head_sha": one.sha,
        "status": one.status,
        "conclusion": one.conclusion,
        "url": f"{repos.api(world, repo)}/check-suites/{checks.suite_id(one)}",
        "before": NO_SHA,
        "after": one.sha,
        "pull_requests": [],
        "app": told["app"],
        "created_at": told["started_at"],
        "updated_at": told["completed_at"] or told["started_at"],
    }
    about = _about(world, repo, one.app.bot, action)
    world.send("check_run", {**about, "check_run": {**told, "check_suite": suite}}, repo=repo)


def push(world: World, repo: Repo, sender: Account, moved: Body, commits: list[Body]) -> None:
    """`push`; `moved` has ref, before, after, created, deleted, forced."""
    about = _about(world, repo, sender)
    whole = about["repository"]
    owner = {**whole["owner"], "name": repo.owner.login, "email": None}
    times = {"created_at": int(repo.created_at), "pushed_at": int(repo.pushed_at), "master_branch": repo.default_branch}
    compare = f"{repos.page(world, repo)}/compare/{moved['before'][:12]}...{moved['after'][:12]}"
    body = {
        **moved,
        **about,
        "repository": {**whole, "owner": owner, **times, "stargazers": 0},
        "pusher": {"name": sender.login, "email": f"{sender.id}+{sender.login}@users.noreply.github.com"},
        "base_ref": None,
        "compare": compare,
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
    }
    world.send("push", body, repo=repo)


def ref(world: World, repo: Repo, event: str, name: str, sender: Account) -> None:
    """`create` and `delete`."""
    kind, _, short = name.removeprefix("refs/").partition("/")
    body = {"ref": short, "ref_type": "tag" if kind == "tags" else "branch", "pusher_type": "user"}
    if event == "create":
        body |= {"master_branch": repo.default_branch}
        world.send(event, {**_about(world, repo, sender), **body, "description": None}, repo=repo)
        return
    world.send(event, {**_about(world, repo, sender), **body}, repo=repo)


def installation(world: World, action: str, one: Installation, sender: Account) -> None:
    """`installation`, to its App alone."""
    reached = [repo for repo in world.repos if one.reaches(repo)]
    named = [
        {"id": repo.id, "node_id": f"R_{repo.id}", "name": repo.name, "full_name": repo.full_name, "private": repo.private}
        for repo in reached
    ]
    body = {"action": action, "installation": accounts.installation(world, one), "sender": accounts.user(world, sender)}
    world.send("installation", {**body, "repositories": named} if action in {"created", "deleted"} else body, app=one.app)


def merge_group(world: World, repo: Repo, pull: Pull, commit: Commit, ref_name: str, base_sha: str, sender: Account) -> None:
    """`merge_group.checks_requested`."""
    author = {"name": commit.author.name, "email": commit.author.email}
    told = {"id": commit.sha, "tree_id": commit.tree, "message": commit.message, "author": author, "committer": author}
    told |= {"timestamp": repos.commit(world, repo, commit)["commit"]["committer"]["date"]}
    group = {"head_sha": commit.sha, "head_ref": ref_name, "base_sha": base_sha, "base_ref": f"refs/heads/{pull.base_ref}"}
    about = _about(world, repo, sender, "checks_requested")
    world.send("merge_group", {**about, "merge_group": {**group, "head_commit": told}}, repo=repo)
