"""A door in a process of its own, for tests that kill it: `python door_process.py DATABASE`; prints its port."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from coderun.store.sqlite import SqliteStore
from coderun.web.door import Door


def now() -> datetime:
    return datetime.now(UTC)


async def main(database: Path) -> None:
    store = SqliteStore.open(database, clock=now)
    door = Door(store, secrets=lambda: ["s3cret"], clock=now)
    runner = web.AppRunner(door.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
