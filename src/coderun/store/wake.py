"""Wake the processes that listen: one byte into each FIFO of a folder.

A hint from process to process and nothing more: whoever changes the store or the forge calls this, whoever listens
(`listener`) looks again at what is stored. It carries no data and never waits. The git hooks of the local forge run this file
as a script (`python -I -S wake.py FOLDER`), hence: no imports from coderun, and of the standard library only what loads in no
time.
"""

import errno
import os
import stat
import sys
import time

SUFFIX = ".fifo"
"""Ending of the names of FIFOs that somebody listens to; other names are left alone."""


_SETTLED_NANOSECONDS = 2_000_000_000


class Waker:
    """Wakes the listeners of one folder."""

    def __init__(self, directory: "os.PathLike[str] | str") -> None:
        self._directory = os.fspath(directory)
        self._names: list[str] = []
        self._listed_at = -1

    def wake(self, *, ignoring: str = "") -> int:
        """Write a byte to each FIFO, except the one named `ignoring`; how many were woken.

        FIFOs nobody reads any more are removed. A folder that is missing or closed to us has no listeners: never raises.
        """
        return sum(_wake(f"{self._directory}/{name}") for name in self._listeners() if name != ignoring)

    def _listeners(self) -> "list[str]":
        # Called after each write of the store: the names are read again only when the folder's time has moved, and trusted
        # only when that time is so long ago that a later change would have moved it (file systems count in up to a second).
        try:
            changed_at = os.stat(self._directory).st_mtime_ns  # noqa: PTH116 - pathlib would triple the start time of a hook
            if changed_at == self._listed_at:
                return self._names
            self._names = [name for name in os.listdir(self._directory) if name.endswith(SUFFIX)]  # noqa: PTH208 - as above
        except OSError:
            return []
        self._listed_at = changed_at if 0 <= changed_at < time.time_ns() - _SETTLED_NANOSECONDS else -1
        return self._names


def _wake(path: str) -> bool:
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # its reader is gone
            _remove_stale(path)
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
            return False
        os.write(fifo, b"\0")
    except BlockingIOError:
        return True  # full of wakes that nobody has read yet: it will look
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fifo)


def _remove_stale(path: str) -> None:
    try:
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)  # noqa: PTH108 - as above
    except OSError:
        return


def main(arguments: "list[str]") -> int:
    """Wake the listeners of each folder named; 2 where none is."""
    if not arguments:
        sys.stderr.write("usage: wake.py FOLDER...\n")
        return 2
    for directory in arguments:
        Waker(directory).wake()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
