"""What may be counted about talking to a forge. A protocol: `app` implements it, tests count with a list, nobody must.

Never carries a token, a path or any other text from outside.
"""

from typing import Protocol


class ForgeMetrics(Protocol):
    """Takes note of requests to a forge and of what is left of its limits."""

    def request(self, *, identity: str, method: str, status: int, seconds: float) -> None:
        """One HTTP exchange has ended; `status` is 0 where none came back."""
        ...

    def budget(self, *, identity: str, resource: str, limit: int, remaining: int) -> None:
        """How many requests of a resource (`core`, …) are left until its limit is renewed."""
        ...


class NoMetrics:
    """Counts nothing."""

    def request(self, *, identity: str, method: str, status: int, seconds: float) -> None:
        """Let it pass."""

    def budget(self, *, identity: str, resource: str, limit: int, remaining: int) -> None:
        """Let it pass."""
