"""Volumes of a node: each claim that asks for the default class gets a folder on this machine."""

import contextlib
import http.client
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.programs import program

STORAGE_CLASS = "folders"
_COLUMNS = (
    "NAMESPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid,CLASS:.spec.storageClassName,VOLUME:.spec.volumeName"
)
_PAUSE = 1.0


class Volumes:
    """Watches claims as long as its context is open; what it made goes with the node's folder.

    They are `local` volumes, so that the kubelet gives them to the pod's `fsGroup` as it does real disks.
    """

    def __init__(self, control_plane: ControlPlane, folder: Path, node: str) -> None:
        self._control_plane = control_plane
        self._folder = folder
        self._node = node
        self._closing = threading.Event()
        self._watch: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._serve, name="volumes", daemon=True)

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self._control_plane.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "kubernetes.io/no-provisioner",
                "reclaimPolicy": "Retain",
            }
        )
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        while self._thread.is_alive():
            if self._watch:
                self._watch.kill()
            self._thread.join(timeout=0.2)

    def _serve(self) -> None:
        # A watch ends when the API server goes away; the next one begins with what is there then.
        while not self._closing.wait(_PAUSE):
            command = [program("kubectl"), "--kubeconfig", self._control_plane.kubeconfig, "get", "persistentvolumeclaims"]
            options = ["--all-namespaces", "--watch", "--no-headers", "--output", f"custom-columns={_COLUMNS}"]
            with subprocess.Popen(
                [*map(str, command), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as self._watch:
                assert self._watch.stdout
                for line in self._watch.stdout:
                    namespace, name, uid, storage_class, volume = line.split()
                    # The API server may go away meanwhile: then this watch ends, and the next one shows the claim again.
                    if (storage_class, volume) == (STORAGE_CLASS, "<none>"):
                        with contextlib.suppress(OSError, http.client.HTTPException):
                            self._provide(namespace, name, uid)

    def _provide(self, namespace: str, name: str, uid: str) -> None:
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": uid}
        status, found = self._control_plane.call("GET", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        if status != 200 or found["metadata"]["uid"] != uid:
            return
        folder = self._folder / uid
        folder.mkdir(exist_ok=True)
        on_this_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self._node]}
        volume: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"folder-{uid}"},
            "spec": {
                "capacity": {"storage": found["spec"]["resources"]["requests"]["storage"]},
                "accessModes": found["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": STORAGE_CLASS,
                "claimRef": claim,
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_this_node]}]}},
            },
        }
        self._control_plane.call("POST", "/api/v1/persistentvolumes", volume)
