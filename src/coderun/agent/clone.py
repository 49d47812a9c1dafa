"""The one clone of a workspace: made whole or not at all, repaired where a killed git left locks, set aside when damaged.

The clone is bare; every task has a worktree of its own beside it (`checkout`). Nothing that was ever in a workspace is deleted
here: what cannot be used is renamed.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from coderun.agent.git import Git
from coderun.agent.stop import StopSignal

FOLDER: Final = "repo"
REMOTE_HEADS: Final = "refs/remotes/origin"
_NOBODYS_BRANCH: Final = "coderun/none"
_JUNK: Final = (
    "# What nobody means to commit. A repository's own .gitignore adds to it; `git add --force` goes past both.",
    "__pycache__/",
    "*.pyc",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".venv/",
    "node_modules/",
    ".DS_Store",
    ".env",
    ".env.local",
    ".env.*.local",
    "id_rsa",
    "id_ed25519",
    "/.claude/settings.local.json",
)
_CONFIG: Final = f"""\
[remote "origin"]
\tfetch = +refs/heads/*:{REMOTE_HEADS}/*
[gc]
\tautoDetach = false
[maintenance]
\tautoDetach = false
"""
_OBJECT_FOLDER_LENGTH: Final = 2
_SHA256_LENGTH: Final = 64


async def ensure_clone(git: Git, workspace: Path, url: str, *, stop: StopSignal | None = None) -> Git:
    """The workspace's clone, ready to fetch from `url` into. A folder that is no repository is set aside first."""
    folder = workspace / FOLDER
    clear_stale_locks(folder)
    if os.path.lexists(folder) and not await _is_repository(git.at(folder)):
        set_aside(folder)
    if not folder.exists():
        await _create(git.at(workspace), folder, await _object_format(git.at(workspace), url, stop))
    clone = git.at(folder)
    await clone.run("config", "--replace-all", "remote.origin.url", url)
    return clone


async def fetch(clone: Git, url: str, *, stop: StopSignal | None = None) -> None:
    """Bring `refs/remotes/origin/` up to date with all branches of `url`. Raises `GitFailedError`."""
    heads = f"+refs/heads/*:{REMOTE_HEADS}/*"
    # A forge of a shallow repository is shallow itself: git passes its branches over in silence where this is not said.
    options = ("--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--update-shallow")
    await clone.run("fetch", *options, "--", url, heads, stop=stop)


async def is_damaged(clone: Git) -> bool:
    """Whether the clone has lost or broken objects or refs. Looks at everything: only for when something went wrong."""
    if not await _is_repository(clone):
        return True
    checked = await clone.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress", accept=())
    return checked.exit_code != 0


def set_aside(folder: Path) -> Path:
    """Rename `folder` to the first free `<name>.broken-<n>` and give that back."""
    number = 1
    while os.path.lexists(target := folder.with_name(f"{folder.name}.broken-{number}")):
        number += 1
    folder.rename(target)
    return target


def clear_stale_locks(repository: Path) -> list[Path]:
    """Remove the lock files that a killed git left in a repository and its worktrees' metadata; which they were.

    Only for who holds the workspace: no other git is at work then. A ref cannot end in `.lock`, so these are all locks.
    """
    removed: list[Path] = []
    for folder, below, files in os.walk(repository):
        below[:] = [name for name in below if not (folder.endswith("objects") and len(name) == _OBJECT_FOLDER_LENGTH)]
        for name in files:
            if name.endswith(".lock"):
                lock = Path(folder, name)
                lock.unlink(missing_ok=True)
                removed.append(lock)
    return removed


async def _is_repository(clone: Git) -> bool:
    if clone.folder.is_symlink() or not clone.folder.is_dir():
        return False
    asked = await clone.run("rev-parse", "--path-format=absolute", "--is-bare-repository", "--git-common-dir", accept=())
    bare, _, found = asked.text.partition("\n")
    return asked.exit_code == 0 and bare == "true" and Path(found).resolve() == clone.folder.resolve()


async def _object_format(git: Git, url: str, stop: StopSignal | None) -> str:
    heads = await git.run("ls-remote", "--heads", "--", url, stop=stop, accept=())  # where this fails the fetch will say why
    return "sha256" if len(heads.text.partition("\t")[0]) == _SHA256_LENGTH else "sha1"


async def _create(git: Git, folder: Path, object_format: str) -> None:
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # never used yet: it gets its name only when it is whole
    kind = (f"--object-format={object_format}", f"--initial-branch={_NOBODYS_BRANCH}")
    await git.run("init", "--quiet", "--bare", "--template=", *kind, "--", str(fresh))
    with (fresh / "config").open("a", encoding="utf-8") as config:
        config.write(_CONFIG)
    (fresh / "info").mkdir(exist_ok=True)
    (fresh / "info" / "exclude").write_text("\n".join(_JUNK) + "\n", encoding="utf-8")
    fresh.rename(folder)
