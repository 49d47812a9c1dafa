"""The runtime of a cluster: a job is a Kubernetes Job of one pod, in one namespace.

Between the CodeRun reconciler, which decides, and the API server. Jobs and pods are read from caches that others keep; volume
claims, ConfigMaps and Secrets are created and, where they exist, looked at before they are used. An object of a wanted name
that belongs to somebody else is never touched. That a job is started once only rests on its name: the Job of an attempt is
created, never replaced.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import msgspec

from coderun.kube import manifests
from coderun.kube.api import Api
from coderun.kube.bundle import Parcel, pack
from coderun.kube.informer import Informer, decoding
from coderun.kube.manifests import CONTAINER, STOP_REASON, JobSettings
from coderun.kube.objects import Bare
from coderun.kube.resources import CONFIGMAPS, JOBS, PODS, SECRETS, Resource
from coderun.kube.workloads import EventObject, JobObject, PodObject
from coderun.model.errors import ClusterUnavailableError, NotFoundError, RefusedError, UnavailableError, WriteConflictError
from coderun.model.names import LABEL_JOB
from coderun.model.text import printable
from coderun.plan.order import RunPlan
from coderun.runtime.claims import Claims
from coderun.runtime.objects import Maker
from coderun.runtime.pods import needs_events, observe
from coderun.runtime.protocol import JobState, Observation
from coderun.runtime.transcript import spoken

CORE_EVENTS: Final = Resource("", "v1", "events", "Event")
"""Events as the core API serves them: the one where they can be asked for by the object they are about."""

LOOK_AGAIN: Final = 10.0
"""How often (seconds) the Events about a job that waits are read at first, and when for the first time; later, rarer."""

_RAREST: Final = 6
"""How many times `LOOK_AGAIN` may pass between two looks at a job that waits."""

_LOOKS: Final = 50
"""How many jobs' Events are read within `LOOK_AGAIN`: with hundreds that wait for room, each has to wait for its turn."""

_GONE_KNOWN: Final = 1000
_BY_JOB: Final = "job"
_LONGEST_REASON: Final = 1000
_OVER: Final = frozenset({JobState.FINISHED, JobState.LOST})


class Workloads(msgspec.Struct, frozen=True, kw_only=True):
    """The caches a Job runtime reads: our Jobs and their pods in one namespace. Whoever makes them runs them."""

    jobs: Informer[JobObject]
    pods: Informer[PodObject]

    @classmethod
    def of(cls, api: Api, namespace: str) -> "Workloads":
        """The caches of one namespace."""
        return cls(
            jobs=Informer(api, JOBS, decoding(JobObject), namespace=namespace, labels=LABEL_JOB),
            pods=Informer(
                api,
                PODS,
                decoding(PodObject),
                namespace=namespace,
                labels=LABEL_JOB,
                indexes={_BY_JOB: lambda pod: [pod.metadata.labels.get(LABEL_JOB, "")]},
            ),
        )

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator["Workloads"]:
        """Both caches, kept for the length of an `async with` and synced at its beginning."""
        tasks = [asyncio.create_task(cache.run()) for cache in (self.jobs, self.pods)]
        try:
            await self.jobs.synced.wait()
            await self.pods.synced.wait()
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _TokenSecret(Bare, frozen=True, kw_only=True):
    """What of a token Secret is looked at."""

    data: dict[str, str] = {}


class _Watched(msgspec.Struct):
    """What this process remembers of a job: nothing that the API server could not tell again, but for what pods said last.

    Attributes:
        uid: Of the Job; another one of the same name is another job.
        owner: Uid of the CodeRun it belongs to.
        look_at: When (by the runtime's clock) the Events about it are read next.
        in_turn: Whether `look_at` is its turn among those that wait.
    """

    uid: str = ""
    owner: str = ""
    last: Observation | None = None
    ended: Observation | None = None
    events: tuple[EventObject, ...] = ()
    waits_since: float | None = None
    look_at: float = 0.0
    in_turn: bool = False


class JobRuntime:
    """Jobs as Kubernetes Jobs of one namespace; implements `runtime.protocol.Runtime`.

    Args:
        api: Every write goes through it, and so through its gate.
        namespace: Where everything is made.
        settings: How runs look there.
        workloads: Caches of the same namespace; they must have synced before anything here is asked.
        clock: Seconds that only ever go forward.
        look_again: As `LOOK_AGAIN`.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        settings: JobSettings,
        workloads: Workloads,
        clock: Callable[[], float] = time.monotonic,
        look_again: float = LOOK_AGAIN,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._settings = settings
        self._jobs = workloads.jobs
        self._pods = workloads.pods
        self._clock = clock
        self._look_again = look_again
        self._maker = Maker(api, namespace)
        self._claims = Claims(self._maker, settings, clock)
        self._tokens: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._stopped_before: dict[str, str] = {}
        self._watched: dict[str, _Watched] = {}
        self._packed: dict[str, tuple[RunPlan, tuple[Parcel, ...]]] = {}
        self._gone: dict[str, tuple[str, Observation]] = {}
        self._job_of_pod: dict[str, str] = {}
        self._listeners: set[asyncio.Queue[str]] = set()
        self._next_turn = clock()
        self._jobs.listen(self._hear_job)
        self._pods.listen(self._hear_pod)

    # Making

    async def prepare(self, plan: RunPlan) -> None:
        """Make workspace, files and token of a run, unless its Job is there already.

        Raises:
            UnavailableError: not now.
            InvalidCodeRunError: it asks for what this installation does not give, is too large, or the API server refuses it.
            OwnershipConflictError: an object of a wanted name belongs to somebody else.
        """
        manifests.check_allowed(plan, self._settings)
        parcels = self._pack(plan)
        if self._started(plan) is not None:
            return
        await self._claims.claim_of(plan)
        for parcel in parcels:
            await self._maker.ensure(CONFIGMAPS, manifests.files_map(plan, parcel), plan, Bare)
        secret = await self._maker.ensure(SECRETS, manifests.token_secret(plan), plan, _TokenSecret)
        self._stopped_before[plan.job] = secret.metadata.annotations.get(STOP_REASON, "")
        await self._write_token(plan.job, plan.token, secret)
        self._packed[plan.job] = (plan, parcels)

    async def start(self, plan: RunPlan) -> None:
        """Create the Job, unless it was ever created. A job that was stopped before gets one that starts no pod.

        Raises: as `prepare`.
        """
        known, parcels = self._packed.pop(plan.job, (None, ()))
        if self._started(plan) is not None:
            return
        if known is not plan:
            parcels = self._pack(plan)
        claim = await self._claims.claim_of(plan)
        stopped = self._stopped_before.get(plan.job, "")
        manifest = manifests.job(plan, self._settings, parcels, claim=claim, stopped=stopped)
        self._jobs.saw(await self._maker.ensure(JOBS, manifest, plan, JobObject))

    async def renew_token(self, job: str, token: str) -> None:
        """Write the token into the run's Secret where another one is in it; nothing happens where there is no Secret."""
        if self._tokens.get(job) == _digest(token):
            return
        secret = await self._secret_of(job)
        if secret is not None:
            await self._write_token(job, token, secret)

    async def token_of(self, job: str) -> str:
        """What the run's Secret holds."""
        secret = await self._secret_of(job)
        return "" if secret is None else manifests.token_in(secret.data)

    async def drop_token(self, job: str) -> None:
        """Empty the run's Secret, which stays for as long as the Job does."""
        uid = self._secrets.get(job)
        if uid is None:
            await self.renew_token(job, "")
        else:
            with contextlib.suppress(NotFoundError):
                await self._fill(job, "", uid)

    async def _secret_of(self, job: str) -> _TokenSecret | None:
        secret = await self._api.get(SECRETS, self._namespace, manifests.token_name(job), _TokenSecret)
        return secret if secret is not None and secret.metadata.labels.get(LABEL_JOB) == job else None

    async def _write_token(self, job: str, token: str, secret: _TokenSecret) -> None:
        if secret.data != manifests.token_data(token):
            await self._fill(job, token, secret.metadata.uid)
        self._tokens[job], self._secrets[job] = _digest(token), secret.metadata.uid

    async def _fill(self, job: str, token: str, uid: str) -> None:
        body = {"metadata": {"uid": uid}, "data": manifests.token_data(token)}
        await self._api.patch(SECRETS, self._namespace, manifests.token_name(job), body, Bare)
        self._tokens[job] = _digest(token)

    def _pack(self, plan: RunPlan) -> tuple[Parcel, ...]:
        return pack(msgspec.json.encode(plan.order), plan.files, job=plan.job)

    def _started(self, plan: RunPlan) -> JobObject | None:
        """The Job of this plan where there is one. Raises `OwnershipConflictError` where it is somebody else's."""
        found = self._jobs.get(plan.job)
        if found is not None:
            self._maker.check(found.metadata, "Job", plan)
        return found

    # Looking

    async def observe(self, job: str, *, owner: str = "") -> Observation:
        """Look at the job. Why it waits is asked of the Events about it, where nothing else tells and not all the time."""
        if owner and self._is_of_another(job, owner):
            return Observation(state=JobState.ABSENT)
        seen = self._look(job)
        if seen.state is not JobState.STARTING:
            return seen
        watched = self._watched.setdefault(job, _Watched())
        now = self._clock()
        if watched.waits_since is None:
            watched.waits_since, watched.look_at = now, now + self._look_again
        is_silent = needs_events(self._look(job, with_events=False) if watched.events else seen)
        if is_silent and now >= watched.look_at and self._is_in_turn(watched, now):
            watched.events = await self._events_of(job)
            seen = self._look(job)
        if now >= watched.look_at:
            waited = now - watched.waits_since
            watched.look_at = now + min(max(self._look_again, waited / 2), _RAREST * self._look_again)
        if is_silent and self._has_just_begun(watched):
            seen = msgspec.structs.replace(seen, detail="")
        return msgspec.structs.replace(seen, again=watched.look_at - now)

    def _is_in_turn(self, watched: _Watched, now: float) -> bool:
        """Whether its Events may be read now; where others are before it, it has a turn afterwards."""
        turn = now if watched.in_turn else max(now, self._next_turn)
        if not watched.in_turn:
            self._next_turn = turn + self._look_again / _LOOKS
        watched.in_turn = turn > now
        if watched.in_turn:
            watched.look_at = turn
        return not watched.in_turn

    def _is_of_another(self, job: str, owner: str) -> bool:
        """Whether what is known under this name belonged to an earlier CodeRun of the same name."""
        found = self._jobs.get(job)
        if found is not None:
            return not found.metadata.is_owned_by(owner)
        known, _ = self._gone.get(job, (owner, None))
        return known not in {"", owner}

    def _look(self, job: str, *, with_events: bool = True) -> Observation:
        """What the caches show; what a pod said last is kept until the job is removed, because pods go."""
        found = self._jobs.get(job)
        if found is None:
            return self._gone[job][1] if job in self._gone else Observation(state=JobState.ABSENT)
        watched = self._watched.get(job) or _Watched()
        pod = self._pod_of(found)
        if pod is None and watched.ended is not None:
            return watched.ended
        files = found.metadata.annotations.get(manifests.FILES, "").partition(",")[0]
        return msgspec.structs.replace(observe(found, pod, watched.events if with_events else ()), files=files)

    def _pod_of(self, job: JobObject) -> PodObject | None:
        """The Job's pod; the newest, should there ever be two."""
        pods = [pod for pod in self._pods.by(_BY_JOB, job.metadata.name) if pod.metadata.is_owned_by(job.metadata.uid)]
        return max(pods, key=lambda pod: str(pod.metadata.creation_timestamp), default=None)

    async def _events_of(self, job: str) -> tuple[EventObject, ...]:
        found = self._jobs.get(job)
        if found is None:
            return ()
        pod = self._pod_of(found)
        about = [("Job", job)] if pod is None else [("Pod", pod.metadata.name)]
        claim = found.metadata.annotations.get(manifests.CLAIM, "")
        about += [("PersistentVolumeClaim", claim)] if claim else []
        events: list[EventObject] = []
        for kind, name in about:
            fields = f"involvedObject.kind={kind},involvedObject.name={name}"
            # What they tell is a help, no condition: without them a run waits with fewer words.
            with contextlib.suppress(RefusedError, UnavailableError):
                items = await self._api.list(CORE_EVENTS, self._namespace, fields=fields)
                events += [decoding(EventObject)(item) for item in items]
        return tuple(events)

    # Ending

    async def stop(self, job: str, *, reason: str) -> None:
        """Ask the job to end; the first reason stays. Its Job is suspended: pods get SIGTERM and their grace, and none is made.

        A job that was only prepared will end before its agent runs; nothing happens where nothing was prepared.
        """
        told = printable(reason, _LONGEST_REASON)
        found = self._jobs.get(job)
        if found is None:
            await self._stop_before_start(job, told)
            return
        if self._look(job).state in _OVER or (found.spec.suspend and STOP_REASON in found.metadata.annotations):
            return
        annotations = {STOP_REASON: found.metadata.annotations.get(STOP_REASON, told)}
        body = {"metadata": {"uid": found.metadata.uid, "annotations": annotations}, "spec": {"suspend": True}}
        try:
            self._jobs.saw(await self._api.patch(JOBS, self._namespace, job, body, JobObject))
        except (NotFoundError, WriteConflictError) as error:
            raise ClusterUnavailableError(f"job {job} could not be asked to stop: {error}") from error

    async def _stop_before_start(self, job: str, reason: str) -> None:
        secret = await self._secret_of(job)
        if secret is None or STOP_REASON in secret.metadata.annotations:
            return
        body = {"metadata": {"uid": secret.metadata.uid, "annotations": {STOP_REASON: reason}}}
        await self._api.patch(SECRETS, self._namespace, secret.metadata.name, body, Bare)
        self._stopped_before[job] = reason

    async def remove(self, job: str) -> None:
        """Remove the Job with its pod, the files and the token; nothing happens while it runs."""
        if self._look(job).state in {JobState.STARTING, JobState.RUNNING}:
            return
        found = self._jobs.get(job)
        try:
            if found is not None:
                await self._api.delete(JOBS, self._namespace, job, uid=found.metadata.uid)
                self._jobs.went(job, found.metadata.uid)
            await self._remove_files(job, found)
        except WriteConflictError as error:
            raise ClusterUnavailableError(f"what is left of job {job} could not be removed: {error}") from error
        self._forget(job)
        self._gone.pop(job, None)

    async def _remove_files(self, job: str, found: JobObject | None) -> None:
        """The token Secret and what ConfigMaps the Job names. Those of a job that was never started go with the CodeRun."""
        named = found.metadata.annotations.get(manifests.FILES, "") if found is not None else ""
        things = [(CONFIGMAPS, name) for name in named.split(",") if name]
        for resource, name in (*things, (SECRETS, manifests.token_name(job))):
            held = await self._api.get(resource, self._namespace, name, Bare)
            if held is not None and held.metadata.labels.get(LABEL_JOB) == job:
                await self._api.delete(resource, self._namespace, name, uid=held.metadata.uid)

    def _forget(self, job: str) -> None:
        for memory in (self._watched, self._tokens, self._secrets, self._stopped_before, self._packed):
            memory.pop(job, None)

    # Following

    async def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What runner and agent have said, as people read it, and with `follow` what they say until the job ends.

        Nothing where the pod is gone: what the agent said is in its workspace then. Raises `UnavailableError`.
        """
        pod = await self._pod_with_output(job, follow=follow)
        if pod is None:
            return
        with contextlib.suppress(NotFoundError, RefusedError):
            async with self._api.logs(self._namespace, pod, container=CONTAINER, follow=follow) as chunks:
                rest = b""
                async for chunk in chunks:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield spoken(line) + b"\n"
                if rest:
                    yield spoken(rest) + b"\n"

    async def _pod_with_output(self, job: str, *, follow: bool) -> str | None:
        """The pod of a job whose container has begun; with `follow` it is waited for. None where there will be none."""
        with self._listening() as changes:
            while True:
                found, seen = self._jobs.get(job), self._look(job)
                pod = self._pod_of(found) if found is not None else None
                if pod is not None and seen.state is not JobState.STARTING:
                    return pod.metadata.name
                if not follow or seen.state is not JobState.STARTING:
                    return None
                await changes.get()

    def finished(self) -> AsyncIterator[str]:
        """Names of jobs of which something new is to be seen, from now on."""
        listening = self._listening()
        return self._heard(listening, listening.__enter__())

    async def _heard(
        self, listening: contextlib.AbstractContextManager[asyncio.Queue[str]], changes: asyncio.Queue[str]
    ) -> AsyncIterator[str]:
        with contextlib.ExitStack() as stack:
            stack.push(listening)
            while True:
                yield await changes.get()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[asyncio.Queue[str]]:
        changes: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(changes)
        try:
            yield changes
        finally:
            self._listeners.discard(changes)

    def _hear_job(self, name: str, deleted: bool) -> None:  # noqa: FBT001 - as informers call it
        if deleted:
            watched = self._watched.get(name)
            watched = watched or _Watched()
            lost = Observation(state=JobState.LOST, detail="its Job was deleted")
            self._gone[name] = (watched.owner, watched.ended or lost)
            self._forget(name)
            while len(self._gone) > _GONE_KNOWN:
                del self._gone[next(iter(self._gone))]
            self._tell(name)
            return
        self._note(name)

    def _hear_pod(self, name: str, deleted: bool) -> None:  # noqa: FBT001 - as informers call it
        pod = self._pods.get(name)
        if deleted or pod is None:
            job = self._job_of_pod.pop(name, "")
        else:
            job = self._job_of_pod[name] = pod.metadata.labels.get(LABEL_JOB, "")
        self._note(job)

    def _note(self, job: str) -> None:
        """Remember how a job ended, because pods go, and tell where something new is to be seen."""
        found = self._jobs.get(job)
        if found is None:
            return
        watched = self._watched.get(job)
        if watched is None or watched.uid not in {"", found.metadata.uid}:
            watched = self._watched[job] = _Watched()
        watched.uid = found.metadata.uid
        watched.owner = next((one.uid for one in found.metadata.owner_references if one.controller), "")
        seen = self._look(job)
        if seen.state in _OVER:
            watched.ended = seen
        if seen != watched.last:
            before = watched.last
            watched.last = seen
            # A job that begins to wait does so in several ways, one after the other: whoever started it looks again by itself.
            if not (needs_events(seen) and (before is None or (needs_events(before) and self._has_just_begun(watched)))):
                self._tell(job)

    def _has_just_begun(self, watched: _Watched) -> bool:
        """Whether it waits as every job does for a moment, which is not worth a word."""
        return watched.waits_since is not None and self._clock() < watched.waits_since + self._look_again

    def _tell(self, job: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(job)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
