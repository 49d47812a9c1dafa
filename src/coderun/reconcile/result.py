"""What a pass over one object leaves to do."""

from typing import Final

import msgspec

from coderun.model.errors import CoderunError

AT_ONCE: Final = 0.001
"""An `after` for the next pass as soon as others have been looked at; after 0 seconds it would be a part of this one."""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """When to look at the object again, and at what else.

    Attributes:
        after: Seconds; None: only when something happens.
        plays: Plays that this pass may have moved.
        runs: CodeRuns that this pass may have moved.
        trouble: What kept the object from going on; it is looked at again after a back-off.
    """

    after: float | None = None
    plays: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    trouble: CoderunError | None = None


NOT_AGAIN = Again()
