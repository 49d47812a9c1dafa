"""The client of GitHub's API, against answers that a test has written down."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
import structlog
from tests.integration.forge.hub import Asked, Hub, Reply, scripted_hub

from coderun.forge.github.answers import GitHubRefusedError
from coderun.forge.github.client import Client, Request, api_url, open_session
from coderun.forge.github.limits import Limits
from coderun.model.errors import ForgeUnavailableError, NotFoundError, RefusedError


class Thing(msgspec.Struct, frozen=True):
    id: int = 0


class Somebody:
    identity = "App rex"

    def __init__(self, *cures: float) -> None:
        self.number = 1
        self.cures = list(cures)

    async def authorization(self) -> str:
        return f"Bearer secret-{self.number}"

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        assert authorization == f"Bearer secret-{self.number}"
        self.number += 1
        return self.cures.pop(0) if self.cures else None


class Counting:
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.left: list[tuple[str, int, int]] = []

    def request(self, *, identity: str, method: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((identity, method, status))

    def budget(self, *, identity: str, resource: str, limit: int, remaining: int) -> None:
        self.left.append((resource, limit, remaining))


class World:
    """A hub, a client of it, and a clock that only moves when somebody waits."""

    def __init__(self, hub: Hub, session: Any) -> None:
        self.hub = hub
        self.time = 1_000_000.0
        self.waits: list[float] = []
        self.metrics = Counting()
        self.credential = Somebody()
        self.limits = Limits(self.now)
        self._session = session
        self.client = self.make()

    def make(self, **more: Any) -> Client:
        return Client(
            self._session,
            self.credential,
            base_url=self.hub.url + "/api/v3/",
            limits=self.limits,
            metrics=self.metrics,
            now=self.now,
            sleep=self.sleep,
            jitter=lambda: 0.0,
            **more,
        )

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with scripted_hub() as hub, open_session() as session:
        yield World(hub, session)


LIMITED = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-resource": "core"}
GET = "GET /api/v3/thing"
POST = "POST /api/v3/things"


async def test_a_request_carries_who_what_and_which_version(world: World) -> None:
    world.hub.on(GET, {"id": 1, "unknown": [1]})
    assert await world.client.get("/thing", Thing, {"ref": "a&b #é"}) == Thing(1)
    [asked] = world.hub.asked
    assert asked.query == {"ref": "a&b #é"}
    assert asked.headers["authorization"] == "Bearer secret-1"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["user-agent"] == "coderun"


async def test_quoted_parts_of_a_path_arrive_as_they_were_quoted(world: World) -> None:
    world.hub.on("GET /api/v3/labels/a%2Fb%20%3F%5Bbot%5D", {"id": 1})
    assert await world.client.get("/labels/a%2Fb%20%3F%5Bbot%5D", Thing) == Thing(1)


async def test_a_list_is_read_to_its_last_page(world: World) -> None:
    def page(asked: Asked) -> Reply:
        number = int(asked.query.get("page", "1"))
        links = f'<{world.hub.url}/api/v3/things?per_page=100&page={number + 1}>; rel="next", <{world.hub.url}/x>; rel="last"'
        return Reply([{"id": number}], headers={"Link": links} if number < 3 else {"Link": f'<{world.hub.url}/x>; rel="prev"'})

    world.hub.on("GET /api/v3/things", page)
    assert await world.client.list("/things", Thing) == [Thing(1), Thing(2), Thing(3)]
    assert [asked.query["per_page"] for asked in world.hub.asked] == ["100"] * 3


async def test_a_limit_in_the_midst_of_a_list_gives_no_part_of_it(world: World) -> None:
    link = {"Link": f'<{world.hub.url}/api/v3/things?page=2>; rel="next"'}
    world.hub.on(
        "GET /api/v3/things",
        Reply([{"id": 1}], headers=link),
        Reply({"message": "You have exceeded a secondary rate limit"}, 403),
    )
    with pytest.raises(ForgeUnavailableError, match="secondary rate limit") as refused:
        await world.client.list("/things", Thing)
    assert refused.value.retry_after == 60


async def test_an_unchanged_page_is_not_sent_again_and_leads_on_as_before(world: World) -> None:
    link = f'<{world.hub.url}/api/v3/things?page=2>; rel="next"'

    def page(asked: Asked) -> Reply:
        if asked.headers.get("if-none-match"):
            return Reply(status=304)
        if asked.query.get("page"):
            return Reply([{"id": 2}], headers={"ETag": 'W/"two"'})
        return Reply([{"id": 1}], headers={"ETag": 'W/"one"', "Link": link})

    world.hub.on("GET /api/v3/things", page)
    for _ in range(2):
        assert await world.client.list("/things", Thing) == [Thing(1), Thing(2)]
    assert [asked.headers.get("if-none-match") for asked in world.hub.asked] == [None, None, 'W/"one"', 'W/"two"']


@pytest.mark.parametrize("bad", [Reply({"message": "Server Error"}, 502), Reply({"message": "x"}, 500)])
async def test_a_read_is_tried_again_with_growing_pauses(world: World, bad: Reply) -> None:
    world.hub.on(GET, bad, bad, {"id": 1})
    assert await world.client.get("/thing", Thing) == Thing(1)
    assert world.waits == [0.5, 1.0]


async def test_a_read_whose_connection_breaks_is_tried_again(world: World) -> None:
    world.hub.on(GET, *[Reply(cut=True)] * 3, {"id": 1})  # the HTTP library itself tries once more
    assert await world.client.get("/thing", Thing) == Thing(1)
    assert world.waits[0] == 0.5
    assert ("App rex", "GET", 0) in world.metrics.requests


async def test_a_server_that_asks_for_time_gets_it(world: World) -> None:
    world.hub.on(GET, Reply({"message": "busy"}, 503, {"Retry-After": "7"}), {"id": 1})
    assert await world.client.get("/thing", Thing) == Thing(1)
    assert world.waits == [7.0]


async def test_what_goes_on_failing_is_unavailable(world: World) -> None:
    world.hub.on(GET, Reply({"message": "Server Error"}, 502, {"X-GitHub-Request-Id": "AB:12"}))
    with pytest.raises(
        ForgeUnavailableError, match=r"GitHub failed at GET /thing for App rex: 502: Server Error \(request AB:12\)"
    ):
        await world.client.get("/thing", Thing)
    assert len(world.hub.asked) == 5


@pytest.mark.parametrize("bad", [Reply({"message": "Server Error"}, 502), Reply(cut=True)])
async def test_what_creates_something_is_sent_once_unless_it_may_be_repeated(world: World, bad: Reply) -> None:
    world.hub.on(POST, bad, {"id": 1})
    with pytest.raises(ForgeUnavailableError, match="POST /things"):
        await world.client.write("POST", "/things", {"a": 1})
    assert len(world.hub.asked) == 1
    world.hub.on(POST, bad, {"id": 1})
    assert (await world.client.write("POST", "/things", {"a": 1}, repeatable=True)).status == 200
    assert world.hub.asked[-1].body == {"a": 1}


async def test_a_short_wait_that_a_limit_asks_for_is_waited_also_by_a_post(world: World) -> None:
    world.hub.on(POST, Reply({"message": "secondary rate limit"}, 403, {"Retry-After": "3"}), {"id": 1})
    assert (await world.client.write("POST", "/things", {})).status == 200
    assert world.waits[0] == 3.0


async def test_a_spent_limit_holds_for_every_client_of_the_app_until_it_is_renewed(world: World) -> None:
    world.hub.on(GET, Reply({"message": "API rate limit exceeded"}, 403, {**LIMITED, "x-ratelimit-reset": "1000600"}))
    with pytest.raises(ForgeUnavailableError, match="GitHub limits App rex") as refused:
        await world.client.get("/thing", Thing)
    assert refused.value.retry_after == 600
    world.hub.on(GET, {"id": 1})
    with pytest.raises(ForgeUnavailableError, match="spent for 600 s") as refused:
        await world.make().get("/thing", Thing)
    assert refused.value.retry_after == 600
    assert len(world.hub.asked) == 1
    world.time += 601
    assert await world.client.get("/thing", Thing) == Thing(1)


async def test_the_last_request_of_a_budget_blocks_those_after_it(world: World) -> None:
    world.hub.on(GET, Reply({"id": 1}, headers={**LIMITED, "x-ratelimit-reset": "1000060"}))
    assert await world.client.get("/thing", Thing) == Thing(1)
    assert world.metrics.left == [("core", 5000, 0)]
    with pytest.raises(ForgeUnavailableError, match="spent for 60 s"):
        await world.client.get("/thing", Thing)


async def test_secondary_limits_that_go_on_double_the_wait(world: World) -> None:
    world.hub.on(GET, Reply({"message": "You have triggered an abuse detection mechanism"}, 403))
    waits = []
    for _ in range(3):
        with pytest.raises(ForgeUnavailableError) as refused:
            await world.client.get("/thing", Thing)
        waits.append(refused.value.retry_after)
        world.time += refused.value.retry_after or 0
    assert waits == [60, 120, 240]


async def test_one_write_is_in_flight_while_reads_go_side_by_side(world: World) -> None:
    both = asyncio.Event()

    async def read(_: Asked) -> Reply:
        if world.hub.in_flight["read"] == 4:
            both.set()
        await both.wait()
        return Reply({"id": 1})

    async def write(_: Asked) -> Reply:
        await asyncio.sleep(0)  # lets the others come in, if they could
        return Reply({"id": 1})

    world.hub.on(GET, read)
    world.hub.on(POST, write)
    writes = [world.make().write("POST", "/things", {}) for _ in range(4)]
    async with asyncio.timeout(20):
        await asyncio.gather(*writes, *(world.client.get("/thing", Thing) for _ in range(4)))
    assert world.hub.most_in_flight["write"] == 1
    assert world.hub.most_in_flight["read"] == 4


async def test_many_writes_are_a_second_apart(world: World) -> None:
    world.hub.on(POST, {"id": 1})
    for _ in range(43):
        await world.client.write("POST", "/things", {})
    assert world.waits == [1.0, 1.0, 1.0]


async def test_a_fresh_credential_is_tried_once_after_a_401(world: World) -> None:
    world.credential.cures = [1.0, 1.0]
    world.hub.on(POST, Reply({"message": "Bad credentials"}, 401), {"id": 1})
    assert (await world.client.write("POST", "/things", {})).status == 200
    assert world.waits == [1.0]
    assert [asked.headers["authorization"] for asked in world.hub.asked] == ["Bearer secret-1", "Bearer secret-2"]
    world.hub.on(POST, Reply({"message": "Bad credentials"}, 401))
    with pytest.raises(RefusedError, match="the credential of App rex is wrong, expired or revoked"):
        await world.client.write("POST", "/things", {})
    assert len(world.hub.asked) == 4


async def test_refusals_say_what_was_attempted_and_what_to_do(world: World) -> None:
    with pytest.raises(
        NotFoundError, match="GitHub knows nothing at GET /thing that App rex may see: 404: Not Found; check the name"
    ):
        await world.client.get("/thing", Thing)
    assert await world.client.find("/thing", Thing) is None
    headers = {"X-Accepted-GitHub-Permissions": "issues=write"}
    world.hub.on(POST, Reply({"message": "Resource not accessible by integration"}, 403, headers))
    with pytest.raises(GitHubRefusedError, match="not accessible by integration; grant App rex issues=write"):
        await world.client.write("POST", "/things", {})
    errors = [{"resource": "PullRequest", "field": "head", "code": "invalid"}, {"message": "No commits"}, "plain"]
    world.hub.on(POST, Reply({"message": "Validation Failed\x1b[31m", "errors": errors}, 422))
    with pytest.raises(GitHubRefusedError) as refused:
        await world.client.write("POST", "/things", {})
    assert (refused.value.status, refused.value.said) == (422, "Validation Failed; head invalid; No commits; plain")


@pytest.mark.lesson(14)
async def test_one_line_with_the_request_id_is_logged_for_each_failure_and_no_token(world: World) -> None:
    world.hub.on(POST, Reply({"message": "no"}, 422, {"X-GitHub-Request-Id": "C0:FFEE"}))
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(RefusedError):
            await world.client.write("POST", "/things", {"token": "ghs_x"})
        assert await world.client.find("/nothing", Thing) is None
    [line] = lines
    assert line == {
        "event": "github request failed",
        "log_level": "warning",
        "identity": "App rex",
        "deed": "POST /things",
        "status": 422,
        "request_id": "C0:FFEE",
        "said": "no",
        "again": False,
    }


async def test_each_exchange_is_counted(world: World) -> None:
    world.hub.on(GET, Reply({"message": "x"}, 500), {"id": 1})
    await world.client.get("/thing", Thing)
    assert world.metrics.requests == [("App rex", "GET", 500), ("App rex", "GET", 200)]


async def test_a_renamed_repository_is_followed_also_by_writes(world: World) -> None:
    moved = Reply({"message": "Moved Permanently"}, 301, {"Location": f"{world.hub.url}/api/v3/repositories/1/things"})
    world.hub.on(POST, moved)
    world.hub.on("POST /api/v3/repositories/1/things", {"id": 7})
    await world.client.write("POST", "/things", {"a": 1})
    assert world.hub.asked[-1].body == {"a": 1}


async def test_a_circle_of_redirects_is_refused(world: World) -> None:
    world.hub.on(GET, Reply(None, 302, {"Location": "/api/v3/thing"}))
    with pytest.raises(RefusedError, match="redirected GET /thing more than 3 times"):
        await world.client.get("/thing", Thing)


@pytest.mark.parametrize("place", ["Location", "Link"])
async def test_the_credential_is_not_shown_to_another_origin(world: World, place: str) -> None:
    async with scripted_hub() as other:
        if place == "Location":
            world.hub.on(GET, Reply(None, 302, {"Location": f"{other.url}/api/v3/thing"}))
        else:
            world.hub.on(GET, Reply([{"id": 1}], headers={"Link": f'<{other.url}/things?page=2>; rel="next"'}))
        with pytest.raises(RefusedError, match="the credential of App rex is not shown there"):
            await world.client.list("/thing", Thing)
        assert other.asked == []


@pytest.mark.parametrize("body", [b"<html>", b"[", b"[1]", b"[" * 100_000])
async def test_a_body_that_is_not_githubs_is_unavailable(world: World, body: bytes) -> None:
    world.hub.on(GET, Reply(body))
    with pytest.raises(ForgeUnavailableError, match="is not what GitHub's API gives"):
        await world.client.get("/thing", Thing)


async def test_a_server_that_is_not_there_is_unavailable(world: World) -> None:
    client = Client(world._session, world.credential, base_url="http://127.0.0.1:1", now=world.now, sleep=world.sleep)
    with pytest.raises(ForgeUnavailableError, match="no answer from GitHub to GET /thing"):
        await client.send(Request(method="GET", path="/thing"))


def test_every_host_has_its_api() -> None:
    assert api_url("github.com") == "https://api.github.com"
    assert api_url("ghe.example.com") == "https://ghe.example.com/api/v3"


@pytest.mark.lesson(29)
async def test_what_would_change_something_is_not_sent_where_it_is_not_permitted_and_reading_goes_on(world: World) -> None:
    def refuse() -> None:
        raise RefusedError("not the leader any more")

    world.hub.on(GET, Reply({"id": 7}))
    permitted = world.make(permit=refuse).acting_as(world.credential)
    with pytest.raises(RefusedError, match="not the leader"):
        await permitted.write("POST", "/repos/acme/shop/issues/7/comments", {"body": "hello"})
    assert await permitted.get("/thing", Thing) == Thing(id=7)
    assert [asked.method for asked in world.hub.asked] == ["GET"]
