"""What we read of Jobs, Pods, volume claims and Events: partial shapes, so that decoding costs what we use. Pure."""

from datetime import datetime

import msgspec

from coderun.kube.objects import KubeMeta, Shape


class WorkloadCondition(Shape, frozen=True, kw_only=True):
    """A condition of a Job or a Pod."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class JobSpecPart(Shape, frozen=True, kw_only=True):
    """What of a Job's spec is looked at."""

    suspend: bool | None = None
    active_deadline_seconds: int | None = None


class JobStatusPart(Shape, frozen=True, kw_only=True):
    """A Job's status."""

    conditions: tuple[WorkloadCondition, ...] | None = None
    active: int = 0
    failed: int = 0
    succeeded: int = 0
    start_time: datetime | None = None


class JobObject(Shape, frozen=True, kw_only=True):
    """A Job."""

    metadata: KubeMeta
    spec: JobSpecPart = JobSpecPart()
    status: JobStatusPart = JobStatusPart()

    def condition(self, type_: str) -> WorkloadCondition | None:
        """The condition of that type, where it is true."""
        return _true(self.status.conditions, type_)


class Waiting(Shape, frozen=True, kw_only=True):
    """A container that waits."""

    reason: str = ""
    message: str = ""


class Running(Shape, frozen=True, kw_only=True):
    """A container that runs."""

    started_at: datetime | None = None


class Terminated(Shape, frozen=True, kw_only=True):
    """A container that has ended; `message` is its termination message, or its last output where it wrote none."""

    exit_code: int = 0
    signal: int | None = None
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Shape, frozen=True, kw_only=True):
    """One of three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Shape, frozen=True, kw_only=True):
    """How a container of a pod is; one that was never made has no `container_id`."""

    name: str = ""
    image: str = ""
    container_id: str = msgspec.field(name="containerID", default="")
    state: ContainerState = ContainerState()


class PodSpecPart(Shape, frozen=True, kw_only=True):
    """What of a Pod's spec is looked at."""

    node_name: str = ""


class PodStatusPart(Shape, frozen=True, kw_only=True):
    """A Pod's status."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[WorkloadCondition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class PodObject(Shape, frozen=True, kw_only=True):
    """A Pod."""

    metadata: KubeMeta
    spec: PodSpecPart = PodSpecPart()
    status: PodStatusPart = PodStatusPart()

    def condition(self, type_: str) -> WorkloadCondition | None:
        """The condition of that type, where it is true."""
        return _true(self.status.conditions, type_)

    def container(self, name: str) -> ContainerState | None:
        """How the container of that name is; None where nobody has said yet."""
        found = (one.state for one in self.status.container_statuses or () if one.name == name)
        return next(found, None)


class EventObject(Shape, frozen=True, kw_only=True):
    """An Event of the core API about an object."""

    metadata: KubeMeta
    reason: str = ""
    message: str = ""
    type: str = ""
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


def _true(conditions: tuple[WorkloadCondition, ...] | None, type_: str) -> WorkloadCondition | None:
    return next((one for one in conditions or () if one.type == type_ and one.status == "True"), None)
