"""What a Job and its pod say about a run, in words a person understands. Pure: API objects in, an observation out.

Between the caches of the Job runtime and the reconciler. The report is what the agent container left as its termination
message; where it left none, everything the cluster tells of the reason is put into one sentence. Nothing here asks the cluster.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from coderun.kube.manifests import CONTAINER, STOP_REASON
from coderun.kube.workloads import ContainerStatus, EventObject, JobObject, PodObject, Terminated
from coderun.model.coderun import RunOutcome, RunPhase, RunReport
from coderun.model.text import printable
from coderun.runtime.protocol import JobState, Observation

INTERRUPTED: Final = "Interrupted"
_LONGEST: Final = 600
_NO_POD: Final = "its pod has not been made yet"
_PREPARING: Final = "its container is being prepared"
_SCHEDULING: Final = "its pod waits for a node"
_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_CONFIG: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "CrashLoopBackOff"}
)
_EVICTIONS: Final = {
    "EvictionByEvictionAPI": "it was evicted (its node is being drained)",
    "PreemptionByScheduler": "a pod of higher priority took its place",
    "DeletionByTaintManager": "its node was tainted or stopped answering",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "its node ended it (short of resources, or shutting down)",
}
_OF_JOB: Final = frozenset({"FailedCreate"})
_OF_CLAIM: Final = frozenset({"ProvisioningFailed"})
_OF_POD: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
"""Reasons of Events that tell of trouble, by what they are about: a claim's is no reason why there is no pod yet."""

_REFUSED: Final = re.compile(r'Error creating: (?:pods "[^"]*" is forbidden: )?')
"""What comes before the reason. Each pod that is refused has another name: with it the same reason would be news each time."""

_report: Final = msgspec.json.Decoder(RunReport)


def observe(job: JobObject, pod: PodObject | None, events: Iterable[EventObject] = ()) -> Observation:
    """What is to be seen of a run. `events` are those about the Job, its pod and its volume claim, for why it waits."""
    reason = job.metadata.annotations.get(STOP_REASON, "")
    if pod is None:
        return _without_pod(job, reason, events)
    ended = _ended(pod)
    if ended is not None:
        return _finished(job, pod, ended, reason)
    state = pod.container(CONTAINER)
    if pod.status.phase in {"Failed", "Succeeded"}:
        return Observation(state=JobState.LOST, detail=_lost(job, pod, None))
    if state is not None and state.running is not None:
        return Observation(state=JobState.RUNNING, detail=_how_it_runs(pod, reason))
    return Observation(state=JobState.STARTING, detail=_why_it_waits(pod, reason, events))


def needs_events(seen: Observation) -> bool:
    """Whether what is seen is a wait whose reason only Events tell."""
    silent = seen.detail in {_NO_POD, _PREPARING, _SCHEDULING} or "PersistentVolumeClaim" in seen.detail
    return seen.state is JobState.STARTING and silent


def _ended(pod: PodObject) -> Terminated | None:
    state = pod.container(CONTAINER)
    return state.terminated if state is not None else None


def _finished(job: JobObject, pod: PodObject, ended: Terminated, reason: str) -> Observation:
    report = _read(ended.message)
    if report is None and reason and _never_ran(pod):
        return _stopped_in_time(reason)
    if report is None:
        return Observation(state=JobState.LOST, detail=_lost(job, pod, ended))
    if report.phase is RunPhase.CANCELLED:
        report = _told_why(report, job, pod, reason)
    return Observation(state=JobState.FINISHED, report=report)


def _never_ran(pod: PodObject) -> bool:
    """Whether its container was never made, for want of an image or a Secret: its kubelet then calls its end unknown."""
    status = next((one for one in pod.status.container_statuses or () if one.name == CONTAINER), None)
    return status is not None and not status.container_id


def _stopped_in_time(reason: str) -> Observation:
    """It was asked to stop before its agent began, so that there is nothing to report but that."""
    outcome = RunOutcome(is_error=True, terminal_reason="Cancelled", summary=reason)
    return Observation(state=JobState.FINISHED, report=RunReport(phase=RunPhase.CANCELLED, outcome=outcome))


def _told_why(report: RunReport, job: JobObject, pod: PodObject, reason: str) -> RunReport:
    """The runner knows only that it got SIGTERM. Who wanted that is known here; where nobody did, it was interrupted."""
    if reason:
        return replace(report, outcome=replace(report.outcome, summary=reason))
    over = job.condition("Failed")
    if over is not None and over.reason == "DeadlineExceeded":
        word, why = "TimedOut", _over_deadline(job)
    else:
        word, why = INTERRUPTED, _why_taken(pod) or "its pod was deleted"
    outcome = replace(
        report.outcome, is_error=True, terminal_reason=word, summary=f"{why}; what it had done by then is kept in its workspace"
    )
    return replace(report, phase=RunPhase.FAILED, outcome=outcome)


def _read(message: str) -> RunReport | None:
    try:
        return _report.decode(message)
    except msgspec.DecodeError:
        return None


def _without_pod(job: JobObject, reason: str, events: Iterable[EventObject]) -> Observation:
    if reason and job.status.start_time is None:
        return _stopped_in_time(reason)
    failed, complete = job.condition("Failed"), job.condition("Complete")
    if failed is not None and failed.reason == "DeadlineExceeded":
        return Observation(state=JobState.LOST, detail=f"{_over_deadline(job)}; its pod is gone without a report")
    if failed is not None:
        why = _clean(failed.message) or failed.reason
        return Observation(state=JobState.LOST, detail=f"its pod is gone without a report ({why})")
    if complete is not None:
        return Observation(state=JobState.LOST, detail="it completed, but its pod was removed before its report was read")
    if reason:
        return Observation(state=JobState.LOST, detail=f"it was asked to stop ({reason}) and left no report")
    if job.spec.suspend:
        return Observation(state=JobState.STARTING, detail="its Job is suspended; somebody has to resume it")
    told = _REFUSED.sub("", _trouble(events, _OF_JOB), count=1)
    return Observation(state=JobState.STARTING, detail=f"its pod cannot be made: {told}" if told else _NO_POD)


def _over_deadline(job: JobObject) -> str:
    return f"the job took longer than its activeDeadlineSeconds of {job.spec.active_deadline_seconds or 0} s"


def _how_it_runs(pod: PodObject, reason: str) -> str:
    taken = _why_taken(pod)
    said = ""
    if reason:
        said = f"asked to stop: {reason}"
    elif pod.metadata.deletion_timestamp is not None:
        said = f"it is being ended: {taken}" if taken else "it is being ended: its pod is deleted"
    if _is_out_of_sight(pod):
        silent = f"its node {pod.spec.node_name!r} does not answer: nobody knows whether it goes on"
        return f"{said}; {silent}" if said else silent
    return said


def _is_out_of_sight(pod: PodObject) -> bool:
    """Whether its node was given up: the cluster then calls its pods not ready and, other than a kubelet, gives no reason."""
    ready = next((one for one in pod.status.conditions or () if one.type == "Ready"), None)
    return ready is not None and ready.status != "True" and ready.reason in {"", "NodeStatusUnknown"}


def _why_it_waits(pod: PodObject, reason: str, events: Iterable[EventObject]) -> str:
    if reason:
        return f"asked to stop: {reason}"
    scheduled = next((one for one in pod.status.conditions or () if one.type == "PodScheduled"), None)
    if scheduled is not None and scheduled.status == "False":
        told = _trouble(events, _OF_CLAIM)
        return f"no node can take its pod: {_clean(scheduled.message)}{f' ({told})' if told else ''}"
    for status in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        words = _waiting_words(status)
        if words:
            return words
    if not pod.spec.node_name and not pod.status.container_statuses:
        told = _trouble(events, _OF_CLAIM)
        return f"{_SCHEDULING} ({told})" if told else _SCHEDULING
    told = _trouble(events, _OF_POD)
    return f"its container cannot be prepared: {told}" if told else _PREPARING


def _waiting_words(status: ContainerStatus) -> str:
    waiting = status.state.waiting
    if waiting is None:
        return ""
    message = _clean(waiting.message) or waiting.reason
    if waiting.reason in _PULL:
        return f"image {_clean(status.image)!r} cannot be pulled: {message}"
    if waiting.reason in _CONFIG:
        return f"container {status.name!r} cannot be started: {message}"
    return ""


def _trouble(events: Iterable[EventObject], reasons: frozenset[str]) -> str:
    """The newest Event that says what is wrong, for one of these reasons; "" where none does."""
    known = [one for one in events if one.reason in reasons]
    newest = max(known, key=_time_of, default=None)
    return _clean(newest.message) if newest is not None else ""


def _time_of(event: EventObject) -> datetime:
    return event.event_time or event.last_timestamp or event.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)


def _why_taken(pod: PodObject) -> str:
    """Why the cluster takes the pod away; "" where it does not say."""
    target = pod.condition("DisruptionTarget")
    if target is not None:
        return _EVICTIONS.get(target.reason, f"the cluster took it away ({_clean(target.reason)})")
    if pod.status.reason in {"Evicted", "Preempting", "NodeShutdown", "Terminated", "NodeLost", "Shutdown"}:
        message = _clean(pod.status.message)
        return f"its node took it away ({pod.status.reason}{f': {message}' if message else ''})"
    return ""


def _lost(job: JobObject, pod: PodObject, ended: Terminated | None) -> str:
    """Why a pod ended without a report, in one sentence."""
    taken = _why_taken(pod)
    if ended is not None and ended.reason == "OOMKilled":
        return "its agent used more memory than its container may have and was killed (OOMKilled); raise the memory limit"
    over = job.condition("Failed")
    if pod.status.reason == "DeadlineExceeded" or (over is not None and over.reason == "DeadlineExceeded"):
        return f"{_over_deadline(job)} and was ended without a report"
    if taken:
        return f"{taken}, and it left no report"
    if ended is None:
        why = _clean(pod.status.message) or pod.status.reason or "the cluster does not say why"
        return f"its pod ended before its container ran: {why}"
    if ended.reason == "ContainerStatusUnknown":
        return f"its node {pod.spec.node_name!r} lost track of its container: nobody knows how it ended"
    said = _clean(ended.message)
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
    reason = f" ({_clean(ended.reason)})" if ended.reason not in {"", "Error", "Completed"} else ""
    return f"its container ended with {how}{reason} and left no report{f'; its last words: {said}' if said else ''}"


def _clean(text: str) -> str:
    return printable(text, _LONGEST)
