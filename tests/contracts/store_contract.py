"""What every store must do, whatever it keeps its objects in. Subclass it and give it a `place`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import pytest

from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus, RunPhase, Usage
from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.errors import AlreadyExistsError, NotFoundError, RefusedError, WriteConflictError
from coderun.model.meta import Condition, ConditionStatus, ObjectMeta
from coderun.model.play import Play, PlaySpec, PlayStatus
from coderun.model.task import TaskText
from coderun.store.protocol import Change, Settlement, Store

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = 20.0
NASTY = "quotes ' \" $(rm -rf /) `x` \n\x00\x1b[31m é 漢 \U0001f600 \x7f\x90\ufeff\uffff ; DROP TABLE objects; --"


class SettableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Place(Protocol):
    """Where stores are: each `connect` gives one more client of the same objects, as another process would have.

    `room` is how many characters a field may have, `keeps_bodies` whether deliveries are kept with their bodies.
    """

    room: int
    keeps_bodies: bool

    async def connect(self) -> Store: ...


def play(name: str = "play-demo-1", *, task_id: int = 1, labels: dict[str, str] | None = None, title: str = "A task") -> Play:
    spec = PlaySpec(task_id=task_id, repository_url="/srv/demo", task=TaskText(title=title))
    return Play(metadata=ObjectMeta(name=name, labels=labels or {}), spec=spec)


def run(name: str = "run-1", *, labels: dict[str, str] | None = None) -> CodeRun:
    spec = CodeRunSpec(task_id=1, service="demo", repository_url="/srv/demo", env={"A": "1"})
    return CodeRun(metadata=ObjectMeta(name=name, labels=labels or {}), spec=spec)


def in_stage(changed: Play, stage: str) -> Play:
    return msgspec.structs.replace(changed, status=msgspec.structs.replace(changed.status, stage=stage))


def of_priority(changed: Play, priority: int) -> Play:
    return msgspec.structs.replace(changed, spec=msgspec.structs.replace(changed.spec, priority=priority))


def labelled(changed: Play, labels: dict[str, str]) -> Play:
    return msgspec.structs.replace(changed, metadata=msgspec.structs.replace(changed.metadata, labels=labels))


def delivery(identity: str, *, seconds: float = 0, body: bytes = b"") -> Delivery:
    return Delivery(
        id=identity,
        event="push",
        repository="local/demo",
        received_at=START + timedelta(seconds=seconds),
        body=body,
    )


async def hints(watch: AsyncIterator[list[Change]], until: Callable[[dict[tuple[str, str], Change]], bool]) -> list[Change]:
    """The newest hint of each object, collected until they satisfy `until`."""
    heard: dict[tuple[str, str], Change] = {}
    async with asyncio.timeout(DEADLINE):
        while not until(heard):
            heard.update({(change.kind, change.name): change for change in await anext(watch)})
    return list(heard.values())


class StoreContract:
    """The clauses. Subclasses define the fixture `place`."""

    @pytest.fixture
    async def store(self, place: Place) -> Store:
        return await place.connect()

    @pytest.fixture
    async def other(self, place: Place) -> Store:
        return await place.connect()

    # --- objects

    async def test_what_was_never_created_is_none(self, store: Store) -> None:
        assert await store.get(Play, "play-demo-1") is None

    async def test_creating_sets_the_bookkeeping(self, store: Store) -> None:
        made = await store.create(play())
        assert made.metadata.uid
        assert made.metadata.resource_version
        assert made.metadata.generation == 1
        assert made.metadata.creation_timestamp is not None
        assert made.metadata.namespace

    async def test_another_client_reads_what_was_created(self, store: Store, other: Store) -> None:
        made = await store.create(play(labels={"a": "1"}))
        assert await other.get(Play, "play-demo-1") == made

    async def test_the_status_given_at_creation_is_stored(self, store: Store, other: Store) -> None:
        await store.create(in_stage(play(), "quality"))
        read = await other.get(Play, "play-demo-1")
        assert read is not None
        assert read.status.stage == "quality"

    async def test_creating_a_name_twice_is_refused_and_changes_nothing(self, store: Store) -> None:
        made = await store.create(play())
        with pytest.raises(AlreadyExistsError, match="cannot create Play 'play-demo-1'"):
            await store.create(play(task_id=2))
        assert await store.get(Play, "play-demo-1") == made

    async def test_kinds_have_names_of_their_own(self, store: Store) -> None:
        await store.create(play("same"))
        await store.create(run("same"))
        assert [found.name for found in await store.find(CodeRun)] == ["same"]

    async def test_hostile_and_large_text_comes_back_as_it_was(self, store: Store, other: Store, place: Place) -> None:
        text = NASTY + "x" * place.room
        made = await store.create(play(title=text))
        written = await store.update_status(msgspec.structs.replace(made, status=PlayStatus(message=text)))
        read = await other.get(Play, "play-demo-1")
        assert read == written
        assert read is not None
        assert read.spec.task is not None
        assert (read.spec.task.title, read.status.message) == (text, text)

    async def test_text_that_is_no_unicode_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        with pytest.raises(RefusedError, match="cannot store Play 'play-demo-1': its spec"):
            await store.create(play(title="\udc80"))
        assert await store.get(Play, "play-demo-1") is None

    async def test_a_number_that_json_cannot_hold_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        made = await store.create(run())
        with pytest.raises(RefusedError, match="cannot store CodeRun 'run-1': its status"):
            await store.update_status(msgspec.structs.replace(made, status=CodeRunStatus(usage=Usage(cost_usd=float("nan")))))
        assert await store.get(CodeRun, "run-1") == made

    # --- find

    async def test_finding_gives_all_of_a_kind_by_name(self, store: Store) -> None:
        for name in ("b", "c", "a"):
            await store.create(play(name))
        await store.create(run("d"))
        assert [found.name for found in await store.find(Play)] == ["a", "b", "c"]

    async def test_finding_by_labels_asks_for_all_of_them(self, store: Store) -> None:
        await store.create(play("a", labels={"x": "1", "y": "1"}))
        await store.create(play("b", labels={"x": "1", "y": "2"}))
        await store.create(play("c", labels={"x": "1"}))
        assert [found.name for found in await store.find(Play, labels={"x": "1"})] == ["a", "b", "c"]
        assert [found.name for found in await store.find(Play, labels={"x": "1", "y": "2"})] == ["b"]
        assert await store.find(Play, labels={"x": "2"}) == []

    async def test_changed_labels_are_found_and_old_ones_are_not(self, store: Store) -> None:
        made = await store.create(play("a", labels={"x": "1", "y": "1"}))
        await store.update(labelled(made, {"x": "2"}))
        assert await store.find(Play, labels={"x": "1"}) == []
        assert await store.find(Play, labels={"y": "1"}) == []
        assert [found.metadata.labels for found in await store.find(Play, labels={"x": "2"})] == [{"x": "2"}]

    async def test_many_objects_are_found_whole(self, store: Store) -> None:
        for number in range(250):
            await store.create(play(f"play-{number:03}"))
        found = await store.find(Play)
        assert [one.name for one in found] == [f"play-{number:03}" for number in range(250)]

    # --- writes

    async def test_updating_the_spec_raises_the_generation_and_the_version(self, store: Store) -> None:
        made = await store.create(play())
        written = await store.update(of_priority(made, 0))
        assert written.metadata.generation == 2
        assert written.metadata.resource_version != made.metadata.resource_version
        assert (written.metadata.uid, written.metadata.creation_timestamp) == (
            made.metadata.uid,
            made.metadata.creation_timestamp,
        )
        assert await store.get(Play, made.name) == written

    async def test_updating_labels_leaves_the_generation(self, store: Store) -> None:
        made = await store.create(play())
        written = await store.update(labelled(made, {"x": "1"}))
        assert written.metadata.generation == 1
        assert written.metadata.resource_version != made.metadata.resource_version

    async def test_updating_annotations_stores_them(self, store: Store, other: Store) -> None:
        made = await store.create(play())
        noted = msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations={"note": NASTY}))
        await store.update(noted)
        read = await other.get(Play, made.name)
        assert read is not None
        assert read.metadata.annotations == {"note": NASTY}

    async def test_updating_leaves_the_status_alone(self, store: Store, other: Store) -> None:
        made = await store.create(in_stage(play(), "quality"))
        written = await store.update(in_stage(of_priority(made, 0), "testing"))
        assert written.status.stage == "quality"
        read = await other.get(Play, made.name)
        assert read is not None
        assert (read.status.stage, read.spec.priority) == ("quality", 0)

    async def test_updating_with_nothing_new_writes_nothing(self, store: Store) -> None:
        made = await store.create(play())
        assert await store.update(made) == made

    async def test_a_dict_changed_in_place_is_still_written(self, store: Store, other: Store) -> None:
        made = await store.create(play())
        made.metadata.labels["x"] = "1"
        await store.update(made)
        assert [found.name for found in await other.find(Play, labels={"x": "1"})] == [made.name]

    async def test_updating_the_status_leaves_spec_and_metadata_alone(self, store: Store, other: Store) -> None:
        made = await store.create(play(labels={"x": "1"}))
        written = await store.update_status(in_stage(labelled(of_priority(made, 0), {"x": "2"}), "testing"))
        assert (written.status.stage, written.spec.priority, written.metadata.labels) == ("testing", 1, {"x": "1"})
        assert written.metadata.generation == 1
        assert await other.get(Play, made.name) == written

    async def test_an_equal_status_writes_nothing(self, store: Store) -> None:
        made = await store.create(in_stage(play(), "quality"))
        assert await store.update_status(in_stage(made, "quality")) == made

    async def test_a_status_equal_but_for_the_time_zone_writes_nothing(self, store: Store) -> None:
        made = await store.create(play())
        written = await store.update_status(msgspec.structs.replace(made, status=PlayStatus(started_at=START)))
        same = START.astimezone(tz=None)
        assert await store.update_status(msgspec.structs.replace(written, status=PlayStatus(started_at=same))) == written

    async def test_conditions_and_phases_survive_the_store(self, store: Store, other: Store) -> None:
        made = await store.create(run())
        condition = Condition(type="Ready", status=ConditionStatus.FALSE, reason="JobLost", last_transition_time=START)
        status = CodeRunStatus(phase=RunPhase.FAILED, conditions=(condition,), usage=Usage(cost_usd=1.25, turns=3))
        await store.update_status(msgspec.structs.replace(made, status=status))
        read = await other.get(CodeRun, made.name)
        assert read is not None
        assert read.status == status

    @pytest.mark.lesson(31)
    @pytest.mark.parametrize("write", ["update", "update_status"])
    async def test_writing_what_was_read_before_another_write_conflicts(self, store: Store, other: Store, write: str) -> None:
        made = await store.create(play())
        await other.update_status(in_stage(made, "quality"))
        with pytest.raises(WriteConflictError, match=r"cannot write Play 'play-demo-1': .* read it again"):
            await getattr(store, write)(in_stage(of_priority(made, 0), "testing"))
        read = await store.get(Play, made.name)
        assert read is not None
        assert (read.status.stage, read.spec.priority) == ("quality", 1)

    @pytest.mark.parametrize("write", ["update", "update_status"])
    async def test_writing_what_is_gone_is_not_found(self, store: Store, write: str) -> None:
        made = await store.create(play())
        await store.delete(Play, made.name)
        with pytest.raises(NotFoundError, match="cannot write Play 'play-demo-1': it does not exist"):
            await getattr(store, write)(in_stage(made, "testing"))

    @pytest.mark.parametrize("write", ["update", "update_status"])
    async def test_writing_an_object_that_was_never_read_conflicts(self, store: Store, write: str) -> None:
        await store.create(play())
        with pytest.raises(WriteConflictError, match="resourceVersion ''"):
            await getattr(store, write)(in_stage(of_priority(play(), 0), "testing"))

    @pytest.mark.lesson(31)
    async def test_of_many_writers_each_change_counts_once(self, store: Store, other: Store) -> None:
        await store.create(play())

        async def raise_iteration(client: Store) -> None:
            for _ in range(25):
                while True:
                    read = await client.get(Play, "play-demo-1")
                    assert read is not None
                    await asyncio.sleep(0)
                    try:
                        await client.update_status(
                            msgspec.structs.replace(read, status=PlayStatus(iteration=read.status.iteration + 1))
                        )
                    except WriteConflictError:
                        continue
                    break

        await asyncio.gather(*(raise_iteration(client) for client in (store, other, store, other)))
        read = await store.get(Play, "play-demo-1")
        assert read is not None
        assert read.status.iteration == 101

    # --- delete

    async def test_what_is_deleted_is_gone_for_everybody(self, store: Store, other: Store) -> None:
        made = await store.create(play(labels={"x": "1"}))
        await store.delete(Play, made.name)
        assert await other.get(Play, made.name) is None
        assert await other.find(Play, labels={"x": "1"}) == []

    async def test_deleting_what_is_not_there_does_nothing(self, store: Store) -> None:
        await store.delete(Play, "play-demo-1")

    async def test_deleting_another_object_of_the_name_does_nothing(self, store: Store) -> None:
        first = await store.create(play())
        await store.delete(Play, first.name, uid=first.metadata.uid)
        second = await store.create(play())
        await store.delete(Play, first.name, uid=first.metadata.uid)
        assert await store.get(Play, first.name) == second

    async def test_an_object_made_again_is_another_one(self, store: Store, other: Store) -> None:
        first = await store.create(play())
        await store.delete(Play, first.name)
        second = await store.create(play())
        assert second.metadata.uid != first.metadata.uid
        assert second.metadata.resource_version != first.metadata.resource_version
        with pytest.raises(WriteConflictError, match="read it again"):
            await other.update_status(in_stage(first, "testing"))

    # --- watch

    async def test_a_watch_tells_of_own_writes(self, store: Store) -> None:
        watch = store.watch()
        made = await store.create(play())
        assert await hints(watch, until=bool) == [Change(kind="Play", name=made.name)]

    async def test_a_watch_tells_of_the_writes_of_others(self, store: Store, other: Store) -> None:
        watch = store.watch()
        made = await other.create(play())
        assert await hints(watch, until=bool) == [Change(kind="Play", name=made.name)]
        await other.update_status(in_stage(made, "quality"))
        assert await hints(watch, until=bool) == [Change(kind="Play", name=made.name)]

    async def test_a_watch_tells_of_deletions(self, store: Store, other: Store) -> None:
        made = await store.create(play())
        watches = [store.watch(), other.watch()]
        await store.delete(Play, made.name)
        for watch in watches:
            heard = await hints(watch, until=lambda heard: any(change.deleted for change in heard.values()))
            assert heard == [Change(kind="Play", name=made.name, deleted=True)]

    async def test_what_is_written_between_the_call_and_the_first_look_is_told(self, store: Store, other: Store) -> None:
        watch = store.watch()
        await store.create(play("a"))
        await other.create(play("b"))
        heard = await hints(watch, until=lambda heard: len(heard) == 2)
        assert {change.name for change in heard} == {"a", "b"}

    async def test_every_watch_is_told(self, store: Store, other: Store) -> None:
        watches = [store.watch(), store.watch(), other.watch()]
        await store.create(play())
        for watch in watches:
            assert await hints(watch, until=bool) == [Change(kind="Play", name="play-demo-1")]

    async def test_many_changes_of_one_object_may_come_as_one(self, store: Store) -> None:
        made = await store.create(play())
        watch = store.watch()
        for number in range(50):
            made = await store.update_status(in_stage(made, f"stage-{number}"))
        assert [(change.kind, change.name) for change in await hints(watch, until=bool)] == [("Play", made.name)]

    async def test_only_ones_own_status_may_be_told_as_that(self, store: Store, other: Store) -> None:
        made = await store.create(play())
        mine, theirs = store.watch(), other.watch()
        made = await store.update(
            msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels={"a": "b"}))
        )
        made = await store.update_status(in_stage(made, "one"))
        assert not any(change.own_status for change in await hints(mine, until=bool)), "a status, and more"
        assert not any(change.own_status for change in await hints(theirs, until=bool))

    async def test_a_write_that_changes_nothing_is_not_told(self, store: Store) -> None:
        made = await store.create(play("a"))
        watch = store.watch()
        await store.update_status(made)
        await store.update(made)
        await store.create(play("b"))
        assert await hints(watch, until=bool) == [Change(kind="Play", name="b")]

    async def test_watches_end_when_the_store_is_closed(self, place: Place) -> None:
        store = await place.connect()
        watch = store.watch()
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)
        await store.close()
        async with asyncio.timeout(DEADLINE):
            assert await waiting is None

    # --- inbox

    async def test_a_delivery_is_kept(self, store: Store, other: Store, place: Place) -> None:
        whole = delivery("d-1", body=b"\x00\xff{}")
        assert await store.put_deliveries([whole]) == 1
        assert await other.pending_deliveries() == [whole if place.keeps_bodies else delivery("d-1")]

    async def test_a_delivery_that_comes_again_is_not_new(self, store: Store, other: Store) -> None:
        await store.put_deliveries([delivery("d-1")])
        assert await other.put_deliveries([delivery("d-1", body=b"other"), delivery("d-2"), delivery("d-2")]) == 1
        assert [(found.id, found.body) for found in await store.pending_deliveries()] == [("d-1", b""), ("d-2", b"")]

    async def test_a_settled_delivery_that_comes_again_stays_settled(self, store: Store) -> None:
        await store.put_deliveries([delivery("d-1")])
        await store.settle_deliveries([Settlement(id="d-1", state=DeliveryState.IGNORED, outcome="no play")])
        assert await store.put_deliveries([delivery("d-1")]) == 0
        assert await store.pending_deliveries() == []

    async def test_pending_deliveries_come_oldest_first_and_no_more_than_asked_for(self, store: Store) -> None:
        await store.put_deliveries([delivery("d-3", seconds=3), delivery("d-1", seconds=1), delivery("d-2", seconds=2)])
        assert [found.id for found in await store.pending_deliveries(2)] == ["d-1", "d-2"]

    async def test_settling_records_state_and_outcome_and_passes_over_unknown_ids(self, store: Store) -> None:
        await store.put_deliveries([delivery("d-1"), delivery("d-2", seconds=1)])
        await store.settle_deliveries(
            [
                Settlement(id="d-9", state=DeliveryState.MOVED, outcome=""),
                Settlement(id="d-1", state=DeliveryState.MOVED, outcome="play-demo-1"),
            ]
        )
        assert [found.id for found in await store.pending_deliveries()] == ["d-2"]
        settled = (await store.list_deliveries())[-1]
        assert (settled.id, settled.state, settled.outcome) == ("d-1", DeliveryState.MOVED, "play-demo-1")

    async def test_one_delivery_is_found_by_its_id(self, store: Store, other: Store) -> None:
        kept = delivery("d-1")
        await store.put_deliveries([kept, delivery("d-2")])
        assert await other.get_delivery("d-1") == kept
        assert await other.get_delivery("d-3") is None

    async def test_a_delivery_that_is_reopened_is_pending_again_and_everybody_is_told(self, store: Store, other: Store) -> None:
        await store.put_deliveries([delivery("d-1"), delivery("d-2", seconds=1)])
        await store.settle_deliveries([Settlement(id="d-1", state=DeliveryState.MOVED, outcome="play-demo-1")])
        watches = [store.watch(), other.watch()]
        assert await store.reopen_deliveries(["d-1", "d-2", "d-9"]) == 1
        assert [found.id for found in await other.pending_deliveries()] == ["d-1", "d-2"]
        assert await store.get_delivery("d-1") == delivery("d-1")
        for watch in watches:
            await hints(watch, until=lambda heard: ("Delivery", "d-1") in heard)

    async def test_deliveries_are_listed_newest_first_page_by_page(self, store: Store) -> None:
        await store.put_deliveries([delivery(f"d-{number}", seconds=number) for number in range(5)])
        page = await store.list_deliveries(limit=2)
        assert [found.id for found in page] == ["d-4", "d-3"]
        page = await store.list_deliveries(limit=2, before=page[-1].received_at)
        assert [found.id for found in page] == ["d-2", "d-1"]

    async def test_the_last_delivery_of_a_source_goes_by_length_then_text(self, store: Store) -> None:
        assert await store.last_delivery("local:") is None
        await store.put_deliveries([delivery(identity) for identity in ("local:9", "local:10", "locax:999", "a:1", "local%")])
        assert await store.last_delivery("local:") == "local:10"
        assert await store.last_delivery("local%") == "local%"
        assert await store.last_delivery("loca_:") is None

    async def test_forgetting_removes_settled_deliveries_of_before(self, store: Store) -> None:
        await store.put_deliveries([delivery(f"d-{number}", seconds=number) for number in range(4)])
        await store.settle_deliveries([Settlement(id=f"d-{n}", state=DeliveryState.MOVED, outcome="") for n in (0, 2)])
        assert await store.forget_deliveries(START + timedelta(seconds=2)) == 1
        assert [found.id for found in await store.list_deliveries()] == ["d-3", "d-2", "d-1"]

    async def test_how_far_a_source_was_read_outlives_forgetting(self, store: Store, other: Store) -> None:
        await store.last_delivery("local:")
        await store.put_deliveries([delivery(f"local:{number}") for number in range(3)])
        await store.settle_deliveries([Settlement(id=f"local:{n}", state=DeliveryState.MOVED, outcome="") for n in range(3)])
        await store.put_deliveries([delivery("other:1", seconds=9)])
        assert await other.forget_deliveries(START + timedelta(days=1)) == 2
        assert await other.last_delivery("local:") == "local:2"
