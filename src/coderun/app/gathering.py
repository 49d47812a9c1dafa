"""An event loop that wakes up less often: what comes in within a millisecond is worked on together.

A controller waits for hundreds of small answers, each of which would wake it for a tenth of a millisecond of work with cold
caches. Network cards moderate their interrupts for the same reason. `docs/decisions/0015-fewer-wake-ups.md` has the figures.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Final

GATHER_SECONDS: Final = 0.001
"""How much later than without it an answer may be heard of."""

ENOUGH: Final = 8
"""So many at once are worked on without waiting for more."""

Ready = list[tuple[selectors.SelectorKey, int]]


class GatheringSelector(selectors.DefaultSelector):
    """Waits a moment for more where a wait has brought little. Timers and work that is due are never kept waiting for it."""

    sleep: Callable[[float], None] = staticmethod(time.sleep)

    def select(self, timeout: float | None = None) -> Ready:
        """As its parent's."""
        ready = super().select(timeout)
        if not ready or len(ready) >= ENOUGH or (timeout is not None and timeout <= GATHER_SECONDS):
            return ready
        self.sleep(GATHER_SECONDS)
        return super().select(0)


def gathering_loop() -> asyncio.AbstractEventLoop:
    """A new event loop with such a selector."""
    return asyncio.SelectorEventLoop(GatheringSelector())
