"""The controller on a real control plane, with the rights of the chart: runs, hand-over, and the server's own troubles."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.harness import ControlPlane
from tests.cluster.ours import controller_account, install
from tests.integration.app.test_cluster import CONFIG, coderun, ended_pod, running_pod

ROOT = Path(__file__).parents[2]
DEADLINE = 240.0


@pytest.fixture(scope="module")
def served(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


class Place:
    """A namespace with a controller's account."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.namespace = plane.new_namespace("controller", labels={"pod-security.kubernetes.io/enforce": "restricted"})
        self.kubeconfig = controller_account(plane, self.namespace)
        self.config = folder / "coderun.yaml"
        self.config.write_text(CONFIG)

    def path(self, plural: str, name: str = "", group: str = "apis/agents.platform/v1") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def create(self, **changes: Any) -> None:
        status, made = self.plane.call("POST", self.path("coderuns"), coderun(namespace=self.namespace, **changes))
        assert status == 201, made

    def status(self, name: str = "run-1") -> dict[str, Any]:
        _, found = self.plane.call("GET", self.path("coderuns", name))
        status: dict[str, Any] = found.get("status", {})
        return status

    def runs(self) -> list[dict[str, Any]]:
        _, found = self.plane.call("GET", self.path("coderuns"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def jobs(self) -> list[dict[str, Any]]:
        _, found = self.plane.call("GET", self.path("jobs", group="apis/batch/v1"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def pods(self) -> list[dict[str, Any]]:
        _, found = self.plane.call("GET", self.path("pods", group="api/v1"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def say_of_pod(self, status: dict[str, Any]) -> None:
        """What a kubelet would write of the one pod there is."""
        (pod,) = self.pods()
        path = self.path("pods", f"{pod['metadata']['name']}/status", group="api/v1")
        code, answer = self.plane.call("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
        assert code == 200, answer

    def holder(self) -> str:
        code, lease = self.plane.call("GET", self.path("leases", "coderun-controller", group="apis/coordination.k8s.io/v1"))
        return str(lease["spec"].get("holderIdentity", "")) if code == 200 else ""

    @contextlib.asynccontextmanager
    async def controller(self, identity: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.cluster.controller_process", self.kubeconfig, self.config, identity),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture
def place(served: ControlPlane, tmp_path: Path) -> Place:
    return Place(served, tmp_path)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - a server is looked at
            await asyncio.sleep(0.1)


async def to_its_end(place: Place) -> None:
    await until(place.pods)
    place.say_of_pod(running_pod())
    await until(lambda: place.status().get("phase") == "Running")
    place.say_of_pod(ended_pod({"phase": "Succeeded", "outcome": {"terminalReason": "Completed", "summary": "done"}}))
    await until(lambda: place.status().get("workCompleted"))
    assert place.status()["phase"] == "Succeeded"


async def test_a_run_is_worked_to_its_end_with_the_rights_of_the_chart(place: Place) -> None:
    async with place.controller("one"):
        place.create()
        await to_its_end(place)
    assert [event["reason"] for event in events(place) if event["involvedObject"]["kind"] == "CodeRun"]


def events(place: Place) -> list[dict[str, Any]]:
    _, found = place.plane.call("GET", place.path("events", group="api/v1"))
    items: list[dict[str, Any]] = found["items"]
    return items


@pytest.mark.lesson(29)
async def test_a_leader_that_is_killed_is_followed_by_another_and_no_agent_starts_twice(place: Place) -> None:
    async with place.controller("one") as one, place.controller("two"):
        await until(place.holder)
        first = place.holder()
        place.create()
        await until(place.jobs)
        if first == "one":
            one.kill()
        await to_its_end(place)
        assert len(place.jobs()) == 1
        assert place.status()["attempt"] == 1


@pytest.mark.lesson(29, 31)
async def test_a_leader_that_sleeps_while_another_takes_over_writes_nothing_when_it_wakes(place: Place) -> None:
    async with place.controller("one") as one:
        await until(lambda: place.holder() == "one")
        async with place.controller("two") as two:
            one.send_signal(signal.SIGSTOP)
            await until(lambda: place.holder() == "two")
            two.send_signal(signal.SIGSTOP)  # so that whatever is written now, the sleeper has written
            place.create()
            before = place.runs()
            one.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.0)  # it is awake, and its lease is the other's
            assert place.holder() == "two"
            assert place.runs() == before
            assert place.jobs() == []
            two.send_signal(signal.SIGCONT)
            await until(place.jobs)


async def test_the_api_server_restarts_and_the_work_goes_on(place: Place) -> None:
    async with place.controller("one"):
        place.create()
        await until(place.pods)
        place.plane.restart_apiserver()  # not in a thread: what it starts would end with the thread
        await to_its_end(place)


async def test_history_is_compacted_and_the_work_goes_on(place: Place) -> None:
    async with place.controller("one"):
        place.create()
        await until(place.pods)
        place.plane.compact_etcd()
        await to_its_end(place)


async def test_a_deleted_run_takes_everything_that_was_made_for_it_along(place: Place) -> None:
    async with place.controller("one"):
        place.create()
        await until(place.pods)
        place.plane.call("DELETE", place.path("coderuns", "run-1"))
        await until(lambda: not place.jobs() and not place.pods())
        _, secrets = place.plane.call("GET", place.path("secrets", group="api/v1"))
        await until(lambda: not place.plane.call("GET", place.path("secrets", group="api/v1"))[1]["items"])
        assert secrets is not None
        place.create()  # its workspace is free again
        await until(lambda: place.jobs() or None)
