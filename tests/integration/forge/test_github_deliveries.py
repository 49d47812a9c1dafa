"""GitHub's log of an App's webhooks, at a scripted GitHub."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.forge.hub import Hub, Reply, scripted_hub

from coderun.forge.github.auth import PersonalToken
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.deliveries import Attempt, DeliveryLog
from coderun.model.errors import NotFoundError

LIST = "GET /app/hook/deliveries"
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with scripted_hub() as hub:
        yield hub


@pytest.fixture
async def log(hub: Hub) -> AsyncIterator[DeliveryLog]:
    async with open_session() as session:
        yield DeliveryLog(Client(session, PersonalToken("token"), base_url=hub.url))


def attempt(number: int, code: int, *, minutes: float = 0, guid: str = "") -> dict[str, object]:
    at = (NOW - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return {"id": number, "guid": guid or f"g-{number}", "delivered_at": at, "status_code": code, "event": "push", "x": None}


async def test_what_did_not_arrive_comes_once_an_event_oldest_first(hub: Hub, log: DeliveryLog) -> None:
    listed = [attempt(4, 502, guid="g-1"), attempt(3, 0), attempt(2, 200), attempt(1, 502)]
    hub.on(LIST, listed)
    assert [one.guid for one in await log.failed_since(NOW - timedelta(hours=1))] == ["g-3", "g-1"]
    assert hub.asked[0].query == {"status": "failure", "per_page": "100"}


async def test_pages_are_read_back_to_the_moment_and_no_further(hub: Hub, log: DeliveryLog) -> None:
    more = {"Link": f'<{hub.url}/app/hook/deliveries?cursor=5>; rel="next"'}
    hub.on(
        LIST,
        Reply([attempt(9, 502)], headers=more),
        Reply([attempt(8, 502, minutes=1), attempt(7, 502, minutes=90)], headers=more),
    )
    assert [one.id for one in await log.failed_since(NOW - timedelta(hours=1))] == [8, 9]
    assert len(hub.asked) == 2


async def test_an_app_without_a_webhook_has_no_log(log: DeliveryLog) -> None:
    with pytest.raises(NotFoundError):
        await log.failed_since(NOW)


async def test_a_body_is_read_as_it_was_sent_and_may_be_gone(hub: Hub, log: DeliveryLog) -> None:
    hub.on("GET /app/hook/deliveries/7", {"id": 7, "request": {"headers": None, "payload": {"ref": "refs/heads/é"}}})
    hub.on("GET /app/hook/deliveries/8", {"id": 8})
    assert await log.body(Attempt(id=7, guid="g")) == '{"ref":"refs/heads/é"}'.encode()
    assert await log.body(Attempt(id=8, guid="g")) is None
    assert await log.body(Attempt(id=9, guid="g")) is None
