"""The controller of a cluster on the fake API server: it works CodeRuns, hands over the lead, and keeps namespaces apart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.store_contract import delivery
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind, Rule
from tests.integration.app.hostings import TestHostings
from tests.integration.kube.cluster import api_of, fake_cluster
from tests.integration.kube.test_informer import until

from coderun.app.cluster import ClusterController
from coderun.app.configuration import Configuration, read_cluster_configuration
from coderun.app.local import now
from coderun.app.metrics import Metrics
from coderun.app.rehearsal import rehearse
from coderun.kube import manifests
from coderun.kube.informer import Timings
from coderun.kube.lease import LeaseTimings
from coderun.model.deliveries import Hint
from coderun.model.errors import ClusterUnavailableError, ConfigError
from coderun.model.names import ANNOTATION_PLAY

RUNS, PLAYS, JOBS = "coderuns.agents.platform", "plays.agents.platform", "jobs.batch"
DELIVERIES, DOCS = "deliveries.agents.platform", "docsruns.agents.platform"
CONFIG = """
forge: {type: github, url: https://forge.example}
cluster: {image: "agent:1"}
limits: {parallelRuns: 50}
"""
LEASE = LeaseTimings(duration=3, deadline=2.0, pause=0.05)
QUICK = Timings(first_pause=0.01, last_pause=0.1)


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    file = tmp_path / "coderun.yaml"
    file.write_text(CONFIG)
    return read_cluster_configuration(file, None)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_cluster() as server:
        yield server


class Replica:
    """A controller process, as far as one can be had inside this one."""

    def __init__(self, controller: ClusterController, hostings: TestHostings, metrics: Metrics) -> None:
        self.controller = controller
        self.hostings = hostings
        self.metrics = metrics
        self.task = asyncio.create_task(controller.run())

    @property
    def leads(self) -> bool:
        return self.controller.election.is_leading and bool(self.controller.worlds) and self.controller.is_ready

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


Start = Callable[..., Any]


@pytest.fixture
async def start(server: FakeApiServer, tmp_path: Path, configuration: Configuration) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def begin(
            identity: str = "one",
            *,
            namespaces: tuple[str, ...] = ("default",),
            token: str = "",
            settings: Configuration = configuration,
        ) -> Replica:
            api = await stack.enter_async_context(api_of(server, tmp_path, token=token))
            metrics, hostings = Metrics(), TestHostings()
            controller = ClusterController(
                api,
                configuration=settings,
                hostings=hostings,
                namespaces=namespaces,
                lease_namespace="default",
                identity=identity,
                clock=now,
                metrics=metrics,
                lease=LEASE,
                timings=QUICK,
                look_seconds=0.02,
            )
            replica = Replica(controller, hostings, metrics)
            stack.push_async_callback(replica.stop)
            return replica

        yield begin


def coderun(name: str = "run-1", *, namespace: str = "default", service: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "taskId": 7,
            "service": service,
            "repositoryUrl": "https://forge.example/acme/shop",
            "githubApp": "5DLabs-Rex",
            "task": {"title": "Add a cart"},
            **spec,
        },
    }


def status(server: FakeApiServer, name: str = "run-1", *, namespace: str = "default") -> dict[str, Any]:
    found = server.objects.get(RUNS, namespace, name)
    return {} if found is None else found.get("status", {})


def add_pod(server: FakeApiServer, job: str, pod_status: dict[str, Any], *, namespace: str = "default") -> None:
    """What the cluster's own controllers do with a Job: a pod, and what it says of itself."""
    made = server.objects.get(JOBS, namespace, job)
    assert made is not None
    template = made["spec"]["template"]
    server.objects.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{job}-pod",
                "namespace": namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [
                    {
                        "apiVersion": "batch/v1",
                        "kind": "Job",
                        "name": job,
                        "uid": made["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": template["spec"],
        }
    )
    server.objects.set_status("pods", namespace, f"{job}-pod", pod_status)


def running_pod() -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "phase": "Running",
        "containerStatuses": [{"name": "agent", "ready": True, "state": state, "image": "", "imageID": "", "restartCount": 0}],
    }


def ended_pod(report: dict[str, Any], code: int = 0) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "message": msgspec.json.encode(report).decode(), "reason": "Completed"}}
    phase = "Succeeded" if code == 0 else "Failed"
    return {
        "phase": phase,
        "containerStatuses": [{"name": "agent", "ready": False, "state": state, "image": "", "imageID": "", "restartCount": 0}],
    }


def token_in(secret: dict[str, Any] | None) -> str:
    assert secret is not None
    return manifests.token_in(secret["data"])


async def started(server: FakeApiServer, name: str = "run-1", *, namespace: str = "default") -> str:
    await until(lambda: server.objects.get(JOBS, namespace, status(server, name, namespace=namespace).get("jobName", "-")))
    return str(status(server, name, namespace=namespace)["jobName"])


async def test_a_run_is_worked_from_its_manifest_to_its_end(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    server.objects.create(coderun())
    job = await started(server)
    assert server.objects.get("persistentvolumeclaims", "default", "workspace-shop-rex")
    assert [one["metadata"]["name"] for one in server.objects.all("secrets", "default")] == [f"{job}-token"]
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    report = {"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}}
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod(report))
    await until(lambda: status(server).get("workCompleted"))
    assert (status(server)["phase"], status(server)["result"]["summary"]) == ("Succeeded", "done")
    assert replica.hostings.tokens.revoked == ["run-1"]
    await until(lambda: any(event["reason"] == "Completed" for event in server.objects.all("events", "default")))
    assert {event["reason"] for event in server.objects.all("events", "default")} == {"Running", "Completed"}


async def test_a_run_takes_few_writes_and_passes(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    server.audit.clear()
    server.objects.create(coderun())
    job = await started(server)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    writes = [
        f"{entry.verb} {entry.resource} {entry.subresource}".strip()
        for entry in server.audit.writes()
        if entry.resource not in {"leases", "events"}
    ]
    assert len(writes) <= 6, writes
    world = replica.controller.worlds[0]
    assert world.controller is not None
    assert world.controller.reconciles <= 20


@pytest.mark.lesson(29)
async def test_another_replica_takes_over_and_the_run_goes_on(server: FakeApiServer, start: Start) -> None:
    one = await start("one")
    await until(lambda: one.leads)
    server.objects.create(coderun())
    job = await started(server)
    two = await start("two")
    await until(lambda: two.controller.is_ready)
    assert not two.leads
    await one.stop()
    await until(lambda: two.leads)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    assert len(server.objects.all(JOBS, "default")) == 1
    assert status(server)["attempt"] == 1
    # What the first one gave lies with the run: the second knows it now, and leaves none there at the end.
    token = f"{job}-token"
    assert two.hostings.tokens.inherited == {"run-1": "token-of-rex-for-run-1"}
    assert token_in(server.objects.get("secrets", "default", token)) == "token-of-rex-for-run-1"
    report = {"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}}
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod(report))
    await until(lambda: status(server).get("workCompleted"))
    assert two.hostings.tokens.revoked == ["run-1"]
    assert token_in(server.objects.get("secrets", "default", token)) == ""


@pytest.mark.lesson(29, 31)
async def test_a_leader_cut_off_from_its_lease_writes_nothing_after_the_other_has_begun(
    server: FakeApiServer, start: Start
) -> None:
    one = await start("one")
    await until(lambda: one.leads)
    one.controller.election.gate.shut()  # what happens to it when it cannot renew
    server.faults.add(Fault(kind=FaultKind.ERROR, verb="update", path="leases/coderun-controller", status=503, count=1_000_000))
    server.objects.create(coderun())
    await until(lambda: not one.controller.worlds)
    assert not server.objects.all(JOBS, "default")
    assert not status(server)


async def test_namespaces_do_not_touch_each_other(server: FakeApiServer, start: Start) -> None:
    server.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    replica = await start(namespaces=("default", "other"))
    await until(lambda: replica.leads)
    for namespace in ("default", "other"):
        server.objects.create(coderun(namespace=namespace))
    jobs = {namespace: await started(server, namespace=namespace) for namespace in ("default", "other")}
    assert jobs["default"] == jobs["other"]
    server.objects.delete(RUNS, "other", "run-1")
    await until(lambda: not server.objects.all(JOBS, "other"))
    add_pod(server, jobs["default"], running_pod())
    await until(lambda: status(server).get("phase") == "Running")


async def test_a_namespace_that_may_not_be_read_does_not_keep_the_others_from_work(server: FakeApiServer, start: Start) -> None:
    server.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "closed"}})
    everything = frozenset({"*"})
    token = server.token(
        "controller", Rule(verbs=everything, groups=everything, resources=everything, namespaces=frozenset({"default"}))
    )
    replica = await start(namespaces=("closed", "default"), token=token)
    await until(lambda: any(world.namespace == "default" and world.is_working for world in replica.controller.worlds))
    server.objects.create(coderun())
    await started(server)
    assert not replica.controller.is_ready


async def test_when_keys_are_replaced_all_begins_anew_with_the_new_ones(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    replica.hostings.version = 2
    await until(lambda: replica.hostings.made == 2 and replica.leads)
    assert replica.hostings.closed == 1
    server.objects.create(coderun())
    await started(server)


async def test_a_leader_whose_keys_cannot_be_used_is_not_ready_until_they_can(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    replica.hostings.trouble = "rex/private-key is no private key in PEM form"
    controller = replica.controller
    await until(lambda: controller.election.is_leading and controller.inbox.is_ready and not controller.is_ready)
    replica.hostings.trouble = ""
    await until(lambda: replica.leads)
    server.objects.create(coderun())
    await started(server)


async def test_what_keeps_a_run_from_starting_is_told_in_an_event(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    refusal = "exceeded quota: small"
    server.faults.add(
        Fault(kind=FaultKind.ERROR, verb="create", path="jobs", status=403, reason="Forbidden", message=refusal, count=2)
    )
    server.objects.create(coderun())
    await started(server)
    await until(lambda: any(event["reason"] == "CannotStart" for event in server.objects.all("events", "default")))
    assert any(refusal in event["message"] for event in server.objects.all("events", "default"))


def cannot_start(server: FakeApiServer) -> list[dict[str, Any]]:
    return [event for event in server.objects.all("events", "default") if event["reason"] == "CannotStart"]


async def test_a_run_that_gets_no_token_keeps_no_other_from_work_and_goes_on_once_it_gets_one(
    server: FakeApiServer, start: Start
) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    private = "https://forge.example/acme/private"
    tokens = replica.hostings.tokens
    tokens.refused.add(private)
    server.objects.create(coderun("a-refused", repositoryUrl=private))
    await until(lambda: "not installed" in status(server, "a-refused").get("message", ""))
    server.objects.create(coderun("b-good"))  # of the same service and agent, and younger
    job = await started(server, "b-good")
    assert status(server, "a-refused").get("attempt", 0) == 0
    add_pod(server, job, ended_pod({"phase": "Succeeded", "outcome": {"summary": "done"}}))
    await until(lambda: status(server, "b-good").get("phase") == "Succeeded")
    await until(lambda: cannot_start(server))
    assert {event["type"] for event in cannot_start(server)} == {"Warning"}

    tokens.refused.clear()
    await started(server, "a-refused")


async def test_those_that_waited_behind_a_run_that_gets_no_token_start_when_it_stands_aside(
    server: FakeApiServer, start: Start
) -> None:
    replica = await start()
    await until(lambda: replica.leads)
    private = "https://forge.example/acme/private"
    replica.hostings.tokens.refused.add(private)
    server.objects.create(coderun("a-first"))
    job = await started(server, "a-first")
    server.objects.create(coderun("b-refused", repositoryUrl=private))
    server.objects.create(coderun("c-good"))
    await until(lambda: all(status(server, name).get("phase") == "Pending" for name in ("b-refused", "c-good")))
    add_pod(server, job, ended_pod({"phase": "Succeeded", "outcome": {"summary": "done"}}))
    await started(server, "c-good")
    assert status(server, "b-refused").get("attempt", 0) == 0


@pytest.mark.lesson(39)
async def test_a_run_that_is_deleted_and_made_again_starts_anew(server: FakeApiServer, start: Start) -> None:
    await start()
    server.objects.create(coderun())
    job = await started(server)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    first = server.objects.get(JOBS, "default", job)
    assert first is not None
    server.objects.delete(RUNS, "default", "run-1")
    server.objects.create(coderun())
    await until(lambda: (server.objects.get(JOBS, "default", job) or first)["metadata"]["uid"] != first["metadata"]["uid"])
    assert status(server)["phase"] == "Pending"
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")


async def one_works_and_one_waits(server: FakeApiServer) -> str:
    """The job of run-1, which works; run-2 waits for its workspace."""
    server.objects.create(coderun())
    job = await started(server)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    server.objects.create(coderun("run-2"))
    await until(lambda: "in use by run run-1" in status(server, "run-2").get("message", ""))
    return job


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.CUT])
async def test_the_next_run_of_a_workspace_starts_though_the_answer_to_the_end_of_the_one_before_was_lost(
    server: FakeApiServer, start: Start, kind: FaultKind
) -> None:
    await start()
    job = await one_works_and_one_waits(server)
    server.faults.add(Fault(kind=kind, verb="patch", path="coderuns/run-1/status", after=True))
    report = {"phase": "Succeeded", "outcome": {"exitCode": 0, "terminalReason": "Completed", "summary": "done"}}
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod(report))
    await started(server, "run-2")
    assert status(server)["phase"] == "Succeeded"
    assert server.faults.met


async def test_a_run_that_somebody_ends_by_hand_is_stopped_before_the_next_of_its_workspace_starts(
    server: FakeApiServer, start: Start
) -> None:
    replica = await start()
    job = await one_works_and_one_waits(server)
    server.objects.set_status(RUNS, "default", "run-1", {**status(server), "phase": "Failed", "workCompleted": True})
    await until(lambda: (server.objects.get(JOBS, "default", job) or {})["spec"].get("suspend"))
    assert "in use by run run-1" in status(server, "run-2")["message"]
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod({}, code=143))
    await started(server, "run-2")
    assert replica.hostings.tokens.revoked[0] == "run-1"


async def test_a_run_whose_agent_is_taken_out_of_the_roster_is_stopped_before_it_is_called_invalid(
    server: FakeApiServer, start: Start, tmp_path: Path
) -> None:
    one = await start()
    server.objects.create(coderun())
    job = await started(server)
    add_pod(server, job, running_pod())
    await until(lambda: status(server).get("phase") == "Running")
    await one.stop()
    file = tmp_path / "other.yaml"
    file.write_text(CONFIG + 'agents: {rex: {githubApp: "other-rex"}}\n')
    await start("two", settings=read_cluster_configuration(file, None))
    await until(lambda: (server.objects.get(JOBS, "default", job) or {})["spec"].get("suspend"))
    assert status(server)["phase"] == "Running"
    server.objects.set_status("pods", "default", f"{job}-pod", ended_pod({}, code=143))
    await until(lambda: status(server).get("phase") == "Failed")
    assert status(server)["result"]["terminalReason"] == "InvalidSpec"


async def test_a_play_is_looked_at_when_its_run_cannot_start_and_when_that_is_deleted(
    server: FakeApiServer, start: Start
) -> None:
    replica = await start()
    spec = {"taskId": 7, "repositoryUrl": "acme/shop"}
    meta = {"name": "play-7", "namespace": "default"}
    server.objects.create({"apiVersion": "agents.platform/v1", "kind": "Play", "metadata": meta, "spec": spec})
    await until(lambda: replica.hostings.forges.asked)
    world = replica.controller.worlds[0].controller
    assert world is not None
    await until(lambda: world.is_idle)
    looked = replica.hostings.forges.asked
    server.faults.add(Fault(kind=FaultKind.THROTTLE, verb="create", path="jobs", count=1000, retry_after=5))
    run = coderun()
    run["metadata"]["annotations"] = {ANNOTATION_PLAY: "play-7"}
    server.objects.create(run)
    await until(lambda: any(one["reason"] == "CannotStart" for one in status(server).get("conditions", ())))
    await until(lambda: replica.hostings.forges.asked > looked)
    await until(lambda: world.is_idle)
    looked = replica.hostings.forges.asked
    server.objects.delete(RUNS, "default", "run-1")
    await until(lambda: replica.hostings.forges.asked > looked)


async def test_nothing_is_begun_for_a_run_that_is_being_deleted(server: FakeApiServer, start: Start) -> None:
    going = coderun("going")
    going["metadata"]["finalizers"] = ["example.com/keep"]
    server.objects.create(going)
    server.objects.delete(RUNS, "default", "going")
    server.objects.create(coderun("staying"))  # of the same workspace, and younger
    await start()
    await started(server, "staying")
    assert len(server.objects.all(JOBS, "default")) == 1
    assert not status(server, "going")


async def test_a_docsrun_is_told_that_nobody_works_on_it_yet(server: FakeApiServer, start: Start) -> None:
    replica = await start()
    server.objects.create(
        {
            "apiVersion": "agents.platform/v1",
            "kind": "DocsRun",
            "metadata": {"name": "docs", "namespace": "default"},
            "spec": {"repositoryUrl": "acme/shop", "workingDirectory": ".", "sourceBranch": "main"},
        }
    )
    await until(lambda: (server.objects.get(DOCS, "default", "docs") or {}).get("status", {}).get("conditions"))
    found = server.objects.get(DOCS, "default", "docs")
    assert found is not None
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Accepted", "False", "NotSupportedYet")
    await until(lambda: replica.leads)
    writes = [entry for entry in server.audit.writes() if entry.resource == "docsruns"]
    assert len(writes) == 1


async def test_a_play_without_its_forge_waits_for_a_person_and_says_why(server: FakeApiServer, start: Start) -> None:
    await start()
    server.objects.create(
        {
            "apiVersion": "agents.platform/v1",
            "kind": "Play",
            "metadata": {"name": "play-7", "namespace": "default"},
            "spec": {"taskId": 7, "repositoryUrl": "acme/shop"},
        }
    )
    await until(lambda: (server.objects.get(PLAYS, "default", "play-7") or {}).get("status", {}).get("waiting"))
    found = server.objects.get(PLAYS, "default", "play-7")
    assert found is not None
    assert "there is no forge here" in found["status"]["waiting"]["message"]


# --- deliveries


def play_of(repository: str, namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "agents.platform/v1",
        "kind": "Play",
        "metadata": {"name": "play-7", "namespace": namespace},
        "spec": {"taskId": 7, "repositoryUrl": repository},
    }


@pytest.mark.parametrize("repository", ["https://forge.example/acme/shop", "acme/shop"])
async def test_any_replica_takes_a_delivery_in_and_the_leader_acts_on_it(
    server: FakeApiServer, start: Start, repository: str
) -> None:
    server.objects.create(play_of(repository))
    leader = await start("one")
    await until(lambda: leader.leads)
    standby = await start("two")
    await until(lambda: standby.controller.is_ready)
    assert not standby.leads
    came = msgspec.structs.replace(
        delivery("github-1"), repository="forge.example/acme/shop", hints=(Hint(number=3, tasks=frozenset({7})),)
    )
    assert await standby.controller.inbox.put_deliveries([came]) == 1
    assert await leader.controller.inbox.put_deliveries([came]) == 0
    await until(lambda: [one.get("status", {}).get("state") for one in server.objects.all(DELIVERIES, "default")] == ["moved"])


async def test_a_delivery_of_a_repository_that_nobody_plays_is_counted_and_not_stored(
    server: FakeApiServer, start: Start
) -> None:
    replica = await start()
    await until(lambda: replica.controller.is_ready)
    assert await replica.controller.inbox.put_deliveries([delivery("github-1")]) == 0
    assert server.objects.all(DELIVERIES, "default") == []
    assert b'coderun_deliveries_total{namespace="",state="unplayed"} 1.0' in replica.metrics.render()


async def test_a_delivery_reaches_each_namespace_that_plays_its_repository(server: FakeApiServer, start: Start) -> None:
    for namespace in ("one", "two", "three"):
        server.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for namespace in ("one", "three"):
        server.objects.create(play_of("git@forge.example:Acme/shop.git", namespace))
    replica = await start(namespaces=("one", "two", "three"))
    await until(lambda: replica.controller.is_ready)
    came = msgspec.structs.replace(delivery("github-1"), repository="forge.example/acme/shop")
    assert await replica.controller.inbox.put_deliveries([came]) == 2
    assert [len(server.objects.all(DELIVERIES, namespace)) for namespace in ("one", "two", "three")] == [1, 0, 1]


async def test_before_it_is_known_what_is_played_a_delivery_is_not_taken(server: FakeApiServer, start: Start) -> None:
    server.faults.add(Fault(kind=FaultKind.ERROR, verb="list", path="plays", status=503, count=1_000_000))
    replica = await start()
    with pytest.raises(ClusterUnavailableError, match="not known yet"):
        await replica.controller.inbox.put_deliveries([delivery("github-1")])


# --- what would be done


async def test_a_rehearsal_says_what_would_be_done_and_writes_nothing(
    server: FakeApiServer, configuration: Configuration, tmp_path: Path
) -> None:
    server.objects.create(coderun())
    server.objects.create(play_of("acme/shop"))
    server.audit.clear()
    async with api_of(server, tmp_path) as api:
        lines = await rehearse(
            api, "default", configuration=configuration, hosting=TestHostings().make(lambda: None), clock=now
        )
    assert "write the status of CodeRun run-1: Pending (Starting) its job starts" in lines
    assert any(line.startswith("write the status of Play play-7: ") and "there is no forge here" in line for line in lines)
    assert server.audit.writes() == []
    assert not status(server)


def test_the_configuration_of_one_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "coderun.yaml"
    file.write_text("forge: {type: github}\n")
    with pytest.raises(ConfigError, match=r"coderun.yaml.*'cluster' is missing"):
        read_cluster_configuration(file, None)
