"""Who tells the world around what happens to Plays and CodeRuns, beside their status. A protocol: a cluster has Events."""

from typing import Protocol

from coderun.model.coderun import CodeRun
from coderun.model.play import Play


class Herald(Protocol):
    """Tells; never fails, never waits."""

    def tell(self, about: Play | CodeRun, reason: str, message: str, *, warning: bool = False) -> None:
        """Say that something happened to it: a CamelCase reason for programs, a message for people."""
        ...


class Silent:
    """Tells nobody."""

    def tell(self, about: Play | CodeRun, reason: str, message: str, *, warning: bool = False) -> None:
        """Let it pass."""
