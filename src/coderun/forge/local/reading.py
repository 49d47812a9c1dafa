"""Reads pull requests whole: looks at the refs first, brings up to date what follows from commits, then reads the rows.

Everything a gate looks at comes through here. Where nothing has moved it costs a few file stats and queries, and no process.
Writes only what it derives; it changes nothing that a person could see.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from coderun.forge.local import derive, journal, pulls
from coderun.forge.local.database import Database
from coderun.forge.local.git import Git
from coderun.forge.local.observe import Observer
from coderun.model.errors import NotFoundError
from coderun.model.pulls import PullRequest


class Reader:
    """The pull requests of one bare repository as they stand now."""

    def __init__(self, db: Database, git: Git, *, clock: Callable[[], datetime], on_change: Callable[[], None]) -> None:
        self._db = db
        self._git = git
        self._on_change = on_change
        self._observer = Observer(db, git, clock=clock)
        self._derived_up_to = -1

    async def look(self) -> None:
        """Record moves of refs that nobody has seen yet."""
        if await self._observer.observe():
            self._on_change()

    async def pin(self) -> None:
        """Keep new heads from being lost with their branches."""
        await self._observer.pin()

    def require(self, number: int) -> None:
        """Raises `NotFoundError` where there is no such pull request."""
        if self._db.row("SELECT 1 FROM pull WHERE number = ?", (number,)) is None:
            raise NotFoundError(f"there is no pull request {number}; `coderun pr list` shows those there are")

    async def get(self, number: int) -> PullRequest:
        """One pull request. Raises `NotFoundError`."""
        self.require(number)
        await self.look()
        return (await self.read([number]))[0]

    async def of_task(self, task: int) -> list[PullRequest]:
        """All that carry a mark of a task, oldest first."""
        await self.look()
        await self._derive_all()
        return await self.read(pulls.pulls_of_task(self._db, task))

    async def read(self, numbers: Sequence[int]) -> list[PullRequest]:
        """Pull requests with what follows from their commits brought up to date; the refs are not looked at again."""
        for number in numbers:
            stale = derive.stale_derivation(self._db, number)
            if stale is not None:
                await self._derive(*stale)
            untried = derive.untried_merge(self._db, number)
            if untried is not None:
                _, head, base = untried
                derive.keep_mergeability(self._db, number, head, base, await derive.try_merge(self._git, head, base))
        url = f"file://{self._git.directory}"
        return pulls.read_pulls(self._db, numbers, settings=journal.read_settings(self._db), url=url)

    async def _derive_all(self) -> None:
        """Bring the marker files of all pull requests up to date; at once where nothing has happened since the last time."""
        last = journal.last_event(self._db)
        if last == self._derived_up_to:
            return
        for stale in derive.stale_derivations(self._db):
            await self._derive(*stale)
        derive.settle_finished(self._db)
        self._derived_up_to = last

    async def _derive(self, number: int, head: str, base: str) -> None:
        derive.keep_derivation(self._db, number, head, base, await derive.derive(self._git, head, base))
