"""The checkout of a run: the worktree of its task, on its branch, at the right commit, with no work lost on the way.

First step of a run. Whatever an earlier run left (uncommitted files, unpushed commits, a half-done rebase) is held by a ref
under `refs/coderun/saved/` before anything moves. What to start from is read from the remote, never from the agent.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from coderun.agent import clone as clones
from coderun.agent.clone import REMOTE_HEADS
from coderun.agent.git import Git, GitFailedError
from coderun.agent.rescue import Saved, is_dirty, save_changes, save_commit, save_unreachable
from coderun.agent.result import clean_text
from coderun.agent.stop import StopSignal
from coderun.forge.texts import is_branch_name


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a run wants checked out.

    Attributes:
        url: What git fetches from.
        branch: Head branch to work on.
        existing: Whether the branch must be on the remote already (the head of a pull request).
        keep_changes: Whether uncommitted changes of an earlier run stay in the worktree (they are saved in any case).
    """

    url: str
    branch: str
    base: str
    task_id: int
    existing: bool = False
    keep_changes: bool = False


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A worktree that is ready.

    Attributes:
        start: The commit the agent starts from.
        remote_head: The branch's commit on the remote, "" where it is not there yet.
        base: The base branch's commit on the remote.
        saved: Work of earlier runs that was put aside.
        notes: For people and the agent: what was done to it.
    """

    tree: Git
    clone: Git
    wanted: Wanted
    start: str
    remote_head: str
    base: str
    saved: tuple[Saved, ...] = ()
    notes: tuple[str, ...] = ()


class _Errand(msgspec.Struct, frozen=True, kw_only=True):
    wanted: Wanted
    workspace: Path
    job: str
    now: datetime
    scratch: Path
    stop: StopSignal | None


class _Worktree(msgspec.Struct, frozen=True, kw_only=True):
    tree: Git
    is_new: bool = False
    notes: tuple[str, ...] = ()


class _Start(msgspec.Struct, frozen=True, kw_only=True):
    target: str
    superseded: str = ""


def task_folder(workspace: Path, task_id: int) -> Path:
    """The worktree of a task in a workspace."""
    return workspace / "tasks" / f"task-{task_id}"


async def check_out(
    git: Git, wanted: Wanted, *, workspace: Path, job: str, now: datetime, scratch: Path, stop: StopSignal | None = None
) -> Checkout:
    """Make the worktree of a task ready. A damaged clone is set aside (`repo.broken-<n>`) and made anew, once.

    Only for who holds the workspace's lock.

    Raises:
        GitFailedError: the remote does not answer, has no such branch, is empty; the message says which.
        RunCancelledError: stopped while fetching.
    """
    _check_name(wanted)
    errand = _Errand(wanted=wanted, workspace=workspace, job=job, now=now, scratch=scratch, stop=stop)
    try:
        return await _attempt(git, errand)
    except GitFailedError:
        folder = workspace / clones.FOLDER
        if not folder.exists() or not await clones.is_damaged(git.at(folder)):
            raise
        aside = clones.set_aside(folder)
    made = await _attempt(git, errand)
    return msgspec.structs.replace(made, notes=(f"the clone was damaged and is set aside as {aside.name}", *made.notes))


def _check_name(wanted: Wanted) -> None:
    if wanted.branch == wanted.base:
        raise GitFailedError(f"an agent cannot work on the base branch {wanted.base!r} itself; name another head branch")
    for name in (wanted.branch, wanted.base):
        if not is_branch_name(name):
            raise GitFailedError(f"{clean_text(repr(name), 200)} is no name for a branch")


async def _attempt(git: Git, errand: _Errand) -> Checkout:
    wanted = errand.wanted
    clone = await clones.ensure_clone(git, errand.workspace, wanted.url, stop=errand.stop)
    tracked = f"{REMOTE_HEADS}/{wanted.branch}"
    seen_before = await clone.commit_of(tracked)
    await clones.fetch(clone, wanted.url, stop=errand.stop)
    base, remote, local = await clone.commits_of(f"{REMOTE_HEADS}/{wanted.base}", tracked, f"refs/heads/{wanted.branch}")
    if not base:
        raise await _no_base(clone, wanted)
    if wanted.existing and not remote:
        raise GitFailedError(
            f"checking out the pull request's head failed: {wanted.url} has no branch {wanted.branch!r} (any more); "
            "restore it or close the pull request"
        )
    start = await _choose_start(clone, local=local, remote=remote, seen_before=seen_before, base=base)
    worktree = await _ensure_worktree(clone, errand, start.target)
    tree = worktree.tree
    saved, more = await _move(worktree, errand, start)
    return Checkout(
        tree=tree,
        clone=clone,
        wanted=wanted,
        start=start.target,
        remote_head=remote,
        base=base,
        saved=saved,
        notes=(*worktree.notes, *more),
    )


async def _no_base(clone: Git, wanted: Wanted) -> GitFailedError:
    names = (await clone.text("for-each-ref", "--count=10", "--format=%(refname:lstrip=3)", f"{REMOTE_HEADS}/")).split("\n")
    known = clean_text(", ".join(name for name in names if name), 300)
    problem = f"its branches are {known}" if known else "it has no commits yet; push a first commit to it"
    return GitFailedError(f"checking out failed: {wanted.url} has no base branch {wanted.base!r}; {problem}")


async def _choose_start(clone: Git, *, local: str, remote: str, seen_before: str, base: str) -> _Start:
    if not local or local == remote:
        return _Start(target=remote or base)
    if remote:
        if await clone.is_ancestor(remote, local):
            return _Start(target=local)  # unpushed commits of an earlier attempt, on top of what is there
        behind = await clone.is_ancestor(local, remote)
        return _Start(target=remote, superseded="" if behind else local)
    if await clone.is_ancestor(local, base):
        return _Start(target=base)
    if seen_before and await clone.is_ancestor(local, seen_before):
        return _Start(target=base, superseded=local)  # it was pushed, and the remote has deleted it since
    return _Start(target=local)


async def _ensure_worktree(clone: Git, errand: _Errand, target: str) -> _Worktree:
    folder = task_folder(errand.workspace, errand.wanted.task_id)
    tree = clone.at(folder)
    notes: list[str] = []
    if folder.is_symlink() or folder.exists():
        if await _is_worktree(tree, clone) and await _is_readable(tree, notes):
            return _Worktree(tree=tree, notes=tuple(notes))
        notes.append(f"the worktree was unusable and is set aside as {clones.set_aside(folder).name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (clone.folder / "worktrees").is_dir():
        await clone.run("worktree", "prune")
    await clone.run("worktree", "add", "--quiet", "--force", "--detach", str(folder), target)
    return _Worktree(tree=tree, is_new=True, notes=tuple(notes))


async def _is_worktree(tree: Git, clone: Git) -> bool:
    if tree.folder.is_symlink() or not tree.folder.is_dir():
        return False
    asked = await tree.run("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", accept=())
    real = [str(tree.folder.resolve()), str(clone.folder.resolve())]
    return asked.exit_code == 0 and [str(Path(line).resolve()) for line in asked.text.split("\n")] == real


async def _is_readable(tree: Git, notes: list[str]) -> bool:
    if await tree.holds("status", "--porcelain", "--untracked-files=no"):
        return True
    index = Path(await tree.text("rev-parse", "--path-format=absolute", "--git-path", "index"))
    index.unlink(missing_ok=True)
    notes.append("the worktree's index was damaged and has been made anew from its commit")
    return await tree.holds("reset", "--quiet") and await tree.holds("status", "--porcelain", "--untracked-files=no")


async def _move(worktree: _Worktree, errand: _Errand, start: _Start) -> tuple[tuple[Saved, ...], list[str]]:
    """Put the branch and the worktree at `start.target`; what would be lost by it is saved first."""
    tree = worktree.tree
    saved: list[Saved] = []
    notes: list[str] = []
    if start.superseded:
        saved.append(await save_commit(tree, start.superseded, job=errand.job, now=errand.now))
        notes.append(f"commits of an earlier run that the branch has left behind are kept in {saved[-1].ref}")
    if worktree.is_new:  # it stands at the target, and nobody has worked in it
        await _attach(tree, errand.wanted.branch, start.target)
        return tuple(saved), notes
    lonely = await save_unreachable(tree, job=errand.job, now=errand.now)
    if lonely:
        saved.append(lonely)
        notes.append(f"commits of an earlier run that were on no branch are kept in {lonely.ref}")
    why = "Found in the worktree when the next run began."
    changes = await save_changes(tree, job=errand.job, now=errand.now, scratch=errand.scratch, why=why)
    if changes:
        saved.append(changes)
        notes.append(f"uncommitted changes of an earlier run are kept in {changes.ref}")
    if not (errand.wanted.keep_changes and await _stands_at(tree, errand.wanted.branch, start.target)):
        await place(tree, errand.wanted.branch, start.target)
        if changes and errand.wanted.keep_changes:
            notes.append(await _put_back(tree, changes))
    return tuple(saved), notes


async def _stands_at(tree: Git, branch: str, target: str) -> bool:
    at = await tree.run("symbolic-ref", "--quiet", "HEAD", accept=())
    return at.text == f"refs/heads/{branch}" and await tree.commit_of("HEAD") == target


async def place(tree: Git, branch: str, target: str) -> None:
    """Put branch and worktree at `target`. Only after what lies in the worktree and on the branch has been saved."""
    if await _stands_at(tree, branch, target) and not await is_dirty(tree) and not await unfinished(tree):
        return
    if await unfinished(tree) == "rebase":
        await tree.run("rebase", "--quit", accept=())
    await tree.run("checkout", "--quiet", "--force", "--detach", target)
    await tree.run("clean", "--quiet", "--force", "-d", accept=())
    await _attach(tree, branch, target)


async def _attach(tree: Git, branch: str, target: str) -> None:
    await tree.run("update-ref", f"refs/heads/{branch}", target)
    await tree.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")


async def _put_back(tree: Git, changes: Saved) -> str:
    applied = await tree.holds("cherry-pick", "--no-commit", changes.sha)
    if applied:
        await tree.run("reset", "--quiet")
        return "they lie in the worktree again, uncommitted"
    await tree.run("cherry-pick", "--quit", accept=())
    await tree.run("reset", "--quiet", "--hard", "HEAD")
    return "they do not fit on the branch's new head, so they are not in the worktree"


async def unfinished(tree: Git) -> str:
    """`rebase` or `merge` where one has been begun in the worktree and not ended (a cherry-pick counts as merge), else ""."""
    names = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
    asked = ("rev-parse", "--path-format=absolute", *(part for name in names for part in ("--git-path", name)))
    paths = (await tree.text(*asked)).split("\n")
    there = [name for name, path in zip(names, paths, strict=True) if Path(path).exists()]
    if not there:
        return ""
    return "rebase" if there[0].startswith("rebase") else "merge"
