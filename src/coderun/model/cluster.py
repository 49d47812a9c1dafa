"""The configuration of a cluster's controller: `coderun.yaml` with two more sections, for how runs look in a cluster.

A repository's own `coderun.yaml` never has them. `docs/kubernetes.md` describes every key; a test compares that page with these
structs.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, field

from coderun.model.coderun import SecretEnvVar
from coderun.model.config import Config, Count, LimitSettings, PlaySettings, Section, parse_as
from coderun.model.roster import Roster
from coderun.model.yaml import load

Quantity: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$")]
"""A quantity of Kubernetes: `500m`, `1Gi`."""

_UNITS: Final[dict[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}

ObjectName: TypeAlias = Annotated[str, Meta(pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$", max_length=253)]
"""The name of an object, or nothing."""


class AccessMode(StrEnum):
    """How a workspace's volume may be mounted."""

    ONE_NODE = "ReadWriteOnce"
    ONE_POD = "ReadWriteOncePod"
    MANY_NODES = "ReadWriteMany"


class PullPolicy(StrEnum):
    """When an image is pulled."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"
    NEVER = "Never"


class WorkspaceSettings(Section, frozen=True, kw_only=True):
    """The volume claims that agents work in.

    Attributes:
        storage_class: "" takes the cluster's default.
        adopt_legacy: Whether an existing claim `workspace-{service}` goes on as the implementation agent's.
    """

    storage_class: ObjectName = ""
    size: Quantity = "10Gi"
    access_mode: AccessMode = AccessMode.ONE_NODE
    adopt_legacy: bool = False


class ClusterSettings(Section, frozen=True, kw_only=True):
    """The pods of runs.

    Attributes:
        image: Of the agent container; there is no default.
        requests: Resources that a pod asks for, by name.
        limits: Resources that a pod may use, by name.
        service_account: For agents that have none of their own; "" is the namespace's default. Its token is never mounted.
        env: Plain variables of the runner.
        login: Variables of the runner from Secrets: keys of model providers.
        reserved_secrets: Secrets that no run may ask for.
        docker_image: Image of the Docker daemon beside an agent; "" lets no run ask for one.
        start_seconds: How long a pod may take to start before its time limit begins to count.
        tmp_size: Limit of a pod's temporary files.
    """

    image: Annotated[str, Meta(min_length=1)]
    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    image_pull_secrets: tuple[ObjectName, ...] = ()
    requests: dict[str, Quantity] = field(default_factory=lambda: {"cpu": "500m", "memory": "1Gi"})
    limits: dict[str, Quantity] = field(default_factory=lambda: {"memory": "8Gi"})
    service_account: ObjectName = ""
    user: Count = 1000
    env: dict[str, str] = {}
    login: tuple[SecretEnvVar, ...] = ()
    reserved_secrets: tuple[ObjectName, ...] = ()
    docker_image: str = ""
    start_seconds: Count = 900
    tmp_size: Quantity = "2Gi"
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    priority_class: ObjectName = ""
    runtime_class: ObjectName = ""


class ClusterPlaySettings(PlaySettings, frozen=True, kw_only=True):
    """As for one machine, with room for many plays."""

    parallel: Count = 20


class ClusterLimitSettings(LimitSettings, frozen=True, kw_only=True):
    """As for one machine, with room for many runs: what a cluster can carry, its quotas say."""

    parallel_runs: Count = 100


class ClusterConfig(Config, frozen=True, kw_only=True):
    """All that a cluster's controller is told."""

    play: ClusterPlaySettings = ClusterPlaySettings()
    limits: ClusterLimitSettings = ClusterLimitSettings()
    cluster: ClusterSettings
    workspaces: WorkspaceSettings = WorkspaceSettings()


def parse_cluster_config(text: str, *, packaged: Roster, name: str) -> ClusterConfig:
    """The configuration of a cluster's controller, checked as a repository's.

    Raises:
        ConfigError: the first thing that is wrong, with its place and what to write.
    """
    config = parse_as(ClusterConfig, text, packaged=packaged, name=name)
    for resource, asked in config.cluster.requests.items():
        most = config.cluster.limits.get(resource)
        if most is not None and _amount(asked) > _amount(most):
            message = f"{asked} is more than cluster.limits.{resource}, {most}; write at most that, or a larger limit"
            raise load(text, name=name).error(("cluster", "requests", resource), message)
    return config


def _amount(quantity: str) -> Decimal:
    """A `Quantity` in the unit it counts: bytes, cores."""
    number = quantity.rstrip("".join(_UNITS))
    return Decimal(number) * _UNITS[quantity.removeprefix(number)]
