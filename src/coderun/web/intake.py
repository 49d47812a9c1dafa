"""Puts deliveries into the inbox, those that arrive together in one transaction.

Between `door` and the store: a write that is flushed to the disk takes the same time for one delivery as for fifty. Whoever
waits here is told only when the delivery is stored, or that it is not.
"""

import asyncio

from coderun.model.deliveries import Delivery
from coderun.store.protocol import Slot


class Intake:
    """The way into one inbox."""

    def __init__(self, inbox: Slot) -> None:
        self._inbox = inbox
        self._waiting: list[tuple[Delivery, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def put(self, delivery: Delivery) -> None:
        """Store a delivery; one that is there already is left as it is. Raises what the inbox raises."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.get_running_loop().create_task(self._store())
        # Who goes away does not take the others' transaction along.
        await stored

    async def close(self) -> None:
        """Wait until all that came in is stored or refused."""
        if self._storing is not None:
            await self._storing

    async def _store(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._inbox.put_deliveries(delivery for delivery, _ in batch)
            except Exception as error:  # noqa: BLE001 - each of those who wait gets it, none is left waiting
                for _, stored in batch:
                    if not stored.done():
                        stored.set_exception(error)
            else:
                for _, stored in batch:
                    if not stored.done():
                        stored.set_result(None)
            await asyncio.sleep(0)
