"""What follows when refs have moved, whoever moved them: activity, events, pull requests that go along."""

from typing import Any

from tests.fakes.github import events, pulls
from tests.fakes.github.bodies import repos
from tests.fakes.github.state import NO_SHA, Account, Activity, Pull, Repo
from tests.fakes.github.world import World

HEADS = "refs/heads/"
MAX_COMMITS = 50
WATCHED = (HEADS, "refs/tags/")


async def watched(repo: Repo) -> dict[str, str]:
    """The refs whose moves are told."""
    return await repo.git.refs(*WATCHED)


async def record(
    world: World, repo: Repo, before: dict[str, str], actor: Account, *, kind: str | None = None
) -> list[tuple[str, str, str]]:
    """Tells everything that moved since `before`; gives back the moves (ref, old, new)."""
    after = await watched(repo)
    names = sorted(before.keys() | after.keys())
    moves = [(name, before.get(name, NO_SHA), after.get(name, NO_SHA)) for name in names]
    moves = [(name, old, new) for name, old, new in moves if old != new]
    for name, old, new in moves:
        await _moved(world, repo, name, old, new, actor, kind)
    return moves


async def _moved(world: World, repo: Repo, name: str, old: str, new: str, actor: Account, kind: str | None) -> None:
    created, deleted = old == NO_SHA, new == NO_SHA
    forced = not created and not deleted and not await repo.git.is_ancestor(old, new)
    repo.pushed_at = world.clock()
    usual = "branch_creation" if created else "branch_deletion" if deleted else "force_push" if forced else "push"
    if name.startswith(HEADS):
        repo.activity.append(
            Activity(
                id=world.new_id(), ref=name, before=old, after=new, kind=kind or usual, actor=actor, created_at=world.clock()
            )
        )
    moved = {"ref": name, "before": old, "after": new, "created": created, "deleted": deleted, "forced": forced}
    events.push(world, repo, actor, moved, [] if deleted else await _commits(world, repo, old, new))
    if created or deleted:
        events.ref(world, repo, "create" if created else "delete", name, actor)
    if name.startswith(HEADS):
        await _follow(world, repo, name.removeprefix(HEADS), new, actor, forced=forced)


async def _commits(world: World, repo: Repo, old: str, new: str) -> list[dict[str, Any]]:
    selection = [f"-{MAX_COMMITS}", new]
    if old != NO_SHA:
        selection.append(f"^{old}")
    else:
        default = await repo.git.resolve(repo.default_branch)
        selection += [f"^{default}"] if default not in {None, new} else []
    found = list(reversed(await repo.git.log(*selection)))
    if not found:
        found = [await repo.git.commit(new)]
    told = []
    for commit in found:
        out = await repo.git.run("diff-tree", "-r", "--root", "--no-commit-id", "--name-status", "-z", commit.sha)
        told.append(repos.pushed_commit(world, repo, commit, _files(out.out.decode("utf-8", "replace").split("\0"))))
    return told


def _files(fields: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
    kinds = {"A": "added", "D": "removed"}
    for letter, path in zip(fields[::2], fields[1::2], strict=False):
        found[kinds.get(letter, "modified")].append(path)
    return found


async def _follow(world: World, repo: Repo, branch: str, new: str, actor: Account, *, forced: bool) -> None:
    for other in world.repos:
        for pull in other.pulls.values():
            if pull.state == "open" and pull.head_repo is repo and pull.head_ref == branch:
                await _head_moved(world, other, pull, new, actor, forced=forced)
    for pull in repo.pulls.values():
        if pull.state == "open" and pull.base_ref == branch:
            if new == NO_SHA:
                pulls.close(world, repo, pull, actor)
            else:
                await pulls.follow_base(world, repo, pull, new, actor)


async def _head_moved(world: World, repo: Repo, pull: Pull, new: str, actor: Account, *, forced: bool) -> None:
    if new == NO_SHA:
        world.note(pull, "head_ref_deleted", actor)
        pulls.close(world, repo, pull, actor)
    else:
        await pulls.follow_head(world, repo, pull, new, actor, forced=forced)
