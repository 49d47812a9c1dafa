"""The checks of the local forge: the commands of `coderun.yaml`, run on every new head of an open pull request.

What to run comes from the user's own configuration, never from the pull request's branch; where it runs is a fresh worktree of
the head. A check that was cut off has no result and is run again.
"""

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from coderun.agent.program import EndedBy, ProgramEnd, run_program
from coderun.model.errors import ForgeUnavailableError
from coderun.model.pulls import Check, CheckState, PullRequest, PullState
from coderun.reconcile.result import NOT_AGAIN, Again

SUMMARY_LINES = 30
SUMMARY_CHARACTERS = 4000
_log = structlog.get_logger(__name__)


class CheckCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A check: its name, and the argument list to run. `timeout` in seconds."""

    name: str
    argv: tuple[str, ...]
    required: bool = True
    timeout: float = 900.0


class CheckForge(Protocol):
    """What is needed of a forge."""

    async def get_pull_request(self, number: int) -> PullRequest | None:
        """As in `forge.protocol`."""
        ...

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        """As in `forge.protocol`."""
        ...

    async def set_checks(self, head_sha: str, checks: Iterable[Check]) -> None:
        """As in `forge.protocol`."""
        ...


class LocalChecks:
    """Runs what a head still lacks. `environment` is all that a command sees, beside HOME and TMPDIR of its own."""

    def __init__(
        self,
        *,
        forge: CheckForge,
        commands: tuple[CheckCommand, ...],
        git_dir: Path,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._forge = forge
        self._commands = commands
        self._git_dir = git_dir
        self._folder = folder
        self._environment = environment

    async def unchecked(self) -> list[str]:
        """Numbers of open pull requests whose head lacks a check."""
        if not self._commands:
            return []
        pulls = await self._forge.list_pull_requests(PullState.OPEN)
        return [str(pull.number) for pull in pulls if self._missing(pull)]

    async def reconcile(self, name: str) -> Again:
        """Run the checks that the head of pull request `name` lacks."""
        if not self._commands:
            return NOT_AGAIN
        pull = await self._forge.get_pull_request(int(name)) if name.isdecimal() else None
        if pull is None or pull.state is not PullState.OPEN:
            return NOT_AGAIN
        missing = self._missing(pull)
        if not missing:
            return NOT_AGAIN
        folder = self._folder / f"{pull.number}-{pull.head_sha[:12]}"
        try:
            await self._check_out(folder, pull.head_sha)
            for command in missing:
                check = await self._run(command, folder)
                await self._forge.set_checks(pull.head_sha, [check])
                _log.info("check ran", check=command.name, pull_request=pull.number, state=check.state.value)
        finally:
            await self._remove(folder)
        # The head may have moved meanwhile.
        return Again(after=0.0)

    def _missing(self, pull: PullRequest) -> list[CheckCommand]:
        known = {check.name for check in pull.checks.items if check.state is not CheckState.PENDING}
        return [command for command in self._commands if command.name not in known]

    async def _check_out(self, folder: Path, sha: str) -> None:
        await self._remove(folder)
        folder.mkdir(parents=True)
        (folder / "tmp").mkdir()
        (folder / "home").mkdir()
        await self._git("worktree", "add", "--quiet", "--force", "--detach", str(folder / "tree"), sha)

    async def _remove(self, folder: Path) -> None:
        if folder.exists():
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            with contextlib.suppress(ForgeUnavailableError):
                await self._git("worktree", "prune")

    async def _git(self, *arguments: str) -> None:
        lines: deque[str] = deque(maxlen=5)
        argv = ["git", f"--git-dir={self._git_dir}", "-c", "core.hooksPath=/dev/null", *arguments]
        end = await run_program(
            argv, cwd=self._folder, env=dict(self._environment), on_line=lambda _, line: lines.append(_text(line))
        )
        if not end.succeeded:
            raise ForgeUnavailableError(f"checks: git {arguments[0]} {arguments[1]} failed: {' '.join(lines)}", retry_after=5.0)

    async def _run(self, command: CheckCommand, folder: Path) -> Check:
        lines: deque[str] = deque(maxlen=SUMMARY_LINES)
        end = await run_program(
            list(command.argv),
            cwd=folder / "tree",
            env={**self._environment, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "CI": "true"},
            on_line=lambda _, line: lines.append(_text(line)),
            timeout=command.timeout,
            grace=5.0,
        )
        state = CheckState.PASSED if end.succeeded else CheckState.FAILED
        summary = "\n".join([*lines, *_ending(end)])[-SUMMARY_CHARACTERS:]
        return Check(name=command.name, state=state, required=command.required, summary=summary)


def _ending(end: ProgramEnd) -> list[str]:
    return [] if end.succeeded or (end.ended_by is EndedBy.EXIT and end.exit_code is not None) else [end.message]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
