"""The lookout: looks at the pull requests of repositories that plays wait on, often while something moves and seldom while not.

Beside the inbox, in the controller. It only hints, like an event: with it every play comes to its end though no webhook ever
arrives. A look at a repository where nothing has changed is one conditional request, which costs nothing of GitHub's limit;
what no list of pull requests shows (checks, a base that moves) is found by having open plays looked at now and then. Where
all plays have ended and some may be taken up again by a comment, it looks more seldom still.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import structlog

from coderun.model.deliveries import Hint
from coderun.model.errors import NotFoundError, RefusedError, UnavailableError
from coderun.reconcile.view import PlayBrief

_SLOWEST: Final = 12  # times the fastest
_CALMEST: Final = 60  # where all plays have ended
_SLOWER: Final = 1.5
_PLAYS_EVERY: Final = 6
_PLAYS_AT_ONCE: Final = 10
_log = structlog.get_logger(__name__)


class Watched(Protocol):
    """A forge that can tell what has moved."""

    async def news(self) -> tuple[Hint, ...]:
        """What has changed since the last time; nothing the first time. Raises as the forge protocol."""
        ...


class WatchedForges(Protocol):
    """Such forges by repository."""

    async def of(self, repository_url: str) -> Watched:
        """See `forge.protocol.Forges`."""
        ...


class _Beat:
    """When a repository is looked at next, and when its plays were last looked at."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self.due = 0.0
        self.plays_seen = float("-inf")
        self.turn = 0
        self.trouble = ""
        self.is_calm = False


class Lookout:
    """Looks at each repository every `fastest` seconds while things move there, up to twelve times as seldom while not.

    `plays` gives the plays that wait, and those that have ended and may be taken up again: where there are only such it looks
    twelve to sixty times as seldom. Times are in seconds of `monotonic`.
    """

    def __init__(
        self,
        forges: WatchedForges,
        plays: Callable[[], Iterable[PlayBrief]],
        *,
        fastest: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._forges = forges
        self._plays = plays
        self._fastest = fastest
        self._monotonic = monotonic
        self._sleep = sleep
        self._beats: dict[str, _Beat] = {}

    async def watch(self, hint: Callable[[str, Hint], object]) -> None:
        """Look for ever, and hint at what moved. Trouble with one repository only makes that one wait."""
        while True:
            plays: dict[str, list[PlayBrief]] = {}
            for play in self._plays():
                plays.setdefault(play.repository, []).append(play)
            self._beats = {name: self._beats.get(name) or _Beat(self._fastest) for name in plays}
            for repository, waiting in plays.items():
                self._calm_or_rouse(self._beats[repository], waiting)
                if self._beats[repository].due <= self._monotonic():
                    await self._look(repository, waiting, hint)
            next_due = min((beat.due for beat in self._beats.values()), default=float("inf"))
            await self._sleep(min(self._fastest, max(0.05, next_due - self._monotonic())))

    def _calm_or_rouse(self, beat: _Beat, plays: list[PlayBrief]) -> None:
        was_calm, beat.is_calm = beat.is_calm, all(play.phase.is_finished for play in plays)
        if was_calm and not beat.is_calm:
            beat.pace, beat.due = self._fastest, self._monotonic()

    async def _look(self, repository: str, plays: list[PlayBrief], hint: Callable[[str, Hint], object]) -> None:
        beat = self._beats[repository]
        try:
            found = await (await self._forges.of(repository)).news()
        except (UnavailableError, RefusedError, NotFoundError) as error:
            if beat.trouble != str(error):
                beat.trouble = str(error)
                _log.warning("lookout failed", repository=repository, error=str(error))
            asked = error.retry_after if isinstance(error, UnavailableError) else None
            beat.pace = self._slower(beat)
            beat.due = self._monotonic() + max(beat.pace, asked or 0.0)
            return
        beat.trouble = ""
        for one in found:
            hint(repository, one)
        quickest = _SLOWEST * self._fastest if beat.is_calm else self._fastest
        beat.pace = quickest if found else max(quickest, self._slower(beat))
        now = self._monotonic()
        beat.due = now + beat.pace
        if now - beat.plays_seen >= _PLAYS_EVERY * self._fastest:
            beat.plays_seen = now
            self._hint_plays(repository, beat, plays, hint)

    def _hint_plays(self, repository: str, beat: _Beat, plays: list[PlayBrief], hint: Callable[[str, Hint], object]) -> None:
        waiting = (play for play in plays if not play.phase.is_finished)
        bound = sorted(play.pull_request for play in waiting if play.pull_request is not None)
        if not bound:
            return
        begin = beat.turn % len(bound)
        chosen = [*bound[begin:], *bound[:begin]][:_PLAYS_AT_ONCE]
        beat.turn = begin + len(chosen)
        for number in chosen:
            hint(repository, Hint(number=number))

    def _slower(self, beat: _Beat) -> float:
        return min(beat.pace * _SLOWER, (_CALMEST if beat.is_calm else _SLOWEST) * self._fastest)
