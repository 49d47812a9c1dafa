"""Deliveries that were lost on the way, found in the log of the fake GitHub."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.fakes.github import FakeGitHub

from coderun.app import repair
from coderun.app.repair import DeliveryRepair
from coderun.events.github import to_delivery
from coderun.events.hints import hints_of
from coderun.forge.github.auth import AppCredential, AppKey
from coderun.forge.github.client import Client
from coderun.forge.github.deliveries import DeliveryLog
from coderun.model.errors import ForgeUnavailableError
from coderun.store.sqlite import SqliteStore
from coderun.web.serve import open_door

REPO = "acme/shop"
SECRET = "s3cret"


def now() -> datetime:
    return datetime.now(UTC)


class Desk:
    """A GitHub with one App and one repository, and an inbox with a door that can be open or not."""

    def __init__(self, github: FakeGitHub, store: SqliteStore, session: aiohttp.ClientSession) -> None:
        self.github = github
        self.store = store
        self.clock = now
        self._session = session
        self.app = github.create_app("Rex", permissions={"contents": "write", "pull_requests": "write"})
        self.url = ""

    def repair(self, **shift: float) -> DeliveryRepair:
        def clock() -> datetime:
            return now() + timedelta(**shift)

        key = AppKey(str(self.app.id), self.app.private_key.encode(), clock=now)
        client = Client(self._session, AppCredential(key), base_url=self.github.api_url, patience=0.1)
        return DeliveryRepair({"rex": DeliveryLog(client)}, self.store, clock=clock)

    async def event(self, label: str) -> None:
        """Something happens at GitHub, and is told as far as that is possible."""
        self.github.world.send("label", {"action": "created", "label": {"name": label}}, app=self.app.app)
        await self.github.settle()

    async def stored(self) -> list[str]:
        found = await self.store.list_deliveries(limit=10_000)
        return sorted(delivery.id.removeprefix("github-") for delivery in found)

    def sent(self) -> list[str]:
        return sorted({delivery.guid for delivery in self.app.app.hook.deliveries})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(FakeGitHub(tmp_path / "github"))
        store = SqliteStore.open(tmp_path / "state.db", clock=now)
        stack.push_async_callback(store.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = Desk(github, store, session)
        made.url = await stack.enter_async_context(
            open_door(store, host="127.0.0.1", port=0, secrets=lambda: [SECRET], clock=now)
        )
        made.app.app.hook.url, made.app.app.hook.secret = made.url, SECRET
        made.app.app.events = ["label"]
        yield made


async def test_what_never_arrived_is_taken_in_as_if_it_had(desk: Desk) -> None:
    repair_ = desk.repair()
    await desk.event("arrives")
    desk.github.webhook_fault("drop", count=2)
    await desk.event("lost-1")
    await desk.event("lost-2")
    assert len(await desk.stored()) == 1
    assert (await repair_.reconcile("rex")).after == repair.SOON
    assert await desk.stored() == desk.sent()
    bodies = [delivery.body for delivery in await desk.store.list_deliveries()]
    assert sum(b'"lost-' in body for body in bodies) == 2
    assert all(delivery.event == "label.created" for delivery in await desk.store.list_deliveries())


async def test_what_is_found_comes_with_its_id_so_that_it_is_the_same_when_it_is_sent_again(desk: Desk) -> None:
    desk.github.webhook_fault("drop")
    await desk.event("lost")
    await desk.repair().reconcile("rex")
    hook = desk.app.app.hook
    desk.github.webhooks.redeliver(hook, hook.deliveries[0])
    await desk.github.settle()
    assert [delivery.status_code for delivery in hook.deliveries] == [502, 202]
    assert len(await desk.stored()) == 1


async def test_looks_become_rare_while_nothing_is_missing_and_frequent_when_something_was(desk: Desk) -> None:
    repair_ = desk.repair()
    pauses = [(await repair_.reconcile("rex")).after for _ in range(5)]
    assert pauses == [30.0, 60.0, 120.0, 300.0, 300.0]
    desk.github.webhook_fault("drop")
    await desk.event("lost")
    assert [(await repair_.reconcile("rex")).after for _ in range(2)] == [repair.SOON, 30.0]


async def test_a_controller_that_starts_looks_back_three_days(desk: Desk) -> None:
    desk.github.webhook_fault("drop")
    await desk.event("lost")
    late = desk.repair(days=2)
    await late.reconcile("rex")
    assert await desk.stored() == desk.sent()
    desk.github.webhook_fault("drop")
    await desk.event("lost too")
    await late.reconcile("rex")  # by its clock it looked a moment ago, and that was two days ahead of GitHub's
    assert len(await desk.stored()) == 1


async def test_what_was_found_once_is_not_read_again(desk: Desk) -> None:
    desk.github.webhook_fault("drop")
    await desk.event("lost")
    repair_ = desk.repair()
    await repair_.reconcile("rex")
    await desk.store.settle_deliveries([])
    await repair_.reconcile("rex")
    read = [entry["path"] for entry in desk.github.journal if entry["path"].startswith("/app/hook/deliveries/")]
    assert len(read) == 1


async def test_many_are_read_in_portions(desk: Desk) -> None:
    desk.github.webhook_fault("drop", count=repair.AT_ONCE + 20)
    for number in range(repair.AT_ONCE + 20):
        desk.github.world.send("label", {"action": "created", "label": {"name": f"l{number}"}}, app=desk.app.app)
    await desk.github.settle()
    repair_ = desk.repair()
    assert (await repair_.reconcile("rex")).after == 0.0
    assert len(await desk.stored()) == repair.AT_ONCE
    assert (await repair_.reconcile("rex")).after == repair.SOON
    assert await desk.stored() == desk.sent()


async def test_a_github_that_does_not_answer_is_asked_again_for_all_of_it(desk: Desk) -> None:
    desk.github.webhook_fault("drop")
    await desk.event("lost")
    repair_ = desk.repair()
    desk.github.fault("error", status=502, count=20)
    with pytest.raises(ForgeUnavailableError):
        await repair_.reconcile("rex")
    assert await desk.stored() == []
    desk.github.server.faults.waiting.clear()
    await repair_.reconcile("rex")
    assert await desk.stored() == desk.sent()


async def test_what_can_be_read_is_taken_in_though_the_rest_must_wait(desk: Desk) -> None:
    desk.github.webhook_fault("drop", count=10)
    for number in range(10):
        await desk.event(f"lost-{number}")
    repair_ = desk.repair()
    desk.github.fault("secondary-limit", path=r"/app/hook/deliveries/\d+$", count=1, retry_after=30)
    with pytest.raises(ForgeUnavailableError):
        await repair_.reconcile("rex")
    assert 0 < len(await desk.stored()) < 10
    await desk.repair().reconcile("rex")  # its client has not been told to wait
    assert await desk.stored() == desk.sent()


async def test_an_event_of_the_log_that_is_no_delivery_blocks_no_other(desk: Desk) -> None:
    desk.github.webhook_fault("drop", count=2)
    await desk.event("lost")
    desk.app.app.hook.deliveries[0].event = "no event's name!"
    await desk.event("lost too")
    await desk.repair().reconcile("rex")
    assert await desk.stored() == [desk.app.app.hook.deliveries[1].guid]


def test_a_delivery_of_the_log_points_at_what_it_would_have_pointed_at() -> None:
    headers = {"x-github-delivery": "g", "x-github-event": "push", "content-type": "application/json"}
    assert hints_of(to_delivery(headers, b'{"ref":"refs/heads/task-3"}', now()))[0].tasks == frozenset({3})
