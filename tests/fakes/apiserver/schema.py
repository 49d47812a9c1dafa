"""A structural schema, compiled: pruning and defaulting here, checking in `validation`, merging in `fields`.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import copy
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
_ABSENT: Any = object()
META = ("apiVersion", "kind", "metadata")


@dataclass(kw_only=True)
class Rule:
    """One `x-kubernetes-validations` entry."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False

    @property
    def is_transition(self) -> bool:
        """Whether it speaks of the value before."""
        return re.search(r"\boldSelf\b", self.rule) is not None


@dataclass(kw_only=True, eq=False)
class Schema:
    """One node; `additional` is what values of a map must be, True for anything."""

    type: str = ""
    properties: dict[str, "Schema"] = field(default_factory=dict)
    additional: "Schema | bool" = False
    items: "Schema | None" = None
    required: tuple[str, ...] = ()
    default: Any = _ABSENT
    nullable: bool = False
    int_or_string: bool = False
    preserve: bool = False
    embedded: bool = False
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    checks: Json = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    all_of: tuple["Schema", ...] = ()
    any_of: tuple["Schema", ...] = ()
    one_of: tuple["Schema", ...] = ()
    not_: "Schema | None" = None
    pattern: re.Pattern[str] | None = None

    @property
    def has_default(self) -> bool:
        """Whether a missing value is filled in."""
        return self.default is not _ABSENT

    def of(self, name: str) -> "Schema | None":
        """The schema of a property; None where it is unknown or free."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Schema):
            return self.additional
        return found


_CHECKS = (
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "format",
)


def compile_schema(source: Json) -> Schema:
    """The schema of a CRD's `openAPIV3Schema`."""
    additional = source.get("additionalProperties", False)
    return Schema(
        type=source.get("type", ""),
        properties={name: compile_schema(one) for name, one in source.get("properties", {}).items()},
        additional=compile_schema(additional) if isinstance(additional, dict) and additional else bool(additional),
        items=compile_schema(source["items"]) if "items" in source else None,
        required=tuple(source.get("required", ())),
        default=source.get("default", _ABSENT),
        nullable=source.get("nullable", False),
        int_or_string=source.get("x-kubernetes-int-or-string", False),
        preserve=source.get("x-kubernetes-preserve-unknown-fields", False),
        embedded=source.get("x-kubernetes-embedded-resource", False),
        list_type=source.get("x-kubernetes-list-type", "atomic"),
        list_keys=tuple(source.get("x-kubernetes-list-map-keys", ())),
        map_type=source.get("x-kubernetes-map-type", "granular"),
        checks={name: source[name] for name in _CHECKS if name in source},
        rules=tuple(_rule(one) for one in source.get("x-kubernetes-validations", ())),
        all_of=tuple(compile_schema(one) for one in source.get("allOf", ())),
        any_of=tuple(compile_schema(one) for one in source.get("anyOf", ())),
        one_of=tuple(compile_schema(one) for one in source.get("oneOf", ())),
        not_=compile_schema(source["not"]) if "not" in source else None,
        pattern=re.compile(source["pattern"]) if "pattern" in source else None,
    )


def _rule(source: Json) -> Rule:
    return Rule(
        rule=source["rule"],
        message=source.get("message", ""),
        message_expression=source.get("messageExpression", ""),
        reason=source.get("reason", ""),
        field_path=source.get("fieldPath", ""),
        optional_old_self=source.get("optionalOldSelf", False),
    )


def prune(value: Any, schema: Schema, unknown: list[str], path: str = "", *, root: bool = False) -> None:
    """Drop what the schema does not name, in place; what was dropped is named in `unknown`."""
    if isinstance(value, list) and schema.items is not None:
        for at, one in enumerate(value):
            prune(one, schema.items, unknown, f"{path}[{at}]")
    if not isinstance(value, dict):
        return
    for name in list(value):
        where = f"{path}.{name}" if path else name
        if (root or schema.embedded) and name in META:
            continue
        below = schema.of(name)
        if below is not None:
            prune(value[name], below, unknown, where)
        elif not schema.preserve and not schema.additional:
            del value[name]
            unknown.append(where)


def fill_defaults(value: Any, schema: Schema) -> None:
    """Fill in defaults, in place; a null where none may stand is dropped first."""
    if isinstance(value, list) and schema.items is not None:
        for one in value:
            fill_defaults(one, schema.items)
    if not isinstance(value, dict):
        return
    for name, below in schema.properties.items():
        if name in value and value[name] is None and not below.nullable:
            del value[name]
        if name not in value and below.has_default:
            value[name] = copy.deepcopy(below.default)
    for name, one in value.items():
        found = schema.of(name)
        if found is not None and isinstance(one, dict | list):
            fill_defaults(one, found)
