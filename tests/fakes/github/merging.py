"""Merging: what refuses it, the three methods by `git merge-tree` and `commit-tree`, and a merge queue of one at a time."""

import tempfile
from pathlib import Path

from tests.fakes.github import events, pulls, pushes
from tests.fakes.github.errors import ApiError
from tests.fakes.github.git import Bare, Commit, Person
from tests.fakes.github.rules import unmet
from tests.fakes.github.state import NO_SHA, Account, Pull, Repo
from tests.fakes.github.world import World

QUEUE = "Changes must be made through the merge queue"


async def merge(
    world: World,
    repo: Repo,
    pull: Pull,
    actor: Account,
    *,
    sha: str | None = None,
    method: str = "merge",
    title: str = "",
    message: str | None = None,
    by_queue: bool = False,
) -> str:
    """Merges a pull request and gives back the new commit of the base."""
    if sha is not None and sha != pull.head_sha:
        raise ApiError(409, "Head branch was modified. Review and try the merge again.")
    if pull.state == "closed" or pull.draft or pull.conflicts:
        why = "Pull Request is still a draft" if pull.draft and pull.state == "open" else "Pull Request is not mergeable"
        raise ApiError(405, why)
    lacks = [lack for lack in unmet(world, repo, pull) if not (by_queue and lack == QUEUE)]
    if lacks:
        raise ApiError(405, "\n".join(lacks))
    async with repo.git.lock:
        before = await pushes.watched(repo)
        new = await _merged(world, repo, pull, actor, method, title, message)
        await repo.git.update_ref(f"refs/heads/{pull.base_ref}", new, before[f"refs/heads/{pull.base_ref}"])
        pulls.mark_merged(world, pull, actor, new)
        await pushes.record(world, repo, before, actor, kind="merge_queue_merge" if by_queue else "pr_merge")
    events.pull_request(world, repo, pull, "closed", actor)
    return new


async def _merged(world: World, repo: Repo, pull: Pull, actor: Account, method: str, title: str, message: str | None) -> str:
    if method == "rebase":
        return await _rebase(repo, pull)
    tree = await repo.git.merge_tree(pull.base_sha, pull.head_sha)
    if tree is None:
        raise ApiError(405, "Pull Request is not mergeable")
    now = int(world.clock())
    me, author, service = _person(actor, now), _person(pull.author, now), Person("GitHub", "noreply@github.com", now)
    if method == "squash":
        text = _text(title or f"{pull.title} (#{pull.number})", message)
        return await repo.git.commit_tree(tree, [pull.base_sha], text, author, service)
    owner = pull.head_repo.owner.login if pull.head_repo else pull.author.login
    text = _text(title or f"Merge pull request #{pull.number} from {owner}/{pull.head_ref}", message or pull.title)
    return await repo.git.commit_tree(tree, [pull.base_sha, pull.head_sha], text, me, service)


async def _rebase(repo: Repo, pull: Pull) -> str:
    with tempfile.TemporaryDirectory() as folder:
        await repo.git.run("worktree", "add", "--quiet", "--detach", f"{folder}/tree", pull.base_sha)
        tree = Bare(Path(folder) / "tree")
        person = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}
        done = await tree.run("cherry-pick", f"{pull.base_sha}..{pull.head_sha}", extra=person, fails=True)
        new = (await tree.run("rev-parse", "HEAD")).text
        await repo.git.run("worktree", "remove", "--force", f"{folder}/tree")
    if done.code:
        raise ApiError(405, "This branch can't be rebased")
    return new


def _person(account: Account, now: int) -> Person:
    return Person(account.login, f"{account.id}+{account.login}@users.noreply.github.com", now)


def _text(title: str, message: str | None) -> str:
    return f"{title}\n\n{message}" if message else title


async def enqueue(world: World, repo: Repo, pull: Pull, actor: Account) -> Commit:
    """Puts a pull request on the merge queue: its merge is built on a ref of its own, and checks are asked for it."""
    if pull.state == "closed" or pull.draft or pull.conflicts:
        raise ApiError(422, "Pull request is not mergeable")
    events.pull_request(world, repo, pull, "enqueued", actor)
    async with repo.git.lock:
        sha = await _merged(world, repo, pull, actor, "merge", "", None)
        name = f"refs/heads/gh-readonly-queue/{pull.base_ref}/pr-{pull.number}-{pull.base_sha}"
        await repo.git.update_ref(name, sha, NO_SHA)
    commit = await repo.git.commit(sha)
    world.note(pull, "added_to_merge_queue", actor)
    events.merge_group(world, repo, pull, commit, name, pull.base_sha, actor)
    return commit


async def run_queue(world: World, repo: Repo, pull: Pull, actor: Account, *, passed: bool) -> None:
    """Ends a pull request's time on the queue: merged where its checks passed, thrown out where not."""
    for name in await repo.git.refs(f"refs/heads/gh-readonly-queue/{pull.base_ref}/"):
        if f"/pr-{pull.number}-" in name:
            await repo.git.delete_ref(name)
    world.note(pull, "removed_from_merge_queue", actor)
    if passed:
        await merge(world, repo, pull, actor, by_queue=True)
    events.pull_request(world, repo, pull, "dequeued", actor, reason="MERGE" if passed else "CI_FAILURE")
