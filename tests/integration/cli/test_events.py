"""`coderun events` as people and programs use it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.acceptance.kit import Place
from tests.integration.cli.conftest import HOSTILE, Coderun

from coderun.model.deliveries import Delivery, DeliveryState
from coderun.store.protocol import Settlement
from coderun.store.sqlite import SqliteStore

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@pytest.fixture(scope="module", autouse=True)
def deliveries(shop: Place) -> None:
    """One delivery that moved a play, one that was ignored, both with texts that mean harm."""
    asyncio.run(_fill(shop))


async def _fill(shop: Place) -> None:
    now = datetime.now(UTC)
    store = SqliteStore.open(shop.state / "state.db", clock=lambda: now)
    side = {"ref": f"x/task-7 {HOSTILE}", "sha": "a" * 40, "repo": {"id": 1}}
    body = msgspec.json.encode({"pull_request": {"number": 5, "title": HOSTILE, "head": side, "base": side}})

    def delivery(identity: str, event: str, ago: timedelta) -> Delivery:
        return Delivery(id=identity, event=event, repository="github.com/acme/shop", received_at=now - ago, body=body)

    await store.put_deliveries(
        [
            delivery(f"github-{GUID}", "pull_request.opened", timedelta(minutes=5)),
            delivery("github-99", "push", timedelta(hours=2)),
        ]
    )
    await store.settle_deliveries(
        [
            Settlement(id=f"github-{GUID}", state=DeliveryState.MOVED, outcome="hint for play-shop-1"),
            Settlement(id="github-99", state=DeliveryState.IGNORED, outcome=f"concerns no open play; {HOSTILE}"),
        ]
    )
    await store.close()


def is_clean(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


def test_people_see_what_became_of_each_event(coderun: Coderun) -> None:
    done = coderun("events", "list")
    assert (done.returncode, done.stderr) == (0, "")
    header, first, second = done.stdout.splitlines()
    assert header.split() == ["NAME", "RECEIVED", "EVENT", "ABOUT", "STATE", "OUTCOME"]
    assert first.startswith(f"github-{GUID}")
    assert first.endswith("pull_request.opened  #5     moved    hint for play-shop-1")
    assert second.startswith("github-99")
    assert is_clean(done.stdout)


def test_programs_get_every_field(coderun: Coderun) -> None:
    [found] = json.loads(coderun("events", "list", "--play", "1", "-o", "json").stdout)
    assert found.keys() == {
        *("name", "event", "repository", "receivedAt", "state", "outcome", "pullRequests", "tasks", "branches"),
        *("headSha", "actor", "remarks"),
    }
    assert (found["name"], found["state"], found["pullRequests"]) == (f"github-{GUID}", "moved", [5])


@pytest.mark.slow
def test_the_list_is_narrowed_by_time_and_state(coderun: Coderun) -> None:
    assert coderun("events", "list", "--since", "1h", "-o", "name").stdout.splitlines() == [f"github-{GUID}"]
    assert coderun("events", "list", "--state", "ignored", "-o", "name").stdout.splitlines() == ["github-99"]
    assert coderun("events", "list", "--event", "issues").stdout == "no such event\n"


def test_one_event_is_shown_with_its_body_in_clean_text(coderun: Coderun) -> None:
    done = coderun("events", "show", "72d3")
    assert done.returncode == 0
    assert "  outcome:     hint for play-shop-1" in done.stdout
    assert "  then:        play-shop-1: Started: ti'tle red next (" in done.stdout
    assert '  remarks:     branch "x/task-7' in done.stdout
    assert '"number": 5' in done.stdout
    assert is_clean(done.stdout)


@pytest.mark.slow
def test_programs_get_the_body_too(coderun: Coderun) -> None:
    done = coderun("events", "show", GUID, "-o", "json")
    assert json.loads(done.stdout)["body"]["pull_request"]["title"] == HOSTILE
    assert coderun("events", "show", GUID, "-o", "name").stdout == f"github-{GUID}\n"


@pytest.mark.slow
def test_replaying_makes_it_pending_and_says_who_would_look(coderun: Coderun) -> None:
    done = coderun("events", "replay", "github-99")
    assert done.stdout == "1 event pending again; no controller is running, `coderun up` looks at them\n"
    assert coderun("events", "replay", "--since", "3h", "--event", "push").stdout.startswith("0 events pending again")
    assert json.loads(coderun("events", "show", "99", "-o", "json").stdout)["state"] == "pending"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("events show nothing", 4, "error: there is no delivery 'nothing'"),
        ("events replay", 2, "error: say which events: by id, or how far back with --since"),
        ("events list --since yesterday", 2, "is no length of time; write 30m, 2h or 1d"),
        ("events list --play 99", 4, "error: there is no play '99'"),
    ],
)
def test_errors_say_what_to_write(coderun: Coderun, words: str, code: int, message: str) -> None:
    done = coderun(*words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())
