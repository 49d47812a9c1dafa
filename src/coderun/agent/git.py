"""Git as the runner itself calls it: argument lists, a bare environment, no hooks, no prompts, no user's settings.

What the agent does with git is its own business; these are the calls before and after it. Nothing here decides anything.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from coderun.agent.result import RunCancelledError, RunFailedError, clean_text
from coderun.agent.stop import StopSignal
from coderun.plan.order import AgentIdentity

_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "commit.gpgSign=false",
    "credential.helper=",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
)
_MESSAGE_LIMIT: Final = 600


class GitResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a git command ended; `output` is its stdout as bytes, `errors` its stderr as text."""

    exit_code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """The output as text, without the line end; names git cannot vouch for keep their odd bytes as surrogates."""
        return self.output.decode("utf-8", "surrogateescape").rstrip("\n")


class GitFailedError(RunFailedError):
    """A git command did not do what was asked of it."""

    def __init__(self, message: str) -> None:
        super().__init__("GitFailed", message)


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """Runs git in one folder (of a repository or a worktree); `settings` (`name=value`) go before all that git finds itself."""

    folder: Path
    env: dict[str, str]
    settings: tuple[str, ...] = ()

    def at(self, folder: Path) -> Self:
        """The same git, in another folder."""
        return type(self)(folder=folder, env=self.env, settings=self.settings)

    async def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        feed: bytes | None = None,
        stop: StopSignal | None = None,
        accept: tuple[int, ...] = (0,),
    ) -> GitResult:
        """Run it.

        Args:
            *arguments: What comes after `git`.
            env: Further variables.
            feed: What it reads on stdin; nothing by default.
            stop: Kills it and raises `RunCancelledError` when set.
            accept: Exit codes that are answers, not failures; empty takes every one.

        Raises:
            GitFailedError: another exit code, or git could not be started.
        """
        result = await self._run(arguments, {**self.env, **(env or {})}, feed, stop)
        if accept and result.exit_code not in accept:
            said = clean_text(result.errors or result.text, _MESSAGE_LIMIT) or f"exit code {result.exit_code}"
            raise GitFailedError(f"git {_words(arguments)} in {self.folder} failed: {said}")
        return result

    async def text(self, *arguments: str) -> str:
        """What `git *arguments` prints. Raises as `run`."""
        return (await self.run(*arguments)).text

    async def holds(self, *arguments: str) -> bool:
        """Whether `git *arguments` ends with 0."""
        return (await self.run(*arguments, accept=())).exit_code == 0

    async def commit_of(self, revision: str) -> str:
        """Full id of the commit `revision` names, "" where there is none."""
        found = await self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", accept=())
        return found.text if found.exit_code == 0 else ""

    async def commits_of(self, *references: str) -> tuple[str, ...]:
        """The same for several full names of refs, by one process."""
        asked = "".join(f"{reference}^{{commit}}\n" for reference in references)
        found = await self.run("cat-file", "--batch-check=%(objecttype) %(objectname)", feed=asked.encode(), accept=())
        answers = (line.partition(" ") for line in found.text.split("\n"))
        commits = [name if kind == "commit" else "" for kind, _, name in answers]
        return (*commits, *[""] * len(references))[: len(references)]

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`."""
        return await self.holds("merge-base", "--is-ancestor", older, newer)

    async def _run(
        self, arguments: tuple[str, ...], env: Mapping[str, str], feed: bytes | None, stop: StopSignal | None
    ) -> GitResult:
        settings = [part for setting in (*_SETTINGS, *self.settings) for part in ("-c", setting)]
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *settings,
                *arguments,
                cwd=self.folder,
                env=env,
                stdin=asyncio.subprocess.DEVNULL if feed is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                process_group=0,
            )
        except (OSError, ValueError) as error:
            raise GitFailedError(f"git {_words(arguments)} could not be started in {self.folder}: {error}") from error
        output, errors = await _finish(process, feed, stop)
        return GitResult(exit_code=process.returncode or 0, output=output, errors=errors.decode("utf-8", "replace"))


def git_environment(inherited: Mapping[str, str], agent: AgentIdentity, *, home: Path, token: Path) -> dict[str, str]:
    """The variables our own git commands see: who commits, where the forge token lies, and nothing of the user's settings."""
    kept = {name: value for name, value in inherited.items() if name in {"PATH", "TZ"}}
    return {
        **kept,
        **identity_variables(agent),
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ADVICE": "0",
        "GIT_EDITOR": "true",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "CODERUN_FORGE_TOKEN_FILE": str(token),
    }


def identity_variables(agent: AgentIdentity) -> dict[str, str]:
    """The variables that make commits the agent's."""
    return {
        "GIT_AUTHOR_NAME": agent.name,
        "GIT_AUTHOR_EMAIL": agent.email,
        "GIT_COMMITTER_NAME": agent.name,
        "GIT_COMMITTER_EMAIL": agent.email,
    }


async def _finish(process: asyncio.subprocess.Process, feed: bytes | None, stop: StopSignal | None) -> tuple[bytes, bytes]:
    talk = asyncio.ensure_future(process.communicate(feed))
    stopped = asyncio.ensure_future(stop.wait()) if stop is not None else None
    try:
        if stopped is not None:
            await asyncio.wait({talk, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not talk.done():
                _kill(process)
                await talk
                raise RunCancelledError(f"stopped while git was at work: {stop.reason if stop else ''}")
        return await talk
    finally:
        if stopped is not None:
            stopped.cancel()
        if process.returncode is None:
            _kill(process)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _words(arguments: tuple[str, ...]) -> str:
    return clean_text(" ".join(arguments[:4]), 200)
