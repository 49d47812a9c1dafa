"""What a Job and its pod say about a run, as tables: every wait and every loss in words a person understands."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from coderun.kube.workloads import EventObject, JobObject, PodObject
from coderun.model.coderun import RunOutcome, RunPhase, RunReport
from coderun.runtime.pods import needs_events, observe
from coderun.runtime.protocol import JobState, Observation

DONE = RunReport(phase=RunPhase.SUCCEEDED, outcome=RunOutcome(exit_code=0, terminal_reason="Completed", summary="done"))
TERMED = RunReport(
    phase=RunPhase.CANCELLED, outcome=RunOutcome(is_error=True, terminal_reason="Cancelled", summary="ended by SIGTERM")
)


def job(*, suspend: bool = False, stop: str = "", started: bool = True, **condition: str) -> JobObject:
    status: dict[str, Any] = {"startTime": "2026-01-01T00:00:00Z"} if started else {}
    if condition:
        status["conditions"] = [{"status": "True", **condition}]
    annotations = {"agents.platform/stop-reason": stop} if stop else {}
    return msgspec.convert(
        {
            "metadata": {"name": "j", "uid": "u", "annotations": annotations},
            "spec": {"suspend": suspend, "activeDeadlineSeconds": 1140},
            "status": status,
        },
        JobObject,
    )


def pod(
    state: dict[str, Any] | None = None, *, node: str = "n1", deleted: bool = False, made: str = "containerd://1", **status: Any
) -> PodObject:
    containers = [] if state is None else [{"name": "agent", "image": "agent:1", "containerID": made, "state": state}]
    meta = {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {"name": "p"}
    return msgspec.convert(
        {"metadata": meta, "spec": {"nodeName": node}, "status": {"containerStatuses": containers, **status}}, PodObject
    )


def ended(message: str = "", code: int = 1, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **more}}


def event(reason: str, message: str, minute: int = 5) -> EventObject:
    at = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    return msgspec.convert(
        {"metadata": {"name": "e"}, "reason": reason, "message": message, "lastTimestamp": at}, EventObject, strict=False
    )


def condition(type_: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def coded(report: RunReport) -> str:
    return msgspec.json.encode(report).decode()


UNSCHEDULABLE = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")
QUOTA = "exceeded quota: small, requested: cpu=500m, used: cpu=1, limited: cpu=1"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(node=""), "its pod waits for a node"),
        (pod({"waiting": {"reason": "ContainerCreating"}}), "its container is being prepared"),
        (pod(node="", conditions=[UNSCHEDULABLE]), "no node can take its pod: 0/3 nodes are available: 3 Insufficient cpu."),
        (
            pod({"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "agent:1"'}}),
            "image 'agent:1' cannot be pulled: Back-off pulling image \"agent:1\"",
        ),
        (pod({"waiting": {"reason": "ErrImageNeverPull"}}), "image 'agent:1' cannot be pulled: ErrImageNeverPull"),
        (
            pod({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "db" not found'}}),
            "container 'agent' cannot be started: secret \"db\" not found",
        ),
        (
            pod(
                {"waiting": {"reason": "PodInitializing"}},
                initContainerStatuses=[
                    {"name": "docker", "image": "d:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}}}
                ],
            ),
            "image 'd:1' cannot be pulled: denied",
        ),
    ],
)
def test_a_pod_that_waits_says_why(found: PodObject, words: str) -> None:
    assert observe(job(), found) == Observation(state=JobState.STARTING, detail=words)


@pytest.mark.parametrize(
    ("found", "told", "words"),
    [
        (
            None,
            event("FailedCreate", f'Error creating: pods "j-x" is forbidden: {QUOTA}'),
            f"its pod cannot be made: {QUOTA}",
        ),
        (
            None,
            event("FailedCreate", 'Error creating: violates PodSecurity "restricted:latest"'),
            'its pod cannot be made: violates PodSecurity "restricted:latest"',
        ),
        (
            pod({"waiting": {"reason": "ContainerCreating"}}),
            event("FailedMount", 'MountVolume.SetUp failed for volume "order": configmap "x" not found'),
            'its container cannot be prepared: MountVolume.SetUp failed for volume "order": configmap "x" not found',
        ),
        (
            pod(node="", conditions=[condition("PodScheduled", "False", "Unschedulable", "unbound PersistentVolumeClaims")]),
            event("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'),
            'no node can take its pod: unbound PersistentVolumeClaims (storageclass.storage.k8s.io "fast" not found)',
        ),
        (
            pod(node=""),
            event("ProvisioningFailed", "the disk quota is used up"),
            "its pod waits for a node (the disk quota is used up)",
        ),
    ],
)
def test_where_only_events_tell_why_they_are_asked(found: PodObject | None, told: EventObject, words: str) -> None:
    silent = observe(job(), found)
    assert needs_events(silent)
    assert observe(job(), found, [event("Scheduled", "all is well", 9), event(told.reason, "older", 1), told]).detail == words


@pytest.mark.parametrize(
    ("found", "told", "words"),
    [
        (None, event("ProvisioningFailed", "no volume yet"), "its pod has not been made yet"),
        (
            pod(node="", conditions=[condition("PodScheduled", "False", "Unschedulable", "no room")]),
            event("FailedMount", "of an earlier pod"),
            "no node can take its pod: no room",
        ),
        (
            pod({"waiting": {"reason": "ContainerCreating"}}),
            event("ProvisioningFailed", "no volume yet"),
            "its container is being prepared",
        ),
    ],
)
def test_trouble_of_something_else_is_no_reason(found: PodObject | None, told: EventObject, words: str) -> None:
    assert observe(job(), found, [told]).detail == words


def test_the_newest_trouble_is_told() -> None:
    told = [event("FailedCreate", "first", 1), event("FailedCreate", "last", 5), event("SuccessfulCreate", "fine", 9)]
    assert observe(job(), None, told).detail == "its pod cannot be made: last"


def test_a_wait_that_explains_itself_needs_no_events() -> None:
    assert not needs_events(observe(job(), pod(node="", conditions=[UNSCHEDULABLE])))
    assert not needs_events(observe(job(), pod({"running": {}})))


def test_a_job_that_somebody_suspended_says_so() -> None:
    assert observe(job(suspend=True), None).detail == "its Job is suspended; somebody has to resume it"


@pytest.mark.parametrize(
    ("found", "stop", "words"),
    [
        (pod({"running": {}}, phase="Running"), "", ""),
        (pod({"running": {}}, deleted=True), "somebody pushed", "asked to stop: somebody pushed"),
        (pod({"running": {}}, deleted=True), "", "it is being ended: its pod is deleted"),
        (
            pod({"running": {}}, deleted=True, conditions=[condition("DisruptionTarget", reason="EvictionByEvictionAPI")]),
            "",
            "it is being ended: it was evicted (its node is being drained)",
        ),
        (pod({"running": {}}, conditions=[condition("Ready", "True")]), "", ""),
        (pod({"running": {}}, conditions=[condition("Ready", "False", "ContainersNotReady")]), "", ""),
        (
            pod({"running": {}}, conditions=[condition("Ready", "False")]),
            "",
            "its node 'n1' does not answer: nobody knows whether it goes on",
        ),
        (
            pod({"running": {}}, conditions=[condition("Ready", "Unknown", "NodeStatusUnknown")]),
            "",
            "its node 'n1' does not answer: nobody knows whether it goes on",
        ),
        (
            pod({"running": {}}, deleted=True, conditions=[condition("Ready", "Unknown", "NodeStatusUnknown")]),
            "somebody pushed",
            "asked to stop: somebody pushed; its node 'n1' does not answer: nobody knows whether it goes on",
        ),
    ],
)
def test_a_running_pod_says_what_is_special_about_it(found: PodObject, stop: str, words: str) -> None:
    assert observe(job(stop=stop), found) == Observation(state=JobState.RUNNING, detail=words)


def test_the_report_is_the_termination_message() -> None:
    assert observe(job(), pod(ended(coded(DONE), 0, "Completed"))) == Observation(state=JobState.FINISHED, report=DONE)


def test_a_stopped_run_reports_why_it_was_stopped() -> None:
    report = observe(job(suspend=True, stop="somebody pushed"), pod(ended(coded(TERMED)))).report
    assert report is not None
    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.CANCELLED, "Cancelled")
    assert report.outcome.summary == "somebody pushed"


@pytest.mark.parametrize(
    ("found", "of", "reason", "words"),
    [
        (
            pod(ended(coded(TERMED)), conditions=[condition("DisruptionTarget", reason="EvictionByEvictionAPI")]),
            job(),
            "Interrupted",
            "it was evicted (its node is being drained); what it had done by then is kept in its workspace",
        ),
        (
            pod(ended(coded(TERMED)), conditions=[condition("DisruptionTarget", reason="SomethingNew")]),
            job(),
            "Interrupted",
            "the cluster took it away (SomethingNew); what it had done by then is kept in its workspace",
        ),
        (
            pod(ended(coded(TERMED))),
            job(),
            "Interrupted",
            "its pod was deleted; what it had done by then is kept in its workspace",
        ),
        (
            pod(ended(coded(TERMED)), status="x"),
            job(type="Failed", reason="DeadlineExceeded"),
            "TimedOut",
            "the job took longer than its activeDeadlineSeconds of 1140 s; what it had done by then is kept in its workspace",
        ),
    ],
)
def test_a_run_that_nobody_stopped_was_interrupted_and_is_no_cancelled_one(
    found: PodObject, of: JobObject, reason: str, words: str
) -> None:
    report = observe(of, found).report
    assert report is not None
    assert (report.phase, report.outcome.terminal_reason, report.outcome.summary) == (RunPhase.FAILED, reason, words)


@pytest.mark.parametrize(
    ("found", "of", "words"),
    [
        (
            pod(ended("", 137, "OOMKilled")),
            job(),
            "its agent used more memory than its container may have and was killed (OOMKilled); raise the memory limit",
        ),
        (
            pod(ended("bash: coderun: not found\n", 127)),
            job(),
            "its container ended with exit code 127 and left no report; its last words: bash: coderun: not found",
        ),
        (
            pod(ended("", 0, "Completed", signal=9)),
            job(),
            "its container ended with signal 9 and left no report",
        ),
        (
            pod(ended("no such file", 128, "StartError")),
            job(),
            "its container ended with exit code 128 (StartError) and left no report; its last words: no such file",
        ),
        (
            pod(ended("", 137, "ContainerStatusUnknown")),
            job(),
            "its node 'n1' lost track of its container: nobody knows how it ended",
        ),
        (
            pod(None, phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            job(),
            "its node took it away (Evicted: The node was low on resource: memory.), and it left no report",
        ),
        (
            pod(None, phase="Failed", reason="NodeShutdown"),
            job(),
            "its node took it away (NodeShutdown), and it left no report",
        ),
        (
            pod(ended("", 137), conditions=[condition("DisruptionTarget", reason="DeletionByPodGC")]),
            job(),
            "its node is gone, and it left no report",
        ),
        (
            pod(None, phase="Failed", reason="DeadlineExceeded"),
            job(),
            "the job took longer than its activeDeadlineSeconds of 1140 s and was ended without a report",
        ),
        (
            pod(None, phase="Failed", reason="OutOfcpu", message="Pod was rejected: Node didn't have enough resource: cpu"),
            job(),
            "its pod ended before its container ran: Pod was rejected: Node didn't have enough resource: cpu",
        ),
        (pod(None, phase="Failed"), job(), "its pod ended before its container ran: the cluster does not say why"),
        (None, job(type="Failed", reason="BackoffLimitExceeded"), "its pod is gone without a report (BackoffLimitExceeded)"),
        (
            None,
            job(type="Failed", reason="DeadlineExceeded"),
            "the job took longer than its activeDeadlineSeconds of 1140 s; its pod is gone without a report",
        ),
        (None, job(type="Complete"), "it completed, but its pod was removed before its report was read"),
        (None, job(suspend=True, stop="enough"), "it was asked to stop (enough) and left no report"),
    ],
)
def test_a_run_that_left_no_report_is_lost_and_the_reason_is_told(found: PodObject | None, of: JobObject, words: str) -> None:
    assert observe(of, found) == Observation(state=JobState.LOST, detail=words)


def test_a_job_stopped_before_it_ever_made_a_pod_is_cancelled() -> None:
    seen = observe(job(suspend=True, stop="changed my mind", started=False), None)
    assert seen.state is JobState.FINISHED
    assert seen.report is not None
    assert (seen.report.phase, seen.report.outcome.summary) == (RunPhase.CANCELLED, "changed my mind")


def test_a_pod_stopped_before_its_container_was_made_is_cancelled_and_not_lost() -> None:
    seen = observe(job(suspend=True, stop="changed my mind"), pod(ended("", 137, "ContainerStatusUnknown"), made=""))
    assert seen.state is JobState.FINISHED
    assert seen.report is not None
    assert (seen.report.phase, seen.report.outcome.summary) == (RunPhase.CANCELLED, "changed my mind")


def test_a_container_that_was_made_and_stopped_without_a_report_is_lost() -> None:
    seen = observe(job(suspend=True, stop="changed my mind"), pod(ended("", 137, "ContainerStatusUnknown")))
    assert (seen.state, seen.detail) == (
        JobState.LOST,
        "its node 'n1' lost track of its container: nobody knows how it ended",
    )


def test_a_stop_shows_while_the_pod_still_waits() -> None:
    assert observe(job(stop="enough"), pod(node="")).detail == "asked to stop: enough"


def test_what_a_pod_says_does_nothing_to_a_terminal() -> None:
    seen = observe(job(), pod(ended("\x1b[31mred\x07\n" + "x" * 5000)))
    assert seen.detail.isprintable()
    assert len(seen.detail) < 800
