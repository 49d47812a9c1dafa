"""GitHub's limits as its answers tell of them, and how long each asks to wait.

Under `client`. One `Limits` is shared by all clients of one App, so that what one of them is told holds for the others. It
keeps count and never sleeps. Facts: GitHub's REST pages "Rate limits" and "Best practices".
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

SECONDARY_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 3600.0
_IN_FLIGHT: Final = 20  # GitHub allows 100 for one account; several Apps and people share a machine
_FREE_WRITES: Final = 40  # writes in a minute before they are spaced
_WRITE_SPACING: Final = 1.0
_MINUTE: Final = 60.0
_LIMITED: Final = frozenset({403, 429})
_SECONDARY_WORDS: Final = ("secondary rate limit", "abuse detection", "rate limit exceeded")


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a primary limit; `reset` is in seconds since the epoch."""

    resource: str
    limit: int
    remaining: int
    reset: float


def budget_of(headers: Mapping[str, str]) -> Budget | None:
    """The budget that an answer's headers (lower-case names) tell of, None where they tell of none."""
    try:
        return Budget(
            resource=headers.get("x-ratelimit-resource", "core"),
            limit=int(headers["x-ratelimit-limit"]),
            remaining=int(headers["x-ratelimit-remaining"]),
            reset=float(headers["x-ratelimit-reset"]),
        )
    except (KeyError, ValueError):
        return None


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date (RFC 9110 10.2.3); None where it is missing or senseless."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(0.0, aware.timestamp() - now), _LONGEST_WAIT)


def limit_wait(status: int, headers: Mapping[str, str], message: str, now: float) -> float | None:
    """Seconds that a refused request has to wait for a limit; None where no limit refused it."""
    if status not in _LIMITED:
        return None
    asked = retry_after_of(headers, now)
    if asked is not None:
        return asked
    budget = budget_of(headers)
    if budget is not None and budget.remaining == 0:
        return min(max(1.0, budget.reset - now), _LONGEST_WAIT)
    is_secondary = status == 429 or any(words in message.lower() for words in _SECONDARY_WORDS)  # noqa: PLR2004 - HTTP
    return SECONDARY_WAIT if is_secondary else None


class Limits:
    """What one App may do now. `now` gives seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._blocked_until = 0.0
        self._strikes = 0
        self._writes: deque[float] = deque()
        self._writing = asyncio.Lock()
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)

    @property
    def blocked_for(self) -> float:
        """Seconds until the next request may go out; 0 for now."""
        return max(0.0, self._blocked_until - self._now())

    @contextlib.asynccontextmanager
    async def turn(self, *, is_write: bool) -> AsyncIterator[None]:
        """Hold one's place among the requests in flight; of those that write there is one at a time."""
        async with contextlib.AsyncExitStack() as stack:
            if is_write:
                await stack.enter_async_context(self._writing)
            await stack.enter_async_context(self._in_flight)
            yield

    def write_pause(self) -> float:
        """Seconds to wait before the next write, which is counted by this call: none for a few, a second when many."""
        now = self._now()
        while self._writes and self._writes[0] < now - _MINUTE:
            self._writes.popleft()
        pause = max(0.0, self._writes[-1] + _WRITE_SPACING - now) if len(self._writes) >= _FREE_WRITES else 0.0
        self._writes.append(now + pause)
        return pause

    def see(self, budget: Budget) -> None:
        """Take note of a budget; a spent one blocks until it is renewed."""
        if budget.remaining == 0 and budget.resource == "core":
            self._block(min(budget.reset - self._now(), _LONGEST_WAIT))

    def strike(self, wait: float) -> float:
        """Take note of a request that a limit refused; how long to wait, doubled where the refusals do not end."""
        longer: float = min(wait * 2**self._strikes, max(wait, _LONGEST_WAIT)) if wait >= SECONDARY_WAIT else wait
        self._strikes = min(self._strikes + 1, 6)
        self._block(longer)
        return longer

    def calm(self) -> None:
        """A request went well: the next refusal is a first one."""
        self._strikes = 0

    def _block(self, seconds: float) -> None:
        self._blocked_until = max(self._blocked_until, self._now() + seconds)
