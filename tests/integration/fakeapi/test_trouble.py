"""What the fake does on demand that a real server does in its own time: faults, dead streams, restarts, what containers say."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml
from tests.contracts.apiserver_contract import CRD, DEADLINE, Api, built_in, eventually, widget
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind, StatusError

WIDGETS = "/apis/contract.example.com/v1/namespaces/default/widgets"


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        server.install(CRD)
        yield server


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(session=session, url=server.url)


async def test_an_error_is_met_once_by_the_request_it_is_meant_for(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.ERROR, verb="create", path="widgets", status=503, reason="ServiceUnavailable"))
    assert (await api.get(WIDGETS)).status == 200
    failed = await api.create(WIDGETS, widget())
    assert (failed.status, failed.reason) == (503, "ServiceUnavailable")
    assert (await api.get(f"{WIDGETS}/one")).status == 404
    assert (await api.create(WIDGETS, widget())).status == 201


async def test_an_error_may_come_after_the_request_took_effect(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.ERROR, verb="create", after=True))
    assert (await api.create(WIDGETS, widget())).status == 500
    assert (await api.get(f"{WIDGETS}/one")).status == 200


async def test_a_throttled_request_is_told_when_to_come_again(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.THROTTLE, retry_after=7))
    reply = await api.get(WIDGETS)
    assert (reply.status, reply.reason, reply.headers["Retry-After"]) == (429, "TooManyRequests", "7")


async def test_a_cut_request_gets_no_answer(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.CUT, verb="create"))
    with pytest.raises(aiohttp.ClientError):
        await api.create(WIDGETS, widget())
    assert (await api.get(f"{WIDGETS}/one")).status == 404


async def test_a_request_hangs_until_it_is_let_go(server: FakeApiServer, api: Api) -> None:
    server.faults.add(Fault(kind=FaultKind.HANG, verb="create"))
    asked = asyncio.create_task(api.create(WIDGETS, widget()))
    await eventually(lambda: asyncio.sleep(0, server.faults.met), bool)
    assert (await api.get(f"{WIDGETS}/one")).status == 404
    server.faults.release()
    assert (await asyncio.wait_for(asked, DEADLINE)).status == 201


async def test_cut_streams_end_and_watches_go_on_from_where_they_were(server: FakeApiServer, api: Api) -> None:
    version = (await api.get(WIDGETS)).version
    async with api.watch(WIDGETS, resourceVersion=version) as watch:
        assert server.streams == 1
        server.cut_streams()
        with pytest.raises(aiohttp.ClientError):
            await watch.next()
    await api.create(WIDGETS, widget())
    async with api.watch(WIDGETS, resourceVersion=version) as watch:
        assert await watch.brief(1) == [("ADDED", "one")]


async def test_a_silent_watch_stays_open_and_catches_up(server: FakeApiServer, api: Api) -> None:
    async with api.watch(WIDGETS, resourceVersion=(await api.get(WIDGETS)).version) as watch:
        server.silence_watches()
        await api.create(WIDGETS, widget())
        waiting = asyncio.create_task(watch.brief(1))
        await api.get(WIDGETS)
        assert not waiting.done()
        server.silence_watches(silent=False)
        assert await asyncio.wait_for(waiting, DEADLINE) == [("ADDED", "one")]


async def test_bookmarks_come_as_often_as_asked_for(server: FakeApiServer, api: Api) -> None:
    server.bookmark_every(0.01)
    version = (await api.get(WIDGETS)).version
    async with api.watch(WIDGETS, resourceVersion=version, allowWatchBookmarks="true") as watch:
        server.objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aside"}})
        mark = await watch.until(lambda event: int(event["object"]["metadata"]["resourceVersion"]) >= server.revision)
    assert mark["type"] == "BOOKMARK"


async def test_a_server_that_comes_back_has_the_same_objects_at_the_same_address(server: FakeApiServer, api: Api) -> None:
    made = await api.create(WIDGETS, widget())
    url = server.url
    await server.stop()
    with pytest.raises(aiohttp.ClientError):
        await api.get(f"{WIDGETS}/one")
    await server.start()
    assert server.url == url
    assert (await api.get(f"{WIDGETS}/one")).body == made.body


async def test_what_a_container_says_is_read_followed_and_ends_with_it(server: FakeApiServer, api: Api) -> None:
    path, pod = built_in("default", "pods")
    server.objects.create({**pod, "spec": {**pod["spec"], "nodeName": "node-1"}})
    waiting = await api.get(f"{path}/one/log")
    assert (waiting.status, "is waiting to start" in waiting.message) == (400, True)
    server.logs.append("default", "one", "agent", b"first\nsecond\n")
    assert (await api.get(f"{path}/one/log", container="agent")).body == "first\nsecond\n"
    assert (await api.get(f"{path}/one/log", tailLines="1")).body == "second\n"
    assert (await api.get(f"{path}/one/log", container="none")).status == 400
    followed = asyncio.create_task(api.get(f"{path}/one/log", follow="true"))
    await eventually(lambda: asyncio.sleep(0, server.streams), lambda open_: open_ == 1)
    server.logs.append("default", "one", "agent", b"third\n")
    server.logs.end("default", "one", "agent")
    assert (await asyncio.wait_for(followed, DEADLINE)).body == "first\nsecond\nthird\n"


async def test_every_request_is_in_the_audit_log(server: FakeApiServer, api: Api) -> None:
    server.audit.clear()
    await api.create(WIDGETS, widget())
    await api.create(WIDGETS, widget("two"), dryRun="All")
    await api.patch(f"{WIDGETS}/one/status", {"status": {"phase": "Done"}})
    await api.get(WIDGETS)
    assert [(entry.verb, entry.name, entry.status) for entry in server.audit.writes()] == [
        ("create", "", 201),
        ("patch", "one", 200),
    ]
    assert server.audit.counted() == {"create widgets": 2, "patch widgets/status": 1, "list widgets": 1}


async def test_without_the_garbage_collector_nothing_follows_its_owner(server: FakeApiServer, api: Api) -> None:
    owner = (await api.create(WIDGETS, widget())).body
    reference = {"apiVersion": owner["apiVersion"], "kind": "Widget", "name": "one", "uid": owner["metadata"]["uid"]}
    meta = {"name": "one", "ownerReferences": [reference]}
    server.objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    server.collect_garbage(on=False)
    await api.delete(f"{WIDGETS}/one")
    await api.get(WIDGETS)
    assert server.objects.get("configmaps", "default", "one") is not None
    server.collect_garbage(on=True)
    await eventually(lambda: asyncio.sleep(0, server.objects.get("configmaps", "default", "one")), lambda found: found is None)


async def test_a_revoked_token_is_nobody(server: FakeApiServer, api: Api) -> None:
    server.revoke(server.admin_token)
    assert (await api.get(WIDGETS)).status == 401


async def test_a_rule_that_the_fake_cannot_evaluate_is_not_taken(server: FakeApiServer) -> None:
    definition = yaml.safe_load(CRD.replace("widgets", "gadgets").replace("Widget", "Gadget").replace("wd", "gd"))
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "self.service.find('[a-z]+') != ''"}]
    with pytest.raises(StatusError, match="cannot evaluate the CEL rule"):
        server.objects.create(definition)
