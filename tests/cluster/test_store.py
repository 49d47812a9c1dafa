"""The store of a cluster keeps the contract of stores on a real API server, with the rights that the chart gives."""

from collections.abc import AsyncIterator

import pytest
from tests.cluster.harness import ControlPlane
from tests.cluster.ours import controller_account, install
from tests.contracts.store_contract import StoreContract
from tests.integration.store.cluster_place import ClusterPlace


@pytest.fixture(scope="module")
def served(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


class TestStoreOnARealServer(StoreContract):
    @pytest.fixture
    async def place(self, served: ControlPlane) -> AsyncIterator[ClusterPlace]:
        namespace = served.new_namespace("store")
        place = ClusterPlace(controller_account(served, namespace, and_people=True), namespace)
        yield place
        await place.close()
