"""What people do to plays and runs: pause, resume, abort, retry, approve, cancel. Each is one write of a spec."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError, RefusedError, WriteConflictError
from coderun.model.names import LABEL_TASK
from coderun.model.play import Approval, Play, PlayPhase, PlaySpec
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
    known = [known.name for known in await store.find(Play)]
    shown = ", ".join(known[:10]) or "none yet; `coderun play --task N` makes one"
    raise NotFoundError(f"there is no play {wanted!r}; known plays: {shown}")


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
        raise NotFoundError(f"there is no run or play {wanted!r}; `coderun get runs` lists runs") from error
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
        pull = play.status.pull_request
        head = pull.head_sha if pull is not None else ""
        stage, iteration = play.status.stage, play.status.iteration
        if any((a.stage, a.head_sha, a.iteration) == (stage, head, iteration) for a in play.spec.approvals):
            return play.spec
        approval = Approval(stage=stage, head_sha=head, by=by, at=at, iteration=iteration)
        return replace(play.spec, approvals=(*play.spec.approvals, approval))

    return change


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


def _refuse_finished(play: Play, what: str) -> None:
    if play.is_finished:
        raise RefusedError(f"play {play.name} has ended ({play.status.phase.value}) and cannot be {what}")
