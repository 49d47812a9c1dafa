"""Where a run gets its forge: from the order's reference and the token file, as its agent. Then the work begins.

Reads the environment and the clock for everything below. The token goes from its file to the forge and nowhere else.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from coderun.agent.stop import StopSignal
from coderun.agent.supervisor import Places, Programs
from coderun.agent.work import carry_out
from coderun.forge.local.forge import LocalForge
from coderun.model.coderun import RunOutcome, RunPhase, RunReport
from coderun.model.errors import CoderunError
from coderun.plan.order import ForgeRef, RunOrder
from coderun.store.wake import Waker


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, with its zone."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Let that much time go by."""
        await asyncio.sleep(seconds)


async def perform(order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
    """Carry out the order as its agent; `agent.supervisor.Perform`."""
    try:
        forge = _open_forge(order.forge, places.token)
    except (CoderunError, OSError) as error:
        outcome = RunOutcome(is_error=True, terminal_reason="ForgeUnavailable", summary=f"the forge did not open: {error}")
        return RunReport(phase=RunPhase.FAILED, outcome=outcome)
    try:
        return await carry_out(
            order,
            places,
            programs,
            stop,
            forge=forge,
            inherited=os.environ,
            clock=SystemClock(),
            run_as_root=os.geteuid() == 0,
        )
    finally:
        forge.close()


def _open_forge(ref: ForgeRef, token: Path) -> LocalForge:
    if ref.kind != "local":
        raise CoderunError(f"this version knows no forge of kind {ref.kind!r}")
    folder = Path(ref.location)
    waker = Waker(folder.parent / "wake")

    def wake() -> None:
        waker.wake()

    return LocalForge.open(folder, token=token.read_text(encoding="utf-8").strip(), on_change=wake)
