"""The structural schema of a struct: what an API server has to know of a custom resource.

From the structs of `model` to OpenAPI v3 as custom resource definitions take it: no references, no titles, objects spelt out,
`None` as `nullable`. Pure. Limits and words of single fields come from the caller (`kube.fields`); a limit for a field that no
struct has is an error, so that the two cannot drift apart.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

Schema: TypeAlias = dict[str, Any]
Words: TypeAlias = Mapping[type, Mapping[str, Schema]]
"""By struct and by the field's name outside: what is laid over the schema made from the field's type."""

ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
WHOLE = ""
"""The key in `Words` of what is laid over the schema of the struct itself."""


def schema_of(struct: type[msgspec.Struct], words: Words) -> Schema:
    """The schema of a struct, with a `default` wherever a default says something (not empty, zero or false).

    Raises:
        LookupError: `words` speaks of a field that the struct does not have.
    """
    return _schema(inspect.type_info(struct), words)


def _schema(type_: inspect.Type, words: Words) -> Schema:
    match type_:
        case inspect.StructType():
            return _object(type_, words)
        case inspect.UnionType():
            return _union(type_.types, words)
        case inspect.VarTupleType() | inspect.ListType():
            return {"type": "array", "items": _schema(type_.item_type, words), "x-kubernetes-list-type": "atomic"}
        case inspect.DictType():
            return _mapping(type_.value_type, words)
        case inspect.EnumType():
            return {"type": "string", "enum": [member.value for member in type_.cls]}
        case inspect.AnyType():
            return dict(ANYTHING)
        case _:
            return _scalar(type_)


def _scalar(type_: inspect.Type) -> Schema:
    match type_:
        case inspect.StrType():
            return {"type": "string"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64"}
        case inspect.FloatType():
            return {"type": "number", "format": "double"}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case _:
            raise TypeError(f"a custom resource cannot hold {type(type_).__name__}; add it to coderun.kube.schema")


def _union(types: Iterable[inspect.Type], words: Words) -> Schema:
    """An optional type; `int | str` is the one other union there is a word for."""
    inner = [one for one in types if not isinstance(one, inspect.NoneType)]
    kinds = {type(one) for one in inner}
    nullable = {"nullable": True} if len(inner) < len(tuple(types)) else {}
    if len(inner) == 1:
        return {**_schema(inner[0], words), **nullable}
    if kinds == {inspect.IntType, inspect.StrType}:
        return {"x-kubernetes-int-or-string": True, **nullable}
    raise TypeError(f"a custom resource cannot hold a union of {sorted(kind.__name__ for kind in kinds)}")


def _mapping(value: inspect.Type, words: Words) -> Schema:
    if isinstance(value, inspect.AnyType):
        return {"type": "object", **ANYTHING}
    return {"type": "object", "additionalProperties": _schema(value, words)}


def _object(type_: inspect.StructType, words: Words) -> Schema:
    said = words.get(type_.cls, {})
    known = {field.encode_name for field in type_.fields}
    unknown = set(said) - known - {WHOLE}
    if unknown:
        raise LookupError(f"{type_.cls.__name__} has no field {min(unknown)!r} that words could be laid over")
    properties = {field.encode_name: _field(field, said.get(field.encode_name, {}), words) for field in type_.fields}
    made: Schema = {"type": "object", "properties": properties}
    required = [field.encode_name for field in type_.fields if field.required]
    if required:
        made["required"] = required
    return _lay_over(made, said.get(WHOLE, {}))


def _field(field: inspect.Field, said: Schema, words: Words) -> Schema:
    made = _schema(field.type, words)
    default = field.default.value if isinstance(field.default, Enum) else field.default
    if isinstance(default, str | int | float) and default:
        made["default"] = default
    return _lay_over(made, said)


def _lay_over(made: Schema, said: Schema) -> Schema:
    """`made` with what was said: more properties are added, anything else is replaced, the description comes first."""
    more = said.get("properties", {})
    laid = {**made, **{key: value for key, value in said.items() if key != "properties"}}
    if more:
        laid["properties"] = {**made["properties"], **more}
    first = {"description": laid["description"]} if "description" in laid else {}
    return {**first, **laid}
