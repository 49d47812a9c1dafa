"""What a controller would do in a namespace now, without doing it: one pass over every Play and CodeRun, each write only noted.

The reconcilers are the real ones and read the real store, runtime and forge; what they would write stops here. A pass that
needs what another one would have made (a run that a play would create) ends where that is missing.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime

from coderun.app.assembly import forge_host, pipelines_of, roster_of, rules_of
from coderun.app.cluster import ClusterHosting, job_settings
from coderun.app.configuration import Configuration, run_settings
from coderun.app.together import together
from coderun.forge.protocol import Forge, Forges
from coderun.kube.api import Api
from coderun.model.coderun import CodeRun
from coderun.model.errors import CoderunError
from coderun.model.play import Play
from coderun.model.pulls import (
    Check,
    Comment,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    Review,
    ReviewState,
)
from coderun.model.roster import Agent
from coderun.plan.order import RunPlan
from coderun.plan.plan import workspace_of
from coderun.reconcile.coderun import CodeRunReconciler
from coderun.reconcile.play import PlayReconciler, PlaySettings
from coderun.reconcile.view import View
from coderun.runtime.job import JobRuntime, Workloads
from coderun.runtime.protocol import Observation, Runtime
from coderun.store.kubernetes import KubernetesStore
from coderun.store.protocol import Change, ObjectT

Note = Callable[[str], None]


async def rehearse(
    api: Api,
    namespace: str,
    *,
    configuration: Configuration,
    hosting: ClusterHosting,
    clock: Callable[[], datetime],
) -> list[str]:
    """What would be done, a line each. Raises what stands in the way of looking."""
    lines: list[str] = []
    store = KubernetesStore(api, namespace, cached=True, clock=clock)
    workloads = Workloads.of(api, namespace)
    try:
        async with together() as group:
            caches = [group.create_task(workloads.jobs.run()), group.create_task(workloads.pods.run())]
            await store.follow()
            await workloads.jobs.synced.wait()
            await workloads.pods.synced.wait()
            runtime = JobRuntime(api, namespace=namespace, settings=job_settings(configuration), workloads=workloads)
            await _walk(store, runtime, configuration, hosting, clock, lines.append)
            for cache in caches:
                cache.cancel()
    finally:
        await store.close()
    return lines


async def _walk(
    store: KubernetesStore,
    runtime: Runtime,
    configuration: Configuration,
    hosting: ClusterHosting,
    clock: Callable[[], datetime],
    note: Note,
) -> None:
    view = View(forge_host(configuration))
    parts = await hosting.parts(store, roster_of(configuration), view)
    noted = NotedStore(store, note)
    runs = CodeRunReconciler(
        store=noted,
        runtime=NotedRuntime(runtime, note),
        tokens=_NoTokens(),
        view=view,
        roster=parts.roster,
        settings=run_settings(configuration, parts.ref, poll=parts.poll),
        clock=clock,
    )
    plays = PlayReconciler(
        store=noted,
        forges=NotedForges(parts.forges, note),
        view=view,
        settings=PlaySettings(
            pipelines=pipelines_of(configuration),
            roster=parts.roster,
            rules=rules_of(configuration),
            parallel=configuration.config.play.parallel,
        ),
        clock=clock,
    )
    all_runs, all_plays = await store.find(CodeRun), await store.find(Play)
    for run in all_runs:
        if not run.status.is_finished:
            workspace = ""
            with contextlib.suppress(CoderunError):
                workspace = workspace_of(run, parts.roster)
            view.see_run(run, workspace)
    for play in all_plays:
        view.see_play(play)
    for name, reconcile in [
        *((run.name, runs.reconcile) for run in all_runs if not run.status.is_finished),
        *((play.name, plays.reconcile) for play in all_plays),
    ]:
        try:
            await reconcile(name)
        except CoderunError as error:
            note(f"{name}: would fail, and be tried again: {error}")


class NotedStore:
    """Reads a store; writes are noted and answered as if they had been made."""

    def __init__(self, store: KubernetesStore, note: Note) -> None:
        self._store = store
        self._note = note

    async def get(self, kind: type[ObjectT], name: str) -> ObjectT | None:
        """See `ObjectStore`."""
        return await self._store.get(kind, name)

    async def find(self, kind: type[ObjectT], *, labels: Mapping[str, str] = {}) -> list[ObjectT]:
        """See `ObjectStore`."""
        return await self._store.find(kind, labels=labels)

    async def create(self, new: ObjectT) -> ObjectT:
        """Noted."""
        self._note(f"create {new.KIND} {new.metadata.name}")
        return new

    async def update(self, changed: ObjectT) -> ObjectT:
        """Noted."""
        self._note(f"change the spec of {changed.KIND} {changed.metadata.name}")
        return changed

    async def update_status(self, changed: ObjectT) -> ObjectT:
        """Noted, with what people would see."""
        self._note(f"write the status of {changed.KIND} {changed.metadata.name}: {_status_of(changed)}")
        return changed

    async def delete(self, kind: type[ObjectT], name: str, *, uid: str = "") -> None:
        """Noted."""
        _ = uid
        self._note(f"delete {kind.KIND} {name}")

    def watch(self) -> AsyncIterator[list[Change]]:
        """See `ObjectStore`."""
        return self._store.watch()


def _status_of(changed: Play | CodeRun) -> str:
    status = changed.status
    conditions = status.conditions
    reason = conditions[0].reason if conditions else ""
    message = status.message
    if isinstance(changed, Play) and changed.status.waiting is not None:
        reason, message = changed.status.waiting.reason, changed.status.waiting.message
    return " ".join(filter(None, [status.phase.value, f"({reason})" if reason else "", message]))


class NotedRuntime:
    """Looks at a runtime; what would be made is noted."""

    def __init__(self, runtime: Runtime, note: Note) -> None:
        self._runtime = runtime
        self._note = note

    async def prepare(self, plan: RunPlan) -> None:
        """Noted."""
        self._note(f"make workspace {plan.order.workspace}, files and token of job {plan.job}")

    async def start(self, plan: RunPlan) -> None:
        """Noted."""
        self._note(f"start job {plan.job}")

    async def renew_token(self, job: str, token: str) -> None:
        """Nothing to note: that happens all the time."""

    async def token_of(self, job: str) -> str:
        """None: nothing is revoked here."""
        _ = job
        return ""

    async def drop_token(self, job: str) -> None:
        """Nothing to note: the job is over."""

    async def observe(self, job: str, *, owner: str = "") -> Observation:
        """See `Runtime`."""
        return await self._runtime.observe(job, owner=owner)

    async def stop(self, job: str, *, reason: str) -> None:
        """Noted."""
        self._note(f"stop job {job}: {reason}")

    async def remove(self, job: str) -> None:
        """Noted."""
        self._note(f"remove job {job}")

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """See `Runtime`."""
        return self._runtime.logs(job, follow=follow)

    def finished(self) -> AsyncIterator[str]:
        """See `Runtime`."""
        return self._runtime.finished()


class _NoTokens:
    async def issue(self, run: CodeRun, agent: Agent) -> str:
        _ = run, agent
        return "not issued"

    def knows(self, run: str) -> bool:
        _ = run
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        _ = run, agent, token

    async def revoke(self, run: str) -> None:
        _ = run


class NotedForges:
    """Forges that are only read."""

    def __init__(self, forges: Forges, note: Note) -> None:
        self._forges = forges
        self._note = note

    async def of(self, repository_url: str) -> Forge:
        """See `Forges`."""
        return NotedForge(await self._forges.of(repository_url), repository_url, self._note)


class NotedForge:
    """Reads a forge; writes are noted."""

    def __init__(self, forge: Forge, repository: str, note: Note) -> None:
        self._forge = forge
        self._where = repository
        self._note = note

    @property
    def login(self) -> str:
        """See `Forge`."""
        return self._forge.login

    async def get_pull_request(self, number: int) -> PullRequest | None:
        """See `Forge`."""
        return await self._forge.get_pull_request(number)

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        """See `Forge`."""
        return await self._forge.list_pull_requests(state)

    async def find_pull_requests(self, task_id: int) -> list[PullRequest]:
        """See `Forge`."""
        return await self._forge.find_pull_requests(task_id)

    async def open_pull_request(self, new: NewPullRequest) -> PullRequest:
        """A controller never does."""
        raise NotImplementedError(f"a controller opens no pull request ({new.title})")

    async def add_label(self, number: int, label: str) -> None:
        """Noted."""
        self._note(f"label #{number} of {self._where} with {label}")

    async def remove_label(self, number: int, label: str) -> None:
        """Noted."""
        self._note(f"take label {label} off #{number} of {self._where}")

    async def comments(self, number: int) -> list[Comment]:
        """See `Forge`."""
        return await self._forge.comments(number)

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        """Noted."""
        _ = body, marker
        self._note(f"comment on #{number} of {self._where}")

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:
        """Noted."""
        self._note(f"answer comment {comment} on #{number} of {self._where}: {'accepted' if accepted else 'refused'}")

    async def review(self, number: int, state: ReviewState, body: str, *, head_sha: str) -> Review:
        """A controller never does."""
        raise NotImplementedError(f"a controller reviews nothing (#{number}, {state}, {head_sha}, {len(body)} characters)")

    async def merge(self, number: int, *, head_sha: str, method: MergeMethod = MergeMethod.MERGE) -> PullRequest:
        """Noted; the pull request as it is."""
        self._note(f"merge #{number} of {self._where} at {head_sha[:8]} ({method.value})")
        found = await self._forge.get_pull_request(number)
        if found is None:
            raise CoderunError(f"pull request #{number} of {self._where} is gone")
        return found

    async def close_pull_request(self, number: int) -> None:
        """Noted."""
        self._note(f"close #{number} of {self._where}")

    async def set_checks(self, head_sha: str, checks: Iterable[Check], *, only_open: bool = False) -> None:
        """Noted."""
        _ = only_open
        self._note(f"set {len(list(checks))} checks of {head_sha[:8]} in {self._where}")

    async def diff(self, number: int) -> str:
        """See `Forge`."""
        return await self._forge.diff(number)
