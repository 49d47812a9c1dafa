"""What a pass over one object leaves to do."""

import msgspec


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """When to look at the object again, and at what else.

    Attributes:
        after: Seconds; None: only when something happens.
        plays: Plays that this pass may have moved.
        runs: CodeRuns that this pass may have moved.
    """

    after: float | None = None
    plays: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


NOT_AGAIN = Again()
