"""How the SQLite store tells of changes: once where once is enough, with a listener of its own or the process's."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from tests.contracts.store_contract import DEADLINE, SettableClock, delivery, hints, in_stage, play

from coderun.model.play import Play
from coderun.store import objects
from coderun.store.listener import Listener
from coderun.store.protocol import Change
from coderun.store.sqlite import SqliteStore


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def store(tmp_path: Path, clock: SettableClock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    yield store
    await store.close()


@pytest.fixture
async def other(tmp_path: Path, clock: SettableClock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    yield store
    await store.close()


async def test_own_writes_are_not_told_again_when_others_write(store: SqliteStore, other: SqliteStore) -> None:
    watch = store.watch()
    await store.create(play("own"))
    await store.put_deliveries([delivery("d-1"), delivery("d-2")])
    assert len(await hints(watch, until=lambda heard: len(heard) == 3)) == 3
    await other.create(play("foreign"))
    assert await hints(watch, until=bool) == [Change(kind="Play", name="foreign")]


async def test_new_deliveries_are_told_and_repeated_ones_are_not(store: SqliteStore, other: SqliteStore) -> None:
    watch = store.watch()
    await other.put_deliveries([delivery("d-1")])
    assert await hints(watch, until=bool) == [Change(kind="Delivery", name="d-1")]
    await other.put_deliveries([delivery("d-1")])
    await other.put_deliveries([delivery("d-2")])
    assert await hints(watch, until=bool) == [Change(kind="Delivery", name="d-2")]


async def test_a_listener_that_is_there_is_used_and_left_open(tmp_path: Path, clock: SettableClock, other: SqliteStore) -> None:
    with Listener(tmp_path / "wake") as listener:
        store = SqliteStore.open(tmp_path / "state.db", clock=clock, listener=listener)
        watch = store.watch()
        await other.create(play())
        assert await hints(watch, until=bool) == [Change(kind="Play", name="play-demo-1")]
        assert {path.name for path in (tmp_path / "wake").iterdir()} == {listener.name}
        await store.close()
        assert listener.is_open
        await other.create(play("another"))
        assert await listener.wait(DEADLINE)


async def test_deletions_are_remembered_for_an_hour_and_five_thousand_revisions(
    store: SqliteStore, clock: SettableClock
) -> None:
    for name in ("a", "b", "c"):
        await store.create(play(name))
    await store.delete(Play, "a")
    await store.put_deliveries([delivery(f"d-{number}") for number in range(objects.KEPT_TOMBSTONES)])
    await store.delete(Play, "b")
    assert store._database.rows("SELECT name FROM tombstones") == [("a",), ("b",)]
    clock.now += timedelta(hours=1, seconds=1)
    await store.delete(Play, "c")
    assert store._database.rows("SELECT name FROM tombstones") == [("b",), ("c",)]


async def test_a_revision_is_never_given_twice(store: SqliteStore, other: SqliteStore, clock: SettableClock) -> None:
    made = await store.create(play())
    await store.delete(Play, made.name)
    again = await other.create(play())
    written = await store.update_status(in_stage(again, "testing"))
    versions = [int(one.metadata.resource_version) for one in (made, again, written)]
    assert versions == [1, 3, 4]


async def test_an_object_passed_over_is_logged(tmp_path: Path, store: SqliteStore, other: SqliteStore) -> None:
    await store.create(play())
    store._database.rows("UPDATE objects SET status = ?", (b"{",))
    with structlog.testing.capture_logs() as logs:
        assert await other.find(Play) == []
        assert await other.find(Play) == []
    [log] = logs
    assert (log["event"], log["log_level"], log["kind"], log["name"]) == (
        "object passed over",
        "warning",
        "Play",
        "play-demo-1",
    )
    assert "cannot read Play 'play-demo-1'" in log["error"]
