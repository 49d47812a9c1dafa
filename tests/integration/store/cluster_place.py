"""Stores of one namespace of a cluster, for the contract of stores."""

from pathlib import Path

from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Target
from coderun.store.kubernetes import KubernetesStore


class ClusterPlace:
    """Each client has a connection of its own, as another process would, and reads from the server."""

    room = 200_000
    keeps_bodies = False

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._clients: list[KubeClient] = []
        self._stores: list[KubernetesStore] = []

    async def connect(self) -> KubernetesStore:
        client = await KubeClient.connect(Target(kubeconfig=str(self._kubeconfig)), environ={})
        self._clients.append(client)
        store = KubernetesStore(Api(client), self._namespace)
        self._stores.append(store)
        await store.follow()
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        for client in self._clients:
            await client.close()
