"""The life of a pull request: opened, followed along its branch, edited, closed, reopened. Merging is in `merging`."""

from typing import Any

from tests.fakes.github import events
from tests.fakes.github.errors import ApiError, invalid
from tests.fakes.github.state import Account, Pull, Repo
from tests.fakes.github.world import World


async def open_pull(
    world: World, repo: Repo, author: Account, *, title: str, head: str, base: str, body: str | None = None, draft: bool = False
) -> Pull:
    """Opens one; `head` is a branch, or `owner:branch` of a fork."""
    source, branch = _head(world, repo, head)
    head_sha = await source.git.resolve(f"refs/heads/{branch}") if branch else None
    base_sha = await repo.git.resolve(f"refs/heads/{base}") if base else None
    if head_sha is None:
        raise invalid("PullRequest", "head")
    if base_sha is None:
        raise invalid("PullRequest", "base")
    _refuse_duplicate(repo, source, branch, base)
    if source is not repo:
        await _fetch(repo, source, branch)
    if await repo.git.is_ancestor(head_sha, base_sha):
        raise ApiError(422, "Validation Failed", errors=[_custom(f"No commits between {base} and {branch}")])
    now = world.clock()
    pull = Pull(
        id=world.new_id(),
        number=max(repo.pulls, default=0) + 1,
        author=author,
        title=title,
        body=body,
        head_ref=branch,
        head_repo=source,
        head_sha=head_sha,
        base_ref=base,
        base_sha=base_sha,
        draft=draft,
        created_at=now,
        updated_at=now,
    )
    repo.pulls[pull.number] = pull
    await refresh(repo, pull)
    events.pull_request(world, repo, pull, "opened", author)
    return pull


def _head(world: World, repo: Repo, head: str) -> tuple[Repo, str]:
    owner, colon, branch = head.partition(":")
    if not colon:
        return repo, head
    if owner.lower() == repo.owner.login.lower():
        return repo, branch
    fork = next((one for one in world.repos if one.fork and one.owner.login.lower() == owner.lower()), None)
    if fork is None:
        raise invalid("PullRequest", "head")
    return fork, branch


def _custom(message: str) -> dict[str, Any]:
    return {"resource": "PullRequest", "code": "custom", "message": message}


def _refuse_duplicate(repo: Repo, source: Repo, branch: str, base: str) -> None:
    for pull in repo.pulls.values():
        if pull.state == "open" and (pull.head_repo, pull.head_ref, pull.base_ref) == (source, branch, base):
            text = f"A pull request already exists for {source.owner.login}:{branch}."
            raise ApiError(422, "Validation Failed", errors=[_custom(text)])


async def _fetch(repo: Repo, source: Repo, branch: str) -> None:
    await repo.git.run("fetch", "--quiet", "--no-write-fetch-head", str(source.git.path), f"refs/heads/{branch}")


async def refresh(repo: Repo, pull: Pull) -> None:
    """Looks at head and base anew: counts, conflicts; `mergeable` is unknown until asked for once."""
    git = repo.git
    await git.run("update-ref", f"refs/pull/{pull.number}/head", pull.head_sha)
    start = await git.merge_base(pull.base_sha, pull.head_sha)
    pull.computed = False
    pull.conflicts = start is None or await git.merge_tree(pull.base_sha, pull.head_sha) is None
    pull.behind = start != pull.base_sha
    pull.commits = await git.count(f"{pull.base_sha}..{pull.head_sha}")
    changes = await git.changes(start or pull.base_sha, pull.head_sha)
    pull.changed_files = len(changes)
    pull.additions = sum(change.additions for change in changes)
    pull.deletions = sum(change.deletions for change in changes)


async def start_of(repo: Repo, pull: Pull) -> str:
    """Where the head left the base."""
    return await repo.git.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha


async def follow_head(world: World, repo: Repo, pull: Pull, after: str, actor: Account, *, forced: bool) -> None:
    """Moves an open pull request along with its branch."""
    before = pull.head_sha
    if pull.head_repo is not None and pull.head_repo is not repo:
        await _fetch(repo, pull.head_repo, pull.head_ref)
    pull.head_sha = after
    await refresh(repo, pull)
    if forced:
        world.note(pull, "head_ref_force_pushed", actor, commit_id=after)
    pull.updated_at = world.clock()
    events.pull_request(world, repo, pull, "synchronize", actor, before=before, after=after)


async def follow_base(world: World, repo: Repo, pull: Pull, after: str, actor: Account) -> None:
    """Looks at an open pull request against its moved base; one whose commits are all there now is merged."""
    if await repo.git.is_ancestor(pull.head_sha, after):
        mark_merged(world, pull, actor, after)
        events.pull_request(world, repo, pull, "closed", actor)
        return
    pull.base_sha = after
    await refresh(repo, pull)


def mark_merged(world: World, pull: Pull, actor: Account, sha: str) -> None:
    """Notes that it is merged."""
    now = world.clock()
    pull.state, pull.closed_at, pull.merged_at = "closed", now, now
    pull.merged_by, pull.merge_commit_sha = actor, sha
    world.note(pull, "merged", actor, commit_id=sha)
    world.note(pull, "closed", actor)


def close(world: World, repo: Repo, pull: Pull, actor: Account) -> None:
    """Closes it unmerged."""
    if pull.state == "open":
        pull.state, pull.closed_at = "closed", world.clock()
        world.note(pull, "closed", actor)
        events.pull_request(world, repo, pull, "closed", actor)


async def reopen(world: World, repo: Repo, pull: Pull, actor: Account) -> None:
    """Opens a closed one again, at its branch's head of now."""
    if pull.state == "open":
        return
    if pull.merged_at is not None or pull.head_repo is None:
        raise invalid("PullRequest", "state", message="state cannot be changed. The pull request cannot be reopened.")
    head = await pull.head_repo.git.resolve(f"refs/heads/{pull.head_ref}")
    if head is None:
        text = f"state cannot be changed. The {pull.head_ref} branch has been deleted."
        raise invalid("PullRequest", "state", message=text)
    if pull.head_repo is not repo:
        await _fetch(repo, pull.head_repo, pull.head_ref)
    if not await repo.git.is_ancestor(pull.head_sha, head):
        text = f"state cannot be changed. The {pull.head_ref} branch was force-pushed or recreated."
        raise invalid("PullRequest", "state", message=text)
    _refuse_duplicate(repo, pull.head_repo, pull.head_ref, pull.base_ref)
    pull.state, pull.closed_at, pull.head_sha = "open", None, head
    await refresh(repo, pull)
    world.note(pull, "reopened", actor)
    events.pull_request(world, repo, pull, "reopened", actor)


async def edit(world: World, repo: Repo, pull: Pull, actor: Account, wanted: dict[str, Any]) -> None:
    """Changes title, body and base."""
    changes: dict[str, Any] = {}
    for field in ("title", "body"):
        if field in wanted and wanted[field] != getattr(pull, field):
            changes[field] = {"from": getattr(pull, field) or ""}
            setattr(pull, field, wanted[field])
    if wanted.get("base") not in {None, pull.base_ref}:
        sha = await repo.git.resolve(f"refs/heads/{wanted['base']}")
        if sha is None:
            raise invalid("PullRequest", "base")
        changes["base"] = {"ref": {"from": pull.base_ref}, "sha": {"from": pull.base_sha}}
        pull.base_ref, pull.base_sha = wanted["base"], sha
        await refresh(repo, pull)
        world.note(pull, "base_ref_changed", actor)
    if changes:
        pull.updated_at = world.clock()
        events.pull_request(world, repo, pull, "edited", actor, changes=changes)


def set_draft(world: World, repo: Repo, pull: Pull, actor: Account, *, draft: bool) -> None:
    """Makes it a draft, or ready for review."""
    if pull.draft != draft:
        pull.draft = draft
        action = "converted_to_draft" if draft else "ready_for_review"
        world.note(pull, "convert_to_draft" if draft else action, actor)
        events.pull_request(world, repo, pull, action, actor)
