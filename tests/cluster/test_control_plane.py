"""The control plane that other tests stand on is a real one, and the trouble it makes on demand is real."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.harness import BrokenError, ControlPlane
from tests.cluster.harness.processes import run
from tests.cluster.harness.programs import kubernetes_version, program

READ_MAPS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
IMAGE = "localhost/any:test"


def config_map(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def job(name: str, namespace: str) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "agent", "image": IMAGE}]}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}


def test_it_is_the_kubernetes_that_the_module_pins(control_plane: ControlPlane) -> None:
    status, version = control_plane.call("GET", "/version")
    assert (status, version["gitVersion"]) == (200, kubernetes_version())


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(control_plane: ControlPlane) -> None:
    here, elsewhere = control_plane.new_namespace(), control_plane.new_namespace()
    reader = control_plane.service_account_kubeconfig(here, "reader", READ_MAPS)
    control_plane.apply(config_map("found", here))

    def ask(*arguments: str) -> str:
        return run(program("kubectl"), "--kubeconfig", reader, *arguments)

    assert "configmap/found" in ask("get", "configmaps", "-o", "name")
    for forbidden in (("get", "secrets"), ("get", "configmaps", "-n", elsewhere), ("delete", "configmap", "found")):
        with pytest.raises(BrokenError, match="Forbidden"):
            ask(*forbidden)


def test_controllers_make_the_pods_of_a_job_and_collect_what_it_owned(control_plane: ControlPlane) -> None:
    namespace = control_plane.new_namespace()
    control_plane.apply(job("work", namespace))
    control_plane.kubectl("wait", "pod", "-n", namespace, "-l", "job-name=work", "--for=create", "--timeout=120s")
    control_plane.kubectl("delete", "job", "work", "-n", namespace)
    control_plane.kubectl("wait", "pod", "-n", namespace, "-l", "job-name=work", "--for=delete", "--timeout=120s")


def test_pod_security_is_enforced_where_a_namespace_asks_for_it(control_plane: ControlPlane) -> None:
    namespace = control_plane.new_namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "careless", "namespace": namespace}}
    with pytest.raises(BrokenError, match="violates PodSecurity"):
        control_plane.apply({**pod, "spec": {"containers": [{"name": "agent", "image": IMAGE}]}})


def test_the_api_server_goes_away_and_comes_back_with_the_same_objects(control_plane: ControlPlane) -> None:
    namespace = control_plane.new_namespace()
    control_plane.apply(config_map("kept", namespace))
    before = control_plane.get("configmap", "kept", namespace)
    control_plane.stop_apiserver()
    with pytest.raises(OSError, match="refused"):
        control_plane.call("GET", "/readyz")
    control_plane.start_apiserver()
    assert control_plane.get("configmap", "kept", namespace) == before


def test_after_a_compaction_whoever_goes_on_from_an_old_version_gets_410(control_plane: ControlPlane) -> None:
    path = f"/api/v1/namespaces/{control_plane.new_namespace()}/configmaps"
    _, listed = control_plane.call("GET", path)
    old = listed["metadata"]["resourceVersion"]
    control_plane.compact_etcd()
    status, answer = control_plane.call("GET", f"{path}?watch=true&timeoutSeconds=5&resourceVersion={old}")
    assert status == 200
    event = json.loads(answer) if isinstance(answer, str) else answer
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_several_stand_side_by_side_and_leave_nothing_behind(control_plane: ControlPlane) -> None:
    with ControlPlane.open() as other:
        assert other.url != control_plane.url
        namespace = other.new_namespace("only-there")
        assert control_plane.call("GET", f"/api/v1/namespaces/{namespace}")[0] == 404
        folder = other.folder
        assert commands_below(folder) != []
    assert not folder.exists()
    assert commands_below(folder) == []


def commands_below(folder: Path) -> list[str]:
    """What runs with something in the folder on its command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command:
            found.append(command)
    return found
