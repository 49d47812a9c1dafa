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
    """How a run waits: on which clock, and what ends its waiting."""

    clock: Clock
    stop: StopSignal

    def check(self) -> None:
        """Raise `RunCancelledError` where the run shall end."""
        if self.stop.requested:
            raise RunCancelledError(self.stop.reason)

    async def pause(self, seconds: float) -> None:
        """Wait that long. Raises `RunCancelledError` as soon as the run shall end."""
        self.check()
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
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
