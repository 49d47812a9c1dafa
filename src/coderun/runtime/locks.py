"""Who holds a run or a workspace: `flock` on a file that names its holder.

The lock ends with the process that holds it, however it ends. The text inside is for those who look, and is believed only as
far as the process it names is alive; it never replaces the lock.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from coderun.runtime.proc import Process


class Holder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who holds a lock: the job, the supervisor's process, and the boot of the machine in which it ran."""

    job: str
    pid: int
    start: str
    boot: str = ""

    @property
    def process(self) -> Process:
        """The process that holds it."""
        return Process(pid=self.pid, start=self.start)


class Lock:
    """A lock held by this process until `release` or its death."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def clear(self) -> None:
        """Take the holder's name out: an orderly end."""
        os.ftruncate(self._handle, 0)

    def release(self) -> None:
        """Give it back."""
        os.close(self._handle)

    def is_of(self, path: Path) -> bool:
        """Whether `path` is still the file that is locked, and not another one of that name."""
        return _same_file(self._handle, path)


def take(path: Path, holder: Holder) -> Lock | None:
    """Take the lock and write down who holds it; None where somebody else does. Raises `OSError`."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _same_file(handle, path):
                os.close(handle)
                continue
            os.ftruncate(handle, 0)
            os.pwrite(handle, msgspec.json.encode(holder), 0)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return Lock(handle)


def _same_file(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(handle))


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock now. Look only where nobody may want to take it: a look holds it for an instant."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_holder(path: Path) -> Holder | None:
    """Who the lock's text names; None where it names nobody or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
