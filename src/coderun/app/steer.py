"""What people do to plays and runs: pause, resume, abort, retry, approve, cancel. Each is one write of a spec."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError, RefusedError, WriteConflictError
from coderun.model.names import LABEL_TASK
from coderun.model.play import Approval, Play, PlayPhase, PlaySpec
from coderun.model.text import did_you_mean, listed, printable
from coderun.store.protocol import ObjectStore


async def find_play(store: ObjectStore, wanted: str) -> Play:
    """The Play of that name, or of the task with that number.

    Raises:
        NotFoundError: there is none; the known ones are named.
    """
    play = await store.get(Play, wanted)
    if play is not None:
        return play
    if wanted.isdecimal():
        found = await store.find(Play, labels={LABEL_TASK: str(int(wanted))})
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(
                f"task {int(wanted)} has several plays; name one of them: {listed(play.name for play in found)}"
            )
    known = [known.name for known in await store.find(Play)]
    shown = f"known plays: {listed(known, limit=10)}" if known else "none was made yet; `coderun play --task N` makes one"
    raise NotFoundError(f"there is no play {_quoted(wanted)}{did_you_mean(wanted, known)}; {shown}")


async def find_run(store: ObjectStore, wanted: str) -> CodeRun:
    """The CodeRun of that name, or the newest run of the Play (or task number) of that name.

    Raises:
        NotFoundError: there is neither.
    """
    run = await store.get(CodeRun, wanted)
    if run is not None:
        return run
    try:
        play = await find_play(store, wanted)
    except NotFoundError as error:
        known = [run.name for run in await store.find(CodeRun)] + [play.name for play in await store.find(Play)]
        near = did_you_mean(wanted, known)
        raise NotFoundError(f"there is no run or play {_quoted(wanted)}{near}; `coderun get runs` lists runs") from error
    if not play.status.runs:
        raise NotFoundError(f"play {play.name} has no run yet; `coderun why {play.name}` says what it waits for")
    newest = await store.get(CodeRun, play.status.runs[-1].name)
    if newest is None:
        raise NotFoundError(f"run {play.status.runs[-1].name} of play {play.name} is gone")
    return newest


async def change_play(store: ObjectStore, name: str, change: Callable[[Play], PlaySpec]) -> Play:
    """Write what `change` makes of the spec, again when somebody else wrote first.

    Raises:
        NotFoundError: no such Play. And whatever `change` raises.
    """
    while True:
        play = await find_play(store, name)
        spec = change(play)
        if spec == play.spec:
            return play
        try:
            return await store.update(replace(play, spec=spec))
        except WriteConflictError:
            continue


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


async def cancel_run(store: ObjectStore, wanted: str, reason: str) -> CodeRun:
    """Ask a run to end; it saves its work first.

    Raises:
        NotFoundError: no such run. RefusedError: it has ended already.
    """
    while True:
        run = await find_run(store, wanted)
        if run.status.phase.is_finished:
            raise RefusedError(f"run {run.name} has ended already ({run.status.phase.value})")
        if run.spec.cancel_requested:
            return run
        try:
            return await store.update(replace(run, spec=replace(run.spec, cancel_requested=reason)))
        except WriteConflictError:
            continue


def _quoted(wanted: str) -> str:
    return repr(printable(wanted, 80))


def _refuse_finished(play: Play, what: str) -> None:
    if play.is_finished:
        raise RefusedError(f"play {play.name} has ended ({play.status.phase.value}) and cannot be {what}")
