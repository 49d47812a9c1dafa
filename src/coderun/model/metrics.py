"""What may be counted: about talking to a forge, and about the work of a controller.

Protocols: `app` implements them, tests count with a list, nobody must. Never carries a token, a path or any other text
from outside.
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


class QueueMetrics(Protocol):
    """Takes note of one work queue: what waits, how long, how long the work takes, how often it is tried again."""

    def added(self, depth: int) -> None:
        """A key waits that did not wait before; so many do now."""
        ...

    def begun(self, depth: int, waited: float) -> None:
        """Work on a key has begun after so many seconds; so many still wait."""
        ...

    def done(self, seconds: float) -> None:
        """Work on a key has ended."""
        ...

    def retried(self) -> None:
        """A key will be looked at again because it failed."""
        ...


class ControllerMetrics(Protocol):
    """Takes note of what a controller does."""

    def queue(self, name: str) -> QueueMetrics:
        """Where the queue of that name is noted."""
        ...

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """One pass has ended: `success`, `requeue_after`, `requeue` (somebody wrote first) or `error`."""
        ...

    def delivery(self, state: str) -> None:
        """A delivery was looked at; what became of it (`moved`, `ignored`)."""
        ...


class NoQueueMetrics:
    """Counts nothing."""

    def added(self, depth: int) -> None:
        """Let it pass."""

    def begun(self, depth: int, waited: float) -> None:
        """Let it pass."""

    def done(self, seconds: float) -> None:
        """Let it pass."""

    def retried(self) -> None:
        """Let it pass."""


class NoControllerMetrics:
    """Counts nothing."""

    def queue(self, name: str) -> QueueMetrics:  # noqa: ARG002 - all the same
        """Nowhere."""
        return NoQueueMetrics()

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """Let it pass."""

    def delivery(self, state: str) -> None:
        """Let it pass."""
