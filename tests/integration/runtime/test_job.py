"""What only a cluster can do to a run: objects of others, missing things, pods that are taken away, and who remembers what."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import (
    DEADLINE,
    ENDS_AT_ONCE,
    NEVER_ENDS,
    PYTHON,
    begun,
    ended,
    observed,
    plan,
    text_of,
    until,
)
from tests.fakes.apiserver.faults import Fault, FaultKind
from tests.integration.runtime.cluster import SETTINGS, Cluster, cluster

from coderun.model.coderun import RunPhase, SecretEnvVar
from coderun.model.errors import ClusterUnavailableError, InvalidCodeRunError, OwnershipConflictError
from coderun.model.names import LABEL_JOB
from coderun.plan.order import Owner, PodNeeds, RunPlan
from coderun.runtime.job import JobRuntime, Workloads
from coderun.runtime.protocol import JobState, Observation

JOB = plan().job
OWNER = Owner(
    api_version="agents.platform/v1", kind="CodeRun", name="play-1-implementation-1-1", uid="u-1", namespace="default"
)
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "somebody", "uid": "u-9", "controller": True}
OLDER = {"apiVersion": "agents.platform/v1", "kind": "CodeRun", "name": OWNER.name, "uid": "u-0", "controller": True}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        made.server.collect_garbage(on=False)  # owners here are made up
        yield made


def owned(made: RunPlan | None = None, **changes: Any) -> RunPlan:
    return replace(made or plan(), owner=OWNER, **changes)


async def started(runtime: JobRuntime, made: RunPlan) -> None:
    await runtime.prepare(made)
    await runtime.start(made)


async def told(runtime: JobRuntime, job: str, words: str) -> Observation:
    """Observe the job until its detail holds `words`."""
    deadline = time.monotonic() + DEADLINE
    while words not in (seen := await runtime.observe(job)).detail:
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {words!r}; it is {seen}"
        await asyncio.sleep(0.05)
    return seen


def manifest(kind: str, name: str, *owners: dict[str, Any], **more: Any) -> dict[str, Any]:
    api = "batch/v1" if kind == "Job" else "v1"
    meta = {"name": name, "namespace": "default", "ownerReferences": list(owners), "labels": {LABEL_JOB: JOB}}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **more}


def as_made(thing: dict[str, Any]) -> dict[str, Any]:
    """An object without what its own controllers write."""
    kept = {key: value for key, value in thing["metadata"].items() if key not in {"resourceVersion", "managedFields"}}
    return {**{key: value for key, value in thing.items() if key != "status"}, "metadata": kept}


def job_manifest(*owners: dict[str, Any]) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "missing:1"}]}
    return manifest("Job", JOB, *owners, spec={"suspend": True, "template": {"spec": pod}})


# --- whose objects are ----------------------------------------------------------------------------------------------------


@pytest.mark.lesson(6)
@pytest.mark.parametrize(
    ("full", "foreign", "words"),
    [
        (
            "jobs.batch",
            job_manifest(OTHER),
            f"needs Job '{JOB}' in namespace 'default', and one of that name belongs to ConfigMap",
        ),
        ("jobs.batch", job_manifest(), "belongs to nobody we know; remove it, or give the CodeRun another name"),
        ("secrets", manifest("Secret", f"{JOB}-token", OTHER), f"needs Secret '{JOB}-token'"),
        (
            "persistentvolumeclaims",
            manifest(
                "PersistentVolumeClaim",
                "workspace-api-rex",
                spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            )
            | {
                "metadata": {
                    "name": "workspace-api-rex",
                    "labels": {"agents.platform/service": "a", "agents.platform/agent": "pi-rex"},
                }
            },
            "is the workspace of agent 'pi-rex' for service 'a', not of 'rex' for 'api'",
        ),
    ],
)
async def test_an_object_of_a_wanted_name_that_is_not_ours_is_never_touched(
    here: Cluster, full: str, foreign: dict[str, Any], words: str
) -> None:
    before = here.server.objects.create(foreign)
    with pytest.raises(OwnershipConflictError) as conflict:
        await started(here.runtime(), owned())
    assert words in str(conflict.value)
    after = here.server.objects.get(full, "default", before["metadata"]["name"])
    assert after is not None
    assert as_made(after) == as_made(before)
    assert [pod for pod in here.server.objects.all("pods") if LABEL_JOB in pod["metadata"].get("labels", {})] == []


async def test_a_config_map_that_is_not_ours_is_never_mounted(here: Cluster) -> None:
    runtime = here.runtime()
    await runtime.prepare(owned())
    (ours,) = [one for one in here.server.objects.all("configmaps", "default") if one["metadata"]["name"].startswith(JOB)]
    here.server.objects.delete("configmaps", "default", ours["metadata"]["name"])
    here.server.objects.create(manifest("ConfigMap", ours["metadata"]["name"], OTHER))
    with pytest.raises(OwnershipConflictError, match="needs ConfigMap"):
        await here.runtime().prepare(owned())


async def test_what_an_earlier_coderun_of_that_name_left_is_waited_for(here: Cluster) -> None:
    here.server.objects.create(manifest("Secret", f"{JOB}-token", OLDER))
    with pytest.raises(ClusterUnavailableError, match="of an earlier one is still being removed"):
        await started(here.runtime(), owned())
    here.server.objects.delete("secrets", "default", f"{JOB}-token")
    await started(here.runtime(), owned())
    assert (await ended(here.runtime(), JOB)).state is JobState.FINISHED


async def test_everything_made_for_a_run_names_the_coderun_as_its_controller(here: Cluster) -> None:
    await started(here.runtime(), owned())
    (files,) = [
        one["metadata"]["name"] for one in here.server.objects.all("configmaps", "default") if JOB in one["metadata"]["name"]
    ]
    assert (await here.runtime().observe(JOB)).files == files
    for full in ("configmaps", "secrets", "jobs.batch"):
        (one,) = [one for one in here.server.objects.all(full, "default") if one["metadata"]["name"].startswith(JOB)]
        assert [(owner["uid"], owner["controller"]) for owner in one["metadata"]["ownerReferences"]] == [("u-1", True)]
    claim = here.server.objects.get("persistentvolumeclaims", "default", "workspace-api-rex")
    assert claim is not None
    assert "ownerReferences" not in claim["metadata"]


# --- workspaces -----------------------------------------------------------------------------------------------------------


def legacy_claim() -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "workspace-api"}, "spec": spec}


def implementing(agent: str) -> RunPlan:
    made = plan(f"coderun-1-api-{agent}-1", workspace=f"workspace-api-{agent}")
    return owned(replace(made, order=replace(made.order, agent=replace(made.order.agent, name=agent, role="implementation"))))


def claim_of(here: Cluster, job: str) -> str:
    found = here.server.objects.get("jobs.batch", "default", job)
    assert found is not None
    volumes = found["spec"]["template"]["spec"]["volumes"]
    return str(next(one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one))


async def test_an_old_workspace_goes_on_as_the_first_implementation_agents_and_no_others(here: Cluster) -> None:
    here.server.objects.create(legacy_claim())
    settings = replace(SETTINGS, adopt_legacy=True)
    for agent in ("rex", "blaze", "rex"):
        await started(here.runtime(settings), implementing(agent))
    quality = owned()
    await started(here.runtime(settings), quality)
    assert claim_of(here, "coderun-1-api-rex-1") == "workspace-api"
    assert claim_of(here, "coderun-1-api-blaze-1") == "workspace-api-blaze"
    assert claim_of(here, quality.job) == "workspace-api-rex"


@pytest.mark.parametrize("adopt", [False, True])
async def test_an_old_workspace_is_left_alone_where_it_is_not_wanted(here: Cluster, adopt: bool) -> None:
    before = here.server.objects.create(legacy_claim())
    if adopt:
        await here.runtime().prepare(implementing("rex"))  # its own is there already
    await started(here.runtime(replace(SETTINGS, adopt_legacy=adopt)), implementing("rex"))
    assert claim_of(here, "coderun-1-api-rex-1") == "workspace-api-rex"
    assert here.server.objects.get("persistentvolumeclaims", "default", "workspace-api") == before


async def test_a_workspace_that_somebody_removed_is_made_again_for_the_next_attempt(here: Cluster) -> None:
    runtime = here.runtime(clock=lambda: 0.0)
    await started(runtime, owned())
    await ended(runtime, JOB)
    here.server.objects.patch("persistentvolumeclaims", "default", "workspace-api-rex", {"metadata": {"finalizers": None}})
    here.server.objects.delete("persistentvolumeclaims", "default", "workspace-api-rex")
    await started(runtime, owned(plan("coderun-2-api-x-1")))
    assert here.server.objects.get("persistentvolumeclaims", "default", "workspace-api-rex") is not None


# --- what is missing or refused -------------------------------------------------------------------------------------------


async def test_a_missing_secret_is_named_and_the_run_goes_on_once_it_is_there(here: Cluster) -> None:
    asks = PodNeeds(secret_env=(SecretEnvVar(name="API_KEY", secret_name="shop", secret_key="key"),))
    says = (*PYTHON, "print('ran')")
    runtime = here.runtime()
    await started(runtime, owned(plan(command=says), needs=asks))
    seen = await told(runtime, JOB, "container 'agent' cannot be started: secret \"shop\" not found")
    assert seen.state is JobState.STARTING
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"}, "data": {"key": "cGFzc3dvcmQ="}}
    here.server.objects.create(secret)
    assert (await ended(runtime, JOB)).state is JobState.FINISHED


async def test_an_image_that_cannot_be_pulled_is_named(here: Cluster) -> None:
    runtime = here.runtime(replace(SETTINGS, image="missing:1"))
    await started(runtime, owned())
    await told(runtime, JOB, "image 'missing:1' cannot be pulled: Back-off pulling image")


async def test_a_quota_that_allows_no_pod_is_told_in_its_own_words(here: Cluster) -> None:
    here.jobs.refusal = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3'
    runtime = here.runtime()
    await started(runtime, owned())
    seen = await told(runtime, JOB, "its pod cannot be made: exceeded quota: small")
    assert seen.again is not None
    here.jobs.refusal = ""
    here.jobs.look()
    assert (await ended(runtime, JOB)).state is JobState.FINISHED


async def refused(here: Cluster, *names: str) -> None:
    """Wait until the Job controller has told of the pods of these Jobs that it could not make them."""

    def told() -> set[str]:
        told = [one for one in here.server.objects.all("events", "default") if here.jobs.refusal in one["message"]]
        return {one["involvedObject"]["name"] for one in told}

    await until(lambda: told() >= set(names), what=f"Events about {names}")


def event_lists(here: Cluster) -> int:
    """How often Events were read."""
    return sum(one.verb == "list" and one.resource == "events" for one in here.server.audit)


async def test_the_longer_a_job_waits_the_rarer_its_events_are_read(here: Cluster) -> None:
    here.jobs.refusal = "exceeded quota: small"
    now = 0.0
    runtime = here.runtime(clock=lambda: now, look_again=10.0)
    await started(runtime, owned())
    await refused(here, JOB)
    looks = []
    seen = await runtime.observe(JOB)
    while now < 600:
        before = event_lists(here)
        seen = await runtime.observe(JOB)
        if event_lists(here) > before:
            looks.append(now)
        assert seen.again is not None
        assert seen.again > 0
        now += seen.again
    assert "exceeded quota: small" in seen.detail
    pauses = [after - before for before, after in pairwise(looks)]
    assert looks[0] == 10.0
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (10.0, 60.0)


async def test_jobs_that_wait_have_their_events_read_in_turn_and_none_is_left_out(here: Cluster) -> None:
    here.jobs.refusal = "exceeded quota: small"
    now = 0.0
    runtime = here.runtime(clock=lambda: now, look_again=10.0)
    names = [f"coderun-{number}-api-rex-1" for number in range(1, 9)]
    for name in names:
        await started(runtime, owned(plan(name)))
    await refused(here, *names)
    due = dict.fromkeys(names, 0.0)
    told_at: dict[str, float] = {}
    while now < 30:
        now = min(due.values())
        before = event_lists(here)
        for name in [name for name in names if due[name] <= now]:
            seen = await runtime.observe(name)
            assert seen.again is not None
            due[name] = now + seen.again
            if "exceeded quota" in seen.detail:
                told_at.setdefault(name, now)
        assert event_lists(here) - before <= 2, "one job: its Job and its claim"
    assert sorted(told_at.values()) == pytest.approx([10.0 + 0.2 * number for number in range(len(names))])


async def test_files_that_vanished_are_named(here: Cluster) -> None:
    runtime = here.runtime()
    await runtime.prepare(owned())
    (files,) = [one for one in here.server.objects.all("configmaps", "default") if one["metadata"]["name"].startswith(JOB)]
    here.server.objects.delete("configmaps", "default", files["metadata"]["name"])
    await runtime.start(owned())
    await told(
        runtime, JOB, f'its container cannot be prepared: MountVolume.SetUp failed for volume "order": configmap "{JOB}-'
    )


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(kind=FaultKind.THROTTLE, retry_after=7), ClusterUnavailableError, "cannot create"),
        (
            Fault(kind=FaultKind.ERROR, status=403, reason="Forbidden", message='"x" is forbidden: exceeded quota: small'),
            ClusterUnavailableError,
            "the namespace's ResourceQuota allows no more",
        ),
        (
            Fault(kind=FaultKind.ERROR, status=422, reason="Invalid", message="spec.template: Invalid value"),
            InvalidCodeRunError,
            "spec.template: Invalid value",
        ),
    ],
)
async def test_a_job_the_api_server_does_not_take_is_tried_again_where_that_makes_sense(
    here: Cluster, fault: Fault, error: type[Exception], words: str
) -> None:
    runtime = here.runtime()
    await runtime.prepare(owned())
    here.server.faults.add(replace_fault(fault, verb="create", path="/jobs"))
    with pytest.raises(error, match=words):
        await runtime.start(owned())
    await runtime.start(owned())
    assert (await ended(runtime, JOB)).state is JobState.FINISHED


def replace_fault(fault: Fault, **changes: Any) -> Fault:
    return Fault(**{**vars(fault), **changes})


async def test_a_job_whose_answer_was_lost_is_started_once(here: Cluster) -> None:
    runtime = here.runtime()
    await runtime.prepare(owned())
    here.server.faults.add(Fault(kind=FaultKind.CUT, verb="create", path="/jobs", after=True))
    with pytest.raises(ClusterUnavailableError):
        await runtime.start(owned())
    await runtime.start(owned())
    await ended(runtime, JOB)
    assert (here.kubelet_root / "claims" / "workspace-api-rex" / "ran").read_text() == f"{JOB}\n"


# --- pods that are taken away ---------------------------------------------------------------------------------------------


async def test_an_agent_that_took_too_much_memory_is_lost_and_that_is_said(here: Cluster) -> None:
    runtime = here.runtime()
    await begun(runtime, owned(plan(command=NEVER_ENDS)))
    await here.kubelet.kill(here.pod_of(JOB), reason="OOMKilled")
    seen = await ended(runtime, JOB)
    assert seen == Observation(
        state=JobState.LOST,
        files=seen.files,
        detail="its agent used more memory than its container may have and was killed (OOMKilled); raise the memory limit",
    )


async def test_a_drained_node_interrupts_a_run_which_saves_its_work(here: Cluster) -> None:
    runtime = here.runtime()
    await begun(runtime, owned(plan(command=("saves",))))
    await here.kubelet.evict(here.pod_of(JOB))
    report = (await ended(runtime, JOB)).report
    assert report is not None
    assert (report.phase, report.outcome.terminal_reason, report.head_sha) == (RunPhase.FAILED, "Interrupted", "abc123")
    assert "it was evicted (its node is being drained); what it had done by then is kept" in report.outcome.summary
    assert (here.kubelet_root / "claims" / "workspace-api-rex" / "saved").read_text() == "ended by SIGTERM"


async def test_a_stopped_run_saves_its_work_and_its_report_is_read_though_its_pod_goes(here: Cluster) -> None:
    runtime = here.runtime()
    await begun(runtime, owned(plan(command=("saves",))))
    pod = here.pod_of(JOB)
    await runtime.stop(JOB, reason="somebody\npushed")
    report = (await ended(runtime, JOB)).report
    assert report is not None
    assert (report.phase, report.outcome.summary, report.head_sha) == (RunPhase.CANCELLED, "somebody pushed", "abc123")
    deadline = time.monotonic() + DEADLINE
    while here.server.objects.get("pods", "default", pod) is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert (await runtime.observe(JOB)).report == report
    found = here.server.objects.get("jobs.batch", "default", JOB)
    assert found is not None
    assert found["metadata"]["annotations"]["agents.platform/stop-reason"] == "somebody pushed"


@pytest.mark.lesson(39)
async def test_a_job_that_somebody_deleted_is_lost_and_not_started_again(here: Cluster) -> None:
    runtime = here.runtime()
    await begun(runtime, owned(plan(command=NEVER_ENDS)))
    here.server.objects.delete("jobs.batch", "default", JOB)
    assert (await observed(runtime, JOB, JobState.LOST)).detail == "its Job was deleted"


# --- who remembers what ---------------------------------------------------------------------------------------------------


async def test_a_controller_that_starts_anew_sees_what_the_old_one_saw(here: Cluster) -> None:
    old = here.runtime()
    await begun(old, owned(plan(command=NEVER_ENDS)))
    await started(old, owned(plan("coderun-2-api-x-1", workspace="workspace-api-cleo")))
    before = await ended(old, "coderun-2-api-x-1")
    async with Workloads.of(here.api, "default").kept() as fresh:
        new = JobRuntime(here.api, namespace="default", settings=SETTINGS, workloads=fresh)
        assert (await new.observe(JOB)).state is JobState.RUNNING
        assert await new.observe("coderun-2-api-x-1") == before
        writes = len(here.server.audit.writes())
        await started(new, owned(plan(command=NEVER_ENDS)))
        assert len(here.server.audit.writes()) == writes


@pytest.mark.lesson(14)
async def test_what_a_run_was_given_from_secrets_reaches_its_agent_and_no_log(here: Cluster) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"}, "data": {"key": "aHVudGVyMi1odW50ZXIy"}}
    here.server.objects.create(secret)
    runtime = here.runtime()
    await started(runtime, owned(plan(command=("raise",)), needs=PodNeeds(secret_sets=("shop",))))
    report = (await ended(runtime, JOB)).report
    assert report is not None
    assert report.outcome.summary == "RuntimeError: the forge said no to [secret]"
    output = await text_of(runtime.logs(JOB))
    transcript = (here.kubelet_root / "claims" / "workspace-api-rex" / "transcripts" / f"{JOB}.jsonl").read_bytes()
    for text in (output, transcript, msgspec.json.encode(here.server.objects.all("pods"))):
        assert b"token-of-this-run" not in text
    assert b"the forge said no to [secret]" in transcript


async def test_the_output_of_a_pod_is_json_lines_and_is_shown_as_people_read_it(here: Cluster) -> None:
    runtime = here.runtime()
    await started(runtime, owned(plan(command=ENDS_AT_ONCE)))
    await ended(runtime, JOB)
    async with here.api.logs("default", here.pod_of(JOB), container="agent") as chunks:
        raw = b"".join([chunk async for chunk in chunks])
    entries = [msgspec.json.decode(line) for line in raw.splitlines()]
    assert {"at", "event"} <= set(entries[0])
    shown = await text_of(runtime.logs(JOB))
    assert shown.startswith(b"coderun: run started job=")
    assert b"\nhello from the agent\n" in shown


async def test_removing_a_run_leaves_its_workspace_and_nothing_else(here: Cluster) -> None:
    runtime = here.runtime()
    await started(runtime, owned())
    await ended(runtime, JOB)
    await runtime.remove(JOB)
    for full in ("configmaps", "secrets", "jobs.batch"):
        assert [one for one in here.server.objects.all(full, "default") if LABEL_JOB in one["metadata"].get("labels", {})] == []
    assert here.server.objects.get("persistentvolumeclaims", "default", "workspace-api-rex") is not None


async def test_files_that_need_a_bundle_arrive_whole(here: Cluster) -> None:
    files = {"guides/code.md": "x" * 2_000_000, "settings.json": "{}"}
    made = owned(plan(files=files))
    runtime = here.runtime()
    await started(runtime, made)
    await ended(runtime, JOB)
    (found,) = here.kubelet_root.glob(f"*/runs/runs/{JOB}/files/guides/code.md")
    assert found.stat().st_size == 2_000_000
