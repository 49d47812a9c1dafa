"""A Job controller for Jobs of one pod: enough of the real one for everything that we rely on.

It makes the pod, counts it, ends it when its Job is suspended, and marks the Job when its pod has ended or its time is over.
"""

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from coderun.kube.api import Api
from coderun.kube.informer import Informer, decoding
from coderun.kube.objects import Bare, KubeMeta, Shape
from coderun.kube.resources import JOBS, PODS, Resource
from coderun.kube.workloads import PodObject
from coderun.model.errors import CoderunError

Json = dict[str, Any]
EVENTS = Resource("", "v1", "events", "Event")
BY_JOB = "job"


class WholeJob(Shape, frozen=True, kw_only=True):
    """A Job with everything that is in it."""

    metadata: KubeMeta
    spec: Json
    status: Json = {}


def _owners(pod: PodObject) -> list[str]:
    return [owner.uid for owner in pod.metadata.owner_references if owner.controller]


class JobController:
    """Works the Jobs of one namespace for the length of an `async with`.

    Attributes:
        refusal: While it is set no pod can be made; it is the message of the Event, as a quota's or an admission's would be.
    """

    def __init__(self, api: Api, namespace: str = "default", *, node: str = "node-1") -> None:
        self._api = api
        self._namespace = namespace
        self._node = node
        self._jobs = Informer(api, JOBS, decoding(WholeJob), namespace=namespace)
        self._pods = Informer(api, PODS, decoding(PodObject), namespace=namespace, indexes={BY_JOB: _owners})
        self._wanted: asyncio.Queue[None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self.refusal = ""

    async def __aenter__(self) -> Self:
        for cache in (self._jobs, self._pods):
            cache.listen(self._hear)
            self._tasks.append(asyncio.create_task(cache.run()))
        for cache in (self._jobs, self._pods):
            await cache.synced.wait()
        self._tasks.append(asyncio.create_task(self._work()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self) -> None:
        """Look at all Jobs now."""
        self._wanted.put_nowait(None)

    def _hear(self, _name: str, _deleted: bool) -> None:
        self.look()

    async def _work(self) -> None:
        while True:
            for job in self._jobs.all():
                with contextlib.suppress(CoderunError):
                    await self._bring_forward(job)
            # Deadlines pass without an event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._wanted.get()
            while not self._wanted.empty():
                self._wanted.get_nowait()

    async def _bring_forward(self, job: WholeJob) -> None:
        if any(one["type"] in {"Complete", "Failed"} for one in job.status.get("conditions", ())):
            return
        pods = self._pods.by(BY_JOB, job.metadata.uid)
        ended = next((pod for pod in pods if pod.status.phase in {"Succeeded", "Failed"}), None)
        if job.spec.get("suspend"):
            await self._suspend(job, pods)
        elif ended is not None:
            await self._finish(job, succeeded=ended.status.phase == "Succeeded")
        elif self._is_late(job):
            for pod in pods:
                await self._api.delete(PODS, self._namespace, pod.metadata.name)
            await self._conclude(job, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        elif not pods:
            await self._make_pod(job)

    async def _suspend(self, job: WholeJob, pods: list[PodObject]) -> None:
        for pod in pods:
            if pod.metadata.deletion_timestamp is None:
                await self._api.delete(PODS, self._namespace, pod.metadata.name, uid=pod.metadata.uid)
        conditions = [{"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}]
        await self._write(job, {"conditions": conditions, "active": 0})

    def _is_late(self, job: WholeJob) -> bool:
        limit, start = job.spec.get("activeDeadlineSeconds"), job.status.get("startTime")
        return limit is not None and start is not None and (datetime.now(UTC) - _time(start)).total_seconds() > limit

    async def _finish(self, job: WholeJob, *, succeeded: bool) -> None:
        if succeeded:
            await self._conclude(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        else:
            await self._conclude(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    async def _conclude(self, job: WholeJob, type_: str, reason: str, message: str) -> None:
        count = {"succeeded": 1} if type_ == "Complete" else {"failed": 1}
        conditions = [{"type": type_, "status": "True", "reason": reason, "message": message}]
        await self._write(job, {"conditions": conditions, "active": 0, **count})

    async def _make_pod(self, job: WholeJob) -> None:
        await self._write(job, {"startTime": job.status.get("startTime") or _now()})
        if self.refusal:
            await self._complain(job)
            return
        template = job.spec["template"]
        name = f"{job.metadata.name[:57]}-{next(self._numbers):05}"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": template.get("metadata", {}).get("labels", {}),
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {**template["spec"], "nodeName": self._node},
        }
        self._pods.saw(await self._api.create(PODS, self._namespace, pod, PodObject))

    async def _complain(self, job: WholeJob) -> None:
        about = {"kind": "Job", "namespace": self._namespace, "name": job.metadata.name, "uid": job.metadata.uid}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{job.metadata.name[:50]}.{next(self._numbers)}", "namespace": self._namespace},
            "involvedObject": about,
            "reason": "FailedCreate",
            "message": f"Error creating: {self.refusal}",
            "type": "Warning",
            "lastTimestamp": _now(),
        }
        await self._api.create(EVENTS, self._namespace, event, Bare)

    async def _write(self, job: WholeJob, status: Json) -> None:
        merged = {**job.status, **status}
        if merged != job.status:
            self._jobs.saw(
                await self._api.patch(
                    JOBS, self._namespace, job.metadata.name, {"status": merged}, WholeJob, subresource="status"
                )
            )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return msgspec.convert(text, datetime)
