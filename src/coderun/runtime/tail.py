"""Reading a file that somebody is still writing. Looks a few times a second; never waits for who has ended."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

LOOK_EVERY: Final = 0.25
_CHUNK: Final = 64 * 1024


async def tail(path: Path, *, is_going_on: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """The file's bytes so far, and while `is_going_on` (None: not at all) what comes.

    A file that is not there yet is waited for; one that is put in its place is read from its start; one that is deleted is read
    to its end.
    """
    handle = -1
    try:
        while True:
            going_on = is_going_on is not None and is_going_on()
            handle = _current(path, handle)
            while data := _read(handle):
                yield data
            if not going_on:
                return
            await asyncio.sleep(LOOK_EVERY)
    finally:
        if handle >= 0:
            os.close(handle)


def _current(path: Path, handle: int) -> int:
    """The handle to go on with: the old one, unless another file has the name now and the old one was read to its end."""
    try:
        there = path.stat()
    except OSError:
        return handle
    if handle >= 0:
        old = os.fstat(handle)
        if os.path.samestat(there, old):
            if old.st_size < os.lseek(handle, 0, os.SEEK_CUR):
                os.lseek(handle, 0, os.SEEK_SET)
            return handle
        if os.lseek(handle, 0, os.SEEK_CUR) < old.st_size:
            return handle
        os.close(handle)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(handle: int) -> bytes:
    return os.read(handle, _CHUNK) if handle >= 0 else b""
