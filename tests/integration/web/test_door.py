"""The webhook door before a store on the disk."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import structlog
from aiohttp.test_utils import TestServer

from coderun.events.github import MAX_BODY
from coderun.events.signature import sign
from coderun.model.deliveries import Delivery
from coderun.model.errors import StoreUnavailableError
from coderun.store.sqlite import SqliteStore
from coderun.web.door import PATH, Door

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET = "s3cret"
BODY = msgspec.json.encode({"action": "opened", "repository": {"full_name": "Acme/Shop"}, "pull_request": {"number": 5}})


def headers_of(body: bytes, *, guid: str = "11111111-aaaa", secret: str = SECRET, **more: str) -> dict[str, str]:
    return {
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": sign(body, secret),
        "Content-Type": "application/json",
        **more,
    }


class Place:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "state.db"
        self.secrets = [SECRET, "older"]
        self.store = self.open()
        self.url = ""
        self.http: aiohttp.ClientSession

    def open(self) -> SqliteStore:
        return SqliteStore.open(self.path, clock=lambda: NOW, patience=0.0)

    async def post(self, body: bytes = BODY, headers: dict[str, str] | None = None) -> tuple[int, str]:
        async with self.http.post(
            self.url, data=io.BytesIO(body), headers=headers_of(body) if headers is None else headers
        ) as answer:
            text: dict[str, Any] = await answer.json()
            return answer.status, text["message"]

    async def stored(self) -> list[Delivery]:
        return await self.store.list_deliveries()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    door = Door(place.store, secrets=lambda: place.secrets, clock=lambda: NOW)
    async with TestServer(door.application()) as server, aiohttp.ClientSession() as session:
        place.url, place.http = str(server.make_url(PATH)), session
        yield place
    await place.store.close()


async def test_what_is_answered_202_is_on_the_disk(place: Place) -> None:
    assert await place.post() == (202, "stored github-11111111-aaaa")
    other = place.open()
    [delivery] = await other.pending_deliveries()
    await other.close()
    assert (delivery.id, delivery.event, delivery.repository) == (
        "github-11111111-aaaa",
        "pull_request.opened",
        "github.com/acme/shop",
    )
    assert (delivery.body, delivery.received_at) == (BODY, NOW)


async def test_a_repetition_is_taken_and_stored_once_also_after_a_restart(place: Place) -> None:
    await place.post()
    again = place.open()
    door = Door(again, secrets=lambda: [SECRET], clock=lambda: NOW)
    async with TestServer(door.application()) as server:
        place.url = str(server.make_url(PATH))
        assert (await place.post())[0] == 202
    await again.close()
    assert len(await place.stored()) == 1


async def test_the_old_secret_is_taken_until_it_is_removed(place: Place) -> None:
    headers = headers_of(BODY, secret="older")
    assert (await place.post(headers=headers))[0] == 202
    place.secrets.remove("older")
    assert (await place.post(headers=headers))[0] == 401


@pytest.mark.lesson(23)
@pytest.mark.parametrize("signature", ["", "sha256=" + "0" * 64, "sha256=x", "sha1=" + "0" * 40, sign(BODY + b" ", SECRET)])
async def test_a_bad_or_missing_signature_is_401_before_anything_is_parsed(place: Place, signature: str) -> None:
    headers = {"X-Hub-Signature-256": signature} if signature else {}
    status, message = await place.post(headers=headers)
    assert status == 401
    assert "secret" in message
    assert await place.stored() == []


async def test_an_unknown_event_and_one_of_another_shape_are_stored(place: Place) -> None:
    for number, body in enumerate((b"{}", b'{"pull_request": [1], "action": 5}')):
        assert (await place.post(body, headers_of(body, guid=f"g-{number}", **{"X-GitHub-Event": "moon_phase"})))[0] == 202
    assert [delivery.event for delivery in await place.stored()] == ["moon_phase"] * 2


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        (b"[1]", {}, "no JSON object"),
        (b"{", {}, "no JSON object"),
        (b'{"x": ' + b"[" * 200_000, {}, "no JSON object"),
        (BODY, {"Content-Type": "text/plain"}, "content type is 'text/plain'"),
        (BODY, {"X-GitHub-Event": ""}, "header x-github-event of the delivery is missing"),
        (BODY, {"X-GitHub-Delivery": ""}, "header x-github-delivery of the delivery is missing"),
    ],
)
async def test_a_signed_delivery_that_is_malformed_is_400(place: Place, body: bytes, more: dict[str, str], reason: str) -> None:
    status, message = await place.post(body, headers_of(body, **more))
    assert (status, reason in message) == (400, True)
    assert await place.stored() == []


async def test_a_form_is_taken(place: Place) -> None:
    body = b"payload=%7B%22action%22%3A%22opened%22%7D"
    status, _ = await place.post(body, headers_of(body, **{"Content-Type": "application/x-www-form-urlencoded"}))
    assert status == 202
    assert [delivery.body for delivery in await place.stored()] == [b'{"action":"opened"}']


async def test_the_largest_delivery_is_taken_and_one_byte_more_is_413(place: Place) -> None:
    body = b'{"a":"' + b"x" * (MAX_BODY - 8) + b'"}'
    assert (await place.post(body))[0] == 202
    status, message = await place.post(body + b" ")
    assert (status, "GitHub sends 26214400 at most" in message) == (413, True)


async def test_a_large_delivery_that_does_not_say_its_size_is_413(place: Place) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(26):
            yield b" " * 1024 * 1024

    try:
        async with place.http.post(place.url, data=chunks(), headers=headers_of(b"")) as answer:
            assert answer.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the door has hung up while more was coming
    assert await place.stored() == []


async def test_only_posts_to_the_path_are_answered(place: Place) -> None:
    async with place.http.get(place.url) as answer:
        assert answer.status == 405
    async with place.http.post(place.url + "/x", data=b"{}") as answer:
        assert answer.status == 404


class FullInbox:
    """Takes nothing in."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def put_deliveries(self, deliveries: Iterable[Delivery]) -> int:
        self.batches.append(len(list(deliveries)))
        raise StoreUnavailableError("the disk is full: /secret/place")


async def test_what_cannot_be_stored_is_503_and_not_explained_to_strangers(place: Place) -> None:
    door = Door(FullInbox(), secrets=lambda: [SECRET], clock=lambda: NOW)
    async with TestServer(door.application()) as server:
        place.url = str(server.make_url(PATH))
        async with place.http.post(place.url, data=BODY, headers=headers_of(BODY)) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "30"
            assert await answer.json() == {"message": "the delivery could not be stored"}


async def test_many_at_once_are_all_stored(place: Place) -> None:
    answers = await asyncio.gather(*(place.post(BODY, headers_of(BODY, guid=f"g-{number}")) for number in range(60)))
    assert {status for status, _ in answers} == {202}
    assert len(await place.stored()) == 60


async def test_a_sender_that_breaks_off_leaves_the_door_open(place: Place) -> None:
    host, port = place.url.split("/")[2].split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers_of(BODY).items())
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:10])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await place.post())[0] == 202
    assert len(await place.stored()) == 1


async def test_whoever_is_refused_again_and_again_does_not_fill_the_log(place: Place) -> None:
    with structlog.testing.capture_logs() as logs:
        statuses = {(await place.post(headers={}))[0] for _ in range(20)}
    assert statuses == {401}
    said = [entry for entry in logs if entry["event"] == "delivery refused"]
    assert 1 <= len(said) < 20
    assert said[0]["reason"].startswith("the delivery carries no signature")
