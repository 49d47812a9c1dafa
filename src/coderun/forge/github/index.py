"""Which pull requests a repository has, kept current by asking only for those that changed since the last look.

Under `forge`. Every change of a pull request (label, push, state, name of its branch) renews its `updated_at`; the list in that
order is read until it reaches what is known, two thousand of them at most. Bodies are not kept.
"""

import asyncio
from datetime import datetime
from typing import Final

import msgspec

from coderun.forge.github import shapes
from coderun.forge.github.assemble import head_branch_of, state_of
from coderun.forge.github.client import PER_PAGE, Client
from coderun.model.names import task_of_branch, task_of_label
from coderun.model.pulls import PullState

MOST_PAGES: Final = 20


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What tells whether a pull request is worth reading whole."""

    number: int
    state: PullState
    head_sha: str
    tasks: frozenset[int]
    pull: shapes.Pull
    updated_at: datetime


def entry_of(pull: shapes.Pull) -> Entry:
    """The entry of a listed pull request; the tasks are those of its branch and labels."""
    tasks = {task_of_branch(head_branch_of(pull)), *(task_of_label(label.name) for label in pull.labels)}
    return Entry(
        number=pull.number,
        state=state_of(pull),
        head_sha=pull.head.sha,
        tasks=frozenset(task for task in tasks if task is not None),
        pull=msgspec.structs.replace(pull, body=None),
        updated_at=pull.updated_at or pull.created_at,
    )


class PullIndex:
    """Pull requests of a repository whose API path is `path`, by number: all open ones, and of the others the newest."""

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path
        self._entries: dict[int, Entry] = {}
        self._newest: datetime | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> list[Entry]:
        """All entries as of now, oldest first. A look that fails on the way is forgotten as a whole."""
        async with self._looking:
            changed, is_whole = await self._changed()
            if not is_whole:
                # Too many for one look: what is open is all that may still matter, however old it is.
                async for page in self._client.pages(f"{self._path}/pulls", list[shapes.Pull], {"state": "open"}):
                    for pull in page:
                        changed.setdefault(pull.number, entry_of(pull))
            self._entries.update(changed)
            if changed:
                newest = max(entry.updated_at for entry in changed.values())
                self._newest = newest if self._newest is None else max(newest, self._newest)
            return [self._entries[number] for number in sorted(self._entries)]

    async def _changed(self) -> tuple[dict[int, Entry], bool]:
        """What was touched since the last look, and whether that is all of it: a look does not read on for ever."""
        params = {"state": "all", "sort": "updated", "direction": "desc"}
        changed: dict[int, Entry] = {}
        seen = 0
        async for page in self._client.pages(f"{self._path}/pulls", list[shapes.Pull], params):
            entries = [entry_of(pull) for pull in page]
            for entry in entries:
                changed.setdefault(entry.number, entry)
            # An entry of the very second of the newest one may have changed again since.
            if self._newest is not None and any(entry.updated_at < self._newest for entry in entries):
                break
            seen += 1
            if seen >= MOST_PAGES and len(page) == PER_PAGE:
                return changed, False
        return changed, True
