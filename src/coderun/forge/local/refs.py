"""The branches of a bare repository, read from its files: no git process for a look that finds nothing new.

Only for repositories that this program made (files backend). Reads, never writes. A snapshot is kept as long as the folders it
was read from have not changed; a change within the clock grain of a file system cannot be told from none, so a snapshot of
folders that changed a moment ago is read again (as git does with its index).
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.errors import ForgeUnavailableError

_GRAIN: Final = 0.1
_COARSE_GRAIN: Final = 2.5
_NANO: Final = 1_000_000_000
_PREFIX: Final = "refs/heads"
_TRIES: Final = 20

Signature = tuple[tuple[str, int, int], ...]


class Snapshot(msgspec.Struct, frozen=True):
    """Branches by full ref as they stood at one look, and whether the same files may be trusted to mean the same later."""

    values: Mapping[str, str]
    signature: Signature
    settled: bool


class RefReader:
    """Reads all branches of `repository`. `now` is the clock that file times are compared with, in seconds."""

    def __init__(self, repository: Path, *, now: Callable[[], float] = time.time) -> None:
        self._repository = repository
        self._now = now
        self._last: Snapshot | None = None

    def look(self) -> Snapshot:
        """The branches as they stand; the very same object as before where nothing can have changed."""
        last = self._last
        if last is not None and last.settled and self._sign(folder for folder, _, _ in last.signature) == last.signature:
            return last
        self._last = self._read()
        return self._last

    def _read(self) -> Snapshot:
        if not (self._repository / "HEAD").exists():
            raise ForgeUnavailableError(
                f"the repository {self._repository} is gone; put it back, or move the forge's folder away"
            )
        for _ in range(_TRIES):
            started = self._now()
            values, loose = self._walk()
            # Packed after loose: git packs a ref before it drops the loose file.
            packed = self._sign(["packed-refs"])
            merged = {**self._packed(), **values}
            signature = (*packed, *loose)
            if self._sign(folder for folder, _, _ in signature) == signature:
                return Snapshot(merged, signature, settled=self._is_old(signature, started))
        raise ForgeUnavailableError(f"the branches of {self._repository} kept changing while they were read; try again")

    def _walk(self) -> tuple[dict[str, str], Signature]:
        values: dict[str, str] = {}
        signature: list[tuple[str, int, int]] = []
        waiting = [_PREFIX]
        while waiting:
            folder = waiting.pop()
            signature.extend(self._sign([folder]))
            try:
                entries = list(os.scandir(self._repository / folder))
            except FileNotFoundError:
                continue  # an empty folder that git removed while we walked
            for entry in entries:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif not entry.name.endswith(".lock"):
                    _keep(values, name, entry.path)
        return values, tuple(signature)

    def _packed(self) -> dict[str, str]:
        try:
            text = (self._repository / "packed-refs").read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return {}
        lines = (line.split(" ", 1) for line in text.split("\n") if line[:1] not in {"#", "^", ""})
        return {ref: sha for sha, ref in lines if ref.startswith(f"{_PREFIX}/")}

    def _sign(self, folders: Iterable[str]) -> Signature:
        signature = []
        for folder in folders:
            try:
                seen = (self._repository / folder).stat()
            except FileNotFoundError:
                signature.append((folder, 0, 0))
            else:
                signature.append((folder, seen.st_mtime_ns, seen.st_ino))
        return tuple(signature)

    def _is_old(self, signature: Signature, now: float) -> bool:
        newest = max(changed for _, changed, _ in signature)
        grain = _COARSE_GRAIN if newest % _NANO == 0 else _GRAIN
        return newest / _NANO + grain < now


def _keep(values: dict[str, str], name: str, path: str) -> None:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - thousands of small files; a Path for each costs as much again
            sha = file.read(80).strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return
    if sha and not sha.startswith("ref:"):
        values[os.fsencode(name).decode("utf-8", "replace")] = sha
