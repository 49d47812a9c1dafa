"""The list-watch cache on the fake API server: what it holds, and how it lives through trouble."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind
from tests.integration.kube.cluster import api_of, fake_cluster

from coderun.kube.api import Api
from coderun.kube.informer import Informer, Timings, decoding
from coderun.kube.objects import Bare, KubeMeta, Shape
from coderun.kube.resources import CONFIGMAPS, Resource

DEADLINE = 20.0
QUICK = Timings(first_pause=0.01, last_pause=0.05)


class Text(Shape, frozen=True, kw_only=True):
    """A ConfigMap with one entry."""

    metadata: KubeMeta
    data: dict[str, str] = {}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - a cache or a server is looked at
            await asyncio.sleep(0.005)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_cluster() as server:
        yield server


@pytest.fixture
async def api(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Api]:
    async with api_of(server, tmp_path) as api:
        yield api


def config_map(name: str, text: str = "", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"text": text}}


@contextlib.asynccontextmanager
async def running(
    api: Api, *, timings: Timings = QUICK, resource: Resource = CONFIGMAPS, **options: Any
) -> AsyncIterator[Informer[Text]]:
    cache: Informer[Text] = Informer(api, resource, decoding(Text), namespace="default", timings=timings, **options)
    task = asyncio.create_task(cache.run())
    try:
        yield cache
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def synced(cache: Informer[Text]) -> None:
    async with asyncio.timeout(DEADLINE):
        await cache.synced.wait()


def text_of(cache: Informer[Text], name: str) -> str | None:
    held = cache.get(name)
    return None if held is None else held.data["text"]


async def test_what_is_there_is_listed_page_by_page(server: FakeApiServer, api: Api) -> None:
    for number in range(1201):
        server.objects.create(config_map(f"m-{number}"))
    async with running(api) as cache:
        await synced(cache)
        assert len(cache) == 1201
    lists = [entry for entry in server.audit if entry.verb == "list"]
    assert len(lists) == 3


async def test_what_changes_arrives_and_listeners_hear_of_it(server: FakeApiServer, api: Api) -> None:
    heard: list[tuple[str, bool]] = []
    async with running(api) as cache:
        await synced(cache)
        cache.listen(lambda name, deleted: heard.append((name, deleted)))
        await api.create(CONFIGMAPS, "default", config_map("a", "1"), Bare)
        await until(lambda: text_of(cache, "a") == "1")
        await api.patch(CONFIGMAPS, "default", "a", {"data": {"text": "2"}}, Bare)
        await until(lambda: text_of(cache, "a") == "2")
        await api.delete(CONFIGMAPS, "default", "a")
        await until(lambda: cache.get("a") is None)
    assert heard == [("a", False), ("a", False), ("a", True)]


async def test_indexes_follow_the_objects(server: FakeApiServer, api: Api) -> None:
    server.objects.create(config_map("a", team="red"))
    server.objects.create(config_map("b", team="red"))
    indexes = {"team": lambda one: [one.metadata.labels.get("team", "")]}
    async with running(api, indexes=indexes) as cache:
        await synced(cache)
        assert [one.metadata.name for one in cache.by("team", "red")] == ["a", "b"]
        await api.patch(CONFIGMAPS, "default", "a", {"metadata": {"labels": {"team": "blue"}}}, Bare)
        await until(lambda: cache.by("team", "blue"))
        assert [one.metadata.name for one in cache.by("team", "red")] == ["b"]
        await api.delete(CONFIGMAPS, "default", "b")
        await until(lambda: not cache.by("team", "red"))
        assert cache.by("team", "green") == []


async def test_only_what_carries_the_labels_is_held(server: FakeApiServer, api: Api) -> None:
    server.objects.create(config_map("a", team="red"))
    server.objects.create(config_map("b", team="blue"))
    async with running(api, labels="team=red") as cache:
        await synced(cache)
        assert [one.metadata.name for one in cache.all()] == ["a"]
        await api.patch(CONFIGMAPS, "default", "a", {"metadata": {"labels": {"team": "blue"}}}, Bare)
        await until(lambda: len(cache) == 0)


async def test_an_own_write_is_held_at_once_and_an_older_event_does_not_undo_it(server: FakeApiServer, api: Api) -> None:
    server.objects.create(config_map("a", "0"))
    async with running(api) as cache:
        await synced(cache)
        server.silence_watches()
        await api.patch(CONFIGMAPS, "default", "a", {"data": {"text": "1"}}, Bare)  # by somebody else, as far as it knows
        cache.saw(await api.patch(CONFIGMAPS, "default", "a", {"data": {"text": "2"}}, Text))
        assert text_of(cache, "a") == "2"
        seen: list[str | None] = []
        cache.listen(lambda name, _deleted: seen.append(text_of(cache, name)))
        server.silence_watches(silent=False)
        await api.create(CONFIGMAPS, "default", config_map("z"), Bare)
        await until(lambda: cache.get("z"))
        assert seen == [""]


async def test_what_was_deleted_by_ourselves_does_not_come_back_with_late_news(server: FakeApiServer, api: Api) -> None:
    server.objects.create(config_map("a", "0"))
    async with running(api) as cache:
        await synced(cache)
        held = cache.get("a")
        assert held is not None
        server.silence_watches()
        await api.patch(CONFIGMAPS, "default", "a", {"data": {"text": "1"}}, Bare)
        await api.delete(CONFIGMAPS, "default", "a")
        cache.went("a", held.metadata.uid)
        appeared: list[str] = []
        cache.listen(lambda name, _deleted: appeared.append(name))
        server.silence_watches(silent=False)
        await api.create(CONFIGMAPS, "default", config_map("z"), Bare)
        await until(lambda: cache.get("z"))
        assert appeared == ["z"]


async def test_an_answer_that_comes_after_the_news_of_the_end_brings_nothing_back(server: FakeApiServer, api: Api) -> None:
    made = server.objects.create(config_map("m"))
    async with running(api) as cache:
        await synced(cache)
        server.faults.add(Fault(kind=FaultKind.HANG, verb="patch", path="configmaps/m", after=True))
        change = {"data": {"text": "ours"}}
        writing = asyncio.create_task(api.patch(CONFIGMAPS, "default", "m", change, Text))
        await until(lambda: text_of(cache, "m") == "ours")
        server.objects.delete("configmaps", "default", "m")
        await until(lambda: cache.get("m") is None)
        server.faults.release()
        cache.saw(await writing)
        assert cache.get("m") is None
        again = server.objects.create(config_map("m", "anew"))
        await until(lambda: text_of(cache, "m") == "anew")
        assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_an_own_creation_is_held_though_newer_news_of_others_came_first(server: FakeApiServer, api: Api) -> None:
    async with running(api) as cache:
        await synced(cache)
        server.faults.add(Fault(kind=FaultKind.HANG, verb="create", path="configmaps", after=True))
        writing = asyncio.create_task(api.create(CONFIGMAPS, "default", config_map("m", "ours"), Text))
        await until(lambda: text_of(cache, "m"))
        server.objects.create(config_map("later"))
        await until(lambda: cache.get("later"))
        server.faults.release()
        cache.saw(await writing)
        assert text_of(cache, "m") == "ours"


async def test_an_object_made_again_takes_the_place_of_the_one_deleted(server: FakeApiServer, api: Api) -> None:
    server.objects.create(config_map("a", "old"))
    async with running(api) as cache:
        await synced(cache)
        held = cache.get("a")
        assert held is not None
        server.silence_watches()
        await api.delete(CONFIGMAPS, "default", "a")
        cache.went("a", held.metadata.uid)
        cache.saw(await api.create(CONFIGMAPS, "default", config_map("a", "new"), Text))
        server.silence_watches(silent=False)
        await api.create(CONFIGMAPS, "default", config_map("z"), Bare)
        await until(lambda: cache.get("z"))
        assert text_of(cache, "a") == "new"


async def test_a_watch_that_breaks_off_goes_on_where_it_was(server: FakeApiServer, api: Api) -> None:
    async with running(api) as cache:
        await synced(cache)
        await until(lambda: server.streams == 1)
        for number in range(5):
            server.cut_streams()
            await api.create(CONFIGMAPS, "default", config_map(f"m-{number}"), Bare)
            await until(partial(cache.get, f"m-{number}"))
            await until(lambda: server.streams == 1)
        assert cache.lists == 1
        assert not cache.error


async def test_a_version_that_is_too_old_leads_to_a_new_list_and_what_went_meanwhile_is_told(
    server: FakeApiServer, api: Api
) -> None:
    server.objects.create(config_map("stays"))
    server.objects.create(config_map("goes"))
    heard: list[tuple[str, bool]] = []
    async with running(api) as cache:
        await synced(cache)
        cache.listen(lambda name, deleted: heard.append((name, deleted)))
        await until(lambda: server.streams == 1)
        server.silence_watches()
        await api.delete(CONFIGMAPS, "default", "goes")
        await api.create(CONFIGMAPS, "default", config_map("comes"), Bare)
        server.compact()
        server.cut_streams()
        server.silence_watches(silent=False)
        await until(lambda: cache.lists == 2)
        await until(lambda: sorted(one.metadata.name for one in cache.all()) == ["comes", "stays"])
    assert sorted(heard) == [("comes", False), ("goes", True)]


async def test_a_list_that_grows_too_old_between_its_pages_is_begun_anew(server: FakeApiServer, api: Api) -> None:
    for number in range(600):
        server.objects.create(config_map(f"m-{number}"))
    server.faults.add(Fault(kind=FaultKind.ERROR, status=410, reason="Expired", verb="list", path="continue="))
    async with running(api) as cache:
        await synced(cache)
        assert len(cache) == 600


async def test_a_silent_watch_is_given_up_and_what_it_kept_back_is_found(server: FakeApiServer, api: Api) -> None:
    timings = Timings(silence=0.3, first_pause=0.01, last_pause=0.05)
    async with running(api, timings=timings) as cache:
        await synced(cache)
        await until(lambda: server.streams == 1)
        server.silence_watches()
        await api.create(CONFIGMAPS, "default", config_map("a"), Bare)
        await until(lambda: cache.error)
        server.silence_watches(silent=False)
        await until(lambda: cache.get("a"))


async def test_bookmarks_keep_the_version_new_so_that_compaction_costs_no_list(server: FakeApiServer, api: Api) -> None:
    server.bookmark_every(0.05)
    async with running(api) as cache:
        await synced(cache)
        await until(lambda: server.streams == 1)
        for number in range(20):  # of another kind: only bookmarks tell this watch of newer versions
            server.objects.create(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s-{number}", "namespace": "default"}}
            )
        await until(lambda: cache.version == str(server.revision))
        server.compact()
        server.cut_streams()
        await api.create(CONFIGMAPS, "default", config_map("a"), Bare)
        await until(lambda: cache.get("a"))
        assert cache.lists == 1


async def test_trouble_is_waited_out_and_said_once(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.ERROR, status=503, verb="list", path="configmaps", count=3))
    async with running(api) as cache:
        await until(lambda: "cannot list ConfigMaps in namespace 'default'" in cache.error)
        await synced(cache)
        assert not cache.error


@pytest.mark.lesson(3)
async def test_an_object_that_does_not_decode_is_left_out_and_told_and_the_others_are_held(
    server: FakeApiServer, api: Api
) -> None:
    class Number(Shape, frozen=True, kw_only=True):
        metadata: KubeMeta
        data: dict[str, int]

    def lenient(item: msgspec.Raw) -> Text:
        found = msgspec.json.decode(item, type=Text)
        if found.data.get("text") == "bad":
            msgspec.json.decode(item, type=Number)
        return found

    broken: list[str] = []
    server.objects.create(config_map("a", "good"))
    server.objects.create(config_map("b", "bad"))
    cache: Informer[Text] = Informer(
        api, CONFIGMAPS, lenient, namespace="default", timings=QUICK, on_broken=lambda name, _error: broken.append(name)
    )
    task = asyncio.create_task(cache.run())
    try:
        await synced(cache)
        assert [one.metadata.name for one in cache.all()] == ["a"]
        await api.patch(CONFIGMAPS, "default", "a", {"data": {"text": "bad"}}, Bare)
        await until(lambda: len(cache) == 0)
        await api.patch(CONFIGMAPS, "default", "b", {"data": {"text": "good"}}, Bare)
        await until(lambda: cache.get("b"))
    finally:
        task.cancel()
    assert broken == ["b", "a"]
