"""The gate that all writes of a leader pass: shut, it lets nothing through and gives up what is under way.

A leader may write only until a moment that its last renewal has bought. The moment is looked at when a write begins and once
more when it has its connection, so that a process that slept through its lease writes nothing when it wakes.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from coderun.kube.errors import NotLeadingError


class Gate:
    """Open until a moment of the monotonic `clock`; shut at first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = -math.inf
        self._under_way: set[asyncio.Timeout] = set()

    @property
    def is_open(self) -> bool:
        """Whether a write may begin now."""
        return self._clock() < self._until

    def open_until(self, moment: float) -> None:
        """Let writes through until then."""
        self._until = moment

    def shut(self) -> None:
        """Let nothing through any more; writes under way end at once with `NotLeadingError`."""
        self._until = -math.inf
        while self._under_way:  # each once, also where this is called again before a write has come to its end
            self._under_way.pop().reschedule(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Raise `NotLeadingError` where a write may not begin."""
        if not self.is_open:
            raise NotLeadingError("nothing was written: this process is not the leader (any more)")

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Around one write. Raises `NotLeadingError` where the gate is shut, or is shut meanwhile: it may have arrived then."""
        return _Writing(self, self._under_way)


class _Writing:
    """One write on its way: a generator as a context manager would cost more than all that happens here."""

    __slots__ = ("_gate", "_limit", "_under_way")

    def __init__(self, gate: Gate, under_way: set[asyncio.Timeout]) -> None:
        self._gate = gate
        self._under_way = under_way
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._gate.check()
        await self._limit.__aenter__()
        self._under_way.add(self._limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.discard(self._limit)
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as expired:
            raise NotLeadingError("a write was given up: this process is not the leader any more") from expired
