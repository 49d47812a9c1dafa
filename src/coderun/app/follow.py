"""Following plays and runs to their end, as the controller where nobody else is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from coderun.app.local import LocalSystem
from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError
from coderun.model.play import Play, PlayPhase

TAKE_OVER_SECONDS = 1.0
TICK_SECONDS = 1.0


@contextlib.asynccontextmanager
async def as_controller(system: LocalSystem) -> AsyncIterator[None]:
    """Be the controller of this state folder for as long as the block lasts, or whenever whoever is one leaves.

    What the controller raises is raised here, and ends the block.
    """
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(_keep_controlling(system), name="controller")
        try:
            yield
        finally:
            keeper.cancel()


async def _keep_controlling(system: LocalSystem) -> None:
    while True:
        if system.take_control():
            try:
                await system.make_controller().run()
            finally:
                system.lock.release()
        await asyncio.sleep(TAKE_OVER_SECONDS)


async def follow_plays(
    system: LocalSystem,
    names: Sequence[str],
    show: Callable[[Sequence[Play], datetime], None],
    *,
    until_person: bool,
) -> list[Play]:
    """Show the plays at every change until all have ended; with `until_person` also when only people can move what is left.

    Raises:
        NotFoundError: a play is gone.
    """
    changes = system.store.watch()
    pending: asyncio.Task[object] | None = None
    try:
        while True:
            plays = [await _get(system, name) for name in names]
            show(plays, system.clock())
            if all(play.is_finished for play in plays):
                return plays
            if until_person and _only_people(plays):
                return plays
            if pending is None:
                pending = asyncio.ensure_future(anext(changes))
            # Redrawn once a second even without a change, so that times count on.
            done, _ = await asyncio.wait({pending}, timeout=TICK_SECONDS)
            if done:
                pending.result()
                pending = None
    finally:
        if pending is not None:
            pending.cancel()


def _only_people(plays: Sequence[Play]) -> bool:
    rest = [play for play in plays if not play.is_finished]
    held = any(play.status.phase is PlayPhase.WAITING for play in rest)
    return held and all(play.status.phase is PlayPhase.WAITING or _is_behind(play) for play in rest)


def _is_behind(play: Play) -> bool:
    waiting = play.status.waiting
    return play.status.phase is PlayPhase.PENDING and waiting is not None and waiting.kind in {"slot", "dependency"}


async def _get(system: LocalSystem, name: str) -> Play:
    play = await system.store.get(Play, name)
    if play is None:
        raise NotFoundError(f"play {name} is gone")
    return play


async def follow_run(system: LocalSystem, name: str) -> CodeRun:
    """Wait until a run has ended. Raises `NotFoundError` when it is gone."""
    changes = system.store.watch()
    while True:
        run = await system.store.get(CodeRun, name)
        if run is None:
            raise NotFoundError(f"run {name} is gone")
        if run.status.phase.is_finished:
            return run
        await anext(changes)
