"""What the controller is measured against: a client that does the same writes for each CodeRun, and nothing else.

`python -m benchmarks.bare_controller KUBECONFIG NAMESPACE`. It watches CodeRuns and sends ready-made bodies, with as many
requests in flight as the controller has workers: no caches, no plans, no leader, no retries, and it would start every run again
after a restart. Says `leading` when it watches.
"""

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
from benchmarks.cluster_controller import configuration
from benchmarks.clusters import IN_FLIGHT, Cluster, Meta, coderun, connected

from coderun.app.assembly import roster_of
from coderun.app.cluster import job_settings
from coderun.app.configuration import run_settings
from coderun.app.local import now
from coderun.kube import manifests
from coderun.kube.bundle import pack
from coderun.model.coderun import CodeRun
from coderun.model.meta import Condition, ConditionStatus
from coderun.plan.order import ForgeRef
from coderun.plan.plan import plan

_NAME, _UID = "bench-placeholder", "00000000-0000-4000-8000-000000000000"


class Body(NamedTuple):
    """One write: where to, and what, with the run's name and uid still to be put in."""

    method: str
    path: str
    text: bytes


def bodies(cluster: Cluster, namespace: str) -> list[Body]:
    """The writes of one run until its Job is there, as the controller does them."""
    told = configuration()
    settings = run_settings(told, ForgeRef(kind="github", location="https://forge.example/api", repository=""))
    whole = coderun(_NAME)
    whole["metadata"] |= {"uid": _UID, "namespace": namespace}
    wanted = msgspec.structs.replace(
        plan(msgspec.convert(whole, CodeRun), roster_of(told), settings, attempt=1), token=f"token-for-{_NAME}"
    )
    (parcel,) = parcels = pack(msgspec.json.encode(wanted.order), wanted.files, job=wanted.job)
    looks = job_settings(told)
    starting = Condition(
        type="Ready",
        status=ConditionStatus.FALSE,
        reason="Starting",
        message="its job starts",
        last_transition_time=now(),
        observed_generation=1,
    )
    status = {
        "phase": "Pending",
        "attempt": 1,
        "jobName": wanted.job,
        "workspace": wanted.workspace,
        "observedGeneration": 1,
        "message": "its job starts",
        "conditions": [msgspec.to_builtins(starting)],
    }
    made = [
        Body("PATCH", f"{cluster.runs}/{_NAME}/status", msgspec.json.encode({"status": status})),
        Body("POST", f"{cluster.core}/persistentvolumeclaims", _json(manifests.workspace_claim(wanted, looks))),
        Body("POST", f"{cluster.core}/configmaps", _json(manifests.files_map(wanted, parcel))),
        Body("POST", f"{cluster.core}/secrets", _json(manifests.token_secret(wanted))),
        Body("POST", cluster.jobs, _json(manifests.job(wanted, looks, parcels, claim=wanted.workspace))),
    ]
    assert all(_NAME.encode() in body.text for body in made)
    return made


def _json(manifest: object) -> bytes:
    return msgspec.json.encode(manifest)


async def work(cluster: Cluster, namespace: str) -> None:
    """Do it for every CodeRun that comes."""
    writes, seats = bodies(cluster, namespace), asyncio.Semaphore(IN_FLIGHT)

    async def one(meta: Meta) -> None:
        name, uid = meta.name.encode(), meta.uid.encode()
        async with seats:
            for body in writes:
                text = body.text.replace(_NAME.encode(), name).replace(_UID.encode(), uid)
                await cluster.send(body.method, body.path.replace(_NAME, meta.name), text)

    version = await cluster.version(cluster.runs)
    print("leading", flush=True)
    async with asyncio.TaskGroup() as group:
        async for event in cluster.events(cluster.runs, version):
            if event.type == "ADDED":
                group.create_task(one(event.object.metadata))


async def main(kubeconfig: str, namespace: str) -> None:
    """Work until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with connected(Path(kubeconfig), namespace) as cluster:
        working = asyncio.create_task(work(cluster, namespace))
        ending = asyncio.create_task(reader.read())
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
