"""Kill -9 of the controller after every write to a real API server: the play ends as it would have, and no agent runs twice.

One play is walked through by some thirty short lives of `coderun controller`. Each makes one write and is killed before it
hears of it. Pods are processes here, so that a walk takes minutes; everything else of the cluster is the real one, and the
controller has the rights that the chart gives it.
"""

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.cluster_kit import ClusterWorld
from tests.acceptance.kit import ROOT, Command
from tests.cluster.ferry import Ferry, ferry
from tests.cluster.harness import ControlPlane
from tests.cluster.harness.volumes import Volumes
from tests.cluster.ours import install
from tests.deploy.chart import Helm
from tests.fakes.apiserver.logs import PodLogs
from tests.fakes.kubelet import ProcessKubelet
from tests.fakes.kubelet.node import node
from tests.integration.kube.odd_server import connected
from tests.integration.runtime.cluster import short_folder

from coderun.kube.api import Api

PLAY = "play-acme-shop-1"
FEWEST_DEATHS = 24
LIFE = 120.0
PROGRAM = '#!/bin/sh\nexec {python} -m coderun.cli.main "$@"\n'


class Walk(ClusterWorld):
    """A `ClusterWorld` on a real control plane, whose controller speaks to it over a ferry."""

    cluster: ControlPlane
    namespace: str
    way: Ferry

    def control(self) -> Command:
        words = ["controller", "--config", str(self.folder / "controller.yaml"), "--kubeconfig", str(self.kubeconfig)]
        more = ["--namespace", self.namespace, "--github-keys", str(self.folder / "keys")]
        return self.start(*words, *more, "--health-host", "127.0.0.1", "--health-port", "0")

    async def end_of(self, controller: Command) -> None:
        """Wait until a controller is dead, or there is nothing left to do for it."""
        end = time.monotonic() + LIFE
        while controller.is_running and self.phase != "Succeeded":
            assert time.monotonic() < end, f"a controller neither died nor came to the merge\n{self.tell()}"
            await asyncio.sleep(0.3)

    def bury(self, dead: Command) -> None:
        """Nobody waits for a Lease that its holder cannot give back: the operator takes it away."""
        dead.kill()
        self.cluster.call("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/coderun-controller")

    def play_task(self, **spec: Any) -> None:
        said = {"taskId": 1, "repositoryUrl": self.repository_url, "autoMerge": True, "task": {"title": "Sell tea"}, **spec}
        metadata = {"name": PLAY, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": "agents.platform/v1", "kind": "Play", "metadata": metadata, "spec": said})

    def all_of(self, kind: str, group: str = "api/v1") -> list[dict[str, Any]]:
        _, found = self.cluster.call("GET", f"/{group}/namespaces/{self.namespace}/{kind}")
        items: list[dict[str, Any]] = found["items"]
        return items

    @property
    def phase(self) -> str:
        [play] = self.all_of("plays", "apis/agents.platform/v1")
        phase: str = play.get("status", {}).get("phase", "")
        return phase

    def tell(self) -> str:
        objects = [
            f"{one['metadata']['name']}: {json.dumps(one.get('status'))}"
            for kind, group in (
                ("plays", "apis/agents.platform/v1"),
                ("coderuns", "apis/agents.platform/v1"),
                ("jobs", "apis/batch/v1"),
                ("pods", "api/v1"),
            )
            for one in self.all_of(kind, group)
        ]
        return "\n".join([*objects, *(command.said[-1500:] for command in self.commands[-3:]), *self.way.writes[-20:]])


@pytest.fixture
async def walk(control_plane: ControlPlane, helm: str, tmp_path: Path) -> AsyncIterator[Walk]:
    install(control_plane)
    world = Walk(tmp_path / "world")
    world.cluster = control_plane
    world.namespace = namespace = control_plane.new_namespace("walk", {"pod-security.kubernetes.io/enforce": "restricted"})
    rules = [rule for role in Helm(helm).render().of("Role") for rule in role["rules"]]
    account = json.loads(control_plane.service_account_kubeconfig(namespace, "controller", rules).read_text("utf-8"))
    name = f"{namespace}-node"
    pair = control_plane.authority.issue(name, f"system:node:{name}", hosts=(control_plane.address,))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    trusting = ssl.create_default_context(cafile=control_plane.client_files.authority)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(world.clear_up)
        world.way = await stack.enter_async_context(ferry(control_plane.url, trusting))
        account["clusters"][0]["cluster"] = {"server": world.way.url}
        world.kubeconfig = tmp_path / "kubeconfig"
        world.kubeconfig.write_text(json.dumps(account), encoding="utf-8")
        root = stack.enter_context(short_folder())
        program = root / "bin" / "coderun"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
        stack.enter_context(Volumes(control_plane, root / "volumes", name))
        world.api = Api(await stack.enter_async_context(connected(control_plane.kubeconfig)))
        logs = PodLogs()
        await stack.enter_async_context(node(world.api, name, logs=logs, tls=tls, address=control_plane.address))
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }
        world.kubelet = ProcessKubelet(
            world.api,
            namespace,
            root=root / "pods",
            environment=environment,
            node=name,
            say=logs.append,
            ended=logs.end,
        )
        await stack.enter_async_context(world.kubelet)
        world.prepare()
        yield world


async def test_a_play_whose_controllers_are_killed_after_every_write_ends_as_one_that_nobody_killed(walk: Walk) -> None:
    walk.play_task()
    deaths = 0
    while walk.phase != "Succeeded":
        controller = walk.control()
        walk.way.arm(controller.kill)
        await walk.end_of(controller)
        walk.bury(controller)
        deaths += 1

    assert deaths >= FEWEST_DEATHS, walk.way.writes
    assert walk.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    pull = walk.on_hub()
    assert (pull.author.login, pull.merged_by.login if pull.merged_by else "") == (walk.login("rex"), walk.login("rex"))
    assert [review.author.login for review in pull.reviews] == [walk.login("tess")]
    assert len(walk.fake.repo("Acme/Shop").pulls) == 1
    runs = walk.all_of("coderuns", "apis/agents.platform/v1")
    assert [run["status"]["phase"] for run in runs] == ["Succeeded"] * 3
    created = Counter(path.rpartition("/")[2] for path in walk.way.writes if path.startswith("POST"))
    assert (created["coderuns"], created["jobs"]) == (3, 3), "nothing was made a second time"
    assert len(walk.all_of("pods")) == 3
