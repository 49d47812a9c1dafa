"""Starting a controller that outlives the command that needs it."""

import asyncio
import subprocess
import sys
import time

from coderun.app.local import LocalSystem
from coderun.model.errors import UnavailableError
from coderun.store.lock import Holder

START_SECONDS = 20.0


async def ensure_controller(system: LocalSystem) -> Holder:
    """The controller of this state folder; one is started in the background where none runs.

    Raises:
        UnavailableError: it did not come up; the message names its log.
    """
    holder = system.lock.holder()
    if holder is not None:
        return holder
    log = system.state / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "coderun.cli.main", "up", "--repo", str(system.repository)]
    with log.open("ab") as output:
        child = await asyncio.to_thread(
            subprocess.Popen,
            argv,
            cwd=system.repository,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        holder = system.lock.holder()
        if holder is not None:
            return holder
        await asyncio.sleep(0.05)
    raise UnavailableError(f"the controller did not come up within {START_SECONDS:g} s; its log is {log}")
