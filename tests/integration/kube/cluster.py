"""A fake API server with our CRDs, and connections to it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.fakes.apiserver import FakeApiServer

from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Target
from coderun.kube.crd import definitions


@contextlib.asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        for crd in definitions():
            server.objects.create(crd)
        yield server


@contextlib.asynccontextmanager
async def api_of(server: FakeApiServer, folder: Path, *, token: str = "") -> AsyncIterator[Api]:
    path = server.kubeconfig(folder / "kubeconfig", token=token)
    client = await KubeClient.connect(Target(kubeconfig=str(path)), environ={})
    try:
        yield Api(client)
    finally:
        await client.close()
