"""`coderun up` with a webhook door: deliveries come in, and why each did or did not move a play is there to read."""

import json
import re
import signal
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from tests.acceptance.kit import Command, Place, task, until

from coderun.events.signature import sign

HOLD = [{"do": "hold", "until": "go"}]


class Sender:
    """GitHub, as the door sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str) -> None:
        self._session = session
        self._url = url
        self._secret = secret

    async def send(
        self, guid: str, body: bytes, event: str = "pull_request", headers: Mapping[str, str] = {}, signed: bytes | None = None
    ) -> int:
        sent = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid,
            "X-Hub-Signature-256": sign(body if signed is None else signed, self._secret),
            "Content-Type": "application/json",
            **headers,
        }
        async with self._session.post(self._url, data=body, headers=sent) as answer:
            return answer.status


async def open_up(place: Place) -> tuple[Command, str]:
    """A controller with a door, and the door's URL."""
    (place.folder / "secret").write_text("s3cret\n")
    up = place.start("up", "--webhook-port", "0", "--webhook-secret-file", str(place.folder / "secret"))
    found = await until(lambda: re.search(r"webhooks are taken at (\S+)", up.said), "the door", tell=lambda: up.said)
    return up, found[1]


def body_of(place: Place, **pull: Any) -> bytes:
    side = {"ref": "x", "sha": "a" * 40, "repo": {"id": 1}}
    content = {"number": 99, "title": "$(touch owned) `touch owned`", "head": side, "base": {**side, "ref": "main"}, **pull}
    return json.dumps(
        {
            "action": "opened",
            "repository": {"html_url": str(place.repository)},
            "pull_request": content,
            "sender": {"login": "eve"},
        }
    ).encode()


async def outcomes(place: Place, *guids: str) -> list[str]:
    """What became of these deliveries, once a controller has looked at them."""
    found = []
    for guid in guids:
        told: dict[str, Any] = {}
        while told.get("state", "pending") == "pending":
            ended = await place.coderun("events", "show", guid, "-o", "json")
            assert ended.code == 0, ended.said
            told = json.loads(ended.out)
        found.append(f"{told['state']}: {told['outcome']}")
    return found


@pytest.mark.slow
async def test_the_inbox_says_why_each_delivery_did_or_did_not_move_a_play(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1))
    place.script({"1:implementation": HOLD})
    assert (await place.coderun("play", "--task", "1", "--detach")).code == 0
    await place.until_ran("implementation")
    await place.coderun("up", "--stop")
    up, url = await open_up(place)
    async with aiohttp.ClientSession() as session:
        github = Sender(session, url, "s3cret")
        assert await github.send("a-1", body_of(place, labels=[{"name": "task-1"}])) == 202
        assert await github.send("a-2", body_of(place, labels=[{"name": "task-7x"}])) == 202
        assert (
            await github.send("a-3", b'{"repository": {"full_name": "acme/other"}, "ref": "refs/heads/task-1"}', "push") == 202
        )
        assert await github.send("a-4", b'{"zen": "Keep it logically awesome."}', "ping") == 202
        assert await github.send("a-5", body_of(place), "moon_phase") == 202
        assert await github.send("a-1", body_of(place, labels=[{"name": "task-1"}])) == 202
        form = urlencode({"payload": body_of(place).decode()}).encode()
        assert await github.send("a-6", form, headers={"Content-Type": "application/x-www-form-urlencoded"}) == 202
        stranger = body_of(place, labels=[{"name": "task-1"}]).replace(b'{"action"', b'{"installation": {"id": 999}, "action"')
        assert await github.send("a-7", stranger) == 202
        # Bad input: refused, nothing of it is kept.
        assert await github.send("b-1", body_of(place), signed=b"other") == 401
        assert await github.send("b-2", b"[" * 100_000 + b"]" * 100_000) == 400
        assert await github.send("b-3", b"{}", headers={"Content-Type": "text/plain"}) == 400
        assert await github.send("b-4", b"{}", headers={"X-GitHub-Event": "$(id)"}) == 400
    told = await outcomes(place, *(f"a-{number}" for number in range(1, 8)))
    assert told == [
        "moved: hint for play-shop-1",
        "moved: hint for play-shop-1; label 'task-7x' is no task label (task-N is one)",
        "ignored: repository github.com/acme/other is not played here",
        "ignored: concerns no repository",
        "moved: hint for play-shop-1",
        "moved: hint for play-shop-1",
        "moved: hint for play-shop-1",  # whichever installation it came through: a hint is no more than that
    ]
    play = await place.play(1)
    assert (play.status.stage, play.status.iteration, play.status.pull_request) == ("implementation", 1, None)
    listed = await place.coderun("events", "list", "-n", "1000", "-o", "json")
    names = [each["name"] for each in json.loads(listed.out) if each["name"].startswith("github-")]
    assert sorted(names) == [f"github-a-{number}" for number in range(1, 8)]
    assert not list(place.folder.rglob("owned"))

    # The same hint once more, at a controller that runs.
    assert (await place.coderun("events", "replay", "a-1")).out == "1 event pending again\n"
    assert await outcomes(place, "a-1") == ["moved: hint for play-shop-1"]
    up.send(signal.SIGINT)
    assert await up.ended() == 130


@pytest.mark.slow
async def test_a_secret_is_replaced_while_the_door_is_open(place: Place) -> None:
    up, url = await open_up(place)
    async with aiohttp.ClientSession() as session:
        assert await Sender(session, url, "s3cret").send("a-1", b"{}") == 202
        (place.folder / "secret").write_text("an0ther\n")
        renewed = Sender(session, url, "an0ther")
        answers: list[int] = []
        while 202 not in answers:
            answers.append(await renewed.send("a-2", b"{}"))
            assert up.is_running, up.said
        assert set(answers[:-1]) <= {401}
        assert await Sender(session, url, "s3cret").send("a-3", b"{}") == 401


async def test_a_door_without_a_secret_is_not_opened(place: Place) -> None:
    ended = await place.coderun("up", "--webhook-port", "0")
    assert ended.code == 2
    assert "the webhook door needs a secret" in ended.err
