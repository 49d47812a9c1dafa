"""The one wish to end a run early, shared by the supervisor, the work and the programs it runs.

Whoever notices first (signal, `stop` file, time limit, a folder that went away) asks; everything else waits on it. It never
ends anything itself.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from enum import StrEnum


class StopCause(StrEnum):
    """Why a run ends before its work is done."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    FOLDER_GONE = "folder-gone"


class StopSignal:
    """Set once: the first cause and reason stay, later ones are passed over."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._cause: StopCause | None = None
        self._reason = ""

    @property
    def requested(self) -> bool:
        """Whether the run shall end now."""
        return self._cause is not None

    @property
    def cause(self) -> StopCause | None:
        """What asked first; None while nobody has."""
        return self._cause

    @property
    def reason(self) -> str:
        """Why, for people; "" while nobody has asked."""
        return self._reason

    def request(self, cause: StopCause, reason: str) -> None:
        """Ask the run to end. Call it on the loop's own thread."""
        if self._cause is None:
            self._cause, self._reason = cause, reason
            self._event.set()

    async def wait(self) -> None:
        """Return once the end has been asked for."""
        await self._event.wait()


class Notice:
    """The wish to stop as a signal handler may note it: before there is a loop, and again and again."""

    def __init__(self) -> None:
        self._reason = ""
        self._tell: Callable[[str], object] = _to_nobody

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT are a wish to stop, and a closed terminal is nothing."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)
        # Not SIG_IGN: programs would inherit that.
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)

    def _note(self, number: int, _frame: object) -> None:
        self._reason = self._reason or f"ended by {signal.Signals(number).name}"
        self._tell(self._reason)

    @contextlib.contextmanager
    def told_to(self, tell: Callable[[str], object]) -> Iterator[None]:
        """Tell what was noted and what will be; `tell` must be safe to call at any moment."""
        self._tell = tell
        if self._reason:
            tell(self._reason)
        try:
            yield
        finally:
            self._tell = _to_nobody


def _to_nobody(_reason: str) -> None:
    """Where a wish to stop goes while there is nothing to stop."""
