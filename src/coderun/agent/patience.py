"""Waiting inside a run: always ready to be stopped, never for ever.

Between the steps of a run and a forge that may be busy. Gives up with `RunCancelledError` as soon as the run shall end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from coderun.agent.ports import Clock
from coderun.agent.result import RunCancelledError
from coderun.agent.stop import StopSignal
from coderun.model.errors import ForgeUnavailableError

ValueT = TypeVar("ValueT")
TRIES: Final = 5
LONGEST_PAUSE: Final = 30.0


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How a run waits: on which clock, and what ends its waiting.

    Attributes:
        news: Waits until something may have changed on the forge, at most so many seconds; None where nobody can tell.
    """

    clock: Clock
    stop: StopSignal
    news: Callable[[float], Awaitable[object]] | None = None

    def check(self) -> None:
        """Raise `RunCancelledError` where the run shall end."""
        if self.stop.requested:
            raise RunCancelledError(self.stop.reason)

    async def pause(self, seconds: float) -> None:
        """Wait that long. Raises `RunCancelledError` as soon as the run shall end."""
        await self._unless_stopped(self.clock.sleep(seconds))

    async def wait_for_news(self, seconds: float) -> None:
        """Wait until it is worth looking at the forge again, at most that long. Raises as `pause`."""
        await self._unless_stopped(self.clock.sleep(seconds) if self.news is None else self.news(seconds))

    async def _unless_stopped(self, waiting: Awaitable[object]) -> None:
        waiting = asyncio.ensure_future(waiting)
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            self.check()
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stopping.cancel()
        self.check()

    async def ask(self, call: Callable[[], Awaitable[ValueT]]) -> ValueT:
        """What the forge answers to `call`, asked again while it is unavailable, `TRIES` times in all.

        Raises:
            ForgeUnavailableError: still, after the last try.
            RunCancelledError: the run shall end.
        """
        for number in range(1, TRIES):
            self.check()
            try:
                return await call()
            except ForgeUnavailableError as error:
                await self.pause(min(error.retry_after or 2.0**number, LONGEST_PAUSE))
        self.check()
        return await call()
