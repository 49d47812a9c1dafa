"""The node that other tests stand on runs real pods, and is gone without a trace when its owner dies."""

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.harness import Node
from tests.cluster.harness.processes import PATIENCE
from tests.cluster.harness.programs import program
from tests.cluster.pods import ended, pod

ROOT = Path(__file__).parents[2]


def test_a_pod_reads_its_files_writes_to_its_claim_and_tells_how_it_ended(node: Node, room: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "workspace", "namespace": room},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    order = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "order", "namespace": room},
        "data": {"order": "do it"},
    }
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": room},
        "stringData": {"token": "s3"},
    }
    script = "cat /order/order /token/token > /workspace/both; id -u; cat /workspace/both > /dev/termination-log"
    volumes = [
        {"name": "order", "configMap": {"name": "order"}},
        {"name": "token", "secret": {"secretName": "token", "defaultMode": 0o440}},
        {"name": "workspace", "persistentVolumeClaim": {"claimName": "workspace"}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    node.control_plane.apply(claim, order, token, pod("worker", room, script, volumes=volumes, mounts=mounts))

    assert ended(node, "worker", room)["message"] == "do its3"
    assert node.kubectl("logs", "worker", "-n", room) == "1000\n"
    reader = [{"name": "workspace", "persistentVolumeClaim": {"claimName": "workspace"}}]
    node.control_plane.apply(pod("reader", room, "cat /workspace/both", volumes=reader, mounts=mounts[2:]))
    ended(node, "reader", room)
    assert node.kubectl("logs", "reader", "-n", room) == "do its3", "the claim keeps what was written"


@pytest.fixture
def server(node: Node) -> Iterator[str]:
    """A server of the test, at the address that pods reach."""

    class Greeting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from the test")

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer((node.address, 0), Greeting)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"{node.address} {listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_a_pod_reaches_a_server_of_the_test(node: Node, room: str, server: str) -> None:
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc {server}"
    node.control_plane.apply(pod("caller", room, script))
    ended(node, "caller", room)
    assert node.kubectl("logs", "caller", "-n", room).endswith("hello from the test")


def test_a_pod_reaches_the_api_server_by_its_service(node: Node, room: str) -> None:
    script = "nc -w 30 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo reached"
    node.control_plane.apply(pod("client", room, script, automountServiceAccountToken=False))
    ended(node, "client", room)
    assert node.kubectl("logs", "client", "-n", room) == "reached\n"


def test_a_drained_pod_is_told_to_stop_and_the_node_takes_pods_again_afterwards(node: Node, room: str) -> None:
    script = "trap 'echo stopping; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    node.control_plane.apply(pod("drained", room, script))
    node.kubectl("wait", "pod/drained", "-n", room, "--for=condition=Ready", "--timeout=120s")
    follow: list[str | Path] = [program("kubectl"), "--kubeconfig", node.kubeconfig, "logs", "drained", "-n", room, "--follow"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        # Who begins to follow a pod that is drained already may come too late for its last words, or for the pod.
        assert following.stdout.readline() == "ready\n"
        node.drain()
        assert following.stdout.read() == "stopping\n"
    assert node.control_plane.call("GET", f"/api/v1/namespaces/{room}/pods/drained")[0] == 404
    node.uncordon()
    node.control_plane.apply(pod("next", room, "true"))
    ended(node, "next", room)


def test_a_node_whose_owner_is_killed_leaves_no_process_no_mount_and_no_network(node: Node) -> None:
    program = (
        "import json, signal\n"
        "from tests.cluster.harness import Node\n"
        "with Node.open() as node:\n"
        "    print(json.dumps([str(node.folder), node.network.interface]), flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        folder, interface = json.loads(owner.stdout.readline())
        assert running(folder) > 5
        owner.kill()
    wait_until(lambda: running(folder) == 0)
    assert folder not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    wait_until(lambda: not Path("/sys/class/net", interface).exists())
    with Node.open():
        assert not Path(folder).exists(), "the next one sweeps the folder away"


def running(folder: str) -> int:
    """How many processes have the folder on their command line."""
    count = 0
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            count += folder in place.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count


def wait_until(claim: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.05)
