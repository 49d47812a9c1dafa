"""What GitHub said last, with its ETag: an answer 304 to a conditional GET costs nothing of the primary limit.

Under `client`. Bounded; what was not asked for longest goes first. Holds decoded values of a few fields, not the large bodies.
"""

from collections import OrderedDict
from typing import Any, Final

import msgspec

ENTRIES: Final = 2000


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded page, and where the list went on."""

    etag: str
    value: Any
    next_page: str | None


class EtagCache:
    """The last pages of one identity by URL and kind."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, url: str, kind: str) -> Kept | None:
        """What is kept of a URL."""
        kept = self._kept.get((url, kind))
        if kept is not None:
            self._kept.move_to_end((url, kind))
        return kept

    def put(self, url: str, kind: str, kept: Kept) -> None:
        """Keep a page in place of the one before."""
        self._kept[url, kind] = kept
        self._kept.move_to_end((url, kind))
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
