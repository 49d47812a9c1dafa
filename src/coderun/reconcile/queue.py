"""A work queue of keys: what waits is not added twice, what is in work runs again afterwards, never two workers on one key."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from coderun.model.metrics import NoQueueMetrics, QueueMetrics

KeyT = TypeVar("KeyT", bound=Hashable)

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 60.0


class WorkQueue(Generic[KeyT]):
    """Keys to look at. Timers and back-off per key; no key is ever lost between `get` and `done`.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], *, metrics: QueueMetrics | None = None) -> None:
        self._clock = clock
        self._metrics = metrics or NoQueueMetrics()
        self._since: dict[KeyT, float] = {}
        self._ready: deque[KeyT] = deque()
        self._waiting: set[KeyT] = set()
        self._working: set[KeyT] = set()
        self._dirty: set[KeyT] = set()
        self._timers: list[tuple[float, int, KeyT]] = []
        self._due: dict[KeyT, float] = {}
        self._failures: dict[KeyT, int] = {}
        self._order = itertools.count()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, key: KeyT) -> None:
        """Look at `key` soon."""
        if key in self._working:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._since[key] = self._clock()
            self._metrics.added(len(self._ready))
            self._wake_one()

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Look at `key` in `seconds`; an earlier appointment of the same key stays, a later one is dropped."""
        at = self._clock() + max(0.0, seconds)
        known = self._due.get(key)
        if known is not None and known <= at:
            return
        self._due[key] = at
        heapq.heappush(self._timers, (at, next(self._order), key))
        if self._timers[0][0] == at and (self._waiters or self._alarm is not None):
            self._set_alarm()

    def cancel_timer(self, key: KeyT) -> None:
        """Drop the appointment of `key`, for one whose last pass has said all that is to be waited for."""
        self._due.pop(key, None)  # the timer itself finds that nobody waits for it

    def retry(self, key: KeyT, *, retry_after: float | None = None) -> float:
        """Look at `key` again after a back-off that doubles with each failure in a row; the seconds chosen."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(LAST_BACKOFF, FIRST_BACKOFF * float(2 ** min(failures, 20)))
        chosen = max(seconds, retry_after or 0.0)
        self._metrics.retried()
        self.add_after(key, chosen)
        return chosen

    def forget(self, key: KeyT) -> None:
        """`key` went well: its next failure starts with the shortest back-off."""
        self._failures.pop(key, None)

    async def get(self) -> KeyT:
        """The next key; it counts as in work until `done`."""
        while True:
            self._ring()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._working.add(key)
                now = self._clock()
                self._metrics.begun(len(self._ready), now - self._since.pop(key, now))
                self._since[key] = now
                return key
            await self._wait()

    def done(self, key: KeyT) -> None:
        """The work on `key` is over; it is looked at again if something was added meanwhile."""
        self._working.discard(key)
        now = self._clock()
        self._metrics.done(now - self._since.pop(key, now))
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready or in work (timers do not count)."""
        return not self._ready and not self._working

    def __contains__(self, key: KeyT) -> bool:
        """Whether this key is ready or in work (timers do not count)."""
        return key in self._waiting or key in self._working

    def __len__(self) -> int:
        """How many keys are ready or in work."""
        return len(self._ready) + len(self._working)

    async def _wait(self) -> None:
        """Until there is a key for this worker. A key wakes one of those that wait, and time none that has nothing to do."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._alarm is None:
            self._set_alarm()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()  # the key that this one was woken for is another's now
            raise

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_alarm(self) -> None:
        """Be called when the next timer rings, where somebody waits: whoever comes for a key looks at the timers anyway."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._timers and self._due.get(self._timers[0][2]) != self._timers[0][0]:
            heapq.heappop(self._timers)  # cancelled, or replaced by an earlier one: nobody waits for it
        if self._timers:
            left = max(0.0, self._timers[0][0] - self._clock())
            self._alarm = asyncio.get_running_loop().call_later(left, self._ring_out)

    def _ring_out(self) -> None:
        self._alarm = None
        self._ring()
        if self._waiters:
            self._set_alarm()

    def _ring(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            at, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key)
