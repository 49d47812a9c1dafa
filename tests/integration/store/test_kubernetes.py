"""The store of a cluster as a controller has it: read from caches, and sure of its own writes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.contracts.store_contract import delivery, in_stage, of_priority, play, run
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind
from tests.integration.kube.cluster import api_of, fake_cluster
from tests.integration.kube.test_informer import until

from coderun.kube.api import Api
from coderun.kube.informer import Timings
from coderun.kube.objects import Bare
from coderun.kube.resources import CODERUNS, PLAYS
from coderun.model.coderun import CodeRun
from coderun.model.deliveries import DeliveryState, Hint
from coderun.model.errors import InvalidObjectError, NotFoundError, WriteConflictError
from coderun.model.meta import ControllerRef
from coderun.model.names import LABEL_PLAY
from coderun.model.play import Play
from coderun.store.kubernetes import KubernetesStore
from coderun.store.protocol import Settlement

RUNS, ALL_PLAYS, DELIVERIES = "coderuns.agents.platform", "plays.agents.platform", "deliveries.agents.platform"
BROKEN = {
    "apiVersion": "agents.platform/v1",
    "kind": "CodeRun",
    "metadata": {"name": "broken", "namespace": "default"},
    "spec": {"taskId": 1, "service": "demo", "repositoryUrl": "acme/demo", "githubApp": "5DLabs-Rex"},
}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_cluster() as server:
        yield server


@pytest.fixture
async def api(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Api]:
    async with api_of(server, tmp_path) as api:
        yield api


@pytest.fixture
async def store(api: Api) -> AsyncIterator[KubernetesStore]:
    timings = Timings(first_pause=0.01, last_pause=0.05)
    store = KubernetesStore(api, "default", cached=True, judges=True, timings=timings)
    await store.follow()
    yield store
    await store.close()


async def test_an_own_write_is_read_at_once_though_no_event_has_come(server: FakeApiServer, store: KubernetesStore) -> None:
    server.silence_watches()
    made = await store.create(play(labels={LABEL_PLAY: "p"}))
    written = await store.update_status(in_stage(made, "quality"))
    assert await store.get(Play, made.name) == written
    assert await store.find(Play, labels={LABEL_PLAY: "p"}) == [written]
    await store.delete(Play, made.name)
    assert await store.get(Play, made.name) is None


async def test_reading_costs_no_request(server: FakeApiServer, store: KubernetesStore) -> None:
    made = await store.create(run())
    server.audit.clear()
    for _ in range(10):
        await store.get(CodeRun, made.name)
        await store.find(CodeRun)
    assert not [entry for entry in server.audit if entry.verb != "watch"]


async def test_a_status_costs_one_request_and_an_equal_one_none(server: FakeApiServer, store: KubernetesStore) -> None:
    made = await store.create(play())
    server.audit.clear()
    written = await store.update_status(in_stage(made, "quality"))
    await store.update_status(written)
    assert [(entry.verb, entry.subresource) for entry in server.audit if entry.verb != "watch"] == [("patch", "status")]


async def test_what_others_write_arrives_with_the_watch(server: FakeApiServer, api: Api, store: KubernetesStore) -> None:
    other = KubernetesStore(api, "default")
    made = await other.create(play())
    await until(lambda: store.caches[PLAYS].get(made.name))
    assert await store.get(Play, made.name) == made


@pytest.mark.lesson(31)
async def test_after_a_conflict_the_newest_is_read_though_no_event_has_come(
    server: FakeApiServer, api: Api, store: KubernetesStore
) -> None:
    made = await store.create(play())
    server.silence_watches()
    await KubernetesStore(api, "default").update_status(in_stage(made, "quality"))
    with pytest.raises(WriteConflictError):
        await store.update_status(in_stage(made, "testing"))
    read = await store.get(Play, made.name)
    assert read is not None
    assert read.status.stage == "quality"


async def test_fields_that_this_coderun_does_not_know_stay(server: FakeApiServer, store: KubernetesStore) -> None:
    server.objects.create(
        {
            "apiVersion": "agents.platform/v1",
            "kind": "Play",
            "metadata": {"name": "p", "namespace": "default", "finalizers": ["example.com/keep"]},
            "spec": {"taskId": 1, "repositoryUrl": "acme/demo", "priority": 5},
        }
    )
    await until(lambda: store.caches[PLAYS].get("p"))
    read = await store.get(Play, "p")
    assert read is not None
    await store.update(of_priority(read, 0))
    kept = server.objects.get(ALL_PLAYS, "default", "p")
    assert kept is not None
    assert kept["metadata"]["finalizers"] == ["example.com/keep"]
    assert kept["spec"]["priority"] == 0


async def test_a_run_goes_with_the_play_it_belongs_to(server: FakeApiServer, store: KubernetesStore) -> None:
    made = await store.create(play())
    owner = ControllerRef(api_version=made.api_version, kind="Play", name=made.name, uid=made.metadata.uid)
    owned = run()
    created = await store.create(
        msgspec.structs.replace(owned, metadata=msgspec.structs.replace(owned.metadata, controller=owner))
    )
    assert created.metadata.controller == owner
    await store.delete(Play, made.name)
    await until(lambda: server.objects.get(RUNS, "default", "run-1") is None)
    await until(lambda: store.caches[CODERUNS].get("run-1") is None)


async def test_an_object_held_by_a_finalizer_stays_until_it_goes(server: FakeApiServer, store: KubernetesStore) -> None:
    server.objects.create({**BROKEN, "metadata": {"name": "held", "namespace": "default", "finalizers": ["example.com/keep"]}})
    await until(lambda: store.caches[CODERUNS].get("held"))
    await store.delete(CodeRun, "held")
    read = await store.get(CodeRun, "held")
    assert read is not None
    await until(lambda: store.caches[CODERUNS].get("held").metadata.deletion_timestamp)  # type: ignore[union-attr] # it is there
    server.objects.patch(RUNS, "default", "held", {"metadata": {"finalizers": None}})
    await until(lambda: store.caches[CODERUNS].get("held") is None)


def condition(server: FakeApiServer, name: str) -> tuple[str, str] | None:
    found = server.objects.get(RUNS, "default", name)
    assert found is not None
    accepted = [one for one in found.get("status", {}).get("conditions", []) if one["type"] == "Accepted"]
    return (accepted[0]["status"], accepted[0]["reason"]) if accepted else None


@pytest.mark.lesson(3)
async def test_an_object_that_is_not_what_its_kind_says_gets_a_condition_and_blocks_nothing(tmp_path: Path) -> None:
    broken: list[tuple[str, str]] = []
    async with FakeApiServer() as server, api_of(server, tmp_path) as api:
        server.install(LOOSE)  # CRDs of another time, which let anything pass
        server.objects.create({**BROKEN, "spec": {"taskId": "seven", "service": "demo", "repositoryUrl": "acme/demo"}})
        store = KubernetesStore(
            api, "default", cached=True, judges=True, on_broken=lambda kind, name, _error: broken.append((kind, name))
        )
        await store.follow()
        try:
            fine = await store.create(run("fine"))
            await until(lambda: condition(server, "broken") == ("False", "InvalidSpec"))
            assert [found.name for found in await store.find(CodeRun)] == [fine.name]
            with pytest.raises(InvalidObjectError, match=r"CodeRun 'broken': its spec .*Expected `int`, got `str`"):
                await store.get(CodeRun, "broken")
            assert broken[0] == ("CodeRun", "broken")
            writes = len(server.audit.writes())
            await asyncio.sleep(0.05)
            assert len(server.audit.writes()) == writes  # said once
            server.objects.patch(RUNS, "default", "broken", {"spec": {"taskId": 7}})
            await until(lambda: condition(server, "broken") == ("True", "Valid"))
            mended = await store.get(CodeRun, "broken")
            assert mended is not None
            assert mended.spec.task_id == 7
            assert condition(server, "fine") is None
        finally:
            await store.close()


async def test_a_condition_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    async with FakeApiServer() as server, api_of(server, tmp_path) as api:
        server.install(LOOSE)
        server.faults.add(Fault(kind=FaultKind.ERROR, verb="patch", path="broken/status", count=3))
        server.objects.create({**BROKEN, "spec": {"taskId": "seven", "service": "demo", "repositoryUrl": "acme/demo"}})
        store = KubernetesStore(api, "default", cached=True, judges=True, timings=Timings(first_pause=0.01, last_pause=0.05))
        await store.follow()
        try:
            await until(lambda: condition(server, "broken") == ("False", "InvalidSpec"))
            assert len(server.faults.met) == 3
        finally:
            await store.close()


LOOSE = "\n---\n".join(
    f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.agents.platform}}
spec:
  group: agents.platform
  scope: Namespaced
  names: {{plural: {plural}, singular: {kind.lower()}, kind: {kind}, listKind: {kind}List}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
          status: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
    for plural, kind in (("coderuns", "CodeRun"), ("plays", "Play"), ("deliveries", "Delivery"))
)


# --- the inbox


@pytest.mark.lesson(21)
async def test_of_a_delivery_what_it_points_at_and_a_digest_are_kept_and_not_the_body(
    server: FakeApiServer, store: KubernetesStore
) -> None:
    body = b'{"secret": "in a pull request\'s text"}'
    hint = Hint(number=7, tasks=frozenset({3, 2}), branch="feature/task-3-x", head_sha="a" * 40, actor="ann")
    came = msgspec.structs.replace(delivery("github-1", body=body), hints=(hint,))
    assert await store.put_deliveries([came]) == 1
    assert await store.put_deliveries([came]) == 0
    (kept,) = server.objects.all(DELIVERIES, "default")
    assert "secret" not in str(kept)
    assert len(kept["spec"]["digest"]) == 64
    assert (await store.pending_deliveries())[0].hints == (hint,)


async def test_settling_writes_one_status_and_an_equal_one_none(server: FakeApiServer, store: KubernetesStore) -> None:
    await store.put_deliveries([delivery("d-1")])
    server.audit.clear()
    settled = Settlement(id="d-1", state=DeliveryState.MOVED, outcome="hint for play-demo-1")
    await store.settle_deliveries([settled])
    await store.settle_deliveries([settled])
    assert [entry.verb for entry in server.audit if entry.verb != "watch"] == ["patch"]
    assert await store.pending_deliveries() == []
    found = await store.get_delivery("d-1")
    assert found is not None
    assert (found.state, found.outcome) == (DeliveryState.MOVED, "hint for play-demo-1")


async def test_a_delivery_removed_by_somebody_is_passed_over(server: FakeApiServer, store: KubernetesStore) -> None:
    await store.put_deliveries([delivery("d-1")])
    server.silence_watches()
    for found in server.objects.all(DELIVERIES, "default"):
        server.objects.delete(DELIVERIES, "default", found["metadata"]["name"])
    await store.settle_deliveries([Settlement(id="d-1", state=DeliveryState.MOVED, outcome="")])


async def test_what_nobody_wants_is_not_stored(server: FakeApiServer, api: Api) -> None:
    store = KubernetesStore(api, "default", takes=lambda delivery: delivery.id == "d-2")
    assert await store.put_deliveries([delivery("d-1"), delivery("d-2")]) == 1
    assert [kept["spec"]["deliveryId"] for kept in server.objects.all(DELIVERIES, "default")] == ["d-2"]


async def test_namespaces_are_worlds_of_their_own(server: FakeApiServer, api: Api, store: KubernetesStore) -> None:
    server.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    elsewhere = KubernetesStore(api, "other", cached=True)
    await elsewhere.follow()
    try:
        await store.create(play())
        await elsewhere.create(in_stage(play(), "quality"))
        assert [found.status.stage for found in await store.find(Play)] == [""]
        assert [found.metadata.namespace for found in await elsewhere.find(Play)] == ["other"]
        await store.delete(Play, "play-demo-1")
        assert await elsewhere.get(Play, "play-demo-1") is not None
    finally:
        await elsewhere.close()


async def test_a_watch_starts_the_caches_where_nobody_has(server: FakeApiServer, api: Api) -> None:
    store = KubernetesStore(api, "default")
    watch = store.watch()
    await store.create(play())
    async with asyncio.timeout(20):
        assert {change.name for change in await anext(watch)} == {"play-demo-1"}
    await until(lambda: store.is_synced)
    await asyncio.sleep(0)
    server.audit.clear()
    assert [found.name for found in await store.find(Play)] == ["play-demo-1"]
    assert await store.get(Play, "play-demo-1") is not None
    assert [entry for entry in server.audit if entry.verb != "watch"] == []  # from then on nothing is asked again and again
    await store.close()


async def test_writing_an_object_of_a_namespace_that_is_not_there_is_told(api: Api) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        await KubernetesStore(api, "nowhere").create(play())


async def test_the_bare_metadata_of_a_run_names_what_kubectl_shows(api: Api, store: KubernetesStore) -> None:
    made = await store.create(run())
    found = await api.get(CODERUNS, "default", made.name, Bare)
    assert found is not None
    assert found.metadata.uid == made.metadata.uid
