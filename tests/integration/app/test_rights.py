"""The chart's Role gives the controller what it asks for, and nothing that it never asks for.

A controller works runs, a play, a DocsRun and deliveries on the fake API server, with the rights of the chart and no others.
What it asked for is compared with what it may.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import plan
from tests.contracts.store_contract import delivery
from tests.deploy.rights import CONTROLLER, PEOPLE, Right, granted, name_of, rules
from tests.fakes.apiserver import FakeApiServer, Rule
from tests.integration.app.hostings import TestHostings
from tests.integration.app.test_cluster import (
    DELIVERIES,
    DOCS,
    JOBS,
    LEASE,
    PLAYS,
    QUICK,
    RUNS,
    add_pod,
    coderun,
    ended_pod,
    play_of,
    running_pod,
    started,
    status,
)
from tests.integration.kube.cluster import api_of, fake_cluster
from tests.integration.kube.test_informer import until

from coderun.app.announce import EventHerald
from coderun.app.cluster import ClusterController
from coderun.app.configuration import read_cluster_configuration
from coderun.app.local import now
from coderun.app.metrics import Metrics
from coderun.kube.api import Api
from coderun.kube.errors import ForbiddenError
from coderun.kube.manifests import JobSettings
from coderun.kube.resources import CONFIGMAPS, SECRETS
from coderun.model.coderun import CodeRun, CodeRunSpec
from coderun.model.deliveries import Hint
from coderun.model.errors import WriteConflictError
from coderun.model.meta import ObjectMeta
from coderun.model.names import API_VERSION, job_name
from coderun.model.play import Play, PlaySpec
from coderun.runtime.job import JobRuntime, Workloads
from coderun.store.kubernetes import KubernetesStore

CONFIG = """
forge: {type: github, url: https://forge.example}
cluster: {image: "agent:1"}
workspaces: {adoptLegacy: true}
limits: {parallelRuns: 50, keepFinishedRunsDays: 0, keepEventsDays: 0}
"""
FORBIDDEN = 403
REPOSITORY = "https://forge.example/acme/shop"
UNSEEN: dict[Right, str] = {
    ("update", "coderuns/finalizers.agents.platform"): "asked for by an admission plugin, not by the controller",
}
"""Rights that no request of the controller shows."""


def rules_of(template: str, role: int = 0) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            verbs=frozenset(rule["verbs"]),
            groups=frozenset(rule["apiGroups"]),
            resources=frozenset(rule["resources"]),
            namespaces=frozenset({"default"}),
            names=frozenset(rule.get("resourceNames", ())),
        )
        for rule in rules(template, role)
    )


def asked(server: FakeApiServer, user: str) -> set[Right]:
    entries = [one for one in server.audit if one.user == user and one.resource != "leases"]
    return {(one.verb, name_of(one.group, f"{one.resource}/{one.subresource}".rstrip("/"))) for one in entries}


def manifest(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, **more}


@contextlib.asynccontextmanager
async def working(server: FakeApiServer, api: Api, folder: Path) -> AsyncIterator[ClusterController]:
    """A controller that leads, with these rights."""
    file = folder / "coderun.yaml"
    file.write_text(CONFIG)
    controller = ClusterController(
        api,
        configuration=read_cluster_configuration(file, None),
        hostings=TestHostings(),
        namespaces=("default",),
        lease_namespace="default",
        identity="one",
        clock=now,
        metrics=Metrics(),
        lease=LEASE,
        timings=QUICK,
        look_seconds=0.02,
    )
    task = asyncio.create_task(controller.run())
    try:
        await until(lambda: bool(controller.worlds) and controller.is_ready)
        yield controller
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def work_runs(server: FakeApiServer) -> None:
    """One run to its end and beyond, one that is cancelled, one whose Job's name somebody else has taken."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    server.objects.create(manifest("PersistentVolumeClaim", "workspace-shop", spec=claim))
    server.objects.create(coderun())
    job = await started(server)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    report = {"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}}
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod(report))
    await until(lambda: not server.objects.all(JOBS, "default"))
    await until(lambda: not server.objects.all("configmaps", "default"))

    server.objects.create(coderun("cancelled", service="other"))
    job = await started(server, "cancelled")
    add_pod(server, job, running_pod())
    server.objects.patch(RUNS, "default", "cancelled", {"spec": {"cancelRequested": "enough"}})
    await until(lambda: (server.objects.get(JOBS, "default", job) or {}).get("spec", {}).get("suspend"))

    taken = job_name(7, "third", "taken", 1)
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}
    foreign = {**manifest("Job", taken), "apiVersion": "batch/v1", "spec": {"template": {"spec": pod}}}
    server.objects.create(foreign)
    server.objects.create(coderun("taken", service="third"))
    await until(lambda: status(server, "taken").get("phase") == "Failed")


async def work_the_rest(server: FakeApiServer, controller: ClusterController) -> None:
    """A DocsRun, a play, and a delivery until it is forgotten."""
    docs = {"repositoryUrl": "acme/shop", "workingDirectory": ".", "sourceBranch": "main"}
    server.objects.create({**manifest("DocsRun", "docs", spec=docs), "apiVersion": API_VERSION})
    server.objects.create(play_of(REPOSITORY))
    await until(lambda: (server.objects.get(DOCS, "default", "docs") or {}).get("status"))
    await until(lambda: (server.objects.get(PLAYS, "default", "play-7") or {}).get("status"))
    came = replace(delivery("github-guid"), repository="forge.example/acme/shop", hints=(Hint(number=3),))
    while await controller.inbox.put_deliveries([came]) == 0:  # noqa: ASYNC110 - until it is known that the repository is played
        await asyncio.sleep(0.01)
    await until(lambda: all(one.get("status", {}).get("state") for one in server.objects.all(DELIVERIES, "default")))


async def touch_what_trouble_touches(server: FakeApiServer, api: Api) -> None:
    """What the controller does when others write at the same time, when a token is renewed, when a pod does not start."""
    store = KubernetesStore(api, "default")
    run = await store.create(
        CodeRun(metadata=ObjectMeta(name="made"), spec=CodeRunSpec(task_id=9, service="s", repository_url="a/b"))
    )
    await store.update(replace(run, spec=replace(run.spec, cancel_requested="enough")))
    [play] = await store.find(Play)
    with pytest.raises(WriteConflictError):
        await store.update(replace(run, metadata=replace(run.metadata, resource_version="1")))
    with pytest.raises(WriteConflictError):
        await store.update(replace(play, metadata=replace(play.metadata, resource_version="1")))
    await store.update(replace(play, spec=replace(play.spec, paused=True)))
    await store.get_delivery("github-none")
    await store.forget_deliveries(now() + timedelta(days=1))
    herald = EventHerald(api, "default", identity="one", clock=now, monotonic=time.monotonic, dropped=lambda: None)
    telling = asyncio.create_task(herald.run())
    for _ in range(2):
        herald.tell(play, "Waiting", "for checks")
    await until(
        lambda: any(one["reason"] == "Waiting" and one["count"] == 2 for one in server.objects.all("events", "default"))
    )
    telling.cancel()
    workloads = Workloads.of(api, "default")
    runtime = JobRuntime(api, namespace="default", settings=JobSettings(image="agent:1"), workloads=workloads, look_again=0.001)
    async with workloads.kept():
        wanted = plan()
        await runtime.prepare(wanted)
        await runtime.renew_token(wanted.job, "another")
        await runtime.start(wanted)
        for _ in range(3):
            await asyncio.sleep(0.01)
            await runtime.observe(wanted.job)
    await asyncio.gather(telling, return_exceptions=True)
    await store.close()


@pytest.mark.slow
async def test_the_controller_asks_for_all_of_its_rights_and_for_nothing_else(tmp_path: Path) -> None:
    async with fake_cluster() as server:
        token = server.token("controller", *rules_of(CONTROLLER), *rules_of(CONTROLLER, 1))
        async with api_of(server, tmp_path, token=token) as api:
            async with working(server, api, tmp_path) as controller:
                await work_runs(server)
                await work_the_rest(server, controller)
            await touch_what_trouble_touches(server, api)
        refused = [one for one in server.audit if one.user == "controller" and one.status == FORBIDDEN]
        assert refused == []
        assert asked(server, "controller") == granted(CONTROLLER) - set(UNSEEN)
        leases = {one.verb for one in server.audit if one.user == "controller" and one.resource == "leases"}
        assert leases == {verb for verb, _ in granted(CONTROLLER, 1)}


async def test_people_make_and_steer_plays_with_their_role_and_see_no_secret(tmp_path: Path) -> None:
    async with fake_cluster() as server:
        token = server.token("ada", *rules_of(PEOPLE))
        async with api_of(server, tmp_path, token=token) as api:
            store = KubernetesStore(api, "default")
            spec = PlaySpec(task_id=7, repository_url=REPOSITORY)
            play = await store.create(Play(metadata=ObjectMeta(name="play-7"), spec=spec))
            await store.update(replace(play, spec=replace(spec, paused=True)))
            assert [one.spec.paused for one in await store.find(Play)] == [True]
            assert await store.find(CodeRun) == []
            assert await store.list_deliveries() == []
            await store.delete(Play, "play-7")
            for forbidden in (SECRETS, CONFIGMAPS):
                with pytest.raises(ForbiddenError, match="cannot list resource"):
                    await api.list(forbidden, "default")
            await store.close()
