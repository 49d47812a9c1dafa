"""The one wish to end a run early, shared by the supervisor, the work and the programs it runs.

Whoever notices first (signal, `stop` file, time limit, a folder that went away) asks; everything else waits on it. It never
ends anything itself.
"""

import asyncio
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
