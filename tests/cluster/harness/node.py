"""A real node with a control plane: containerd, kubelet and kube-proxy in namespaces of their own.

Its first process holds the namespaces (network, mounts, processes). When that one dies (and it dies with whoever started it)
the kernel ends every pod and undoes every mount, so nothing of a node outlives a test, not even one that was killed.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.harness import debian, firewall, state
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.debian import tool
from tests.cluster.harness.errors import BrokenError, UnavailableError
from tests.cluster.harness.network import Network, reserve
from tests.cluster.harness.oci import PAUSE_IMAGE, busybox_image, pause_image
from tests.cluster.harness.processes import Process, run
from tests.cluster.harness.programs import program
from tests.cluster.harness.volumes import Volumes

_NAMESPACES = ("--net", "--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc")


class Node:
    """One node named `node` and its control plane; runs as long as its context is open."""

    name = "node"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control_plane: ControlPlane
        self.network: Network
        self._kubelet: Process
        self._socket = folder / "containerd.sock"
        self._holder = Process("holder", [tool("unshare"), *_NAMESPACES, program("pause")], folder)
        self._inside: tuple[str, ...] = ()
        self._programs: list[Process] = []
        self._running = ExitStack()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Node"]:
        """A node in a folder of its own, gone with the context.

        Raises:
            UnavailableError: This machine cannot carry one; with the reason.
        """
        if os.geteuid() != 0:
            raise UnavailableError("only root may make the namespaces of a node")
        debian.need((*debian.NODE, "busybox"))
        with state.claim() as folder, cls(folder) as node:
            yield node

    @property
    def address(self) -> str:
        """This machine as pods reach it: a server of a test that listens here (or everywhere) is at their hand."""
        return self.network.host

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane.kubeconfig

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._hold_namespaces(stack)
            self.network = reserve(self._first_process(), self._inside)
            stack.callback(self.network.remove)
            # The scheduler learns of a volume twice, in either order: once as a reason to try waiting pods again, once as a
            # volume. A pod tried between the two is told "pvc(s) bound to non-existent pv(s)", and no later event wakes it: it
            # is tried again when it has waited so long (checked every 30 s), by default five minutes.
            plane = ControlPlane(self.folder, address=self.network.host, services=self.network.services, tries_pods_after="5s")
            self.control_plane = stack.enter_context(plane)
            # Last in, first out: the node's programs end before the control plane that they would miss.
            stack.callback(self._end_programs)
            self._start_containerd()
            self.import_image(pause_image())
            self.import_image(busybox_image())
            self._start_kubelet()
            self._start_proxy()
            stack.enter_context(Volumes(self.control_plane, self.folder / "volumes", self.name))
            self._running = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running.close()

    # What a test does with it.

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What `kubectl` printed, as the administrator."""
        return self.control_plane.kubectl(*arguments, stdin=stdin)

    def import_image(self, tar: Path) -> None:
        """Have the images of an OCI tar on the node; pods name them with `imagePullPolicy: Never` or `IfNotPresent`."""
        run(tool("ctr"), "--address", self._socket, "--namespace", "k8s.io", "images", "import", tar)

    @property
    def inside(self) -> tuple[str, ...]:
        """The prefix of a command that runs in the node's namespaces."""
        return self._inside

    def inside_pod(self, name: str, namespace: str) -> tuple[str, ...]:
        """The prefix of a command that runs on the node, but in the network of a pod."""
        [status] = self.control_plane.get("pod", name, namespace)["status"]["containerStatuses"]
        container = status["containerID"].removeprefix("containerd://")
        tasks = run(tool("ctr"), "--address", self._socket, "--namespace", "k8s.io", "tasks", "list")
        [pid] = [fields[1] for fields in map(str.split, tasks.splitlines()) if fields[0] == container]
        return (*self._inside, str(tool("nsenter")), "--target", pid, "--net", "--")

    def enforce_network_policies(self) -> None:
        """From now on NetworkPolicies hold here; those that are there already hold when this returns.

        Raises:
            UnavailableError: This machine cannot do it; with the reason.
        """
        firewall.need()
        firewall.try_out(self._inside)
        arguments = firewall.arguments(self.control_plane.kubeconfig, self.name, self.network.services)
        process = self._process("kube-router", program("kube-router"), *arguments)
        process.wait_for("rules for every policy", lambda: firewall.SYNCED in process.log.read_text(errors="replace"))

    def drain(self, *pods: str) -> None:
        """Evict pods (those of a label selector, else all), as before a repair; nothing is scheduled here until `uncordon`."""
        chosen = [word for selector in pods for word in ("--pod-selector", selector)]
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout", "170s")
        self.kubectl("drain", self.name, *options, *chosen)

    def cordon(self) -> None:
        """Schedule nothing here any more."""
        self.kubectl("cordon", self.name)

    def uncordon(self) -> None:
        """Take pods again."""
        self.kubectl("uncordon", self.name)

    def fall_silent(self) -> None:
        """From now on the node tells the cluster nothing, as one that lost its network: its pods run on."""
        self._signal_kubelet(signal.SIGSTOP)

    def answer_again(self) -> None:
        """Undo `fall_silent`; the node is ready when this returns."""
        self._signal_kubelet(signal.SIGCONT)
        self._kubelet.wait_for("a ready node", self._is_ready)

    def _signal_kubelet(self, number: signal.Signals) -> None:
        # Our own child only entered the namespaces; the kubelet is the child of that.
        for child in _children(self._kubelet.pid):
            os.kill(child, number)

    # How it comes up.

    def _hold_namespaces(self, stack: ExitStack) -> None:
        self._holder.start()
        stack.callback(self._holder.stop)
        try:
            self._holder.wait_for("namespaces", lambda: _children(self._holder.pid) != [])
        except BrokenError as error:
            raise UnavailableError(f"this machine refuses the namespaces of a node: {error}") from error
        target = ("--target", str(self._first_process()), "--net", "--pid", "--mount")
        self._inside = (str(tool("nsenter")), *target, "--")
        # What the runtime writes outside its folder goes with the namespace.
        for place in ("/run", "/var/lib/cni"):
            Path(place).mkdir(parents=True, exist_ok=True)
            run(*self._inside, "mount", "-t", "tmpfs", "tmpfs", place)
        run(*self._inside, "mount", "--make-rshared", "/")

    def _first_process(self) -> int:
        return _children(self._holder.pid)[0]

    def _start_containerd(self) -> None:
        configuration = _write(self.folder / "containerd.toml", _containerd(self.folder, self._socket))
        _write(self.folder / "cni" / "10-pods.conflist", json.dumps(_pod_network(self.folder, self.network)))
        containerd = self._process("containerd", tool("containerd"), "--config", configuration)
        containerd.wait_for("an answer", self._containerd_answers)

    def _start_kubelet(self) -> None:
        group = self._control_group()
        pair = self.control_plane.authority.issue(
            "kubelet", f"system:node:{self.name}", "system:nodes", hosts=(self.network.node, self.name)
        )
        configuration = _kubelet(self._socket, self.control_plane, pair.certificate, pair.key, group)
        self._kubelet = self._process(
            "kubelet",
            program("kubelet"),
            *("--config", _write(self.folder / "kubelet.yaml", json.dumps(configuration))),
            *("--kubeconfig", self.control_plane.user_kubeconfig("kubelet", pair)),
            *("--hostname-override", self.name, "--node-ip", self.network.node),
            *("--root-dir", self.folder / "kubelet", "--cert-dir", self.folder / "pki"),
        )
        self._kubelet.wait_for("a ready node", self._is_ready)

    def _start_proxy(self) -> None:
        pair = self.control_plane.authority.issue("proxy", "system:kube-proxy")
        self._process(
            "kube-proxy",
            program("kube-proxy"),
            *("--kubeconfig", self.control_plane.user_kubeconfig("kube-proxy", pair), "--hostname-override", self.name),
            *("--proxy-mode", "iptables", "--cluster-cidr", self.network.pods),
            *("--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0"),
            *("--conntrack-tcp-timeout-close-wait", "0"),
            *("--healthz-bind-address", "127.0.0.1", "--metrics-bind-address", "127.0.0.1"),
        )

    def _process(self, name: str, *command: str | Path) -> Process:
        process = Process(name, [*self._inside, *command], self.folder)
        process.start()
        self._programs.append(process)
        return process

    def _end_programs(self) -> None:
        for process in (self._holder, *self._programs):
            process.stop()

    def _control_group(self) -> str:
        """A control group for all pods of this node: two kubelets in one would end each other's pods."""
        name = f"coderun-{self.network.number}"
        for root in state.control_groups():
            (root / name).mkdir(exist_ok=True)
        return f"/{name}"

    def _containerd_answers(self) -> bool:
        try:
            run(tool("ctr"), "--address", self._socket, "version")
        except BrokenError:
            return False
        return True

    def _is_ready(self) -> bool:
        status, node = self.control_plane.call("GET", f"/api/v1/nodes/{self.name}")
        conditions: list[dict[str, Any]] = node["status"]["conditions"] if status < 300 else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


def _containerd(folder: Path, socket: Path) -> str:
    return f"""
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-run"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{tool("host-local").parent}"
    conf_dir = "{folder}/cni"
"""


def _pod_network(folder: Path, network: Network) -> dict[str, Any]:
    ranges = [[{"subnet": network.pods}]]
    ipam = {"type": "host-local", "dataDir": f"{folder}/cni-addresses", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "loopback"}]}


def _kubelet(socket: Path, control_plane: ControlPlane, certificate: Path, key: Path, group: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(control_plane.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": group,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        # No name is looked up in this cluster: a query is refused at once instead of waited for.
        "clusterDNS": [],
        "resolvConf": "",
        "maxPods": 200,
        "serializeImagePulls": False,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "nodeStatusUpdateFrequency": "5s",
        # What changes in a Secret is in its volume soon.
        "syncFrequency": "5s",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
