"""The door on an address."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from tests.integration.web.test_door import BODY, SECRET, headers_of

from coderun.model.errors import ConfigError, UnavailableError
from coderun.store.sqlite import SqliteStore
from coderun.web.serve import open_door


def now() -> datetime:
    return datetime.now(UTC)


async def test_the_door_is_open_for_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=now)
    async with aiohttp.ClientSession() as session:
        async with open_door(store, host="127.0.0.1", port=0, secrets=lambda: [SECRET], clock=now) as url:
            answer = await session.post(url, data=BODY, headers=headers_of(BODY))
            assert answer.status == 202
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(url, data=BODY, headers=headers_of(BODY))
    assert len(await store.pending_deliveries()) == 1
    await store.close()


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=now)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(UnavailableError, match="another program listens there"):
        async with open_door(store, host="127.0.0.1", port=port, secrets=lambda: [SECRET], clock=now):
            pass
    await store.close()


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
async def test_an_address_of_elsewhere_is_refused_with_the_setting_to_change(tmp_path: Path, host: str) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=now)
    with pytest.raises(ConfigError, match=r"see `webhook\.host` and `webhook\.port`"):
        async with open_door(store, host=host, port=0, secrets=lambda: [SECRET], clock=now):
            pass
    await store.close()
