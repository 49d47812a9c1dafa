"""Keeping work: what lies uncommitted or unreachable in a worktree becomes a commit under `refs/coderun/saved/`.

Neither the worktree nor its index is touched by it. Every step that is about to move a branch or clean a tree comes here first.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from coderun.agent.git import Git

SAVED: Final = "refs/coderun/saved"


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Work that was put aside: the ref that holds it, and its commit."""

    ref: str
    sha: str


async def is_dirty(tree: Git) -> bool:
    """Whether the worktree holds changes or files that are neither committed nor ignored."""
    return bool((await tree.run("status", "--porcelain=v1", "-z", "--untracked-files=normal")).output)


async def save_changes(tree: Git, *, job: str, now: datetime, scratch: Path, why: str) -> Saved | None:
    """Commit all uncommitted, not ignored content on top of HEAD under a saved ref; None where there is nothing.

    A second index in `scratch` takes it in, so a half-done merge or rebase stays as it is.
    """
    if not await is_dirty(tree):
        return None
    commit = await snapshot(tree, scratch=scratch, message=f"Keep uncommitted work of {job}\n\n{why}\n")
    return await save_commit(tree, commit, job=job, now=now)


async def snapshot(tree: Git, *, scratch: Path, message: str) -> str:
    """A commit of the whole content of the worktree on top of HEAD; no ref, no index and no file is changed."""
    scratch.mkdir(parents=True, exist_ok=True)
    index = scratch / "snapshot.index"
    index.unlink(missing_ok=True)
    own_index = {"GIT_INDEX_FILE": str(index)}
    head = await tree.commit_of("HEAD")
    if head:
        await tree.run("read-tree", head, env=own_index)
    await tree.run("add", "--all", "--", ".", env=own_index)
    content = (await tree.run("write-tree", env=own_index)).text
    parents = ("-p", head) if head else ()
    made = await tree.run("commit-tree", content, *parents, "-F", "-", feed=message.encode("utf-8", "replace"))
    index.unlink(missing_ok=True)
    return made.text


async def save_commit(git: Git, commit: str, *, job: str, now: datetime) -> Saved:
    """Hold `commit` by a saved ref of its own; one that a saved ref holds already is not held twice."""
    held = await git.run("for-each-ref", "--count=1", "--format=%(refname)", f"--points-at={commit}", SAVED)
    if held.text:
        return Saved(ref=held.text, sha=commit)
    stem = f"{SAVED}/{now.strftime('%Y%m%dT%H%M%SZ')}-{job}"
    for number in range(1, 1000):
        ref = stem if number == 1 else f"{stem}-{number}"
        if await git.holds("update-ref", ref, commit, "0" * len(commit)):
            return Saved(ref=ref, sha=commit)
    raise AssertionError(f"a thousand saved refs of one second: {stem}")


async def save_unreachable(tree: Git, *, job: str, now: datetime) -> Saved | None:
    """Hold HEAD by a saved ref where no branch, tag or other saved ref does; None where one does."""
    head = await tree.commit_of("HEAD")
    if not head:
        return None
    known = ("--branches", "--tags", "--remotes", f"--glob={SAVED}/*")
    lonely = await tree.run("rev-list", "--max-count=1", head, "--not", *known)
    return await save_commit(tree, head, job=job, now=now) if lonely.text else None
