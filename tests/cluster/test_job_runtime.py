"""The Job runtime on a real control plane: its Job controller, scheduler and garbage collector, with a kubelet of processes.

What the fake Job controller of the fast tests does is proven here: the same contract holds on both.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.cluster.harness import ControlPlane
from tests.cluster.harness.volumes import STORAGE_CLASS, Volumes
from tests.contracts.runtime_contract import DEADLINE, NEVER_ENDS, RuntimeContract, begun, ended, observed, plan
from tests.fakes.apiserver.logs import PodLogs
from tests.fakes.kubelet import ProcessKubelet
from tests.fakes.kubelet.node import node
from tests.integration.kube.odd_server import connected
from tests.integration.runtime.cluster import SETTINGS, SUPERVISOR, image, short_folder

from coderun.kube.api import Api
from coderun.model.coderun import RunPhase
from coderun.model.errors import OwnershipConflictError
from coderun.plan.order import Owner, RunPlan
from coderun.runtime.job import JobRuntime, Workloads
from coderun.runtime.protocol import JobState

JOB = plan().job


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace in which `restricted` is enforced, worked by a kubelet of processes."""

    control_plane: ControlPlane
    namespace: str
    api: Api
    kubelet: ProcessKubelet
    workloads: Workloads
    folder: Path

    def runtime(self, **changes: Any) -> JobRuntime:
        settings = replace(SETTINGS, storage_class=STORAGE_CLASS, **changes)
        return JobRuntime(self.api, namespace=self.namespace, settings=settings, workloads=self.workloads, look_again=0.5)

    def token_of(self, job: str) -> str:
        return next(self.folder.glob(f"*/runs/runs/{job}/token")).read_text(encoding="utf-8")

    def pod(self) -> str:
        return self.control_plane.kubectl("get", "pods", "-n", self.namespace, "-o", "name").strip().removeprefix("pod/")

    def owner(self) -> Owner:
        """A real object that owns what is made for a run."""
        meta = {"name": "run", "namespace": self.namespace}
        self.control_plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
        uid = self.control_plane.get("configmap", "run", self.namespace)["metadata"]["uid"]
        return Owner(api_version="v1", kind="ConfigMap", name="run", uid=uid, namespace=self.namespace)


@pytest.fixture
async def here(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Here]:
    namespace = control_plane.new_namespace("runs", {"pod-security.kubernetes.io/enforce": "restricted"})
    name = f"{namespace}-node"
    address = control_plane.address
    pair = control_plane.authority.issue(name, f"system:node:{name}", hosts=(address,))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    async with contextlib.AsyncExitStack() as stack:
        root = stack.enter_context(short_folder())
        stack.enter_context(Volumes(control_plane, root / "volumes", name))
        api = Api(await stack.enter_async_context(connected(control_plane.kubeconfig)))
        logs = PodLogs()
        await stack.enter_async_context(node(api, name, logs=logs, tls=tls, address=address))
        kubelet = ProcessKubelet(
            api,
            namespace,
            root=root / "pods",
            environment=image(root / "bin", SUPERVISOR),
            node=name,
            say=logs.append,
            ended=logs.end,
        )
        await stack.enter_async_context(kubelet)
        workloads = await stack.enter_async_context(Workloads.of(api, namespace).kept())
        yield Here(
            control_plane=control_plane,
            namespace=namespace,
            api=api,
            kubelet=kubelet,
            workloads=workloads,
            folder=root / "pods",
        )


class TestJobRuntime(RuntimeContract):
    """The clauses hold on a real control plane."""

    @pytest.fixture
    def successor(self, here: Here) -> Callable[[], JobRuntime]:
        return here.runtime

    @pytest.fixture
    def runtime(self, here: Here) -> JobRuntime:
        return here.runtime()

    @pytest.fixture
    def token_of(self, here: Here) -> Callable[[str], str]:
        return here.token_of


async def started(runtime: JobRuntime, made: RunPlan) -> None:
    await runtime.prepare(made)
    await runtime.start(made)


async def told(runtime: JobRuntime, words: str) -> str:
    deadline = time.monotonic() + DEADLINE
    while words not in (seen := await runtime.observe(JOB)).detail:
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {words!r}; it is {seen}"
        await asyncio.sleep(0.1)
    return seen.detail


async def until_gone(here: Here, *what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while left := here.control_plane.kubectl("get", *what, "-n", here.namespace, "-o", "name").strip():
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.2)


async def test_a_run_that_is_stopped_saves_its_work_and_no_second_pod_is_made(here: Here) -> None:
    runtime = here.runtime()
    await begun(runtime, plan(command=("saves",)))
    await runtime.stop(JOB, reason="somebody pushed")
    report = (await ended(runtime, JOB)).report
    assert report is not None
    assert (report.phase, report.outcome.summary, report.head_sha) == (RunPhase.CANCELLED, "somebody pushed", "abc123")
    await until_gone(here, "pods")
    found = here.control_plane.get("job", JOB, here.namespace)
    assert found["spec"]["suspend"] is True
    assert (await runtime.observe(JOB)).report == report


async def test_an_evicted_run_saves_its_work_and_is_not_started_again(here: Here) -> None:
    runtime = here.runtime()
    await begun(runtime, plan(command=("saves",)))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": here.pod(), "namespace": here.namespace}}
    status, answer = here.control_plane.call(
        "POST", f"/api/v1/namespaces/{here.namespace}/pods/{here.pod()}/eviction", eviction
    )
    assert status == 201, answer
    report = (await ended(runtime, JOB)).report
    assert report is not None
    assert (report.phase, report.outcome.terminal_reason, report.head_sha) == (RunPhase.FAILED, "Interrupted", "abc123")
    assert "it was evicted (its node is being drained)" in report.outcome.summary
    here.control_plane.kubectl("wait", "job", JOB, "-n", here.namespace, "--for=condition=Failed", "--timeout=120s")
    assert (await runtime.observe(JOB)).report == report


async def test_a_run_whose_node_is_gone_is_lost_with_that_reason(here: Here) -> None:
    runtime = here.runtime()
    await begun(runtime, plan(command=NEVER_ENDS))
    await here.kubelet.vanish()
    here.control_plane.kubectl("delete", "node", f"{here.namespace}-node")
    # The cluster looks after pods of vanished nodes every 20 s, and waits 40 s more: a node may come back.
    seen = await ended(runtime, JOB, within=2 * DEADLINE)
    assert (seen.state, seen.detail) == (JobState.LOST, "its node is gone, and it left no report")
    here.control_plane.kubectl("wait", "job", JOB, "-n", here.namespace, "--for=condition=Failed", "--timeout=120s")
    await until_gone(here, "pods")
    assert await runtime.observe(JOB) == seen, "its pod, and with it the reason, is gone"


async def test_what_was_made_for_a_run_goes_with_its_owner_and_its_workspace_stays(here: Here) -> None:
    runtime = here.runtime()
    made = replace(plan(command=NEVER_ENDS), owner=here.owner())
    await begun(runtime, made)
    here.control_plane.kubectl("delete", "configmap", "run", "-n", here.namespace)
    assert (await observed(runtime, JOB, JobState.LOST)).detail
    await until_gone(here, "pods,jobs,secrets,configmaps", "-l", "agents.platform/job")
    assert "workspace-api-rex" in here.control_plane.kubectl("get", "pvc", "-n", here.namespace)


async def test_a_quota_that_is_used_up_is_told_in_its_own_words(here: Here) -> None:
    quota = {"name": "small", "namespace": here.namespace}
    here.control_plane.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": quota, "spec": {"hard": {"requests.memory": "1Mi"}}}
    )
    runtime = here.runtime()
    await started(runtime, plan())
    words = await told(runtime, "exceeded quota: small")
    assert words.startswith("its pod cannot be made: exceeded quota: small, ")


async def test_a_pod_that_the_standard_does_not_admit_is_told_so(here: Here) -> None:
    runtime = here.runtime(user=0)
    await started(runtime, plan())
    assert "violates PodSecurity" in await told(runtime, "its pod cannot be made")


async def test_a_service_account_that_is_not_there_is_named(here: Here) -> None:
    runtime = here.runtime(service_account="nobody")
    await started(runtime, plan())
    assert 'serviceaccount "nobody" not found' in await told(runtime, "its pod cannot be made")


async def test_a_pod_that_fits_on_no_node_says_what_is_short(here: Here) -> None:
    runtime = here.runtime(requests={"memory": "9000Gi"}, limits={})
    await started(runtime, plan())
    assert (await told(runtime, "Insufficient memory")).startswith("no node can take its pod: 0/")


async def test_a_storage_class_that_is_not_there_is_named(here: Here) -> None:
    settings = replace(SETTINGS, storage_class="unheard-of")
    runtime = JobRuntime(here.api, namespace=here.namespace, settings=settings, workloads=here.workloads, look_again=0.5)
    await started(runtime, plan())
    assert await told(runtime, 'storageclass.storage.k8s.io "unheard-of" not found')


async def test_a_job_of_somebody_else_is_never_touched(here: Here) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "any:1"}]}
    meta = {"name": JOB, "namespace": here.namespace}
    spec = {"suspend": True, "template": {"spec": pod}}
    here.control_plane.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})
    before = here.control_plane.get("job", JOB, here.namespace)["metadata"]["generation"]
    with pytest.raises(OwnershipConflictError, match=f"needs Job '{JOB}' .* belongs to nobody we know"):
        await started(here.runtime(), plan())
    assert here.control_plane.get("job", JOB, here.namespace)["metadata"]["generation"] == before
