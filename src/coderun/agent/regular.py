"""Reading a file that an agent may have put there: only a regular one, through no link, and never more than asked for."""

import os
import stat
from pathlib import Path


class NotRegularError(OSError):
    """It is a link, a folder, a FIFO or a device."""


def read_regular(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Never waits for a FIFO.

    Raises:
        FileNotFoundError: there is none.
        NotRegularError: it is something else.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink():
            raise NotRegularError(f"{path.name} is a symbolic link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(f"{path.name} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)
