"""What an API server does with an object by its structural schema: prune, and refuse by types, enums, patterns and limits.

No CEL: rules of that kind are tried on a real API server. Whole objects are made here too, with something in every field.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import jsonschema_rs
import msgspec
from msgspec import inspect

from coderun.kube.schema import Schema

T = TypeVar("T", bound=msgspec.Struct)
_KEEP = "x-kubernetes-preserve-unknown-fields"


def pruned(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Paths of fields that the schema does not have, and that are not kept either."""
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties")
        for key, inner in value.items():
            known = properties.get(key, more)
            if known is not None:
                yield from pruned(inner, known, f"{path}.{key}")
            elif not schema.get(_KEEP):
                yield f"{path}.{key}"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from pruned(item, schema.get("items", {_KEEP: True}), f"{path}[{index}]")


def refusals(value: Any, schema: Schema) -> list[str]:
    """What types, enums, patterns and limits have against a value, each with its path."""
    found = jsonschema_rs.validator_for(_plain(schema), validate_formats=True).iter_errors(value)
    return [f"{'.'.join(str(step) for step in error.instance_path)}: {error.message}" for error in found]


def _plain(schema: Any) -> Any:
    """The schema in words of JSON Schema: `nullable` as a type."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key not in {"nullable", "format"}}
    if schema.get("format") == "date-time":
        plain["format"] = "date-time"
    if schema.get("nullable"):
        plain["type"] = [schema["type"], "null"]
        if "enum" in schema:
            plain["enum"] = [*schema["enum"], None]
    return plain


def whole(struct: type[T]) -> T:
    """A struct with something in every field that is not its default."""
    return msgspec.convert(_filled(inspect.type_info(struct)), struct)


_SCALARS: dict[type[inspect.Type], Any] = {
    inspect.StrType: "a/b",
    inspect.BoolType: True,
    inspect.IntType: 7,
    inspect.FloatType: 0.5,
    inspect.DateTimeType: datetime(2026, 11, 28, 1, 2, 3, 456789, tzinfo=UTC).isoformat(),
    inspect.AnyType: {"deep": [1, "two"]},
}


def _filled(type_: inspect.Type) -> Any:
    match type_:
        case inspect.StructType():
            return {field.encode_name: _filled(field.type) for field in type_.fields}
        case inspect.UnionType():
            return _filled(next(one for one in type_.types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType() | inspect.ListType():
            return [_filled(type_.item_type)]
        case inspect.DictType():
            return {"some": _filled(type_.value_type)}
        case inspect.EnumType():
            return list(type_.cls)[-1].value
        case _:
            return _SCALARS[type(type_)]
