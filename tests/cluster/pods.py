"""Pods of tests, such as `restricted` admits, and how they end."""

from typing import Any

from tests.cluster.harness import Node
from tests.cluster.harness.oci import BUSYBOX_IMAGE

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def pod(name: str, namespace: str, script: str, *, image: str = BUSYBOX_IMAGE, **more: Any) -> dict[str, Any]:
    """A pod that `restricted` admits and that runs a script."""
    container = {
        "name": "agent",
        "image": image,
        "command": ["sh", "-c", script],
        "volumeMounts": more.pop("mounts", []),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    spec = {
        "restartPolicy": "Never",
        "containers": [container],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **more,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def ended(node: Node, name: str, namespace: str) -> dict[str, Any]:
    """How the pod's container ended, which is well."""
    condition = "--for=jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    node.kubectl("wait", f"pod/{name}", "-n", namespace, condition, "--timeout=120s")
    found = node.control_plane.get("pod", name, namespace)
    state: dict[str, Any] = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == 0, node.kubectl("logs", name, "-n", namespace)
    return state
