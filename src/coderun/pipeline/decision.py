"""Decisions are values: the status to write, the actions to take, when to look again, and why."""

from datetime import datetime

import msgspec

from coderun.model.coderun import PullRequestRef
from coderun.model.gates import Gate
from coderun.model.play import PlayStatus
from coderun.model.pulls import MergeMethod


class CreateRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Create the CodeRun of (play, stage, iteration, attempt); it exists already when this is repeated.

    Attributes:
        context: Why the agent works (again), as texts by title; untrusted.
    """

    name: str
    stage: str
    iteration: int
    attempt: int
    agent: str
    evidence: tuple[Gate, ...]
    pull_request: PullRequestRef | None
    continue_session: bool
    context: dict[str, str]
    timeout: int | None = None
    instructions: str = ""


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask a run to end gracefully."""

    name: str
    reason: str


class RemoveLabel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take a label off the pull request."""

    number: int
    label: str


class PostComment(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Say something on the pull request once: the marker keeps it from being repeated."""

    number: int
    marker: str
    body: str


class MergePullRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Merge exactly this head."""

    number: int
    head_sha: str
    method: MergeMethod


Action = CreateRun | CancelRun | RemoveLabel | PostComment | MergePullRequest


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about a play now.

    Attributes:
        status: The status as it shall be written, once, after the actions.
        actions: In order; each is safe to repeat.
        because: The newest reason, for the log; "" when nothing changed.
        recheck_at: When time alone may change the answer.
    """

    status: PlayStatus
    actions: tuple[Action, ...] = ()
    because: str = ""
    recheck_at: datetime | None = None
