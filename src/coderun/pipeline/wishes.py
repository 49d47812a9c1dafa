"""What people wish of a play, as the spec it makes: pause, resume, abort, retry, approve. Pure.

The command line and commands in comments come here, and nobody else changes these fields. What cannot be is `RefusedError`.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from coderun.model.errors import RefusedError
from coderun.model.play import Approval, Play, PlayPhase, PlaySpec


def pausing(play: Play) -> PlaySpec:
    """No new run and no merge until it is resumed; runs at work go on to their end."""
    _refuse_finished(play, "paused")
    return replace(play.spec, paused=True)


def resuming(play: Play) -> PlaySpec:
    """Go on."""
    _refuse_finished(play, "resumed; `coderun retry` goes on with one that failed or was aborted")
    return replace(play.spec, paused=False)


def aborting(play: Play) -> PlaySpec:
    """End the play; its runs save their work and end."""
    _refuse_finished(play, "aborted")
    return replace(play.spec, abort_requested=True)


def retrying(play: Play) -> PlaySpec:
    """Fresh attempts for the current stage, one more iteration at the limit; a play that failed or was aborted goes on."""
    if play.status.phase is PlayPhase.SUCCEEDED:
        raise RefusedError(f"play {play.name} has succeeded; there is nothing to retry")
    return replace(play.spec, retries=play.status.retries_seen + 1, abort_requested=False)


def approving(by: str, at: datetime) -> Callable[[Play], PlaySpec]:
    """Pass the current gate as a decision of a person, for this head commit only."""

    def change(play: Play) -> PlaySpec:
        _refuse_finished(play, "approved")
        if play.spec.abort_requested:
            raise RefusedError(f"play {play.name} is being aborted; `coderun retry {play.name}` takes that back, then approve")
        if not play.status.stage:
            raise RefusedError(f"play {play.name} has not started; `coderun why {play.name}` says what it waits for")
        if approval_of(play) is not None:
            return play.spec
        status = play.status
        approval = Approval(stage=status.stage, head_sha=_head(play), by=by, at=at, iteration=status.iteration)
        return replace(play.spec, approvals=(*play.spec.approvals, approval))

    return change


def approval_of(play: Play) -> Approval | None:
    """The approval there is of the play's stage, head and iteration as they are now."""
    now = (play.status.stage, _head(play), play.status.iteration)
    return next((a for a in play.spec.approvals if (a.stage, a.head_sha, a.iteration) == now), None)


def _head(play: Play) -> str:
    return play.status.pull_request.head_sha if play.status.pull_request is not None else ""


def _refuse_finished(play: Play, what: str) -> None:
    if play.is_finished:
        raise RefusedError(f"play {play.name} has ended ({play.status.phase.value}) and cannot be {what}")
