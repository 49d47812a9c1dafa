"""Which resources there are: group, version, names, scope, subresources; the built-in ones as a table."""

from dataclasses import dataclass, field
from enum import Enum

from tests.fakes.apiserver.schema import Schema


class NameRule(Enum):
    """What a name of the kind must look like."""

    SUBDOMAIN = "subdomain"
    LABEL = "label"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource in one version.

    Attributes:
        model: Name of the class in `kubernetes.aio.client.models` that types a built-in kind; "" for custom resources.
        create_on_update: A PUT of what is not there creates it.
        unconditional: A PUT without resourceVersion overwrites.
        generation: Whether the kind counts changes of its spec.
        fields: Field selectors beside metadata.name and metadata.namespace, as paths.
    """

    group: str
    version: str
    plural: str
    kind: str
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: frozenset[str] = frozenset()
    names: NameRule = NameRule.SUBDOMAIN
    model: str = ""
    create_on_update: bool = False
    unconditional: bool = True
    generation: bool = False
    returns_deleted: bool = False
    fields: tuple[str, ...] = ()
    schema: Schema | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """`v1`, `batch/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full(self) -> str:
        """`pods`, `jobs.batch`: how messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def table(self) -> tuple[str, str]:
        """Where objects of all versions are kept."""
        return (self.group, self.plural)

    @property
    def has_status(self) -> bool:
        """Whether the status is a subresource of its own."""
        return "status" in self.subresources

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return not self.model


def _core(plural: str, kind: str, *shorts: str, **more: object) -> Resource:
    return Resource(group="", version="v1", plural=plural, kind=kind, short_names=shorts, model=f"V1{kind}", **more)  # type: ignore[arg-type] # a table's columns


_STATUS = frozenset({"status"})
NAMESPACES = _core(
    "namespaces",
    "Namespace",
    "ns",
    namespaced=False,
    names=NameRule.LABEL,
    subresources=_STATUS,
    returns_deleted=True,
    fields=("status.phase",),
)
PODS = _core(
    "pods",
    "Pod",
    "po",
    subresources=frozenset({"status", "log", "eviction", "binding"}),
    returns_deleted=True,
    generation=True,
    fields=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
)
CRDS = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    short_names=("crd", "crds"),
    namespaced=False,
    subresources=_STATUS,
    model="V1CustomResourceDefinition",
    unconditional=False,
    generation=True,
)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "reason",
    "source",
    "type",
)
BUILTIN: tuple[Resource, ...] = (
    NAMESPACES,
    PODS,
    _core("configmaps", "ConfigMap", "cm"),
    _core("secrets", "Secret", fields=("type",)),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subresources=_STATUS, returns_deleted=True),
    _core("serviceaccounts", "ServiceAccount", "sa", returns_deleted=True),
    Resource(
        group="",
        version="v1",
        plural="events",
        kind="Event",
        short_names=("ev",),
        model="CoreV1Event",
        create_on_update=True,
        fields=_EVENT_FIELDS,
    ),
    Resource(
        group="batch",
        version="v1",
        plural="jobs",
        kind="Job",
        model="V1Job",
        categories=("all",),
        subresources=_STATUS,
        generation=True,
        fields=("status.successful",),
    ),
    Resource(
        group="coordination.k8s.io",
        version="v1",
        plural="leases",
        kind="Lease",
        model="V1Lease",
        create_on_update=True,
        unconditional=False,
    ),
    CRDS,
)
