"""Listen for the wakes of other processes: a FIFO of one's own in the wake folder.

The other end of `wake`. A wake says only "look again"; many may arrive as one, and those that come while nobody looks are kept
as one. It never reads more than the bytes, and never polls.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from coderun.model.errors import StoreUnavailableError
from coderun.store.wake import SUFFIX

_PIPE_FULL: Final = 65536


class Ear:
    """One place of a process that wants to know of wakes; each ear hears each wake."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._heard = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether wakes can still come."""
        return self._listener.is_open

    def ring(self) -> None:
        """Count as woken."""
        self._heard.set()

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - a look at the clock is part of the job
        """Wait for a wake since the last call; False after `timeout` seconds without one, or when the listener is closed."""
        if not self._listener.is_open:
            return False
        try:
            async with asyncio.timeout(timeout):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return self._listener.is_open

    def close(self) -> None:
        """Hear no more; a `wait` under way ends."""
        self._listener.forget(self)
        self._heard.set()


class Listener:
    """A FIFO named after this process; made when constructed, inside a running event loop, and removed by `close`.

    As an asynchronous iterator it gives None for each wake (or several that came together) until it is closed.

    Raises:
        StoreUnavailableError: the folder cannot hold a FIFO.
    """

    def __init__(self, directory: Path) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
        self._path = directory / self.name
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fifo = _open_fifo(self._path)
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot listen for changes with the FIFO {self._path}: {error.strerror or error}; make the folder writable"
            ) from error
        self._ears: set[Ear] = set()
        self.is_open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fifo, self._drain)
        self._own = self.ear()

    def ear(self) -> Ear:
        """A further place to wait in; it hears wakes from now on."""
        ear = Ear(self)
        self._ears.add(ear)
        return ear

    def forget(self, ear: Ear) -> None:
        """Stop ringing for `ear`."""
        self._ears.discard(ear)

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as `Ear.wait`
        """As `Ear.wait`, for a listener with a single place to wait in."""
        return await self._own.wait(timeout)

    async def __aiter__(self) -> AsyncIterator[None]:
        while await self._own.wait():
            yield

    def close(self) -> None:
        """Remove the FIFO and end every wait. Repeating it does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._fifo)
        with contextlib.suppress(OSError):  # somebody has removed it already
            self._path.unlink()
        os.close(self._fifo)
        self._ring()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fifo, _PIPE_FULL)
        self._ring()

    def _ring(self) -> None:
        for ear in self._ears:
            ear.ring()


def _open_fifo(path: Path) -> int:
    # Opened under a name that wakers pass over: a FIFO without a reader would be taken for a stale one and removed. Opened for
    # writing too, so that it never shows an end of file when the last writer leaves.
    unready = path.with_suffix(".new")
    os.mkfifo(unready, 0o600)
    try:
        fifo = os.open(unready, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        unready.unlink()
        raise
    unready.rename(path)
    return fifo
