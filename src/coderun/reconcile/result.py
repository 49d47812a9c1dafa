"""What a pass over one object leaves to do."""

import msgspec

from coderun.model.errors import CoderunError


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
