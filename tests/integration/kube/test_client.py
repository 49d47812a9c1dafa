"""The connection: configuration, credentials, and answers that no proper API server gives."""

import asyncio
import json
import stat
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.kube.odd_server import connected, odd_server, write_kubeconfig

from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Target
from coderun.kube.errors import NotLeadingError
from coderun.kube.gate import Gate
from coderun.kube.objects import Bare
from coderun.kube.resources import CODERUNS, PODS
from coderun.model.errors import ClusterUnavailableError, ConfigError

OBJECT = {"metadata": {"name": "x", "uid": "u", "resourceVersion": "5"}}


async def answer_object(_request: web.Request) -> web.StreamResponse:
    return web.json_response(OBJECT)


async def test_the_context_names_server_namespace_and_credentials(tmp_path: Path) -> None:
    async with odd_server(answer_object) as server:
        path = write_kubeconfig(tmp_path / "config", server.url, namespace="team")
        async with connected(path) as client:
            found = await Api(client).get(CODERUNS, client.namespace, "x", Bare)
    assert found is not None
    assert (found.metadata.uid, client.namespace, client.server) == ("u", "team", server.url)
    assert server.tokens == ["Bearer secret-token"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(kubeconfig="/nowhere/config"), "there is no kubeconfig at /nowhere/config"),
        (Target(kubeconfig="here", context="other"), "has no context 'other'; it has: here"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_said(tmp_path: Path, target: Target, message: str) -> None:
    if target.kubeconfig == "here":
        path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
        target = Target(kubeconfig=str(path), context=target.context)
    with pytest.raises(ConfigError, match=message):
        await KubeClient.connect(target, environ={})


async def test_a_user_that_is_not_in_the_kubeconfig_is_said_to_be_missing(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1")
    path.write_text(path.read_text().replace("user: u\n", "user: somebody\n"))
    with pytest.raises(ConfigError, match="the cluster or the user that the context names is not in it, or not whole"):
        await KubeClient.connect(Target(kubeconfig=str(path)), environ={})


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("no-such-login", "from the program 'no-such-login', which is not on PATH; install it"),
        ("false", "from the program 'false', which gave none; log in again, or run it yourself to see why"),
    ],
)
async def test_a_program_that_gives_no_credentials_is_named(tmp_path: Path, program: str, message: str) -> None:
    asks = {"apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never"}
    path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {"exec": asks})
    with pytest.raises(ConfigError, match=message):
        await KubeClient.connect(Target(kubeconfig=str(path)), environ={})


async def test_an_empty_kubeconfig_is_said_to_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("\n")
    with pytest.raises(ConfigError, match=r"cannot use the kubeconfig .*config: it is empty"):
        await KubeClient.connect(Target(kubeconfig=str(path)), environ={})


async def test_the_environment_names_the_kubeconfig(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", namespace="team")
    client = await KubeClient.connect(Target(), environ={"KUBECONFIG": str(path)})
    await client.close()
    assert client.namespace == "team"


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with connected(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")) as client:
        with pytest.raises(ClusterUnavailableError, match=r"cannot read CodeRun 'x' in namespace 'n': .* is out of reach"):
            await Api(client).get(CODERUNS, "n", "x", Bare)


async def test_an_answer_that_breaks_off_is_unavailable(tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    async with odd_server(half) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        with pytest.raises(ClusterUnavailableError, match="broke its answer off"):
            await Api(client).get(CODERUNS, "n", "x", Bare)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"metadata": 7}', b"\xff\xfe"])
async def test_an_answer_that_is_no_object_is_unavailable(tmp_path: Path, body: bytes) -> None:
    async def odd(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with odd_server(odd) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        with pytest.raises(ClusterUnavailableError, match="is not understood"):
            await Api(client).get(CODERUNS, "n", "x", Bare)


async def test_a_redirect_is_not_followed_with_our_credentials(tmp_path: Path) -> None:
    async def elsewhere(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    async with odd_server(elsewhere) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        with pytest.raises(ClusterUnavailableError, match="is not understood"):
            await Api(client).get(CODERUNS, "n", "x", Bare)
        assert len(server.asked) == 1


async def test_credentials_of_a_plugin_are_asked_for_again_when_they_are_refused(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!/bin/sh\necho x >> {counter}\nn=$(wc -l < {counter})\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"token-%d"}}\' "$n"\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user: dict[str, object] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    }

    async def only_second(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != "Bearer token-2":
            return web.json_response({"code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response(OBJECT)

    async with odd_server(only_second) as server:
        path = write_kubeconfig(tmp_path / "config", server.url, user)
        async with connected(path) as client:
            assert await Api(client).get(CODERUNS, "n", "x", Bare) is not None
    assert server.tokens == ["Bearer token-1", "Bearer token-2"]


async def test_credentials_that_stay_refused_are_said(tmp_path: Path) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": 401, "message": "Unauthorized"}, status=401)

    async with odd_server(never) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        with pytest.raises(ClusterUnavailableError, match="does not accept our credentials"):
            await Api(client).get(CODERUNS, "n", "x", Bare)


async def test_what_is_written_names_our_field_manager_and_its_preconditions(tmp_path: Path) -> None:
    bodies: list[object] = []

    async def note(request: web.Request) -> web.StreamResponse:
        bodies.append(json.loads(await request.read()))
        return web.json_response(OBJECT)

    async with odd_server(note) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        api = Api(client)
        await api.apply(CODERUNS, "n", "x", OBJECT, Bare, subresource="status")
        assert await api.delete(PODS, "n", "x", uid="u", resource_version="5", grace=120)
    root = "/apis/agents.platform/v1/namespaces/n/coderuns"
    assert server.asked == [
        ("PATCH", f"{root}/x/status?fieldManager=coderun-controller&force=true"),
        ("DELETE", "/api/v1/namespaces/n/pods/x"),
    ]
    assert bodies[1] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u", "resourceVersion": "5"},
        "gracePeriodSeconds": 120,
    }


async def test_a_dry_run_asks_the_server_to_keep_nothing(tmp_path: Path) -> None:
    async with odd_server(answer_object) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        await Api(client, dry_run=True).create(CODERUNS, "n", OBJECT, Bare)
    assert server.asked[0][1].endswith("/coderuns?fieldManager=coderun-controller&dryRun=All")


@pytest.mark.lesson(29)
async def test_a_write_that_waits_for_a_connection_is_not_sent_once_the_lead_is_over(tmp_path: Path) -> None:
    now = [0.0]
    released = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.json_response(OBJECT)

    async with odd_server(slow) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        gate = Gate(lambda: now[0])
        gate.open_until(10.0)
        api = Api(client)
        busy = [asyncio.ensure_future(api.get(CODERUNS, "n", "x", Bare)) for _ in range(100)]
        while len(server.asked) < 100:  # noqa: ASYNC110 - what the server was asked is looked at, not waited for
            await asyncio.sleep(0.01)
        writing = asyncio.ensure_future(api.fenced(gate).create(CODERUNS, "n", OBJECT, Bare))
        await asyncio.sleep(0)
        now[0] = 11.0  # the process slept through its lease; nobody has shut the gate yet
        released.set()
        with pytest.raises(NotLeadingError):
            await writing
        await asyncio.gather(*busy)
    assert {method for method, _ in server.asked} == {"GET"}


async def test_the_output_of_a_container_comes_as_it_is_written(tmp_path: Path) -> None:
    async def output(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in (b"one\n", b"two\n"):
            await response.write(line)
        return response

    async with (
        odd_server(output) as server,
        connected(write_kubeconfig(tmp_path / "config", server.url)) as client,
        Api(client).logs("n", "p", container="agent", follow=True, tail=5) as chunks,
    ):
        said = b"".join([chunk async for chunk in chunks])
    assert said == b"one\ntwo\n"
    assert server.asked == [("GET", "/api/v1/namespaces/n/pods/p/log?container=agent&follow=true&tailLines=5")]


async def read_watch(api: Api) -> None:
    async with api.watch(PODS, "n", since="1", silence=0.2) as chunks:
        async for _ in chunks:
            pass


async def test_a_silent_stream_is_given_up(tmp_path: Path) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    async with odd_server(silent) as server, connected(write_kubeconfig(tmp_path / "config", server.url)) as client:
        with pytest.raises(ClusterUnavailableError, match="does not answer in time"):
            await read_watch(Api(client))
