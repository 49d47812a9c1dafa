"""The fake API server keeps the contract that the real one is held to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from tests.contracts.apiserver_contract import CRD, Api, ApiServerContract, Json
from tests.fakes.apiserver import FakeApiServer, Rule


@dataclass(kw_only=True)
class FakeCluster:
    """The fake, as the contract wants it."""

    server: FakeApiServer
    api: Api
    sessions: list[aiohttp.ClientSession]

    async def compact(self) -> None:
        self.server.compact()

    async def user(self, namespace: str, name: str, rules: list[Json]) -> Api:
        granted = [
            Rule(
                verbs=frozenset(rule["verbs"]),
                groups=frozenset(rule["apiGroups"]),
                resources=frozenset(rule["resources"]),
                namespaces=frozenset({namespace}),
            )
            for rule in rules
        ]
        token = self.server.token(f"system:serviceaccount:{namespace}:{name}", *granted)
        self.sessions.append(session(token))
        return Api(session=self.sessions[-1], url=self.server.url)


def session(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


class TestFakeApiServer(ApiServerContract):
    @pytest.fixture
    async def cluster(self) -> AsyncIterator[FakeCluster]:
        async with FakeApiServer() as server:
            server.install(CRD)
            first = session(server.admin_token)
            made = FakeCluster(server=server, api=Api(session=first, url=server.url), sessions=[first])
            try:
                yield made
            finally:
                await asyncio.gather(*(one.close() for one in made.sessions))
