"""A watch: what one watcher has not been told yet. Shared by all stores; what fills it is theirs."""

import asyncio
from collections.abc import Iterable
from typing import Self

import msgspec

from coderun.model.errors import CoderunError
from coderun.store.protocol import Change


class Watch:
    """What one watcher has not been told yet, as an asynchronous iterator of batches.

    It ends when the store is closed, and raises `StoreCorruptError` once when the store is lost.
    """

    def __init__(self) -> None:
        self._untold: dict[tuple[str, str], Change] = {}
        self._stir = asyncio.Event()
        self._ended = False
        self._error: CoderunError | None = None

    def tell(self, changes: Iterable[Change]) -> None:
        """Add to the next batch; a later change of the same object takes the place of an earlier one."""
        for change in changes:
            before = self._untold.get((change.kind, change.name))
            if before is not None and change.own_status and not before.own_status:
                change = msgspec.structs.replace(change, own_status=False)  # noqa: PLW2901 - both in one
            self._untold[change.kind, change.name] = change
            self._stir.set()

    def end(self, error: CoderunError | None = None) -> None:
        """No more will come after what is untold."""
        self._ended = True
        self._error = self._error or error
        self._stir.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Change]:
        while not self._untold:
            if self._ended:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            self._stir.clear()
            await self._stir.wait()
        batch = list(self._untold.values())
        self._untold.clear()
        return batch
