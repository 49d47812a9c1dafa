"""Switches for trouble: what the next requests meet."""

import asyncio
import re
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What a request meets.

    ERROR: an answer of `status`. THROTTLE: 429 with Retry-After. HANG: no answer until `release()`. SLOW: an answer after
    `seconds`. CUT: the connection is closed.
    """

    ERROR = "error"
    THROTTLE = "throttle"
    HANG = "hang"
    SLOW = "slow"
    CUT = "cut"


@dataclass(kw_only=True)
class Fault:
    """Trouble for the next `count` requests whose verb fits and whose path (a regular expression, searched for) matches.

    `verb`: as in RBAC (get, list, watch, create, update, patch, delete), "" for all. `after`: the request takes effect and only
    its answer is lost or replaced. `reason` and `message` are for ERROR: a refusal by quota is status 403, reason Forbidden.
    """

    kind: FaultKind
    count: int = 1
    verb: str = ""
    path: str = ""
    status: int = 500
    reason: str = "InternalError"
    message: str = "Internal error occurred: a fault that a test asked for"
    seconds: float = 0.0
    retry_after: int | None = None
    after: bool = False


class Faults:
    """The switches that are on."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.met: list[Fault] = []
        self._released = asyncio.Event()

    def add(self, fault: Fault) -> None:
        """Switch one on."""
        self.waiting.append(fault)

    def clear(self) -> None:
        """Switch all off, and let go what hangs."""
        self.waiting.clear()
        self.release()

    def take(self, verb: str, path: str) -> Fault | None:
        """The trouble of this request, counted down."""
        for fault in self.waiting:
            if fault.verb in {"", verb} and re.search(fault.path, path):
                fault.count -= 1
                if fault.count <= 0:
                    self.waiting.remove(fault)
                self.met.append(fault)
                return fault
        return None

    def release(self) -> None:
        """Let go of the requests that hang."""
        self._released.set()
        self._released = asyncio.Event()

    async def hang(self) -> None:
        """Wait until `release()`."""
        await self._released.wait()
