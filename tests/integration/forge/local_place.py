"""A user's repository with a local forge beside it, and git clients that push to it as agents and as the person."""

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coderun.forge.local import BaseSync, ForgeSettings, LocalForge

GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def git(folder: Path, *arguments: str, env: Mapping[str, str] = {}, stdin: str = "") -> str:
    """Run git in a folder; its output."""
    done = run_git(folder, *arguments, env=env, stdin=stdin)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.strip()


def run_git(folder: Path, *arguments: str, env: Mapping[str, str] = {}, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run git in a folder; how it ended."""
    environment = {**GIT_ENVIRONMENT, **env}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def make_user_repository(folder: Path, *, branch: str = "main", object_format: str = "sha1") -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", branch, f"--object-format={object_format}")
    (folder / "README.md").write_text("hello\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


class LocalPlace:
    """Implements `ForgePlace` of the contract."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = make_user_repository(root / "user repo")
        self.folder = root / "state dir's" / "forge"
        self.base_branch = "main"
        self.clock = Clock()
        self.changes = 0
        self.settings = ForgeSettings(person="ada", person_name="Ada L", person_email="ada@example.com")
        self._forges: dict[str, LocalForge] = {}
        self._clones = 0

    @property
    def bare(self) -> Path:
        return self.folder / "repo.git"

    async def init(self, *, wake_script: Path | None = None, wake_dir: Path | None = None) -> BaseSync:
        return await LocalForge.init(
            self.folder,
            source_repository=self.user,
            base_branch=self.base_branch,
            hook_python=Path(sys.executable),
            wake_script=wake_script,
            wake_dir=wake_dir,
            settings=self.settings,
            clock=self.clock,
        )

    async def prepare_agents(self, *names: str) -> None:
        person = self.person()
        for name in names:
            token = await person.issue_token(f"{name}[bot]", run=f"run-{name}")
            path = self.token_file(name)
            path.write_text(token)
            path.chmod(0o600)

    def token_file(self, name: str) -> Path:
        return self.root / f"token-{name}"

    def environment(self, by: str) -> dict[str, str]:
        return {"CODERUN_FORGE_TOKEN_FILE": str(self.token_file(by))} if by else {}

    def person(self) -> LocalForge:
        return self._open("")

    def agent(self, name: str) -> LocalForge:
        return self._open(name)

    def _open(self, name: str) -> LocalForge:
        if name not in self._forges:
            self._forges[name] = self.open(name)
        return self._forges[name]

    def open(self, name: str = "") -> LocalForge:
        """A forge object of its own, as another process would have one."""
        token = self.token_file(name).read_text() if name else None
        return LocalForge.open(self.folder, token=token, clock=self.clock, on_change=self._count)

    def _count(self) -> None:
        self.changes += 1

    def clone(self) -> Path:
        self._clones += 1
        target = self.root / f"clone-{self._clones}"
        git(self.root, "clone", "-q", str(self.bare), str(target))
        return target

    def commit(self, branch: str, files: Mapping[str, str], *, start: str = "", message: str = "work") -> Path:
        """A clone whose HEAD is a new commit on top of the branch, not pushed."""
        clone = self.clone()
        known = run_git(clone, "rev-parse", "--verify", "-q", f"refs/remotes/origin/{branch}")
        start = start or (
            f"refs/remotes/origin/{branch}" if known.returncode == 0 else f"refs/remotes/origin/{self.base_branch}"
        )
        git(clone, "checkout", "-q", "--detach", start)
        for name, text in files.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if files:
            git(clone, "add", "-A", "-f")
            git(clone, "commit", "-q", "--allow-empty", "-m", f"{message} on {branch}")
        return clone

    def push(
        self,
        branch: str,
        files: Mapping[str, str],
        *,
        by: str = "",
        start: str = "",
        force: bool = False,
        message: str = "work",
    ) -> str:
        clone = self.commit(branch, files, start=start, message=message)
        sign = "+" if force else ""
        git(clone, "push", "-q", "origin", f"{sign}HEAD:refs/heads/{branch}", env=self.environment(by))
        return git(clone, "rev-parse", "HEAD")

    def try_push(self, clone: Path, *refspecs: str, by: str = "") -> subprocess.CompletedProcess[str]:
        return run_git(clone, "push", "origin", *refspecs, env=self.environment(by))

    def delete_branch(self, branch: str) -> None:
        git(self.clone(), "push", "-q", "origin", f":refs/heads/{branch}")

    def base_files(self) -> dict[str, str]:
        names = git(self.bare, "ls-tree", "-r", "--name-only", self.base_branch).split("\n")
        return {name: git(self.bare, "show", f"{self.base_branch}:{name}") + "\n" for name in names}

    def close(self) -> None:
        for forge in self._forges.values():
            forge.close()


async def make_place(root: Path, *agents: str) -> LocalPlace:
    """A forge that is ready, with tokens for these agents."""
    place = LocalPlace(root)
    await place.init()
    await place.prepare_agents(*agents)
    return place
