"""The real API server keeps the contract too: so what the fast tests believe of the fake holds."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from tests.cluster.harness import ControlPlane
from tests.contracts.apiserver_contract import Api, ApiServerContract, Json, install


@dataclass(kw_only=True)
class RealCluster:
    """The real one, as the contract wants it."""

    plane: ControlPlane
    api: Api
    sessions: list[aiohttp.ClientSession]

    async def compact(self) -> None:
        # Not in a thread: what it starts would end with the thread.
        self.plane.compact_etcd()

    async def user(self, namespace: str, name: str, rules: list[Json]) -> Api:
        await asyncio.to_thread(self.plane.service_account_kubeconfig, namespace, name, rules)
        token = await asyncio.to_thread(self.plane.service_account_token, namespace, name)
        tls = ssl.create_default_context(cafile=self.plane.client_files.authority)
        self.sessions.append(aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}))
        return Api(session=self.sessions[-1], url=self.plane.url, ssl=tls)


class TestRealApiServer(ApiServerContract):
    @pytest.fixture
    async def cluster(self, control_plane: ControlPlane) -> AsyncIterator[RealCluster]:
        files = control_plane.client_files
        tls = ssl.create_default_context(cafile=files.authority)
        tls.load_cert_chain(files.certificate, files.key)
        first = aiohttp.ClientSession()
        made = RealCluster(plane=control_plane, api=Api(session=first, url=control_plane.url, ssl=tls), sessions=[first])
        try:
            await install(made.api)
            yield made
        finally:
            await asyncio.gather(*(one.close() for one in made.sessions))
