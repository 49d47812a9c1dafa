"""Where things are: the repository around a folder, its state folder, its base branch.

Asks git and the environment that is handed in; changes nothing and makes no folder. Names that come from git are data, never
options.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.config import is_branch_name
from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost
from coderun.model.repository import host_of, parse_repository
from coderun.model.text import did_you_mean, listed, printable, storable

STATE_VARIABLE: Final = "CODERUN_STATE"
_HASH_LENGTH: Final = 16
_GIT_TIMEOUT: Final = 20.0
_FETCHED: Final = "refs/remotes/origin/"
_MISLEADING: Final = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What git said."""

    code: int
    out: str
    error: str


class BaseBranch(msgspec.Struct, frozen=True, kw_only=True):
    """The branch that work is merged into.

    Attributes:
        ref: Full name of the ref that stands for it here: the local branch, else the remote-tracking one.
        source: Where the name is from, for people.
    """

    name: str
    ref: str
    commit: str
    source: str


def ask_git(cwd: Path, *arguments: str, environ: Mapping[str, str]) -> Answer:
    """Run git in `cwd` and wait for its answer; it never asks back. `GIT_DIR` and its like are left out: `cwd` says where.

    Raises:
        ConfigError: git is not on the PATH, the folder is gone, or git does not answer.
    """
    kept = {name: value for name, value in environ.items() if name not in _MISLEADING}
    kept |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        if not cwd.is_dir():
            raise ConfigError(f"{printable(str(cwd), 200)} is no folder; name one inside a git repository") from error
        raise ConfigError("git is not on the PATH; install git 2.38 or newer") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"git {arguments[0]} in {printable(str(cwd), 200)} failed: {printable(str(error), 200)}") from error
    return Answer(code=done.returncode, out=os.fsdecode(done.stdout), error=done.stderr.decode("utf-8", "replace"))


def find_repository(cwd: Path, *, environ: Mapping[str, str]) -> Path:
    """Root of the working tree that `cwd` is in.

    Raises:
        ConfigError: there is none: no repository, a bare one, the inside of a `.git` folder, or one git does not trust; or its
            path is no text.
    """
    answer = ask_git(cwd, "rev-parse", "--is-bare-repository", "--is-inside-git-dir", "--show-toplevel", environ=environ)
    shown = printable(str(cwd), 200)
    if answer.code == 0:
        return _as_text(Path(answer.out.split("\n", 2)[2].removesuffix("\n")).resolve(), "rename the folder")
    if answer.out.startswith("true\n"):
        raise ConfigError(f"{shown} is a bare repository, without files to work on; clone it and go into the clone")
    if answer.out.startswith("false\ntrue"):
        raise ConfigError(f"{shown} is inside a .git folder; go to the root of the repository")
    said = printable(answer.error.removeprefix("fatal: "), 300)
    if "not a git repository" in answer.error:
        raise ConfigError(f"{shown} is not in a git repository; go into one, or make one with `git init` and commit first")
    raise ConfigError(f"git does not open the repository at {shown}: {said}")


def find_state_folder(repository: Path, *, environ: Mapping[str, str], home: Path) -> Path:
    """The folder of all that this program keeps for a repository; it may not exist yet.

    `$CODERUN_STATE` where that is set, else `$XDG_STATE_HOME/coderun/` (`~/.local/state/coderun/`) and a hash of the root's
    path.

    Raises:
        ConfigError: `$CODERUN_STATE` is a relative path, or the folder's path is no text.
    """
    chosen = environ.get(STATE_VARIABLE, "")
    if chosen:
        folder = Path(chosen)
        if not folder.is_absolute():
            raise ConfigError(
                f"{STATE_VARIABLE} is {printable(chosen, 200)!r}, a relative path; set it to an absolute one, or not at all"
            )
        return _as_text(folder, f"set {STATE_VARIABLE} to another one")
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the XDG specification asks to ignore relative paths
        base = home / ".local" / "state"
    folder = base / "coderun" / hashlib.sha256(os.fsencode(repository.resolve())).hexdigest()[:_HASH_LENGTH]
    return _as_text(folder, f"set {STATE_VARIABLE} to another one")


def _as_text(path: Path, advice: str) -> Path:
    """`path`, which objects, logs and other programs get as text: bytes that are no UTF-8 would not come through."""
    if storable(str(path)) != str(path):
        raise ConfigError(f"the path {printable(str(path), 200)!r} has bytes in it that are not UTF-8; {advice}")
    return path


def find_base_branch(repository: Path, *, configured: str = "", environ: Mapping[str, str]) -> BaseBranch:
    """The branch to merge into: the configured one, else the remote's default branch, else the one checked out.

    Raises:
        ConfigError: it does not exist, has no commits, or nothing says which it is (detached HEAD).
    """
    if configured:
        return _configured_branch(repository, configured, environ)
    remote = ask_git(repository, "symbolic-ref", "--quiet", f"{_FETCHED}HEAD", environ=environ)
    if remote.code == 0:
        found = _resolve(repository, remote.out.strip().removeprefix(_FETCHED), "origin/HEAD", environ)
        if found is not None:
            return found
    return _current_branch(repository, environ)


def find_github_repository(repository: Path, configured: str, host: GitHubHost, *, environ: Mapping[str, str]) -> str:
    """`owner/name` on GitHub: what is configured, else what the remote `origin` says, spelt as there.

    Raises:
        ConfigError: nothing says which, or it is on another host.
    """
    text = configured
    if not text:
        answer = ask_git(repository, "remote", "get-url", "origin", environ=environ)
        text = answer.out.strip() if answer.code == 0 else ""
    if not text:
        raise ConfigError("nothing says which repository on GitHub this is: set forge.repository, or a remote called origin")
    found = parse_repository(text)
    wanted = host_of(host.web)
    is_slug = configured.count("/") == 1 and "://" not in configured and "@" not in configured
    if found.is_local or (found.host != wanted and not is_slug):
        source = "forge.repository" if configured else "the remote origin"
        raise ConfigError(
            f"{source} is {printable(str(found), 200)}, which is not on {wanted}; set forge.repository to owner/name, "
            "and forge.url for a server of your own"
        )
    path = re.sub(r"\.git/*\Z", "", text.rstrip("/"), flags=re.IGNORECASE).replace(":", "/").rsplit("/", 2)
    return "/".join(path[-2:])


def _configured_branch(repository: Path, name: str, environ: Mapping[str, str]) -> BaseBranch:
    found = _resolve(repository, name, "baseBranch", environ)
    if found is not None:
        return found
    listing = ask_git(repository, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/", environ=environ)
    known = listing.out.split()
    if not known:
        raise ConfigError(f"base branch {printable(name, 80)!r}: {_no_commits(repository)}")
    raise ConfigError(
        f"there is no base branch {printable(name, 80)!r}{did_you_mean(name, known)} (branches: {listed(known)}); "
        "correct baseBranch, or create that branch"
    )


def _current_branch(repository: Path, environ: Mapping[str, str]) -> BaseBranch:
    head = ask_git(repository, "symbolic-ref", "--quiet", "HEAD", environ=environ)
    if head.code != 0:
        raise ConfigError(
            f"{printable(str(repository), 200)} is at a detached HEAD, so nothing says which branch to merge into; "
            "set baseBranch in coderun.yaml, or check out a branch"
        )
    name = head.out.strip().removeprefix("refs/heads/")
    found = _resolve(repository, name, "the current branch", environ)
    if found is None:
        raise ConfigError(f"branch {printable(name, 80)!r}: {_no_commits(repository)}")
    return found


def _no_commits(repository: Path) -> str:
    return f"{printable(str(repository), 200)} has no commits yet; commit first (`git add . && git commit`)"


def _resolve(repository: Path, name: str, source: str, environ: Mapping[str, str]) -> BaseBranch | None:
    if not is_branch_name(name):
        return None
    for ref in (f"refs/heads/{name}", f"{_FETCHED}{name}"):
        found = ask_git(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", environ=environ
        )
        if found.code == 0:
            return BaseBranch(name=name, ref=ref, commit=found.out.strip(), source=source)
    return None
