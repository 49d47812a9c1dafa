"""Kubernetes Events on Plays and CodeRuns: counted up, thinned out, and of no importance to anybody's work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.store_contract import SettableClock, play, run
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind
from tests.integration.kube.cluster import api_of, fake_cluster
from tests.integration.kube.test_informer import until

from coderun.app.announce import EventHerald
from coderun.model.play import Play

EVENTS = "events"


class Place:
    def __init__(self, server: FakeApiServer, herald: EventHerald, clock: SettableClock, dropped: list[int]) -> None:
        self.server = server
        self.herald = herald
        self.clock = clock
        self._dropped = dropped

    @property
    def dropped(self) -> int:
        return len(self._dropped)

    def events(self) -> list[dict[str, Any]]:
        return sorted(self.server.objects.all(EVENTS, "default"), key=lambda event: event["firstTimestamp"])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = SettableClock()
    dropped: list[int] = []
    async with fake_cluster() as server, api_of(server, tmp_path) as api:
        herald = EventHerald(
            api,
            "default",
            identity="pod-1",
            clock=clock,
            monotonic=lambda: clock().timestamp(),
            dropped=lambda: dropped.append(1),
        )
        task = asyncio.create_task(herald.run())
        yield Place(server, herald, clock, dropped)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def stored(name: str = "play-demo-1") -> Play:
    made = play(name)
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, uid=f"uid-of-{name}"))


async def test_an_event_names_what_it_is_about_and_what_happened(place: Place) -> None:
    place.herald.tell(stored(), "StageStarted", "quality starts\x1b[31m", warning=True)
    await until(place.events)
    (event,) = place.events()
    assert event["involvedObject"]["kind"] == "Play"
    assert (event["involvedObject"]["name"], event["involvedObject"]["uid"]) == ("play-demo-1", "uid-of-play-demo-1")
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "StageStarted", "quality starts")
    assert (event["count"], event["source"]) == (1, {"component": "coderun-controller"})


async def test_the_same_thing_again_is_counted_on_the_event_there_is(place: Place) -> None:
    for _ in range(3):
        place.herald.tell(stored(), "Waiting", "for checks")
    await until(lambda: place.events() and place.events()[0]["count"] == 3)
    assert len(place.events()) == 1


async def test_after_ten_minutes_the_same_thing_is_an_event_of_its_own(place: Place) -> None:
    place.herald.tell(stored(), "Waiting", "for checks")
    await until(lambda: len(place.events()) == 1)
    place.clock.now += timedelta(minutes=11)
    place.herald.tell(stored(), "Waiting", "for checks")
    await until(lambda: len(place.events()) == 2)


async def test_an_event_whose_time_was_over_is_written_anew(place: Place) -> None:
    place.herald.tell(stored(), "Waiting", "for checks")
    await until(lambda: len(place.events()) == 1)
    place.server.objects.delete(EVENTS, "default", place.events()[0]["metadata"]["name"])
    place.clock.now += timedelta(seconds=1)
    place.herald.tell(stored(), "Waiting", "for checks")
    await until(lambda: len(place.events()) == 1)


async def test_one_object_has_no_more_than_a_burst_and_the_others_are_not_held_up(place: Place) -> None:
    for number in range(40):
        place.herald.tell(stored(), "Turn", f"number {number}")
    place.herald.tell(stored("other"), "Turn", "once")
    await until(lambda: len(place.events()) == 26)
    assert place.dropped == 15
    place.clock.now += timedelta(minutes=2)
    for number in range(40, 45):
        place.herald.tell(stored(), "Turn", f"number {number}")
    await until(lambda: len(place.events()) == 28)


async def test_what_the_server_does_not_take_is_dropped_and_the_next_is_written(place: Place) -> None:
    place.server.faults.add(Fault(kind=FaultKind.ERROR, status=403, verb="create", path="events"))
    place.herald.tell(stored(), "Lost", "never seen")
    place.herald.tell(stored(), "Kept", "seen")
    await until(place.events)
    assert [event["reason"] for event in place.events()] == ["Kept"]
    assert place.dropped == 1


async def test_an_object_that_no_server_has_stored_is_not_told_of(place: Place) -> None:
    place.herald.tell(run(), "Kept", "seen")
    place.herald.tell(stored(), "Kept", "seen")
    await until(place.events)
    assert [event["involvedObject"]["kind"] for event in place.events()] == ["Play"]
