"""A kubelet whose containers are processes: it runs the pods of one namespace and tells the API server how they are.

It does what ours rely on: volumes as folders (a Secret that changes arrives), variables from Secrets, waiting with the reason
where something is missing, output, exit codes, termination messages, a polite end with a grace, and the ends that nobody wants.
Paths below a container's mounts are translated where its command or its variables begin with one. There is one container a pod.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.fakes.kubelet.environment import variables
from tests.fakes.kubelet.jobs import EVENTS
from tests.fakes.kubelet.process import ContainerProcess
from tests.fakes.kubelet.trouble import NotThereError
from tests.fakes.kubelet.volumes import Json, Volumes

from coderun.kube.api import Api
from coderun.kube.informer import Informer, decoding
from coderun.kube.objects import Bare, KubeMeta, Shape
from coderun.kube.resources import CONFIGMAPS, PODS, SECRETS, VOLUME_CLAIMS
from coderun.model.errors import CoderunError, NotFoundError

MISSING_IMAGE = "missing"
"""An image whose name begins so cannot be pulled."""

_KINDS = {"configmaps": CONFIGMAPS, "secrets": SECRETS, "persistentvolumeclaims": VOLUME_CLAIMS}
_LOOK = 0.3
_MESSAGE = 4096


class WholePod(Shape, frozen=True, kw_only=True):
    """A pod with everything that is in it."""

    metadata: KubeMeta
    spec: Json
    status: Json = {}


class WholeObject(Shape, frozen=True, kw_only=True):
    """A ConfigMap, a Secret or a volume claim."""

    metadata: KubeMeta
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}


Say = Callable[[str, str, str, bytes], None]


def _to_nobody(_namespace: str, _pod: str, _container: str, _text: bytes) -> None:
    """Who reads what containers say where nobody does."""


class ProcessKubelet:
    """Runs pods for the length of an `async with`; whatever still runs then is killed.

    Args:
        api: What it reads and writes with.
        root: Its folders; keep the path short, because sockets lie below it.
        environment: What every container has beside its own variables: PATH above all.
        node: Pods that are bound to this one are run.
        say: Gets what containers say: namespace, pod, container, text.
        ended: Is told when a container has ended.
    """

    def __init__(
        self,
        api: Api,
        namespace: str = "default",
        *,
        root: Path,
        environment: Mapping[str, str],
        node: str = "node-1",
        say: Say = _to_nobody,
        ended: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._root = root
        self._environment = dict(environment)
        self._node = node
        self._say = say
        self._ended = ended
        self._pods = Informer(api, PODS, decoding(WholePod), namespace=namespace)
        self._secrets = Informer(api, SECRETS, decoding(Bare), namespace=namespace)
        self._running: dict[str, _Pod] = {}
        self._processes: set[ContainerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._pods.listen(self._hear_pod)
        self._secrets.listen(self._hear_secret)
        for cache in (self._pods, self._secrets):
            self._begin(cache.run())
        for cache in (self._pods, self._secrets):
            await cache.synced.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- for tests: the ends that nobody wants --------------------------------------------------------------------------------

    async def vanish(self) -> None:
        """Be gone at once, with everything that runs: nobody is told of it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._processes:
            await self._processes.pop().close()

    async def kill(self, pod: str, *, reason: str = "Error") -> None:
        """End a pod's container by SIGKILL, as the kernel does where memory is short (`reason="OOMKilled"`)."""
        running = self._running[pod]
        running.reason = reason
        assert running.process is not None
        await running.process.kill()

    async def evict(self, pod: str, *, reason: str = "EvictionByEvictionAPI") -> None:
        """Take a pod away politely, as a drain does."""
        held = self._pods.get(pod)
        assert held is not None
        target = {"type": "DisruptionTarget", "status": "True", "reason": reason}
        await self._write(held, {"conditions": [target]})
        await self._api.delete(PODS, self._namespace, pod)

    # --- what a kubelet does --------------------------------------------------------------------------------------------------

    def _hear_pod(self, name: str, deleted: bool) -> None:
        held = self._pods.get(name)
        if held is None or deleted:
            running = self._running.pop(name, None)
            if running is not None and running.process is not None:
                self._begin(running.process.kill())
            return
        running = self._running.get(name)
        if running is None and held.spec.get("nodeName") == self._node and held.status.get("phase", "Pending") == "Pending":
            running = self._running[name] = _Pod(held.metadata.uid)
            self._begin(self._run(held, running))
        if running is not None and held.metadata.deletion_timestamp is not None and not running.ending.is_set():
            running.ending.set()
            self._begin(self._end(held, running))

    def _hear_secret(self, name: str, _deleted: bool) -> None:
        for running in list(self._running.values()):
            if name in running.secrets and running.volumes is not None:
                self._begin(self._refresh(running))

    async def _refresh(self, running: "_Pod") -> None:
        assert running.volumes is not None
        with contextlib.suppress(CoderunError, NotThereError):
            await running.volumes.lay_out(self)

    async def read(self, kind: str, name: str) -> Json | None:
        """An object of this namespace that a pod needs."""
        found = await self._api.get(_KINDS[kind], self._namespace, name, WholeObject)
        return None if found is None else {"data": found.data, "binaryData": found.binary_data}

    async def _run(self, pod: WholePod, running: "_Pod") -> None:
        (container,) = pod.spec["containers"]
        try:
            process = await self._prepared(pod, container, running)
        except NotFoundError:
            return
        if process is None:
            # It was taken away before its container began.
            await self._write(pod, {"phase": "Failed"})
            await self._remove(pod)
            return
        running.process = process
        started = _now()
        await self._write(
            pod, {"phase": "Running", "startTime": started, **_status(container, {"running": {"startedAt": started}})}
        )
        code = await process.wait()
        self._processes.discard(process)
        message = running.message(code)
        state = {
            "exitCode": code,
            "reason": running.reason or ("Completed" if code == 0 else "Error"),
            "message": message,
            "startedAt": started,
            "finishedAt": _now(),
        }
        if self._ended is not None:
            self._ended(self._namespace, pod.metadata.name, container["name"])
        phase = "Succeeded" if code == 0 else "Failed"
        await self._write(pod, {"phase": phase, **_status(container, {"terminated": state})})
        if running.ending.is_set():
            await self._remove(pod)

    async def _remove(self, pod: WholePod) -> None:
        with contextlib.suppress(CoderunError):
            await self._api.delete(PODS, self._namespace, pod.metadata.name, uid=pod.metadata.uid, grace=0)

    async def _prepared(self, pod: WholePod, container: Json, running: "_Pod") -> ContainerProcess | None:
        """Its process, once all it needs is there; None where it shall end before."""
        said = ""
        while not running.ending.is_set():
            try:
                return await self._start(pod, container, running)
            except NotThereError as trouble:
                if str(trouble) != said:
                    said = str(trouble)
                    await self._wait_for(pod, container, trouble)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await running.ending.wait()
        return None

    async def _wait_for(self, pod: WholePod, container: Json, trouble: NotThereError) -> None:
        if trouble.reason == "FailedMount":
            await self._write(pod, _status(container, {"waiting": {"reason": "ContainerCreating"}}))
            await self._complain(pod, trouble)
            return
        await self._write(pod, _status(container, {"waiting": {"reason": trouble.reason, "message": str(trouble)}}))

    async def _start(self, pod: WholePod, container: Json, running: "_Pod") -> ContainerProcess:
        if container["image"].startswith(MISSING_IMAGE):
            raise NotThereError("ImagePullBackOff", f'Back-off pulling image "{container["image"]}"')
        folder = self._root / pod.metadata.uid[:8]
        volumes = running.volumes = Volumes({"spec": pod.spec}, folder=folder, claims=self._root / "claims")
        running.secrets = {one["secret"]["secretName"] for one in pod.spec.get("volumes", ()) if "secret" in one}
        await volumes.lay_out(self)
        log = running.termination_log = folder / "termination-log"
        log.write_bytes(b"")
        env = {**self._environment, **await variables(container, self, volumes)}
        inside = container.get("terminationMessagePath", "/dev/termination-log")
        env = {name: str(log) if value == inside else value for name, value in env.items()}
        argv = [volumes.translate(word, container) for word in (*container.get("command", ()), *container.get("args", ()))]
        cwd = Path(volumes.translate(container.get("workingDir", str(folder)), container))
        name, said_by = pod.metadata.name, container["name"]
        mark = f"FAKE_POD={pod.metadata.uid}"
        try:
            process = await ContainerProcess.start(
                argv,
                cwd=cwd,
                env={**env, "FAKE_POD": pod.metadata.uid},
                mark=mark,
                say=lambda text: self._say(self._namespace, name, said_by, text),
            )
        except OSError as error:
            raise NotThereError("RunContainerError", str(error)) from error
        self._processes.add(process)
        self._say(self._namespace, name, said_by, b"")
        return process

    async def _end(self, pod: WholePod, running: "_Pod") -> None:
        if running.process is None:
            return
        running.process.terminate()
        await asyncio.sleep(pod.spec.get("terminationGracePeriodSeconds", 30))
        if self._running.get(pod.metadata.name) is running:
            await running.process.kill()

    async def _write(self, pod: WholePod, status: Json) -> None:
        with contextlib.suppress(NotFoundError):
            await self._api.patch(PODS, self._namespace, pod.metadata.name, {"status": status}, Bare, subresource="status")

    async def _complain(self, pod: WholePod, trouble: NotThereError) -> None:
        about = {"kind": "Pod", "namespace": self._namespace, "name": pod.metadata.name, "uid": pod.metadata.uid}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod.metadata.name[:50]}.k{next(self._numbers)}", "namespace": self._namespace},
            "involvedObject": about,
            "reason": trouble.reason,
            "message": str(trouble),
            "type": "Warning",
            "lastTimestamp": _now(),
        }
        with contextlib.suppress(CoderunError):
            await self._api.create(EVENTS, self._namespace, event, Bare)


class _Pod(msgspec.Struct):
    """A pod that this kubelet runs."""

    uid: str
    process: ContainerProcess | None = None
    volumes: Volumes | None = None
    termination_log: Path | None = None
    secrets: set[str] = set()
    reason: str = ""
    ending: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def message(self, code: int) -> str:
        """The termination message: what it wrote, and its last words where it wrote nothing and failed."""
        assert self.termination_log is not None
        assert self.process is not None
        written = self.termination_log.read_bytes()[:_MESSAGE].decode("utf-8", "replace")
        return written or (self.process.last_words.decode("utf-8", "replace") if code else "")


def _status(container: Json, state: Json) -> Json:
    one = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
    return {"containerStatuses": [one]}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
