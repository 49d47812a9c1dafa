"""The program that `scale_bench` times: a controller, from its start until it has looked at every open play once."""

import asyncio
import sys
import time
from pathlib import Path

from coderun.app.local import open_local


async def main(folder: Path) -> None:
    """Say `reconciled`, the number of looks and their CPU seconds when that is so, and end."""
    async with open_local(folder, create=True) as system:
        assert system.take_control(), "another controller is at work"
        controller = await system.make_controller()
        running = asyncio.ensure_future(controller.run())
        ready = asyncio.ensure_future(controller.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        used = time.process_time()
        while not controller.is_idle:  # noqa: ASYNC110 - seen from outside, as a person would
            await asyncio.sleep(0.01)
        print("reconciled", controller.reconciles, time.process_time() - used, flush=True)
        controller.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
