"""Wake the processes that listen: one byte into each FIFO of a folder.

A hint from process to process and nothing more: whoever changes the store or the forge calls this, whoever listens
(`listener`) looks again at what is stored. It carries no data and never waits. The git hooks of the local forge run this file
as a script (`python -I -S wake.py FOLDER`), hence: standard library only, only modules the interpreter has loaded anyway, no
imports from coderun.
"""

import errno
import os
import stat
import sys

SUFFIX = ".fifo"
"""Ending of the names of FIFOs that somebody listens to; other names are left alone."""


class Waker:
    """Wakes the listeners of one folder."""

    def __init__(self, directory: "os.PathLike[str] | str") -> None:
        self._directory = os.fspath(directory)

    def wake(self, *, ignoring: str = "") -> int:
        """Write a byte to each FIFO, except the one named `ignoring`; how many were woken.

        FIFOs nobody reads any more are removed. A folder that is missing or closed to us has no listeners: never raises.
        """
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 - pathlib would triple the start time of a hook
        except OSError:
            return 0
        return sum(_wake(f"{self._directory}/{name}") for name in names if name.endswith(SUFFIX) and name != ignoring)


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
