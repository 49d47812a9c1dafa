"""Following plays and runs to their end, as the controller where nobody else is one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from coderun.app.controller import Controller
from coderun.app.local import LocalSystem
from coderun.app.system import System
from coderun.app.together import together
from coderun.model.coderun import CodeRun
from coderun.model.errors import NotFoundError
from coderun.model.play import Play, PlayPhase

TAKE_OVER_SECONDS = 1.0
TICK_SECONDS = 1.0
TELL_SECONDS = 10.0
"""So long it may take to tell on its pull request of a play that has ended, or waits for people, before its controller goes."""


class Control:
    """Who controls the state folder while plays are followed: this process, or another one."""

    def __init__(self) -> None:
        self.own: Controller | None = None
        self.is_taken = False

    def has_looked_at(self, play: str) -> bool:
        """Whether what the Play says of itself can be believed: a controller has looked at it since we came.

        One that was there before us has; what it has not seen of the spec shows in the status.
        """
        return self.own.has_looked_at(play) if self.own is not None else self.is_taken

    def is_busy_with(self, plays: Sequence[str]) -> bool:
        """Whether this process is the controller and has something to do for one of these plays."""
        own = self.own
        return own is not None and any(own.is_busy_with(play) for play in plays)


@contextlib.asynccontextmanager
async def as_controller(system: LocalSystem) -> AsyncIterator[Control]:
    """Be the controller of this state folder for as long as the block lasts, or whenever whoever is one leaves.

    What the controller raises is raised here, and ends the block.
    """
    control = Control()
    async with together() as group:
        keeper = group.create_task(_keep_controlling(system, control), name="controller")
        try:
            yield control
        finally:
            keeper.cancel()


@contextlib.asynccontextmanager
async def looked_after(system: System) -> AsyncIterator[Control | None]:
    """See to it that somebody controls: this process where agents run here; None where a cluster does."""
    if not isinstance(system, LocalSystem):
        yield None
        return
    async with as_controller(system) as control:
        yield control


async def _keep_controlling(system: LocalSystem, control: Control) -> None:
    while True:
        control.is_taken = not system.take_control()
        if not control.is_taken:
            try:
                control.own = await system.make_controller()
                await control.own.run()
            finally:
                control.own = None
                system.lock.release()
        await asyncio.sleep(TAKE_OVER_SECONDS)


async def follow_plays(
    system: System,
    names: Sequence[str],
    show: Callable[[Sequence[Play], datetime], None],
    *,
    until_person: bool,
    control: Control | None = None,
) -> list[Play]:
    """Show the plays at every change until all have ended; with `until_person` also when only people can move what is left.

    With `control`, what an open play says is believed only once a controller has looked at it.

    Raises:
        NotFoundError: a play is gone.
    """
    changes = system.store.watch()
    pending: asyncio.Task[object] | None = None
    try:
        while True:
            plays = [await _get(system, name) for name in names]
            show(plays, system.clock())
            believable = all(_is_believable(play, control) for play in plays)
            if believable and all(play.is_finished for play in plays):
                await _until_told(names, control)
                return plays
            if believable and until_person and await _wait_for_people(system, plays, control):
                await _until_told(names, control)
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


async def _until_told(names: Sequence[str], control: Control | None) -> None:
    """Let the own controller tell how it stands, where it is about to; whoever starts next tells what this one did not."""
    until = time.monotonic() + TELL_SECONDS
    while control is not None and control.is_busy_with(names):
        if time.monotonic() >= until:
            return
        await asyncio.sleep(0.05)


def _is_believable(play: Play, control: Control | None) -> bool:
    """Whether its status is of the spec it has now (nobody's wish is still to be acted on), and of the forge as it is now."""
    if play.status.observed_generation != play.metadata.generation:
        return False
    return play.is_finished or control is None or control.has_looked_at(play.name)


async def _wait_for_people(system: System, plays: Sequence[Play], control: Control | None) -> bool:
    """Whether only people can move these. Where all of them are behind others, it is the others that count."""
    if _only_people(plays):
        return True
    rest = [play for play in plays if not play.is_finished]
    if not all(_is_behind(play, "slot", "dependency") for play in rest):
        return False
    everyone = await system.store.find(Play)
    return all(_is_believable(play, control) for play in everyone) and _only_people(everyone)


def _only_people(plays: Sequence[Play]) -> bool:
    rest = [play for play in plays if not play.is_finished]
    held = any(_needs_person(play) for play in rest)
    # Nobody is needed for a slot: who waits for a person holds none, so that whoever is behind is about to start.
    return held and all(_needs_person(play) or _is_behind(play, "dependency") for play in rest)


def _needs_person(play: Play) -> bool:
    waiting = play.status.waiting
    stuck = waiting is not None and (waiting.kind == "person" or waiting.reason == "DependencyFailed")
    return play.status.phase is PlayPhase.WAITING or (play.status.phase is PlayPhase.PENDING and stuck)


def _is_behind(play: Play, *kinds: str) -> bool:
    waiting = play.status.waiting
    return play.status.phase is PlayPhase.PENDING and waiting is not None and waiting.kind in kinds


async def _get(system: System, name: str) -> Play:
    play = await system.store.get(Play, name)
    if play is None:
        raise NotFoundError(f"play {name} is gone")
    return play


async def follow_run(system: System, name: str) -> CodeRun:
    """Wait until a run has ended. Raises `NotFoundError` when it is gone."""
    changes = system.store.watch()
    while True:
        run = await system.store.get(CodeRun, name)
        if run is None:
            raise NotFoundError(f"run {name} is gone")
        if run.status.phase.is_finished:
            return run
        await anext(changes)
