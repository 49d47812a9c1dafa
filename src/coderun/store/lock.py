"""The controller's lock: one controller a state folder, and who it is.

Taken by `app` before it reconciles, asked by every command that hands work to the running controller. The lock is the kernel's
(`flock`): it dies with its process, whatever the file still says. Never waits for a holder to leave.
"""

import contextlib
import errno
import fcntl
import os
import random
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.errors import StoreUnavailableError

_TAKEN: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_PROBE_SECONDS: Final = 1.0
_LONGEST: Final = 65536


class Holder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who holds the lock, in their own words; pid 0 is one that has not said it yet.

    Attributes:
        command: What was called, for people: `coderun up`.
    """

    pid: int = 0
    command: str = ""
    started_at: datetime | None = None

    def __str__(self) -> str:
        if not self.pid:
            return "a process that has not written its name yet"
        since = "" if self.started_at is None else f", since {self.started_at.isoformat(sep=' ', timespec='seconds')}"
        command = "".join(letter if letter.isprintable() else "?" for letter in self.command)
        return f"pid {self.pid}, {command or 'unknown command'}{since}"


class ControllerLock:
    """The lock in the file `path`; free when constructed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, info: Holder) -> bool:
        """Take the lock and write `info` into its file; False where another process (or another instance) holds it.

        Returns at once, but for other processes that are just looking who holds it.

        Raises:
            StoreUnavailableError: the file cannot be opened or written.
        """
        deadline = time.monotonic() + _PROBE_SECONDS
        while True:
            file = self._open(os.O_RDWR | os.O_CREAT)
            try:
                if self._take(file):
                    _write(file, msgspec.json.encode(info))
                    self._file, file = file, -1
                    return True
                if _is_held(file) or time.monotonic() > deadline:
                    return False
            except OSError as error:
                raise self._unavailable(error) from error
            finally:
                if file >= 0:
                    os.close(file)
            time.sleep(random.uniform(0.001, 0.005))  # noqa: S311 - so that two who look at each other fall out of step

    def holder(self) -> Holder | None:
        """Who holds the lock now, None where nobody does (a file left behind says nothing)."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error
        try:
            return _read(file) if _is_held(file) else None
        finally:
            os.close(file)

    def is_held(self) -> bool:
        """Whether this instance holds the lock, and its file is still the one others would look at."""
        return self._file is not None and self._is_current(self._file)

    def release(self) -> None:
        """Give the lock back. Repeating it does nothing."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a full disk keeps nobody from letting go
            os.ftruncate(self._file, 0)
        os.close(self._file)
        self._file = None

    def _open(self, flags: int) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unavailable(error) from error

    def _take(self, file: int) -> bool:
        return _try_lock(file, fcntl.LOCK_EX) and self._is_current(file)

    def _is_current(self, file: int) -> bool:
        """Whether the path still leads to the open file: a lock on a deleted one keeps nobody out."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _unavailable(self, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"cannot use the controller's lock {self._path}: {error.strerror or error}; check that the state folder is writable"
        )


def _try_lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _is_held(file: int) -> bool:
    """Whether somebody holds it for good; those who only look share it, and are told apart from a holder by that."""
    if not _try_lock(file, fcntl.LOCK_SH):
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _write(file: int, text: bytes) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)


def _read(file: int) -> Holder:
    try:
        return msgspec.json.decode(os.pread(file, _LONGEST, 0), type=Holder)
    except (OSError, ValueError):
        return Holder()
