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
    """One node; `additional` is what values of a map must be, True for anything.

    `distinct`: whether items of a list with keys must differ in them; not so in built-in kinds, which check that themselves.
    """

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
    distinct: bool = True
    map_type: str = "granular"
    checks: Json = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    all_of: tuple["Schema", ...] = ()
    any_of: tuple["Schema", ...] = ()
    one_of: tuple["Schema", ...] = ()
    not_: "Schema | None" = None
    pattern: re.Pattern[str] | None = None
    defaults_inside: bool = False
    rules_inside: bool = False

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
    made = Schema(
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
    below = [one for one in (*made.properties.values(), made.items, made.additional) if isinstance(one, Schema)]
    made.defaults_inside = any(one.has_default or one.defaults_inside for one in below)
    made.rules_inside = bool(made.rules) or any(one.rules_inside for one in below)
    return made


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
    """Drop what the schema does not name, and nulls where none may stand, in place; what was unknown is named in `unknown`."""
    if isinstance(value, list):
        for at, one in enumerate(value if schema.items is not None else ()):
            if isinstance(one, dict | list):
                prune(one, schema.items or schema, unknown, f"{path}[{at}]")
        return
    skipped = META if root or schema.embedded else ()
    # Nearly always there is nothing to drop, so the names are not copied before that is known.
    doomed: list[str] = []
    for name, one in value.items():
        below = schema.of(name)
        if name in skipped:
            continue
        if below is None and not schema.preserve and not schema.additional:
            doomed.append(name)
            unknown.append(_at(path, name))
        elif below is not None and isinstance(one, dict | list):
            prune(one, below, unknown, _at(path, name))
        elif below is not None and one is None and not below.nullable:
            doomed.append(name)
    for name in doomed:
        del value[name]


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def fill_defaults(value: Any, schema: Schema) -> None:
    """Fill in defaults, in place."""
    if isinstance(value, list):
        if schema.items is not None and schema.items.defaults_inside:
            for one in value:
                fill_defaults(one, schema.items)
        return
    if not isinstance(value, dict) or not schema.defaults_inside:
        return
    for name, below in schema.properties.items():
        if name not in value and below.has_default:
            value[name] = copy.deepcopy(below.default)
    for name, one in value.items():
        found = schema.of(name)
        if found is not None and found.defaults_inside:
            fill_defaults(one, found)
