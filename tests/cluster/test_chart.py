"""The chart on a real API server, by the real `helm`.

Every object is taken with strict validation; installing, upgrading and removing it do what the page says.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from tests.cluster.harness import BrokenError, ControlPlane, UnavailableError
from tests.cluster.ours import DEFINITIONS, remove
from tests.deploy import foreign
from tests.deploy.chart import SETS, Helm, values_of, write_values
from tests.deploy.chart_files import CHART

LeaveOut = Callable[[str, str], NoReturn]


class Operator:
    """Somebody with `helm`, on a cluster."""

    def __init__(self, helm: str, cluster: ControlPlane) -> None:
        self.helm = Helm(helm)
        self.cluster = cluster

    def run(self, command: str, release: str, namespace: str, *arguments: str | Path, kubeconfig: Path | None = None) -> str:
        chart = [] if command == "uninstall" else [CHART]
        target = ("-n", namespace, "--kubeconfig", kubeconfig or self.cluster.kubeconfig)
        done = self.helm.run(command, release, *chart, *target, *arguments)
        if done.returncode:
            raise BrokenError(done.stderr)
        return done.stdout


@pytest.fixture
def operator(helm: str, control_plane: ControlPlane) -> Iterator[Operator]:
    person = Operator(helm, control_plane)
    remove(control_plane)
    yield person
    remove(control_plane)


@pytest.fixture(scope="module")
def others(control_plane: ControlPlane, leave_out: LeaveOut) -> None:
    """Definitions of the Gateway API and of the Prometheus operator."""
    try:
        definitions = foreign.definitions()
    except UnavailableError as error:
        leave_out("definitions of the Gateway API and the Prometheus operator", str(error))
    control_plane.apply(*definitions)
    names = [one["metadata"]["name"] for one in definitions]
    control_plane.kubectl("wait", "--for=condition=Established", "crd", *names, "--timeout=120s")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("values", SETS)
def test_every_object_is_taken_with_strict_validation(operator: Operator, values: str) -> None:
    cluster = operator.cluster
    namespace = cluster.new_namespace("chart", {"pod-security.kubernetes.io/enforce": "restricted"})
    done = operator.helm.run("template", "main", CHART, "-n", namespace, "--kube-version", "1.34.0", *values_of(values))
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    first = [one for one in objects if one["kind"] in {"CustomResourceDefinition", "Namespace"}]
    if first:
        cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(first))
    said = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects)
    )
    assert len(said.splitlines()) == len(objects)
    assert all(line.endswith("serverside-applied (server dry run)") for line in said.splitlines())
    made = [one["metadata"]["name"] for one in first if one["kind"] == "Namespace"]
    if made:
        cluster.kubectl("delete", "namespace", *made, "--wait=false")


def test_one_command_installs_it_and_its_pods_are_admitted_where_restricted_is_enforced(operator: Operator) -> None:
    cluster = operator.cluster
    namespace = cluster.new_namespace("team", {"pod-security.kubernetes.io/enforce": "restricted"})
    said = operator.run("install", "main", namespace)
    assert f"kubectl get plays,cr -n {namespace}" in said
    assert "No GitHub App has been named yet" in said
    assert "replicas is 0" not in said
    cluster.kubectl("wait", "--for=condition=Established", "crd", *DEFINITIONS, "--timeout=120s")
    cluster.kubectl(
        "wait", "pod", "-n", namespace, "-l", "app.kubernetes.io/component=controller", "--for=create", "--timeout=120s"
    )
    pods = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {"main-coderun"}
    assert "No resources found" not in cluster.kubectl("get", "deployment,pdb,networkpolicy", "-n", namespace)
    assert "replicas is 0, so nobody works them" in operator.run("upgrade", "main", namespace, "--set", "replicas=0")


def test_the_controllers_account_may_do_its_work_in_its_namespaces_and_nothing_elsewhere(operator: Operator) -> None:
    cluster = operator.cluster
    home, work, other = (cluster.new_namespace(name) for name in ("home", "work", "other"))
    operator.run("install", "main", home, "--set", f"namespaces={{{work}}}")
    account = f"system:serviceaccount:{home}:main-coderun"

    def may(verb: str, resource: str, namespace: str) -> bool:
        try:
            said = cluster.kubectl("auth", "can-i", verb, *resource.split(), "-n", namespace, "--as", account)
        except BrokenError:
            return False
        return said.strip() == "yes"

    asked = {
        (verb, resource)
        for verb, resource in (
            ("create", "coderuns.agents.platform"),
            ("patch", "plays.agents.platform --subresource=status"),
            ("create", "jobs.batch"),
            ("create", "secrets"),
            ("create", "persistentvolumeclaims"),
        )
    }
    deadline = time.monotonic() + 60
    # Roles and definitions are known to the API server a moment after they are there.
    while not all(may(*one, work) for one in asked):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert [one for one in asked if may(*one, home) or may(*one, other)] == []
    assert may("update", "leases.coordination.k8s.io/coderun-controller", home)
    assert not may("update", "leases.coordination.k8s.io/another", home)
    for verb, resource in (
        ("list", "secrets"),
        ("create", "pods"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("create", "pods --subresource=exec"),
    ):
        assert not may(verb, resource, work), (verb, resource)
    for agent in ("main-coderun-agent", "default"):
        said = cluster.kubectl("auth", "can-i", "--list", "-n", work, "--as", f"system:serviceaccount:{work}:{agent}")
        assert "agents.platform" not in said
        assert "secrets" not in said


def test_an_upgrade_brings_the_definitions_up_to_date_and_removing_it_keeps_everybodys_work(
    operator: Operator, tmp_path: Path
) -> None:
    cluster = operator.cluster
    namespace = cluster.new_namespace("team")
    operator.run("install", "main", namespace)
    cluster.kubectl("wait", "--for=condition=Established", "crd", *DEFINITIONS, "--timeout=120s")
    play = {
        "apiVersion": "agents.platform/v1",
        "kind": "Play",
        "metadata": {"name": "play-api-3", "namespace": namespace},
        "spec": {"taskId": 3, "repositoryUrl": "acme/api"},
    }
    cluster.apply(play)
    older = {"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/1"}
    cluster.kubectl("patch", "crd", "plays.agents.platform", "--type=json", "-p", json.dumps([older]))

    operator.run("upgrade", "main", namespace, *write_values(tmp_path, {"config": {"limits": {"parallelRuns": 9}}}))
    header = cluster.kubectl("get", "plays", "-n", namespace).splitlines()[0].split()
    assert header[:3] == ["NAME", "TASK", "SERVICE"]
    assert "parallelRuns: 9" in cluster.get("configmap", "main-coderun-config", namespace)["data"]["coderun.yaml"]

    operator.run("uninstall", "main", namespace)
    assert "play-api-3" in cluster.kubectl("get", "plays", "-n", namespace, "-o", "name")
    with pytest.raises(BrokenError, match="not found"):
        cluster.get("deployment", "main-coderun", namespace)

    operator.run("install", "main", namespace)
    assert "play-api-3" in cluster.kubectl("get", "plays", "-n", namespace, "-o", "name")


def test_definitions_that_are_there_already_are_taken_over_when_asked(operator: Operator) -> None:
    cluster = operator.cluster
    namespace = cluster.new_namespace("team")
    made = subprocess.run([sys.executable, "-m", "coderun.cli.main", "crds"], capture_output=True, text=True, check=True).stdout
    cluster.kubectl("apply", "--server-side", "--field-manager=kubectl", "-f", "-", stdin=made)
    with pytest.raises(BrokenError, match="exists and cannot be imported into the current release"):
        operator.run("install", "main", namespace)
    operator.run("install", "main", namespace, "--take-ownership")
    operator.run("uninstall", "main", namespace)
    operator.run("install", "main", namespace, "--set", "crds.install=false")


def test_who_may_not_install_definitions_installs_the_rest(operator: Operator) -> None:
    cluster = operator.cluster
    namespace = cluster.new_namespace("team")
    rules: list[Mapping[str, Any]] = [
        {"apiGroups": [group], "resources": ["*"], "verbs": ["*"]}
        for group in (
            "",
            "apps",
            "batch",
            "policy",
            "networking.k8s.io",
            "rbac.authorization.k8s.io",
            "agents.platform",
            "events.k8s.io",
            "coordination.k8s.io",
        )
    ]
    owner = cluster.service_account_kubeconfig(namespace, "owner", rules)
    with pytest.raises(BrokenError, match="customresourcedefinitions"):
        operator.run("install", "main", namespace, kubeconfig=owner)
    made = subprocess.run([sys.executable, "-m", "coderun.cli.main", "crds"], capture_output=True, text=True, check=True).stdout
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=made)
    operator.run("install", "second", namespace, "--set", "crds.install=false", kubeconfig=owner)
    assert "second-coderun" in cluster.kubectl("get", "deployment", "-n", namespace, "-o", "name")
