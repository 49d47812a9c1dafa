"""Makes the bare repository and its hooks, and brings the base branch over from the user's repository.

Safe to repeat after a crash at any point: the repository is made beside its place and moved there whole, the hooks are files
replaced whole. The user's repository is only ever read, through `git fetch` of one branch: its working tree, index, stash and
configuration are not touched.
"""

import asyncio
import contextlib
import fcntl
import os
import shlex
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from coderun.forge.local.git import Git
from coderun.forge.texts import branch_ref
from coderun.model.errors import ForgeUnavailableError

REPOSITORY: Final = "repo.git"
DATABASE: Final = "forge.db"
_LOCK_SECONDS: Final = 30.0
_STALE_LOCK_SECONDS: Final = 600.0
_LOOSE_REFS: Final = 500
_LOCK_PAUSES: Final = (0.05, 0.2, 0.5, 1.0)
_SOURCE_REF: Final = "refs/coderun/source/"
_HOOK_PROGRAM: Final = "coderun_hook.py"
_SETTINGS: Final = (
    ("core.hooksPath", "hooks"),  # relative to the repository; wins over the user's global one
    ("core.logAllRefUpdates", "false"),
    ("gc.auto", "0"),  # `tidy` packs, when the forge wants it
    ("receive.autogc", "false"),
    ("transfer.hideRefs", "refs/coderun"),
    ("uploadpack.allowAnySHA1InWant", "true"),
)


class HookPrograms(msgspec.Struct, frozen=True, kw_only=True):
    """What the hooks run.

    Attributes:
        python: An interpreter; only its standard library is needed.
        wake_script: Run as `python -I -S wake_script wake_dir` after each push, None for nobody to wake.
        wake_dir: Where the listeners are.
    """

    python: Path
    wake_script: Path | None = None
    wake_dir: Path | None = None


@contextlib.asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[None]:
    """Hold the lock under which a forge is made, whoever makes it. Raises `ForgeUnavailableError` after 30 s."""
    deadline = time.monotonic() + _LOCK_SECONDS
    with (folder / "init.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ForgeUnavailableError(f"somebody else has been making the forge in {folder} for 30 s") from error
                await asyncio.sleep(0.02)
        yield


async def make_repository(folder: Path, source: Path, hooks: HookPrograms, environment: Mapping[str, str]) -> Git:
    """Make `repo.git` of the user's object format, unless it is there; its hooks are written anew in either case."""
    repository = folder / REPOSITORY
    git = Git(repository, environment)
    await git.check_version()
    object_format = await git.object_format_of(source)
    _remove_drafts(folder)
    if not repository.exists():
        draft = Git(folder / f"{REPOSITORY}.new-{os.getpid()}", environment)
        await draft.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}")
        for name, value in _SETTINGS:
            await draft.run("config", name, value)
        write_hooks(draft.directory, hooks)
        draft.directory.rename(repository)
    else:
        remove_stale_locks(repository, time.time())
        await pack_refs(git)
        write_hooks(repository, hooks)
    return git


def _remove_drafts(folder: Path) -> None:
    for left in folder.glob(f"{REPOSITORY}.new-*"):
        shutil.rmtree(left, ignore_errors=True)


def write_hooks(repository: Path, hooks: HookPrograms) -> None:
    """Put pre-receive, post-receive and the program behind them in place, each file whole."""
    folder = repository / "hooks"
    folder.mkdir(exist_ok=True)
    program = files("coderun.forge.local").joinpath("hook.py").read_text("utf-8")
    python = shlex.quote(str(hooks.python))
    refusal = shlex.quote(f"coderun: {hooks.python} is gone; run coderun once, it puts the hooks right")
    before = f"#!/bin/sh\n[ -x {python} ] || {{ echo {refusal} >&2; exit 1; }}\nexec {python} -I -S hooks/{_HOOK_PROGRAM}\n"
    after = "#!/bin/sh\nexit 0\n"
    if hooks.wake_script is not None and hooks.wake_dir is not None:
        waking = f"{python} -I -S {shlex.quote(str(hooks.wake_script))} {shlex.quote(str(hooks.wake_dir))}"
        after = f"#!/bin/sh\n[ -x {python} ] || exit 0\nexec {waking} </dev/null\n"
    _replace(folder / _HOOK_PROGRAM, program, 0o600)
    _replace(folder / "pre-receive", before, 0o700)
    _replace(folder / "post-receive", after, 0o700)


def _replace(path: Path, text: str, mode: int) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.write_text(text, "utf-8")
    new.chmod(mode)
    new.replace(path)


def remove_stale_locks(repository: Path, now: float) -> None:
    """Remove lock files that a git process killed ten minutes ago or more has left behind; it holds them for milliseconds."""
    refs = (Path(folder, name) for folder, _, names in os.walk(repository / "refs") for name in names if name.endswith(".lock"))
    for lock in (*repository.glob("*.lock"), *refs):
        with contextlib.suppress(FileNotFoundError):
            if now - lock.stat().st_mtime > _STALE_LOCK_SECONDS:
                lock.unlink()


async def pack_refs(git: Git) -> None:
    """Put the refs into one file where there are hundreds of files of them: every look at the branches reads them all."""
    loose = sum(len(names) for _, _, names in os.walk(git.directory / "refs"))
    if loose > _LOOSE_REFS:
        await git.run("pack-refs", "--all")


async def fetch_base(git: Git, source: Path, branch: str) -> str:
    """Copy the commits of the user's base branch; its commit there, "" where the branch has none."""
    ref = branch_ref(branch)
    if not await git.branch_of_source(source, ref):
        return ""
    into = f"{_SOURCE_REF}{branch}"
    await _fetch(git, source, ref, into)
    return (await git.run("rev-parse", "--verify", f"{into}^{{commit}}")).text


async def _fetch(git: Git, source: Path, ref: str, into: str) -> None:
    """Fetch; where another fetch holds the lock of the same ref (perhaps one whose caller was killed), wait for it."""
    for pause in _LOCK_PAUSES:
        try:
            await git.fetch_branch(source, ref, into)
        except ForgeUnavailableError as error:
            if "lock" not in str(error):
                raise
            await asyncio.sleep(pause)
        else:
            return
    await git.fetch_branch(source, ref, into)


async def point_head(git: Git, branch: str) -> None:
    """Let a clone of the forge check out the base branch."""
    await git.run("symbolic-ref", "HEAD", branch_ref(branch))
