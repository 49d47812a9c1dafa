"""What people do to plays and runs, each by one write of a spec; what a wish makes of a spec says `pipeline.wishes`."""

from collections.abc import Callable

from msgspec.structs import replace

from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError, RefusedError, WriteConflictError
from coderun.model.names import LABEL_PLAY, LABEL_TASK, shorten
from coderun.model.play import Play, PlaySpec
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
        # Plays that people have written themselves carry no labels.
        found = found or [other for other in await store.find(Play) if other.spec.task_id == int(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(
                f"task {int(wanted)} has several plays; name one of them: {listed(play.name for play in found)}"
            )
    run = await store.get(CodeRun, wanted)
    if run is not None:
        raise NotFoundError(_is_a_run(run))
    known = [known.name for known in await store.find(Play)]
    shown = f"known plays: {listed(known, limit=10)}" if known else "none was made yet; `coderun play --task N` makes one"
    raise NotFoundError(f"there is no play {_quoted(wanted)}{did_you_mean(wanted, known)}; {shown}")


def _is_a_run(run: CodeRun) -> str:
    play = run.metadata.labels.get(LABEL_PLAY)
    if play:
        return f"{run.name} is a run of play {play}: `coderun why {play}` and the like take that name"
    return (
        f"{run.name} is a run that no play made: `coderun get runs {run.name}` says how it stands, `coderun logs {run.name}` "
        f"what it says, `coderun cancel {run.name}` ends it"
    )


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


async def runs_of(store: ObjectStore, play: Play) -> list[CodeRun]:
    """The CodeRuns of a Play that have not ended."""
    return [
        run for run in await store.find(CodeRun, labels={LABEL_PLAY: shorten(play.name)}) if not run.status.phase.is_finished
    ]


def _quoted(wanted: str) -> str:
    return repr(printable(wanted, 80))
