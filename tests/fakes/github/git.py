"""Bare git repositories of the fake: every question and every change is one git process with an argument list."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

_FIELDS = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"


class GitError(Exception):
    """git answered with a failure."""


class Done(NamedTuple):
    """What a git process left."""

    code: int
    out: bytes

    @property
    def text(self) -> str:
        """Its output, without the end of the line."""
        return self.out.decode("utf-8", "replace").rstrip("\n")


class Person(NamedTuple):
    """Who wrote or committed, and when (epoch seconds)."""

    name: str
    email: str
    at: int


class Commit(NamedTuple):
    """A commit."""

    sha: str
    tree: str
    parents: list[str]
    author: Person
    committer: Person
    message: str


class FileChange(NamedTuple):
    """A file that differs between two trees; `sha` is the blob after."""

    path: str
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str
    previous: str = ""


class Entry(NamedTuple):
    """An entry of a tree."""

    kind: str
    sha: str
    size: int
    path: str


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a git process: nobody's own settings, any owner of the files."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    pairs = {"safe.directory": "*", "core.quotePath": "false", "gc.auto": "0"}
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs.items()):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**kept, **settings, **(extra or {})}


class Bare:
    """One bare repository; `lock` is held around whatever moves its refs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = asyncio.Lock()

    async def run(self, *args: str, extra: Mapping[str, str] | None = None, fails: bool = False) -> Done:
        """Runs git; a failure raises unless it `fails` by right."""
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(self.path),
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(extra),
        )
        out, err = await process.communicate()
        if process.returncode and not fails:
            raise GitError(f"git {' '.join(args)} in {self.path}: {err.decode('utf-8', 'replace').strip()}")
        return Done(process.returncode or 0, out)

    async def refs(self, *patterns: str) -> dict[str, str]:
        """Refs and what they point at."""
        lines = (await self.run("for-each-ref", "--format=%(objectname) %(refname)", *patterns)).text.splitlines()
        return {name: sha for sha, _, name in (line.partition(" ") for line in lines)}

    async def resolve(self, revision: str) -> str | None:
        """The commit of a branch, tag or SHA; None where there is none."""
        if not revision or revision.startswith("-") or any(mark in revision for mark in "^~:@{ \n\0"):
            return None
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            done = await self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", fails=True)
            if not done.code:
                return done.text
        return None

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `old` is part of `new`."""
        return not (await self.run("merge-base", "--is-ancestor", old, new, fails=True)).code

    async def merge_base(self, left: str, right: str) -> str | None:
        """Where two commits part; None where they never met."""
        done = await self.run("merge-base", left, right, fails=True)
        return None if done.code else done.text

    async def log(self, *selection: str) -> list[Commit]:
        """Commits of a `rev-list` selection, newest first."""
        out = (await self.run("log", "-z", f"--format={_FIELDS}%x01", *selection, "--")).out.decode("utf-8", "replace")
        return [_commit(piece.lstrip("\0")) for piece in out.split("\x01") if piece.strip("\0\n")]

    async def commit(self, sha: str) -> Commit:
        """One commit."""
        return (await self.log("-1", sha))[0]

    async def count(self, *selection: str) -> int:
        """How many commits a selection has."""
        return int((await self.run("rev-list", "--count", *selection)).text)

    async def diff(self, old: str, new: str) -> str:
        """The diff between two commits."""
        return (await self.run("diff", old, new)).out.decode("utf-8", "replace")

    async def patch(self, old: str, new: str) -> str:
        """The commits between as mails."""
        return (await self.run("format-patch", "--stdout", f"{old}..{new}")).out.decode("utf-8", "replace")

    async def changes(self, old: str, new: str) -> list[FileChange]:
        """The files that differ, with counts and patches."""
        raw = (await self.run("diff", "--raw", "-z", "-M", "--abbrev=40", old, new)).out.decode("utf-8", "replace").split("\0")
        counts = await self._counts(old, new)
        return [await self._change(old, new, *found, counts) for found in _raw_entries(raw)]

    async def _counts(self, old: str, new: str) -> dict[str, tuple[int, int]]:
        lines = (await self.run("diff", "--numstat", "-z", "--no-renames", old, new)).out.decode("utf-8", "replace").split("\0")
        fields = [line.split("\t", 2) for line in lines if line]
        return {path: (_number(plus), _number(minus)) for plus, minus, path in fields}

    async def _change(
        self, old: str, new: str, status: str, sha: str, path: str, previous: str, counts: dict[str, tuple[int, int]]
    ) -> FileChange:
        paths = [path, previous] if previous else [path]
        text = (await self.run("diff", "-M", old, new, "--", *paths)).out.decode("utf-8", "replace")
        hunk = text.find("\n@@")
        plus, minus = counts.get(path, (0, 0))
        return FileChange(path, status, sha, plus, minus, text[hunk + 1 :].rstrip("\n") if hunk >= 0 else "", previous)

    async def merge_tree(self, base: str, head: str) -> str | None:
        """The tree of a merge; None where the two conflict."""
        done = await self.run("merge-tree", "--write-tree", base, head, fails=True)
        if done.code > 1:
            raise GitError(f"git merge-tree {base} {head} in {self.path} ended with {done.code}")
        return None if done.code else done.text.splitlines()[0]

    async def commit_tree(self, tree: str, parents: list[str], message: str, author: Person, committer: Person) -> str:
        """A new commit of that tree."""
        extra: dict[str, str] = {}
        for role, person in (("AUTHOR", author), ("COMMITTER", committer)):
            moment = datetime.fromtimestamp(person.at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
            extra |= {f"GIT_{role}_NAME": person.name, f"GIT_{role}_EMAIL": person.email, f"GIT_{role}_DATE": moment}
        above = [part for parent in parents for part in ("-p", parent)]
        return (await self.run("commit-tree", tree, *above, "-m", message, extra=extra)).text

    async def commit_file(self, parent: str, path: str, data: bytes, message: str, name: str, at: float) -> str:
        """A new commit above `parent` with one file written; the branch stays where it is."""
        with tempfile.TemporaryDirectory() as folder:
            written, index = Path(folder) / "file", {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            written.write_bytes(data)
            blob = (await self.run("hash-object", "-w", "--", str(written))).text
            await self.run("read-tree", parent, extra=index)
            await self.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", extra=index)
            tree = (await self.run("write-tree", extra=index)).text
        person = Person(name, f"{name}@users.noreply.github.com", int(at))
        return await self.commit_tree(tree, [parent], message, person, person)

    async def update_ref(self, ref: str, new: str, old: str) -> None:
        """Moves a ref that stands at `old` (all zeros: that is not there)."""
        await self.run("update-ref", ref, new, old)

    async def delete_ref(self, ref: str) -> None:
        """Takes a ref away."""
        await self.run("update-ref", "-d", ref)

    async def entries(self, revision: str, path: str) -> list[Entry]:
        """What stands at a path: the entry itself, or those of a folder for a path that ends in `/` or is empty."""
        done = await self.run("ls-tree", "-z", "--long", revision, "--", *([path] if path else []), fails=True)
        lines = [line.partition("\t") for line in done.out.decode("utf-8", "replace").split("\0") if line]
        fields = [(head.split(), name) for head, _, name in lines]
        return [Entry(head[1], head[2], _number(head[3]), name) for head, name in fields]

    async def has_blob(self, sha: str) -> bool:
        """Whether there is a blob of that name."""
        return (await self.run("cat-file", "-t", sha, fails=True)).text == "blob"

    async def blob(self, sha: str) -> bytes:
        """The bytes of a blob."""
        return (await self.run("cat-file", "blob", sha)).out


def _commit(text: str) -> Commit:
    fields = text.split("\0", 9)
    author = Person(fields[3], fields[4], int(fields[5]))
    committer = Person(fields[6], fields[7], int(fields[8]))
    return Commit(fields[0], fields[1], fields[2].split(), author, committer, fields[9].rstrip("\n"))


_NAMES = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}


def _raw_entries(raw: list[str]) -> list[tuple[str, str, str, str]]:
    """Status, blob, path and previous path of each entry of `git diff --raw -z`."""
    found, position = [], 0
    while position < len(raw) and raw[position]:
        _, _, before, after, letter = raw[position].split()
        moved = letter[0] in "RC"
        path = raw[position + (2 if moved else 1)]
        found.append((_NAMES[letter[0]], before if letter == "D" else after, path, raw[position + 1] if moved else ""))
        position += 3 if moved else 2
    return found


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
