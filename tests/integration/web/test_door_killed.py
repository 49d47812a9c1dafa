"""A door that is killed in the midst of its work loses nothing that it has acknowledged."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from tests.integration.web import door_process
from tests.integration.web.test_door import BODY, headers_of

from coderun.store.sqlite import SqliteStore
from coderun.web.door import PATH

ROUNDS = 4
BEFORE_THE_KILL = 40


@contextmanager
def door(database: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    source = str(Path(__file__).parents[3] / "src")
    command = [sys.executable, str(Path(door_process.__file__)), str(database)]
    environment = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}{PATH}"
        finally:
            process.kill()


async def test_what_was_acknowledged_before_a_kill_is_stored_once(tmp_path: Path) -> None:
    database = tmp_path / "state" / "state.db"
    acknowledged: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for round_ in range(ROUNDS):
            with door(database) as (process, url):
                first = len(acknowledged)

                async def send(names: Iterator[str], process: subprocess.Popen[str], url: str, first: int) -> None:
                    for name in names:
                        try:
                            async with session.post(url, data=BODY, headers=headers_of(BODY, guid=name)) as answer:
                                if answer.status == 202:
                                    acknowledged.add(f"github-{name}")
                        except aiohttp.ClientError:
                            return  # the door is gone
                        if len(acknowledged) >= first + BEFORE_THE_KILL:
                            process.kill()

                names = (f"r{round_}-{number}" for number in range(10_000))
                async with asyncio.timeout(60):
                    await asyncio.gather(*(send(names, process, url, first) for _ in range(8)))
    store = SqliteStore.open(database, clock=lambda: datetime.now(UTC))
    stored = [delivery.id for delivery in await store.list_deliveries(limit=100_000)]
    await store.close()
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
    assert len(acknowledged) >= ROUNDS * BEFORE_THE_KILL
