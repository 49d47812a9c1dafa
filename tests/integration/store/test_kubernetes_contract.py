"""The store of a cluster keeps the contract of stores, on the fake API server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.store_contract import StoreContract
from tests.integration.kube.cluster import fake_cluster
from tests.integration.store.cluster_place import ClusterPlace


class TestKubernetesStore(StoreContract):
    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[ClusterPlace]:
        async with fake_cluster() as server:
            place = ClusterPlace(server.kubeconfig(tmp_path / "kubeconfig"))
            yield place
            await place.close()
