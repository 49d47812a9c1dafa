"""The runtime of Kubernetes Jobs keeps the contract, on the fake API server with a kubelet of processes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.contracts.runtime_contract import RuntimeContract
from tests.integration.runtime.cluster import Cluster, cluster

from coderun.runtime.job import JobRuntime


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        yield made


class TestJobRuntime(RuntimeContract):
    """The clauses hold for Jobs."""

    @pytest.fixture
    def successor(self, here: Cluster) -> Callable[[], JobRuntime]:
        return here.runtime

    @pytest.fixture
    def runtime(self, here: Cluster) -> JobRuntime:
        return here.runtime()

    @pytest.fixture
    def token_of(self, here: Cluster) -> Callable[[str], str]:
        return here.token_of
