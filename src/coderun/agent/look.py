"""A look at a worktree: where it stands, and what is neither committed nor ignored in it, by one git process.

Between the steps of a run that must know what an agent left, and git. Changes nothing and decides nothing.
"""

from typing import Final

import msgspec

from coderun.agent.git import Git

_DETACHED: Final = "(detached)"
_FIELDS_BEFORE_PATH: Final = 10


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A worktree as it stands.

    Attributes:
        head: Its commit, "" where there is none yet.
        branch: The branch it is on, "" where it is on none.
        is_dirty: Whether it holds changes or files that are neither committed nor ignored.
        conflicts: Paths of a merge that are not resolved, as git tells them.
    """

    head: str = ""
    branch: str = ""
    is_dirty: bool = False
    conflicts: tuple[str, ...] = ()


async def look_at(tree: Git) -> Look:
    """Look. Raises `GitFailedError`."""
    said = await tree.run(
        "status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--no-renames", "-z", "--untracked-files=normal"
    )
    return read_status(said.text)


def read_status(text: str) -> Look:
    """What `git status --porcelain=v2 --branch -z` said (git-status(1), "Porcelain Format Version 2")."""
    entries = [entry for entry in text.split("\0") if entry]
    headers = dict(entry[2:].split(" ", 1) for entry in entries if entry.startswith("# branch."))
    head, branch = headers.get("branch.oid", ""), headers.get("branch.head", "")
    unmerged = (entry.split(" ", _FIELDS_BEFORE_PATH) for entry in entries if entry.startswith("u "))
    return Look(
        head="" if head.startswith("(") else head,
        branch="" if branch == _DETACHED else branch,
        is_dirty=any(not entry.startswith("# ") for entry in entries),
        conflicts=tuple(fields[_FIELDS_BEFORE_PATH] for fields in unmerged if len(fields) > _FIELDS_BEFORE_PATH),
    )
