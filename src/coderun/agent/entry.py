"""Where a run gets its forge: from the order's reference and the token file, as its agent. Then the work begins.

Reads the environment and the clock for everything below. The token goes from its file to the forge and nowhere else.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from coderun.agent.stop import StopSignal
from coderun.agent.supervisor import Places, Programs
from coderun.agent.work import carry_out
from coderun.forge.local.forge import LocalForge
from coderun.forge.protocol import Forge
from coderun.model.coderun import RunOutcome, RunPhase, RunReport
from coderun.model.errors import CoderunError, StoreUnavailableError
from coderun.plan.order import GITHUB, LOCAL, ForgeRef, RunOrder
from coderun.store.listener import Listener
from coderun.store.wake import Waker

News = Callable[[float], Awaitable[object]]
Proof = Callable[[], Awaitable[object]]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, with its zone."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Let that much time go by."""
        await asyncio.sleep(seconds)


class Wakes:
    """The wakes of a state folder's `wake/`, for who waits for something on the forge; listens from the first wait on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listener: Listener | None = None

    async def wait(self, seconds: float) -> None:
        """Wait for a wake, at most that long. The first time not at all: what was looked at before may have changed unheard."""
        if self._listener is not None:
            await self._listener.wait(seconds)
            return
        try:
            self._listener = Listener(self._folder)
        except StoreUnavailableError:
            await asyncio.sleep(seconds)

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()


async def perform(order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
    """Carry out the order as its agent; `agent.supervisor.Perform`."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            forge, news, prove = await _open(order, places, stack)
            return await carry_out(
                order,
                places,
                programs,
                stop,
                forge=forge,
                inherited=os.environ,
                clock=SystemClock(),
                run_as_root=os.geteuid() == 0,
                news=news,
                prove=prove,
            )
    except (CoderunError, OSError) as error:
        outcome = RunOutcome(is_error=True, terminal_reason="ForgeUnavailable", summary=f"the forge did not open: {error}")
        return RunReport(phase=RunPhase.FAILED, outcome=outcome)


async def _open(order: RunOrder, places: Places, stack: contextlib.AsyncExitStack) -> tuple[Forge, News | None, Proof | None]:
    """The forge, who tells of news on it, and who waits for a credential that it takes. Raises `CoderunError`, `OSError`."""
    if order.forge.kind == LOCAL:
        wakes = Wakes(_wake_folder(order.forge))
        stack.callback(wakes.close)
        forge = _open_local(order.forge, places.token)
        stack.callback(forge.close)
        return forge, wakes.wait, None
    if order.forge.kind == GITHUB:
        from coderun.agent.on_github import open_github  # noqa: PLC0415 - heavy: HTTP is loaded only where it is spoken

        github = await stack.enter_async_context(open_github(order, places, os.environ))
        return github, None, github.prove
    raise CoderunError(f"this version knows no forge of kind {order.forge.kind!r}")


def _wake_folder(ref: ForgeRef) -> Path:
    return Path(ref.location).parent / "wake"


def _open_local(ref: ForgeRef, token: Path) -> LocalForge:
    folder = Path(ref.location)
    waker = Waker(_wake_folder(ref))

    def wake() -> None:
        waker.wake()

    return LocalForge.open(folder, token=token.read_text(encoding="utf-8").strip(), on_change=wake)
