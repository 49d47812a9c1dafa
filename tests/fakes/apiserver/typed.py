"""Schemas of the built-in kinds, from the types of the official client; it is what knows their field names.

What the client does not say is in the tables: keys of lists, and what is merged as a whole. Known: names and types of fields;
not known: which fields must be there (`builtin` has those that matter here).
"""

import functools
import re
from typing import Any

from tests.fakes.apiserver.schema import Schema

_SCALARS = {
    "str": "string",
    "bytes": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "datetime": "string",
    "date": "string",
}
_KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    ("V1ObjectMeta", "ownerReferences"): ("uid",),
    ("V1PodSpec", "containers"): ("name",),
    ("V1PodSpec", "initContainers"): ("name",),
    ("V1PodSpec", "ephemeralContainers"): ("name",),
    ("V1PodSpec", "volumes"): ("name",),
    ("V1PodSpec", "imagePullSecrets"): ("name",),
    ("V1PodSpec", "hostAliases"): ("ip",),
    ("V1PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("V1Container", "env"): ("name",),
    ("V1Container", "ports"): ("containerPort", "protocol"),
    ("V1Container", "volumeMounts"): ("mountPath",),
    ("V1Container", "volumeDevices"): ("devicePath",),
    ("V1PodStatus", "conditions"): ("type",),
    ("V1PersistentVolumeClaimStatus", "conditions"): ("type",),
    ("V1NamespaceStatus", "conditions"): ("type",),
    ("V1CustomResourceDefinitionStatus", "conditions"): ("type",),
    ("V1ServiceAccount", "secrets"): ("name",),
}
_SETS = {("V1ObjectMeta", "finalizers")}
_ATOMIC = {"V1LabelSelector", "V1NodeSelector", "V1ObjectReference", "V1SecretKeySelector", "V1ConfigMapKeySelector"}
_ATOMIC_MAPS = {("V1PodSpec", "nodeSelector"), ("V1LabelSelector", "matchLabels")}
_QUANTITIES = {"limits", "requests", "capacity", "sizeLimit", "overhead", "allocatedResources", "divisor"}
_OPEN = {"object", "V1JSONSchemaProps", "V1FieldsV1"}


@functools.cache
def schema_of(model: str) -> Schema:
    """The schema of a class of the client's models."""
    from kubernetes.aio.client import models  # noqa: PLC0415 - costs 0.6 s, and only built-in kinds need it

    found = getattr(models, model)
    made = Schema(type="object", map_type="atomic" if model in _ATOMIC else "granular")
    for attribute, kind in found.openapi_types.items():
        name = found.attribute_map[attribute]
        made.properties[name] = _property(model, name, kind)
    return made


def _property(model: str, name: str, kind: str) -> Schema:
    made = _of_type(kind, quantity=name in _QUANTITIES)
    if (model, name) in _KEYS:
        made.list_type, made.list_keys, made.distinct = "map", _KEYS[model, name], False
        if name == "ports" and made.items is not None:
            made.items.properties["protocol"] = Schema(type="string", default="TCP")
    elif (model, name) in _SETS:
        made.list_type, made.distinct = "set", False
    elif (model, name) in _ATOMIC_MAPS:
        made.map_type = "atomic"
    return made


def _of_type(kind: str, *, quantity: bool) -> Schema:
    if found := re.fullmatch(r"List\[(.*)\]", kind):
        return Schema(type="array", items=_of_type(found[1], quantity=quantity))
    if found := re.fullmatch(r"Dict\[str, (.*)\]", kind):
        inner = _of_type(found[1], quantity=quantity)
        return Schema(type="object", additional=inner)
    if kind in _OPEN:
        return Schema(preserve=True)
    if kind in _SCALARS:
        return Schema(int_or_string=True) if quantity else Schema(type=_SCALARS[kind])
    return schema_of(kind)


def copied(value: Any) -> Any:
    """A copy of JSON, deep."""
    if isinstance(value, dict):
        return {name: copied(one) for name, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value
