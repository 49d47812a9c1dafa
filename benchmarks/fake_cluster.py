"""A fake API server for the benchmarks in a process of its own, with the controllers that a cluster would have.

`python -m benchmarks.fake_cluster FOLDER [CPU]`. Writes `controller.kubeconfig` (of a service account) and `admin.kubeconfig`
into the folder and says `ready`. A Job gets a pod that runs at once. On standard input: `finish` ends all pods with a report,
`clear` takes them away, `audit` tells what was asked since the last time.
"""

import asyncio
import gc
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.fakes.apiserver import FakeApiServer, Rule
from tests.fakes.apiserver.storage import Stored

from coderun.kube.crd import definitions

USER = "system:serviceaccount:default:controller"
REPORT = json.dumps({"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}})
JOBS, PODS = ("batch", "jobs"), ("", "pods")
STAMP = "2026-01-01T00:00:00Z"


class Hands:
    """Job controller, scheduler and kubelet, as far as a benchmark needs them: they write what these would, in fewer steps."""

    def __init__(self, api: FakeApiServer) -> None:
        self._storage = api._storage

    async def run(self) -> None:
        """Give each new Job its pod."""
        shelf = self._storage.shelf(JOBS)
        wake = asyncio.Event()
        shelf.listeners.add(wake)
        seen = self._storage.revision
        while True:
            await wake.wait()
            wake.clear()
            for event in shelf.history[shelf.after(seen) :]:
                seen = event.revision
                if event.old is None and event.new is not None:
                    self._add_pod(event.new)

    def _add_pod(self, job: Stored) -> None:
        name, template = job.meta["name"], job.value["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.meta["uid"], "controller": True}
        meta = {
            "name": f"{name}-x",
            "namespace": job.meta["namespace"],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": STAMP,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{**owner, "blockOwnerDeletion": True}],
        }
        spec = {**template["spec"], "nodeName": "node-0"}
        status = {"phase": "Running", "startTime": STAMP, "containerStatuses": [_container({"running": {"startedAt": STAMP}})]}
        self._storage.put(PODS, {"metadata": meta, "spec": spec, "status": status}, ())

    async def finish(self) -> None:
        """End all pods that run, with a report."""
        ended = {"exitCode": 0, "reason": "Completed", "message": REPORT, "startedAt": STAMP, "finishedAt": STAMP}
        for number, pod in enumerate(self._storage.all_of(PODS, "")):
            if pod.value["status"]["phase"] == "Running":
                status = {**pod.value["status"], "phase": "Succeeded", "containerStatuses": [_container({"terminated": ended})]}
                self._storage.put(PODS, {**pod.value, "metadata": dict(pod.meta), "status": status}, ())
            if number % 50 == 0:
                await asyncio.sleep(0)

    def clear(self) -> None:
        """Take all pods away."""
        for pod in self._storage.all_of(PODS, ""):
            self._storage.drop(PODS, pod)


def _container(state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "agent", "ready": "running" in state, "state": state, "image": "agent:1", "imageID": "", "restartCount": 0}


def audited(api: FakeApiServer) -> dict[str, int]:
    """What the controller asked for since the last time, by verb and resource."""
    counted: dict[str, int] = {}
    for entry in api.audit:
        if entry.user == USER:
            what = f"{entry.verb} {entry.resource}" + (f"/{entry.subresource}" if entry.subresource else "")
            counted[what] = counted.get(what, 0) + 1
    api.audit.clear()
    return counted


async def main(folder: Path) -> None:
    """Serve until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with FakeApiServer() as api:
        for definition in definitions():
            api.objects.create(definition)
        token = api.token(USER, Rule(namespaces=frozenset({"default"})))
        api.kubeconfig(folder / "controller.kubeconfig", token=token)
        api.kubeconfig(folder / "admin.kubeconfig")
        hands = Hands(api)
        working = asyncio.create_task(hands.run())
        gc.freeze()
        gc.set_threshold(200_000, 20, 100)
        print("ready", flush=True)
        while word := (await reader.readline()).decode().strip():
            answer: Any = "done"
            if word == "finish":
                await hands.finish()
            elif word == "clear":
                hands.clear()
            else:
                answer = audited(api)
            print(json.dumps(answer), flush=True)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    asyncio.run(main(Path(sys.argv[1])))
