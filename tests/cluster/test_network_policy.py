"""The chart's network policies on a network that enforces them.

Everybody is asked twice what they reach: before anything enforces the policies, when it is everything, and afterwards. So
what is refused is there, and it is the policies that refuse it.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import pytest
from tests.cluster.harness import Node, UnavailableError
from tests.cluster.harness.debian import tool
from tests.cluster.harness.processes import Process, run
from tests.cluster.pods import RESTRICTED, pod
from tests.deploy.chart import NAMESPACE, Helm, Rendered, write_values
from tests.unit.plan.samples import ROSTER, minimal_run

from coderun.plan.plan import labels_of

LeaveOut = Callable[[str, str], NoReturn]
pytestmark = pytest.mark.xdist_group("network policies")

CONNECTIONS: Final = Path(__file__).with_name("connections.py")
OTHER: Final = "other"
"""A namespace with a release of its own, whose values open and close."""

PODS: Final = {
    "dns": "kube-system",
    "tools": NAMESPACE,
    "agent": NAMESPACE,
    "controller": NAMESPACE,
    "other-agent": OTHER,
    "other-controller": OTHER,
    "world": "default",
}
CACHE: Final = "169.254.20.10"
"""A DNS cache on the node, as values name it by default."""

ABROAD: Final = {
    "outside": "198.51.100.7",
    "beyond": "172.32.0.1",
    "metadata": "169.254.169.254",
    "private-10": "10.77.0.7",
    "private-172": "172.31.255.254",
    "private-192": "192.168.0.7",
    "private-100": "100.64.0.7",
}
"""Places outside the cluster; the node knows the way to them."""

DNS: Final = ("53/UDP", "53/TCP")
LISTENING: Final[Mapping[str, tuple[str, ...]]] = {
    "dns": (*DNS, "443/TCP", "5353/UDP"),
    "tools": (*DNS, "443/TCP", "8080/TCP"),
    "agent": ("443/TCP", "8080/TCP"),
    "controller": ("443/TCP", "8080/TCP", "8081/TCP"),
    "other-agent": ("443/TCP", "8080/TCP"),
    "other-controller": ("443/TCP", "8080/TCP", "8081/TCP"),
    "cache": (*DNS, "443/TCP"),
    **dict.fromkeys(ABROAD, (*DNS, "443/TCP", "443/UDP", "22/TCP", "80/TCP", "6443/TCP")),
}
THERE: Final[Mapping[str, tuple[str, ...]]] = {"api": ("6443/TCP",), "api-service": ("443/TCP",), "kubelet": ("10250/TCP",)}
"""Who listens anyway."""

AGENTS: Final = ("agent", "other-agent")
SPEAKERS: Final = tuple(name for name in PODS if name != "world")


class Place(NamedTuple):
    """A port of somebody."""

    who: str
    port: str


Reached = dict[str, set[Place]]


class Town:
    """Agents, controllers and whom they might want to reach, on one node."""

    def __init__(self, node: Node, policies: list[Rendered]) -> None:
        self._node = node
        self._policies = policies
        self._addresses: dict[str, str] = {}
        self.before: Reached = {}
        self.after: Reached = {}

    @classmethod
    def open(cls, stack: ExitStack, chart: Helm, folder: Path) -> "Town":
        """A town that has been asked before and after.

        Raises:
            UnavailableError: This machine carries no node, or none that enforces policies.
        """
        node = stack.enter_context(Node.open())
        values = write_values(folder, other_values(node))
        town = cls(node, [chart.render(), chart.render("-n", OTHER, *values)])
        town._settle(stack)
        town.before = town._ask()
        node.enforce_network_policies()
        town.after = town._ask()
        return town

    def everything(self, *, but: str) -> set[Place]:
        """All places but somebody's own."""
        return {Place(who, port) for who, ports in {**LISTENING, **THERE}.items() for port in ports if who != but}

    def callers(self, who: str, port: str) -> set[str]:
        """Who reaches a place while the policies are enforced."""
        return {name for name, reached in self.after.items() if Place(who, port) in reached}

    def _settle(self, stack: ExitStack) -> None:
        """Have everybody there and listening, and the policies with them."""
        cluster = self._node.control_plane
        for name in (NAMESPACE, OTHER):
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
        cluster.apply(*(one for rendered in self._policies for one in rendered.of("NetworkPolicy")))
        cluster.apply(*(self._pod(name) for name in PODS))
        for namespace in set(PODS.values()):
            cluster.kubectl("wait", "pod", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
        found = {name: cluster.get("pod", name, namespace)["status"]["podIP"] for name, namespace in PODS.items()}
        service = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
        there = {"api": cluster.address, "api-service": service, "kubelet": self._node.network.node}
        self._addresses = {**found, **ABROAD, "cache": CACHE, **there}
        self._make_ways()
        for name in LISTENING.keys() - ABROAD.keys() - {"cache"}:
            self._listen(stack, name, self._inside(name), name)
        self._listen(stack, "cache", self._node.inside, "cache")
        self._listen(stack, "world", self._inside("world"), *ABROAD)

    def _pod(self, name: str) -> dict[str, Any]:
        made = pod(name, PODS[name], "sleep 36000", terminationGracePeriodSeconds=0)
        if name in AGENTS:
            made["metadata"]["labels"] = labels_of(minimal_run("rex"), ROSTER.agents["rex"])
        elif name.endswith("controller"):
            [template] = (
                one["spec"]["template"]
                for rendered in self._policies
                for one in rendered.of("Deployment")
                if one["metadata"]["namespace"] == PODS[name]
            )
            made["metadata"]["labels"] = template["metadata"]["labels"]
            made["spec"]["containers"][0]["ports"] = template["spec"]["containers"][0]["ports"]
        else:
            made["metadata"]["labels"] = {"app": name}
        return made

    def _make_ways(self) -> None:
        """The node has the cache's address, and what is abroad lies behind the pod named `world`."""
        ip = str(tool("ip"))
        run(*self._node.inside, ip, "address", "add", f"{CACHE}/32", "dev", "lo")
        for address in ABROAD.values():
            run(*self._inside("world"), ip, "address", "add", f"{address}/32", "dev", "lo")
            run(*self._node.inside, ip, "route", "add", f"{address}/32", "via", self._addresses["world"])

    def _listen(self, stack: ExitStack, name: str, inside: tuple[str, ...], *who: str) -> None:
        places = [self._place(Place(one, port)) for one in who for port in LISTENING[one]]
        process = Process(f"listener-{name}", [*inside, sys.executable, CONNECTIONS, "listen", *places], self._node.folder)
        stack.callback(process.stop)
        process.start()
        process.wait_for("listening", lambda: "listening" in process.last_words())

    def _ask(self) -> Reached:
        """What everybody reaches now."""
        with ThreadPoolExecutor(len(SPEAKERS)) as pool:
            return dict(zip(SPEAKERS, pool.map(self._reached, SPEAKERS), strict=True))

    def _reached(self, name: str) -> set[Place]:
        tried = {self._place(place): place for place in self.everything(but=name)}
        answered = json.loads(run(*self._inside(name), sys.executable, CONNECTIONS, "try", *tried))
        return {tried[place] for place in answered}

    def _place(self, place: Place) -> str:
        return f"{self._addresses[place.who]}:{place.port}"

    def _inside(self, name: str) -> tuple[str, ...]:
        return self._node.inside_pod(name, PODS[name])


@pytest.fixture(scope="module")
def town(helm: str, leave_out: LeaveOut, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town, asked before and after; on a node of its own, because all its pods are under the policies there."""
    with ExitStack() as stack:
        try:
            made = Town.open(stack, Helm(helm), tmp_path_factory.mktemp("values"))
        except UnavailableError as error:
            leave_out("network policies", str(error))
        yield made


def other_values(node: Node) -> dict[str, Any]:
    """Values that let agents reach the API server and a tool server, and that say who may send webhooks and read metrics."""

    def of(namespace: str) -> dict[str, Any]:
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}

    tools = {**of(NAMESPACE), "podSelector": {"matchLabels": {"app": "tools"}}}
    api = {"ipBlock": {"cidr": f"{node.control_plane.address}/32"}}
    egress = [{"to": [api], "ports": [{"port": 6443}]}, {"to": [tools], "ports": [{"port": 8080}]}]
    return {"networkPolicy": {"agentEgress": egress, "webhookFrom": [of("kube-system")], "metricsFrom": [tools]}}


NAMES = {(who, port) for who in ("dns", "cache") for port in DNS}
"""Where names are asked for."""

OUT = {("outside", "443/TCP"), ("beyond", "443/TCP")}


def test_before_anything_enforces_them_everybody_reaches_everything(town: Town) -> None:
    for name, reached in town.before.items():
        assert reached == town.everything(but=name), name


def test_an_agent_reaches_dns_and_port_443_outside_the_clusters_ranges_and_nothing_else(town: Town) -> None:
    assert town.after["agent"] == NAMES | OUT


def test_nobody_reaches_an_agent(town: Town) -> None:
    assert {place.who for reached in town.after.values() for place in reached}.isdisjoint(AGENTS)


def test_who_is_neither_agent_nor_controller_is_not_restricted(town: Town) -> None:
    theirs = {"agent", "other-agent", "controller", "other-controller"}
    for name in ("tools", "dns"):
        free = {place for place in town.everything(but=name) if place.who not in theirs}
        assert {place for place in town.after[name] if place.who not in theirs} == free, name


def test_a_controller_is_reached_at_its_ports_for_webhooks_and_metrics_alone(town: Town) -> None:
    anybody = {"dns", "tools"}
    assert town.callers("controller", "8080/TCP") == anybody
    assert town.callers("controller", "8081/TCP") == anybody
    assert town.callers("controller", "443/TCP") == set()


def test_a_controller_reaches_dns_and_the_ports_of_the_api_server_and_of_the_forge(town: Town) -> None:
    ports = {"443/TCP", "6443/TCP"}
    closed = {*AGENTS, "other-controller"}
    web = {place for place in town.everything(but="controller") if place.port in ports and place.who not in closed}
    assert {("api", "6443/TCP"), ("api-service", "443/TCP"), ("outside", "443/TCP")} <= web
    assert town.after["controller"] == NAMES | web


def test_values_open_what_agents_need_inside_the_cluster_and_nothing_beside_it(town: Town) -> None:
    # The Service of the API server is one more name of it here: rules see where a packet goes in the end.
    opened = {("api", "6443/TCP"), ("api-service", "443/TCP"), ("tools", "8080/TCP")}
    assert town.after["other-agent"] == NAMES | OUT | opened


def test_values_say_who_sends_webhooks_and_who_reads_metrics(town: Town) -> None:
    assert town.callers("other-controller", "8080/TCP") == {"dns"}
    assert town.callers("other-controller", "8081/TCP") == {"tools"}
    assert town.callers("other-controller", "443/TCP") == set()
