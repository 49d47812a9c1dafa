"""Text files of a repository, read so that a hostile one can do no harm: nothing outside it, nothing endless, nothing binary.

A symbolic link is followed only to a regular file inside the repository and outside its `.git`; a FIFO or device never blocks.
"""

import os
import stat
from pathlib import Path
from typing import Final

from coderun.model.config import FILE_NAME
from coderun.model.errors import ConfigError
from coderun.model.text import listed, printable, storable

MAX_BYTES: Final = 1 << 20
_BINARY_PROBE: Final = 8192


def read_inside(repository: Path, path: Path, *, limit: int = MAX_BYTES) -> str | None:
    """The text of a file inside `repository`; None where it is binary. Beyond `limit` bytes it is cut, with a note at its end.

    Bytes that are no UTF-8 become U+FFFD.

    Raises:
        ConfigError: the path leads outside the repository or into `.git`, is no regular file, or cannot be read.
    """
    shown = show_path(path, repository)
    real = _real_path(path, shown)
    root = repository.resolve()
    if not real.is_relative_to(root) or ".git" in real.relative_to(root).parts:
        raise ConfigError(f"{shown}: leads outside the repository, to {printable(str(real), 200)}; put the file itself there")
    return _decode(*_read(real, shown, limit), limit=limit)


def read_anywhere(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of a file that a person named, wherever it is; cut beyond `limit` bytes as in `read_inside`.

    Raises:
        ConfigError: it does not exist, is no regular file, is binary or cannot be read.
    """
    shown = printable(str(path), 200)
    text = _decode(*_read(_real_path(path, shown), shown, limit), limit=limit)
    if text is None:
        raise ConfigError(f"{shown}: is a binary file; name a text file")
    return text


def show_path(path: Path, repository: Path) -> str:
    """`path` as a person in `repository` would type it, fit for a terminal."""
    return printable(str(path.relative_to(repository) if path.is_relative_to(repository) else path), 200)


def _real_path(path: Path, shown: str) -> Path:
    try:
        return path.resolve(strict=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{shown}: there is no such file{nearby(path)}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{shown}: cannot be read: {printable(str(error), 200)}") from error


def is_missing(path: Path) -> bool:
    """Whether there is nothing of that name. What is not to be looked at is not missing: reading it will say why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def nearby(path: Path) -> str:
    """For people, behind the name of a file that is not there: why, or the files like it in its folder; "" for nothing."""
    if path.is_symlink():
        return "; the symbolic link leads nowhere"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == path.suffix and entry.name != FILE_NAME)
    except OSError:
        return ""
    return f" (files like it there: {listed(names, limit=8)})" if names else ""


def _read(real: Path, shown: str, limit: int) -> tuple[bytes, int]:
    """At most `limit` bytes of a regular file, and how large it is."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise ConfigError(f"{shown}: is no regular file; name a text file")
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit), status.st_size
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}; check its permissions") from error


def _decode(data: bytes, size: int, *, limit: int) -> str | None:
    if b"\0" in data[:_BINARY_PROBE]:
        return None
    text = storable(data.decode("utf-8", "replace")).removeprefix("\ufeff")
    return text if size <= limit else f"{text}\n\n[cut here: {limit} of {size} bytes are shown]\n"
