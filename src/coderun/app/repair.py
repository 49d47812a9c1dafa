"""Finds deliveries that GitHub sent and nobody took in (the door was down, the disk full, the way cut), and takes them in.

Each App's own log is looked through at the start and then again and again: often while something is missing, seldom while all
is well. What is found goes into the inbox under the id it would have had: it is the same delivery whichever way it comes.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from coderun.events.github import PREFIX, to_delivery
from coderun.forge.github.deliveries import KEPT_DAYS, Attempt, DeliveryLog
from coderun.model.deliveries import Delivery
from coderun.model.errors import DeliveryRejectedError, NotFoundError
from coderun.reconcile.result import Again
from coderun.store.protocol import Inbox

PAUSE: Final = 30.0
SOON: Final = 5.0
LONGER: Final = (1, 2, 4, 10)
NO_WEBHOOK: Final = 1800.0
AT_ONCE: Final = 200
READ_TOGETHER: Final = 8
_OVERLAP: Final = timedelta(minutes=5)
_REMEMBERED: Final = 50_000
_log = structlog.get_logger(__name__)


class DeliveryRepair:
    """The logs of Apps, by the names of their agents; see `Repair` of the controller.

    `pause` is in seconds: from one look to the next, and up to ten times that while nothing is missing.
    """

    def __init__(
        self, logs: Mapping[str, DeliveryLog], inbox: Inbox, *, clock: Callable[[], datetime], pause: float = PAUSE
    ) -> None:
        self._logs = dict(logs)
        self._inbox = inbox
        self._clock = clock
        self._base = pause
        self._looked: dict[str, datetime] = {}
        self._quiet: dict[str, int] = {}
        self._done: dict[str, None] = {}
        self._backlog: dict[str, list[Attempt]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The Apps whose logs are looked through."""
        return tuple(self._logs)

    async def reconcile(self, name: str) -> Again:
        """One look through the log of an App, or a portion of what the last look found.

        Raises what its client and the inbox raise; what could be read until then is taken in all the same.
        """
        if not self._backlog.get(name):
            try:
                await self._look(name)
            except NotFoundError:
                return Again(after=NO_WEBHOOK)  # what this App would have told is found by looking at the pull requests
        missing = self._backlog.get(name, [])
        portion = missing[:AT_ONCE]
        reading = asyncio.Semaphore(READ_TOGETHER)
        read = await asyncio.gather(*(self._read(name, each, reading) for each in portion), return_exceptions=True)
        await self._inbox.put_deliveries(delivery for delivery in read if isinstance(delivery, Delivery))
        failed = [(each, error) for each, error in zip(portion, read, strict=True) if isinstance(error, BaseException)]
        unread = [each for each, _ in failed]
        self._remember([each for each in portion if each not in unread])
        self._backlog[name] = [*unread, *missing[AT_ONCE:]]
        if failed:
            raise failed[0][1]
        if self._backlog[name]:
            return Again(after=0.0)
        return Again(after=self._pause(name, is_quiet=not portion))

    async def _look(self, name: str) -> None:
        """Find what is missing, oldest first."""
        begun = self._clock()
        since = self._looked.get(name, begun - timedelta(days=KEPT_DAYS)) - _OVERLAP
        failed = await self._logs[name].failed_since(since)
        missing = [attempt for attempt in failed if not await self._is_known(attempt)]
        if missing:
            _log.info("deliveries found in GitHub's log", app=name, deliveries=len(missing))
        self._backlog[name] = missing
        self._looked[name] = begun

    async def _is_known(self, attempt: Attempt) -> bool:
        identity = _identity(attempt)
        if identity not in self._done:
            if await self._inbox.get_delivery(identity) is None:
                return False
            self._remember([attempt])
        return True

    async def _read(self, name: str, attempt: Attempt, reading: asyncio.Semaphore) -> Delivery | None:
        """The delivery behind an attempt, None where nothing can be made of it: GitHub's log is no better than its webhooks."""
        async with reading:
            body = await self._logs[name].body(attempt)
        headers = {"x-github-delivery": attempt.guid, "x-github-event": attempt.event, "content-type": "application/json"}
        try:
            return to_delivery(headers, body or b"{}", self._clock())
        except DeliveryRejectedError as error:
            _log.warning("delivery of GitHub's log passed over", app=name, attempt=attempt.id, error=str(error))
            return None

    def _remember(self, attempts: list[Attempt]) -> None:
        self._done.update(dict.fromkeys(map(_identity, attempts)))
        while len(self._done) > _REMEMBERED:
            del self._done[next(iter(self._done))]

    def _pause(self, name: str, *, is_quiet: bool) -> float:
        quiet = self._quiet[name] = self._quiet.get(name, 0) + 1 if is_quiet else 0
        return self._base * LONGER[min(quiet, len(LONGER)) - 1] if quiet else min(SOON, self._base)


def _identity(attempt: Attempt) -> str:
    return f"{PREFIX}{attempt.guid.lower()}"
