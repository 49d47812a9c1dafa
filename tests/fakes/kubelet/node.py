"""A node of a real control plane whose kubelet is made of processes: it registers, stays ready, and serves its pods' output.

The real scheduler binds pods to it and the real controllers believe in it; only what runs on it is not in containers.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tests.fakes.apiserver.logs import PodLogs
from tests.fakes.kubelet.volumes import Json

from coderun.kube.api import Api
from coderun.model.errors import NotFoundError

HEARTBEAT_SECONDS = 5.0
_MERGE = "application/merge-patch+json"


@contextlib.asynccontextmanager
async def node(api: Api, name: str, *, logs: PodLogs, tls: ssl.SSLContext, address: str) -> AsyncIterator[None]:
    """A node called `name` at an address of this machine, gone at the end."""
    async with _serving(logs, tls, address) as port:
        await _ask(api, "POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
        lease = {"metadata": {"name": name}, "spec": _beat(name)}
        await _ask(api, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
        await _ask(api, "PATCH", f"/api/v1/nodes/{name}/status", {"status": _status(address, port)})
        beating = asyncio.create_task(_keep_beating(api, name))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            with contextlib.suppress(NotFoundError):  # a test was faster
                await _ask(api, "DELETE", f"/api/v1/nodes/{name}", {})


async def _keep_beating(api: Api, name: str) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
        await _ask(api, "PATCH", path, {"spec": _beat(name)})


def _beat(name: str) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}


def _status(address: str, port: int) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}
    room = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "500Gi"}
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [ready],
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }


async def _ask(api: Api, method: str, path: str, body: Json) -> Any:
    text = await api.client.request(
        method,
        path,
        attempted=f"{method} {path}",
        body=json.dumps(body).encode(),
        content_type=_MERGE if method == "PATCH" else "application/json",
    )
    return json.loads(text)


@contextlib.asynccontextmanager
async def _serving(logs: PodLogs, tls: ssl.SSLContext, address: str) -> AsyncIterator[int]:
    """The one page of a kubelet that is asked for: `/containerLogs/{namespace}/{pod}/{container}`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        key = (request.match_info["namespace"], request.match_info["pod"], request.match_info["container"])
        if not logs.has(*key):
            raise web.HTTPNotFound(text=f"no output of {key}")
        response = web.StreamResponse()
        await response.prepare(request)
        tail = request.query.get("tailLines")
        follow = request.query.get("follow") == "true"
        async for part in logs.read(key, follow=follow, tail=int(tail) if tail else None):
            await response.write(part)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, 0, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
