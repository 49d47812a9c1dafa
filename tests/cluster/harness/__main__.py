"""A cluster for people: `python -m tests.cluster.harness build | up [--node] | status | down`."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.cluster.harness import ControlPlane, Node, UnavailableError, cache, debian, firewall, image, oci, programs
from tests.cluster.harness.programs import program


def main() -> int:
    """Run one command; 0 where it did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.harness", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build and install everything that the tests of this tier need")
    up = commands.add_parser("up", help="start a control plane and leave it running")
    up.add_argument("--node", action="store_true", help="with a node that runs pods (root only)")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("down", help="end what `up` started")
    run = commands.add_parser("run", help="what `up` leaves running; ends with SIGTERM")
    run.add_argument("--node", action="store_true")
    arguments = parser.parse_args()
    match arguments.command:
        case "build":
            return build()
        case "up":
            return start(node=arguments.node)
        case "status":
            return status()
        case "down":
            return stop()
        case _:
            return serve(node=arguments.node)


def build() -> int:
    """Build tier by tier; one that this machine cannot carry is named, and the others are built all the same."""
    refused = 0
    for tier, make in {
        "control plane": lambda: [program(name) for name in programs.CONTROL_PLANE],
        "helm": lambda: [program(name) for name in programs.HELM],
        "node": _build_node,
        "network policies": firewall.need,
    }.items():
        try:
            make()
        except UnavailableError as error:
            refused += 1
            print(f"{tier}: left out: {error}")
        else:
            print(f"{tier}: ready")
    return 1 if refused else 0


def _build_node() -> object:
    debian.need((*debian.NODE, *debian.IMAGE))
    return [*(program(name) for name in programs.NODE), oci.pause_image(), oci.busybox_image(), *image.kept_layers()]


def serve(*, node: bool) -> int:
    """Run a cluster until SIGTERM; tells in the status file where it is."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    opened: AbstractContextManager[ControlPlane | Node] = Node.open() if node else ControlPlane.open()
    with contextlib.suppress(KeyboardInterrupt), opened as cluster:
        about = {"pid": os.getpid(), "folder": str(cluster.folder), "kubeconfig": str(cluster.kubeconfig), "node": node}
        with _told(about):
            signal.pause()
    return 0


@contextlib.contextmanager
def _told(about: dict[str, object]) -> Iterator[None]:
    place = _status_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(about), encoding="utf-8")
    part.replace(place)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)


def start(*, node: bool) -> int:
    """Start a cluster in the background and say how to reach it."""
    if _running() is not None:
        print("one is running already")
        return status()
    command = [sys.executable, "-m", "tests.cluster.harness", "run", *(["--node"] if node else [])]
    log = cache.root() / "cluster.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    while _running() is None:
        if process.poll() is not None:
            print(f"it did not come up; see {log}")
            return 1
        time.sleep(0.1)
    return status()


def status() -> int:
    """Say what runs and how to speak to it."""
    about = _running()
    if about is None:
        print("nothing runs")
        return 1
    print(f"{'a node' if about['node'] else 'a control plane'} in {about['folder']} (process {about['pid']})")
    print(f"export KUBECONFIG={about['kubeconfig']} PATH={program('kubectl').parent}:$PATH")
    return 0


def stop() -> int:
    """End what runs, and wait until it is gone."""
    about = _running()
    if about is None:
        print("nothing runs")
        return 0
    pid = int(str(about["pid"]))
    os.kill(pid, signal.SIGTERM)
    while Path("/proc", str(pid)).exists():
        time.sleep(0.1)
    return 0


def _running() -> dict[str, object] | None:
    try:
        about: dict[str, object] = json.loads(_status_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    command = Path(f"/proc/{about['pid']}/cmdline")
    return about if command.exists() and b"tests.cluster.harness" in command.read_bytes() else None


def _status_file() -> Path:
    return cache.root() / "cluster.json"


if __name__ == "__main__":
    sys.exit(main())
