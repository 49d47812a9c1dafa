"""Switches for trouble: what requests and webhooks may meet, and the counting of rate limits."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PRIMARY_LIMIT = 5000
ANONYMOUS_LIMIT = 60
WINDOW_SECONDS = 3600


class FaultKind(StrEnum):
    """What a request meets."""

    ERROR = "error"
    SLOW = "slow"
    CUT = "cut"
    PRIMARY_LIMIT = "primary-limit"
    SECONDARY_LIMIT = "secondary-limit"


@dataclass(kw_only=True)
class Fault:
    """Trouble for the next `count` requests whose method and path (a regular expression, searched for) match.

    `after`: the request takes effect, only its answer is lost or replaced. `git`: it is for git's requests instead of REST's,
    which know error, slow and cut. `status` is 500 for an error and 403 for a limit where nothing is said.
    """

    kind: FaultKind
    count: int = 1
    method: str = ""
    path: str = ""
    status: int = 0
    seconds: float = 0.0
    retry_after: int | None = None
    after: bool = False
    git: bool = False


class Faults:
    """The switches that are on."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, method: str, path: str, *, git: bool = False) -> Fault | None:
        """The trouble of this request, counted down."""
        for fault in self.waiting:
            if fault.git == git and fault.method in {"", method} and re.search(fault.path, path):
                fault.count -= 1
                if fault.count <= 0:
                    self.waiting.remove(fault)
                return fault
        return None


class WebhookFaultKind(StrEnum):
    """What a delivery meets; `vanish` is not even in the log of deliveries."""

    DROP = "drop"
    VANISH = "vanish"
    DOUBLE = "double"
    DELAY = "delay"
    REORDER = "reorder"


@dataclass(kw_only=True)
class WebhookFault:
    """Trouble for the next `count` deliveries (of an event); `seconds` is for `delay`."""

    kind: WebhookFaultKind
    count: int = 1
    event: str = ""
    seconds: float = 0.0


class WebhookFaults:
    """The switches that are on."""

    def __init__(self) -> None:
        self.waiting: list[WebhookFault] = []

    def take(self, event: str) -> WebhookFault | None:
        """The trouble of this delivery, counted down."""
        for fault in self.waiting:
            if fault.event in {"", event}:
                fault.count -= 1
                if fault.count <= 0:
                    self.waiting.remove(fault)
                return fault
        return None


@dataclass(kw_only=True)
class Window:
    """What one caller has used of an hour."""

    limit: int
    reset: int
    used: int = 0

    @property
    def remaining(self) -> int:
        """What is left."""
        return max(0, self.limit - self.used)

    def body(self) -> dict[str, int]:
        """`rate-limit`."""
        return {"limit": self.limit, "remaining": self.remaining, "reset": self.reset, "used": self.used}

    def headers(self) -> dict[str, str]:
        """The `x-ratelimit-…` headers."""
        return {**{f"x-ratelimit-{name}": str(value) for name, value in self.body().items()}, "x-ratelimit-resource": "core"}


class RateLimits:
    """Counts requests of each caller; `limit` may be set before or during a test."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.limit = PRIMARY_LIMIT
        self._clock = clock
        self._windows: dict[str, Window] = {}

    def window(self, caller: str) -> Window:
        """The caller's hour, a new one where the last is over."""
        now = self._clock()
        window = self._windows.get(caller)
        if window is None or window.reset <= now:
            limit = ANONYMOUS_LIMIT if caller == "anonymous" else self.limit
            window = self._windows[caller] = Window(limit=limit, reset=int(now) + WINDOW_SECONDS)
        return window

    def exhaust(self, caller: str) -> Window:
        """Leaves the caller nothing until the reset."""
        window = self.window(caller)
        window.used = window.limit
        return window
