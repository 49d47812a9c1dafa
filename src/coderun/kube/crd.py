"""The custom resource definitions, made from the structs of `model`.

`coderun crds` prints them and the chart carries them; nothing is written by hand twice. Pure.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from coderun.kube.fields import FIELDS
from coderun.kube.schema import Schema, schema_of
from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus
from coderun.model.deliveries import DeliveryObject, DeliverySpec, DeliveryStatus
from coderun.model.docsrun import DocsRun, DocsRunSpec, DocsRunStatus
from coderun.model.names import GROUP
from coderun.model.play import Play, PlaySpec, PlayStatus

VERSION: Final = "v1"
CATEGORY: Final = "agents"
"""`kubectl get agents` lists every kind of the group."""


_LIMITS: Final = frozenset(
    {
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "maxProperties",
        "x-kubernetes-validations",
    }
)


class Column(NamedTuple):
    """A column of `kubectl get`; those of priority 1 are shown by `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Kind(NamedTuple):
    """A kind of object: its names, its structs, and how `kubectl get` shows it."""

    kind: str
    plural: str
    short: str
    about: str
    spec: type[msgspec.Struct]
    status: type[msgspec.Struct]
    columns: tuple[Column, ...]

    @property
    def definition(self) -> str:
        """Name of its custom resource definition."""
        return f"{self.plural}.{GROUP}"


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_REPOSITORY = Column("Repository", ".spec.repositoryUrl", priority=1)
_ACCEPTED = Column("Accepted", '.status.conditions[?(@.type=="Accepted")].reason')
_MESSAGE = Column("Message", ".status.message", priority=1)

KINDS: Final = (
    Kind(
        kind=CodeRun.KIND,
        plural="coderuns",
        short="cr",
        about="One execution of one agent on one task.",
        spec=CodeRunSpec,
        status=CodeRunStatus,
        columns=(
            Column("Task", ".spec.taskId", "integer"),
            Column("Service", ".spec.service"),
            Column("Agent", ".spec.githubApp"),
            Column("Stage", ".spec.stage"),
            Column("Phase", ".status.phase"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            Column("Model", ".spec.model", priority=1),
            Column("PR", ".status.pullRequestUrl", priority=1),
            Column("Cost", ".status.usage.costUsd", "number", priority=1),
            _REPOSITORY,
            _ACCEPTED._replace(priority=1),
            _MESSAGE,
            _AGE,
        ),
    ),
    Kind(
        kind=Play.KIND,
        plural="plays",
        short="",
        about="One task going through the pipeline, from implementation to merge.",
        spec=PlaySpec,
        status=PlayStatus,
        columns=(
            Column("Task", ".spec.taskId", "integer"),
            Column("Service", ".spec.service"),
            Column("Phase", ".status.phase"),
            Column("Stage", ".status.stage"),
            Column("Iteration", ".status.iteration", "integer"),
            Column("PR", ".status.pullRequest.number", "integer"),
            Column("Waiting", ".status.waiting.reason"),
            _REPOSITORY,
            _ACCEPTED._replace(priority=1),
            Column("Moves", ".status.waiting.wouldMove", priority=1),
            _MESSAGE,
            _AGE,
        ),
    ),
    Kind(
        kind=DocsRun.KIND,
        plural="docsruns",
        short="",
        about="One execution of the documentation agent.",
        spec=DocsRunSpec,
        status=DocsRunStatus,
        columns=(
            _REPOSITORY._replace(priority=0),
            Column("Phase", ".status.phase"),
            _ACCEPTED,
            _MESSAGE,
            _AGE,
        ),
    ),
    Kind(
        kind=DeliveryObject.KIND,
        plural="deliveries",
        short="",
        about="One event of a forge that concerns a play: the inbox of the controller.",
        spec=DeliverySpec,
        status=DeliveryStatus,
        columns=(
            Column("Event", ".spec.event"),
            Column("Repository", ".spec.repository"),
            Column("Actor", ".spec.actor"),
            Column("State", ".status.state"),
            Column("Outcome", ".status.outcome", priority=1),
            _AGE,
        ),
    ),
)


def definitions(kinds: Iterable[Kind] = KINDS) -> list[Schema]:
    """Every custom resource definition, as objects of `apiextensions.k8s.io/v1`."""
    return [_definition(kind) for kind in kinds]


def _definition(kind: Kind) -> Schema:
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "categories": [CATEGORY],
    }
    if kind.short:
        names["shortNames"] = [kind.short]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition, "labels": {"app.kubernetes.io/part-of": "coderun"}},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def _root(kind: Kind) -> Schema:
    return {
        "description": kind.about,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema_of(kind.spec, FIELDS),
            "status": _without_limits(schema_of(kind.status, FIELDS)),
        },
    }


def _without_limits(schema: Schema) -> Schema:
    """A schema that refuses nothing but wrong types and unknown words."""
    made = {key: value for key, value in schema.items() if key not in _LIMITS}
    if "properties" in made:
        made["properties"] = {name: _without_limits(field) for name, field in made["properties"].items()}
    for inside in ("items", "additionalProperties"):
        if inside in made:
            made[inside] = _without_limits(made[inside])
    return made


def _column(column: Column) -> dict[str, Any]:
    said: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**said, "priority": column.priority} if column.priority else said
