"""Following plays and runs to their end, as the controller where nobody else is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from coderun.app.controller import Controller
from coderun.app.local import LocalSystem
from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError
from coderun.model.play import Play, PlayPhase

TAKE_OVER_SECONDS = 1.0
TICK_SECONDS = 1.0


class Control:
    """Who controls the state folder while a command follows it: this process, or another one."""

    def __init__(self) -> None:
        self.controller: Controller | None = None
        self.is_foreign = False

    def has_looked(self) -> bool:
        """Whether what the store says has been looked at since the command began, so that it can be believed."""
        if self.controller is not None:
            return self.controller.ready.is_set() and self.controller.is_idle
        return self.is_foreign

    async def keep(self, system: LocalSystem) -> None:
        """Be the controller whenever nobody else is."""
        while True:
            if system.take_control():
                self.controller = system.make_controller()
                try:
                    await self.controller.run()
                finally:
                    system.lock.release()
            self.is_foreign = True
            await asyncio.sleep(TAKE_OVER_SECONDS)


@contextlib.asynccontextmanager
async def as_controller(system: LocalSystem) -> AsyncIterator[Control]:
    """Be the controller of this state folder for as long as the block lasts, or whenever whoever is one leaves.

    What the controller raises is raised here, and ends the block.
    """
    control = Control()
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(control.keep(system), name="controller")
        try:
            yield control
        finally:
            keeper.cancel()


async def follow_plays(
    system: LocalSystem,
    names: Sequence[str],
    show: Callable[[Sequence[Play], datetime], None],
    *,
    until_person: Control | None = None,
) -> list[Play]:
    """Show the plays at every change until all have ended.

    With `until_person` also when only people can move what is left, as far as that control has looked.

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
            if until_person is not None and until_person.has_looked() and _only_people(plays):
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
    if any(play.status.observed_generation != play.metadata.generation for play in rest):
        return False
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
