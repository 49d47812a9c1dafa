"""The forge: pull requests of one repository, seen and changed as one identity; and the forges of many repositories.

Reading gives whole values; writing looks first, so that a repeated call changes nothing. What the forge refuses for good is
`RefusedError`, what may work later is `ForgeUnavailableError`.
"""

from collections.abc import Iterable
from typing import Protocol

from coderun.model.pulls import (
    Check,
    Comment,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    Review,
    ReviewState,
)


class Forge(Protocol):
    """One repository on a forge, as one identity."""

    @property
    def login(self) -> str:
        """Whose identity this is."""
        ...

    async def get_pull_request(self, number: int) -> PullRequest | None:
        """The pull request, None where there is none."""
        ...

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        """All pull requests (of a state), oldest first; all pages."""
        ...

    async def find_pull_requests(self, task_id: int) -> list[PullRequest]:
        """Pull requests of any state that carry at least one mark of this task (label, head branch, marker), oldest first."""
        ...

    async def open_pull_request(self, new: NewPullRequest) -> PullRequest:
        """Open it, or give back the open one of the same head and base. Raises `RefusedError` (no such branch, no commits)."""
        ...

    async def add_label(self, number: int, label: str) -> None:
        """Set a label; where it is there but bound to another head or actor, it is set anew."""
        ...

    async def remove_label(self, number: int, label: str) -> None:
        """Take a label off; nothing happens where it is not there."""
        ...

    async def comments(self, number: int) -> list[Comment]:
        """The conversation, oldest first."""
        ...

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        """Add a comment; with a `marker`, the own comment that carries it is edited instead of repeated."""
        ...

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:
        """Show whoever wrote a comment that it was heard, and how; repeating it does nothing. Nothing where a forge cannot."""
        ...

    async def review(self, number: int, state: ReviewState, body: str, *, head_sha: str) -> Review:
        """Submit a review of that commit, or give back the own one that says the same of it.

        Raises:
            RefusedError: approval or change request on one's own pull request; the head is another one by now.
        """
        ...

    async def merge(self, number: int, *, head_sha: str, method: MergeMethod = MergeMethod.MERGE) -> PullRequest:
        """Merge exactly this head. Raises `RefusedError` (moved on, conflicts, not approved, not open, not allowed)."""
        ...

    async def close_pull_request(self, number: int) -> None:
        """Close it unmerged."""
        ...

    async def set_checks(self, head_sha: str, checks: Iterable[Check], *, only_open: bool = False) -> None:
        """Record checks of a commit; one of the same name is replaced. With `only_open` only where one is there and pending."""
        ...

    async def diff(self, number: int) -> str:
        """The diff of the head against where it left the base."""
        ...


class Forges(Protocol):
    """The forges of all repositories that plays may name, as the identity that the controller acts with."""

    async def of(self, repository_url: str) -> Forge:
        """The forge of one repository, named in any form that `model.repository` knows; the same one while nothing changes.

        Raises:
            RefusedError: it can never be worked there as things stand; the message says who has to do what.
            ForgeUnavailableError: it cannot be told now.
        """
        ...
