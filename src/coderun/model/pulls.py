"""Pull requests as every forge tells of them: the shapes that facts are made of.

Titles, bodies, branch names, labels and comments are untrusted text.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

OWN_CHECK: Final = "coderun"
"""The check by which a play is told of on its head commit; it is no evidence for anything."""


class PullState(StrEnum):
    """Where a pull request stands."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something on the forge.

    Attributes:
        login: As the forge spells it (`rex[bot]`).
        can_write: Whether this account may push to the repository: only then its reviews and commands count.
    """

    login: str
    can_write: bool = False


class LabelMark(msgspec.Struct, frozen=True, kw_only=True):
    """A label on a pull request, bound to who set it and on which head commit.

    Attributes:
        head_sha: Head of the pull request when the label was set, from the `labeled` event.
    """

    name: str
    actor: Actor
    head_sha: str
    at: datetime | None = None


class ReviewState(StrEnum):
    """What a review says. Lower case, as in webhooks."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    COMMENTED = "commented"
    DISMISSED = "dismissed"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A submitted review; `id` grows with time on one forge, `head_sha` is the commit it looked at."""

    id: int
    actor: Actor
    state: ReviewState
    head_sha: str
    body: str = ""
    at: datetime | None = None


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A comment in the conversation of a pull request."""

    id: int
    actor: Actor
    body: str
    at: datetime | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """The head branch moved to `sha`, by whom."""

    sha: str
    actor: Actor
    at: datetime | None = None


class CheckState(StrEnum):
    """How far a check is."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one commit.

    Attributes:
        summary: The end of its output (untrusted).
        title: What it has come to, in a few words; "" where the name says enough.
        given_up: Of a failed one: it was broken off before it came to anything. Only told, where a forge can say that.
    """

    name: str
    state: CheckState
    required: bool = True
    summary: str = ""
    title: str = ""
    given_up: bool = False


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of the head commit.

    Attributes:
        expected: Names of checks that will report; None where the forge cannot tell.
    """

    items: tuple[Check, ...] = ()
    expected: tuple[str, ...] | None = None

    @property
    def counted(self) -> tuple[Check, ...]:
        """The checks that decide: the required ones, or all where none is required."""
        required = tuple(check for check in self.items if check.required)
        return required or self.items

    @property
    def state(self) -> CheckState | None:
        """Passed when all that count have finished and none failed; None when there is none and none may be known to come."""
        missing = set(self.expected or ()) - {check.name for check in self.items}
        if any(check.state is CheckState.FAILED for check in self.counted):
            return CheckState.FAILED
        if missing or any(check.state is CheckState.PENDING for check in self.counted):
            return CheckState.PENDING
        if self.items or self.expected is not None:
            return CheckState.PASSED
        return None


class Mergeability(StrEnum):
    """Whether head and base go together."""

    CLEAN = "clean"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class MergeMethod(StrEnum):
    """How a pull request becomes part of its base."""

    MERGE = "merge"
    SQUASH = "squash"


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One pull request with all that gates look at, read in one go.

    Attributes:
        author: Who opened it.
        pushes: Moves of the head branch since it was opened, oldest first; the first entry is the head it was opened with.
            A forced push appears like any other.
        markers: Task ids of the marker files that the diff against the base adds or changes.
    """

    number: int
    url: str
    title: str
    body: str = ""
    author: Actor
    head_branch: str
    base_branch: str
    head_sha: str
    state: PullState
    draft: bool = False
    labels: tuple[LabelMark, ...] = ()
    reviews: tuple[Review, ...] = ()
    pushes: tuple[Push, ...] = ()
    checks: Checks = Checks()
    markers: tuple[int, ...] = ()
    mergeability: Mergeability = Mergeability.UNKNOWN
    created_at: datetime | None = None
    head_since: datetime | None = None
    merged_at: datetime | None = None
    merged_by: str = ""
    merge_sha: str = ""


class NewPullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to open a pull request."""

    title: str
    body: str
    head_branch: str
    base_branch: str
    labels: tuple[str, ...] = ()
    draft: bool = False
