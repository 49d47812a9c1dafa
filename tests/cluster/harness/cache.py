"""Things built once are kept in the user's cache: keyed by what they are made of, and either complete or absent."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The project's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coderun"


def digest(*parts: str | bytes | Path) -> str:
    """A short name for the content of texts and files."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def keep(path: Path, make: Callable[[Path], None]) -> Path:
    """What `make` made at `path`, now or earlier; `make` gets a temporary name beside it, which is renamed when it is done."""
    if path.exists():
        return path
    with locked(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            part = path.with_name(f".{path.name}.part")
            discard(part)
            try:
                make(part)
                part.replace(path)
            finally:
                discard(part)
    return path


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
