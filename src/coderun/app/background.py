"""Starting a controller that outlives the command that needs it, and ending it again."""

import asyncio
import os
import signal
import subprocess
import sys
import time

from coderun.app.local import LocalSystem
from coderun.model.errors import UnavailableError
from coderun.store.lock import Holder

START_SECONDS = 20.0
STOP_SECONDS = 20.0
LASTING = "coderun up"


async def ensure_controller(system: LocalSystem) -> Holder:
    """The controller of this state folder; one that outlives its terminal is started in the background where none runs.

    Where a command in the foreground is the controller, the one in the background waits, and takes over when that one leaves.

    Raises:
        UnavailableError: it did not come up; the message names its log.
    """
    holder = system.lock.holder()
    if holder is not None and holder.command.startswith(LASTING):
        return holder
    log = system.state / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "coderun.cli.main", "up", "--wait", "--repo", str(system.repository)]
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


async def stop_controller(system: LocalSystem) -> Holder | None:
    """End the controller of this state folder, and wait until it is gone; who it was, None where none ran.

    Agents at work go on; the next controller finds them.

    Raises:
        UnavailableError: it does not end, or it is somebody else's process.
    """
    holder = system.lock.holder()
    deadline = time.monotonic() + STOP_SECONDS
    while holder is not None and not holder.pid and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        holder = system.lock.holder()
    if holder is None:
        return None
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return holder
    except OSError as error:
        raise UnavailableError(f"the controller ({holder}) cannot be stopped: {error.strerror}") from error
    while time.monotonic() < deadline:
        now = system.lock.holder()
        if now is None or now.pid != holder.pid:
            return holder
        await asyncio.sleep(0.05)
    raise UnavailableError(f"the controller ({holder}) has not ended within {STOP_SECONDS:g} s")
