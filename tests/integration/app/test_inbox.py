"""The inbox for people, on a real store."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coderun.app.inbox import Wanted, find_delivery, list_deliveries, names_play, replay, told
from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.errors import NotFoundError
from coderun.store.protocol import Settlement
from coderun.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "state.db", clock=lambda: NOW)
    yield opened
    await opened.close()


def delivery(identity: str, *, seconds: float = 0, event: str = "push", **fields: Any) -> Delivery:
    received = NOW + timedelta(seconds=seconds)
    return Delivery(id=identity, event=event, repository="github.com/acme/shop", received_at=received, **fields)


async def ids(store: SqliteStore, wanted: Wanted, limit: int = 100) -> list[str]:
    return [found.id for found in await list_deliveries(store, wanted, limit=limit)]


async def test_the_newest_come_first_and_no_more_than_asked_for(store: SqliteStore) -> None:
    await store.put_deliveries(delivery(f"github-{n}", seconds=n) for n in range(5))
    assert await ids(store, Wanted(), limit=3) == ["github-4", "github-3", "github-2"]


async def test_no_delivery_is_left_out_where_many_came_in_one_moment(store: SqliteStore) -> None:
    await store.put_deliveries(delivery(f"github-{n}", seconds=n // 700) for n in range(1500))
    found = await ids(store, Wanted(), limit=2000)
    assert sorted(found) == sorted(f"github-{n}" for n in range(1500))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(state=DeliveryState.PENDING), ["github-3", "github-2", "github-1"]),
        (Wanted(state=DeliveryState.MOVED), ["github-0"]),
        (Wanted(event="pull_request"), ["github-3"]),
        (Wanted(event="pull_request.labeled"), ["github-3"]),
        (Wanted(event="pull"), []),
        (Wanted(play="play-shop-1"), ["github-0"]),
        (Wanted(play="play-shop"), []),
        (Wanted(since=NOW + timedelta(seconds=2)), ["github-3", "github-2"]),
        (Wanted(repository="github.com/acme/other"), []),
    ],
)
async def test_what_is_listed_can_be_narrowed(store: SqliteStore, wanted: Wanted, found: list[str]) -> None:
    await store.put_deliveries(delivery(f"github-{n}", seconds=n) for n in range(3))
    await store.put_deliveries([delivery("github-3", seconds=3, event="pull_request.labeled")])
    await store.settle_deliveries(
        [Settlement(id="github-0", state=DeliveryState.MOVED, outcome="hint for play-shop-1, play-shop-12")]
    )
    assert await ids(store, wanted) == found


async def test_a_delivery_is_found_by_id_by_the_forges_own_and_by_the_beginning(store: SqliteStore) -> None:
    await store.put_deliveries([delivery(f"github-{GUID}"), delivery("local-000000000001")])
    for wanted in (f"github-{GUID}", GUID, GUID.upper(), "72d3", "github-72", "local"):
        assert (await find_delivery(store, wanted)).id.startswith(("github-72", "local-0"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("github-7", "2 deliveries begin with 'github-7'; write more of the id"),
        ("github-7a\x1b[31m", "there is no delivery 'github-7a'; did you mean 'github-7a1'?"),
        ("", "there is no delivery ''; `coderun events list` shows those that are kept"),
    ],
)
async def test_what_is_not_there_is_said_with_what_to_do(store: SqliteStore, wanted: str, message: str) -> None:
    await store.put_deliveries([delivery("github-7a1"), delivery("github-7b2")])
    with pytest.raises(NotFoundError) as caught:
        await find_delivery(store, wanted)
    assert message in str(caught.value)


async def test_replaying_makes_settled_deliveries_pending_and_leaves_pending_ones(store: SqliteStore) -> None:
    await store.put_deliveries([delivery("github-1"), delivery("github-2", seconds=1)])
    await store.settle_deliveries([Settlement(id="github-1", state=DeliveryState.IGNORED, outcome="no play")])
    found = await list_deliveries(store, Wanted(), limit=10)
    assert [each.id for each in await replay(store, found)] == ["github-1"]
    assert [each.id for each in await store.pending_deliveries()] == ["github-1", "github-2"]


def test_a_delivery_is_told_with_what_it_points_at() -> None:
    side = {"ref": "feature/task-7-x", "sha": "a" * 40, "repo": {"id": 1}}
    pull = {"number": 5, "head": side, "base": side, "labels": [{"name": "task-7x"}]}
    body = msgspec.json.encode({"pull_request": pull, "sender": {"login": "ada"}})
    shown = told(delivery("github-1", body=body, event="pull_request.labeled"), with_body=True)
    assert (shown.pull_requests, shown.tasks, shown.branches) == ((5,), (7,), ("feature/task-7-x",))
    assert (shown.head_sha, shown.actor) == ("a" * 40, "ada")
    assert shown.remarks == ("label 'task-7x' is no task label (task-N is one)",)
    assert isinstance(shown.body, dict)
    assert shown.body["sender"] == {"login": "ada"}


def test_a_body_that_is_no_json_is_told_as_text() -> None:
    assert told(delivery("github-1", body=b"\xff{"), with_body=True).body == "\ufffd{"
    assert told(delivery("github-1", body=b"[" * 100_000), with_body=True).body == "[" * 100_000


def test_an_outcome_names_a_play_and_not_one_whose_name_begins_like_it() -> None:
    assert names_play("hint for play-shop-1, play-shop-12", "play-shop-1")
    assert not names_play("hint for play-shop-12, x-play-shop-1", "play-shop-1")
