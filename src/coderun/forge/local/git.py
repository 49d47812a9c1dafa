"""Runs git on one bare repository, and gives its answers as values.

The only module of this room that starts processes. Every call passes an argument list; the environment is swept of GIT_*, of
the user's and the system's configuration, of prompts, hooks, filters, text conversions and external diffs: nothing that a
repository holds is ever executed. Object ids handed in must come from git or from `is_object_id`.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from coderun.forge.texts import one_line
from coderun.model.errors import ConfigError, ForgeUnavailableError

OLDEST: Final = (2, 38)
_TIMEOUT: Final = 120.0
_CHUNK: Final = 1 << 16
_OBJECT_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_VERSION = re.compile(r"git version (\d+)\.(\d+)")
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT")
_DIFF_OPTIONS = ("--no-ext-diff", "--no-textconv", "--no-color")


class GitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a git process left: exit code, output (cut at the limit asked for), what it said on stderr."""

    code: int
    out: bytes
    error: str
    cut: bool = False

    @property
    def text(self) -> str:
        """Output as text, without the final line break."""
        return self.out.decode("utf-8", "replace").rstrip("\n")


class MergeTree(msgspec.Struct, frozen=True, kw_only=True):
    """A merge tried without a working tree: the tree it gives, or the paths in conflict (`unrelated`: no common ancestor)."""

    tree: str = ""
    conflicts: tuple[str, ...] = ()
    unrelated: bool = False


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Name and address in a commit."""

    name: str
    email: str


def is_object_id(text: str) -> bool:
    """Whether `text` is a full object id (SHA-1 or SHA-256)."""
    return _OBJECT_ID.fullmatch(text) is not None


def clean_environment(environment: Mapping[str, str], *, users: bool = False) -> dict[str, str]:
    """What git is started with.

    `users` keeps the user's own configuration: needed where git looks at a repository of theirs, which their `safe.directory`
    may have to allow.
    """
    kept = {name: environment[name] for name in _KEPT_VARIABLES if name in environment}
    if users:
        kept |= {name: environment[name] for name in ("XDG_CONFIG_HOME",) if name in environment}
    else:
        kept |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    return kept | {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_DEFAULT_REF_FORMAT": "files",
    }


class Git:
    """Git on the bare repository `directory`."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self._environment = environment

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        fine: Sequence[int] = (0,),
        limit: int | None = None,
        extra: Mapping[str, str] = {},
    ) -> GitAnswer:
        """Run git on the repository and give its answer.

        Reads at most `limit` bytes of output; what would come after is not waited for.

        Raises:
            ForgeUnavailableError: an exit code not among `fine`, no git, or no answer within two minutes.
        """
        command = (
            "git",
            f"--git-dir={self.directory}",
            "--literal-pathspecs",
            "-c",
            f"core.hooksPath={os.devnull}",
            *arguments,
        )
        return await self._start(
            command, {**clean_environment(self._environment), **extra}, stdin=stdin, fine=fine, limit=limit
        )

    async def run_for_user(self, *arguments: str, fine: Sequence[int] = (0,)) -> GitAnswer:
        """Run git with the user's own configuration, away from the forge's repository (which `arguments` may name)."""
        command = ("git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", *arguments)
        return await self._start(command, clean_environment(self._environment, users=True), fine=fine)

    async def _start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: bytes = b"",
        fine: Sequence[int] = (0,),
        limit: int | None = None,
    ) -> GitAnswer:
        shown = one_line(" ".join(part for part in command if not part.startswith(("--git-dir", "core.", "-c"))), 200)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment),
            )
        except FileNotFoundError as error:
            raise ConfigError("git was not found on PATH; install git 2.38 or newer") from error
        except OSError as error:
            raise ForgeUnavailableError(f"{shown} could not be started: {error.strerror}") from error
        try:
            # Not wait_for: in Python 3.11 it loses a cancellation that arrives together with the answer.
            async with asyncio.timeout(_TIMEOUT):
                answer = await _converse(process, stdin, limit)
        except TimeoutError as error:
            raise ForgeUnavailableError(f"{shown} in {self.directory} gave no answer within {_TIMEOUT:.0f} s") from error
        finally:
            await _end(process)
        if answer.code not in fine and not answer.cut:
            raise ForgeUnavailableError(f"{shown} in {self.directory} failed with exit code {answer.code}: {answer.error}")
        return answer

    async def check_version(self) -> None:
        """Raises `ConfigError` where git is too old to merge without a working tree."""
        text = (await self._start(("git", "version"), clean_environment(self._environment))).text
        found = _VERSION.match(text)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            raise ConfigError(f"the local forge needs git 2.38 or newer, found {one_line(text, 80)!r}; install a newer git")

    async def object_format_of(self, source: Path) -> str:
        """`sha1` or `sha256`, as the user's repository has it. Raises `ConfigError` where `source` is no git repository."""
        answer = await self.run_for_user("-C", str(source), "rev-parse", "--show-object-format", fine=(0, 128))
        if answer.code:
            raise ConfigError(f"{source} is not a git repository that can be read: {answer.error}")
        return answer.text

    async def branch_of_source(self, source: Path, ref: str) -> str:
        """The commit of a branch in the user's repository, "" where it has none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        answer = await self.run_for_user("-C", str(source), *arguments, fine=(0, 1, 128))
        if answer.code == 128 and "not a git repository" in answer.error:  # noqa: PLR2004 - git's code for a fatal error
            raise ConfigError(f"{source} is not a git repository: {answer.error}")
        return answer.text if answer.code == 0 else ""

    async def fetch_branch(self, source: Path, ref: str, into: str) -> None:
        """Copy the commits of exactly one branch of the user's repository, and point `into` at it; `source` is only read."""
        options = (
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            "--update-shallow",
            "--no-recurse-submodules",
        )
        await self.run_for_user(f"--git-dir={self.directory}", "fetch", *options, "--", str(source), f"+{ref}:{into}")

    async def merge_base(self, one: str, other: str) -> str:
        """Where two commits left each other, "" where they share no history."""
        return (await self.run("merge-base", one, other, fine=(0, 1))).text.split("\n")[0]

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`."""
        return (await self.run("merge-base", "--is-ancestor", old, new, fine=(0, 1))).code == 0

    async def commits_between(self, old: str, new: str, *, limit: int | None = None) -> tuple[str, ...]:
        """Commits that `new` reaches and `old` ("" is nothing) does not, newest first; at most `limit`."""
        cap = (f"--max-count={limit}",) if limit is not None else ()
        answer = await self.run("rev-list", *cap, new, *((f"^{old}",) if old else ()), "--")
        return tuple(answer.text.split())

    async def changed_blobs(self, old: str, new: str, paths: Sequence[str]) -> list[tuple[str, str, str]]:
        """Files that differ between two commits and are there in `new`: (path, mode, blob id). `paths` are literal prefixes."""
        options = ("-r", "-z", "--no-renames", "--diff-filter=AMT", "--raw", "--abbrev=64")
        answer = await self.run("diff-tree", *_DIFF_OPTIONS, *options, old, new, "--", *paths, limit=1 << 20)
        fields = answer.out.decode("utf-8", "replace").split("\0")
        found = []
        for header, path in zip(fields[::2], fields[1::2], strict=False):
            _, mode, _, blob, *_ = header.split(" ")
            found.append((path, mode, blob))
        return found

    async def blob(self, blob: str, limit: int) -> bytes | None:
        """A file's content, None where it is larger than `limit` bytes."""
        answer = await self.run("cat-file", "blob", blob, limit=limit + 1)
        return None if len(answer.out) > limit else answer.out

    async def diff(self, old: str, new: str, limit: int) -> str:
        """The patch from `old` to `new`, cut at `limit` bytes with a line that says so."""
        answer = await self.run("diff", *_DIFF_OPTIONS, "--no-relative", old, new, "--", limit=limit)
        text = answer.out.decode("utf-8", "replace")
        return f"{text}\n[the rest of this diff is left out: it is longer than {limit} bytes]\n" if answer.cut else text

    async def merge_tree(self, base: str, head: str) -> MergeTree:
        """Merge two commits into a tree, touching no ref."""
        options = ("--write-tree", "--name-only", "--no-messages", "-z")
        answer = await self.run("merge-tree", *options, base, head, fine=(0, 1, 128))
        if answer.code == 128 and "unrelated histories" in answer.error:  # noqa: PLR2004 - git's code for a fatal error
            return MergeTree(unrelated=True)
        if answer.code not in {0, 1}:
            raise ForgeUnavailableError(f"trying the merge of {head} into {base} failed: {answer.error}")
        tree, *paths = answer.out.decode("utf-8", "replace").split("\0")
        if answer.code == 0:
            return MergeTree(tree=tree)
        return MergeTree(conflicts=tuple(path for path in paths if path) or ("(unnamed files)",))

    async def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, *, author: Author, committer: Author, at: int
    ) -> str:
        """Make a commit that no ref points to yet; `at` is seconds since the epoch."""
        identity = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_AUTHOR_DATE": f"{at} +0000",
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
            "GIT_COMMITTER_DATE": f"{at} +0000",
        }
        arguments = [argument for parent in parents for argument in ("-p", parent)]
        answer = await self.run(
            "commit-tree", *arguments, "-F", "-", tree, stdin=message.encode("utf-8", "replace"), extra=identity
        )
        return answer.text

    async def authors(self, old: str, new: str) -> tuple[Author, ...]:
        """Who wrote the commits that `new` has and `old` lacks, oldest first, each once."""
        answer = await self.run(
            "log", "--reverse", "--no-merges", "--format=%an%x00%ae", "--max-count=1000", new, f"^{old}", "--"
        )
        pairs = (line.split("\0", 1) for line in answer.text.split("\n") if "\0" in line)
        return tuple(dict.fromkeys(Author(name=name, email=email) for name, email in pairs))

    async def update_refs(self, commands: Sequence[str]) -> str:
        """Move refs in one transaction of `git update-ref --stdin -z` (fields ended by NUL); "" or why git would not."""
        lines = "".join(f"{line}\0" for line in ("start", *commands, "prepare", "commit"))
        answer = await self.run("update-ref", "--stdin", "-z", stdin=lines.encode("utf-8"), fine=range(256))
        return "" if answer.code == 0 else answer.error or f"exit code {answer.code}"


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, limit: int | None) -> GitAnswer:
    if limit is None:
        out, error = await process.communicate(stdin or None)
        return GitAnswer(code=process.returncode or 0, out=out, error=one_line(error.decode("utf-8", "replace")))
    out, cut = await _read_up_to(process.stdout, limit)
    if cut:
        return GitAnswer(code=0, out=out, error="", cut=True)
    error = await process.stderr.read(_CHUNK) if process.stderr else b""
    return GitAnswer(code=await process.wait(), out=out, error=one_line(error.decode("utf-8", "replace")))


async def _read_up_to(stream: asyncio.StreamReader | None, limit: int) -> tuple[bytes, bool]:
    out = bytearray()
    while stream is not None and len(out) <= limit:
        chunk = await stream.read(_CHUNK)
        if not chunk:
            return bytes(out), False
        out += chunk
    return bytes(out[:limit]), True


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no git behind: not after a timeout, a cut or a cancellation."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    # Drains what is still in the pipes too, so that their transports close before the event loop does.
    await process.communicate()
