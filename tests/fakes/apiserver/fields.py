"""Sets of fields, and the comparing, merging and removing that server-side apply is made of.

A set is a tree of path elements in the notation of FieldsV1 (`f:name`, `k:{"name":"x"}`, `v:"x"`); `.` marks a node that is
itself a member. The rules are those of sigs.k8s.io/structured-merge-diff.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from tests.fakes.apiserver.schema import Schema

FieldSet = dict[str, Any]
SELF = "."
_encoded = msgspec.json.Encoder().encode
FREE = Schema(preserve=True)


class Comparison(NamedTuple):
    """What changed from one object to the next."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def is_same(self) -> bool:
        """Whether nothing did."""
        return not (self.added or self.modified or self.removed)


def below(schema: Schema, name: str) -> Schema:
    """The schema of a property, one that takes anything where it is unknown."""
    return schema.of(name) or FREE


def _key(item: Any, schema: Schema) -> str:
    if schema.list_type == "set":
        return "v:" + _encoded(item).decode()
    keys = {name: item.get(name, _key_default(schema, name)) for name in schema.list_keys} if isinstance(item, dict) else {}
    return "k:" + _encoded({name: one for name, one in keys.items() if one is not None}).decode()


def _key_default(schema: Schema, name: str) -> Any:
    found = schema.items.of(name) if schema.items is not None else None
    return found.default if found is not None and found.has_default else None


def _is_granular_map(value: Any, schema: Schema) -> bool:
    return isinstance(value, dict) and schema.map_type != "atomic"


def _is_granular_list(value: Any, schema: Schema) -> bool:
    return isinstance(value, list) and schema.list_type in {"map", "set"}


def fields_of(value: Any, schema: Schema) -> FieldSet:
    """The set of everything in `value`."""
    if _is_granular_map(value, schema):
        found: FieldSet = {}
        properties = schema.properties
        for name, one in value.items():
            if isinstance(one, dict | list):
                inner = fields_of(one, below(schema, name))
                if not one or name not in properties:
                    inner[SELF] = True
                if inner:
                    found[f"f:{name}"] = inner
            else:
                found[f"f:{name}"] = {SELF: True}
        return found
    if _is_granular_list(value, schema):
        return {_key(one, schema): {SELF: True, **_inside(one, schema)} for one in value}
    return {SELF: True}


def _inside(item: Any, schema: Schema) -> FieldSet:
    inner = fields_of(item, schema.items or FREE)
    return inner if isinstance(item, dict) else {}


def compare(old: Any, new: Any, schema: Schema) -> Comparison:
    """What has to be said of the way from `old` to `new`."""
    if old is new or old == new:
        return Comparison({}, {}, {})
    if _is_granular_map(old, schema) and _is_granular_map(new, schema):
        pairs = [(f"f:{name}", old.get(name), new.get(name), name in old, name in new) for name in {**old, **new}]
        return _compare_pairs(pairs, {f"f:{name}": below(schema, name) for name in {**old, **new}})
    if _is_granular_list(old, schema) and _is_granular_list(new, schema):
        olds, news = {_key(one, schema): one for one in old}, {_key(one, schema): one for one in new}
        items = schema.items or FREE
        pairs = [(key, olds.get(key), news.get(key), key in olds, key in news) for key in {**olds, **news}]
        return _compare_pairs(pairs, dict.fromkeys({**olds, **news}, items))
    return Comparison({}, {SELF: True}, {})


def _compare_pairs(pairs: list[tuple[str, Any, Any, bool, bool]], schemas: dict[str, Schema]) -> Comparison:
    added: FieldSet = {}
    modified: FieldSet = {}
    removed: FieldSet = {}
    for element, old, new, was, is_ in pairs:
        if was and is_:
            inner = compare(old, new, schemas[element])
            for into, part in ((added, inner.added), (modified, inner.modified), (removed, inner.removed)):
                if part:
                    into[element] = part
        else:
            into, value = (added, new) if is_ else (removed, old)
            inside = {} if element.startswith("v:") else fields_of(value, schemas[element])
            into[element] = {SELF: True, **inside}
    return Comparison(added, modified, removed)


def union(one: FieldSet, two: FieldSet) -> FieldSet:
    """Members of either."""
    found = dict(one)
    for element, inner in two.items():
        if element == SELF:
            found[SELF] = True
        else:
            found[element] = union(found[element], inner) if element in found else inner
    return found


def common(one: FieldSet, two: FieldSet) -> FieldSet:
    """Members of both."""
    found: FieldSet = {}
    for element, inner in one.items():
        if element not in two:
            continue
        if element == SELF:
            found[SELF] = True
        elif part := common(inner, two[element]):
            found[element] = part
    return found


def without(one: FieldSet, two: FieldSet) -> FieldSet:
    """Members of the first that are not in the second."""
    found: FieldSet = {}
    for element, inner in one.items():
        if element == SELF:
            if SELF not in two:
                found[SELF] = True
        elif element not in two:
            found[element] = inner
        elif part := without(inner, two[element]):
            found[element] = part
    return found


def leaves(fields: FieldSet, path: str = "") -> Iterator[str]:
    """The members that have no members below them, as `.spec.replicas`."""
    inner = [element for element in fields if element != SELF]
    if not inner and SELF in fields:
        yield path
    for element in inner:
        yield from leaves(fields[element], path + _shown(element))


def _shown(element: str) -> str:
    if element.startswith("f:"):
        return "." + element[2:]
    if element.startswith("v:"):
        return f"[={element[2:]}]"
    keys = json.loads(element[2:])
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"


def merge(live: Any, config: Any, schema: Schema) -> Any:
    """`live` with everything in `config` in its place; neither is changed."""
    if _is_granular_map(live, schema) and _is_granular_map(config, schema):
        merged = dict(live)
        for name, one in config.items():
            merged[name] = merge(live[name], one, below(schema, name)) if name in live else one
        return merged
    if _is_granular_list(live, schema) and _is_granular_list(config, schema):
        wanted = {_key(one, schema): one for one in config}
        items = schema.items or FREE
        kept = [merge(one, wanted.pop(key), items) if (key := _key(one, schema)) in wanted else one for one in live]
        return kept + list(wanted.values())
    return config


def remove(value: Any, gone: FieldSet, kept: FieldSet, schema: Schema) -> Any:
    """`value` without the members of `gone`; what has a member in `kept` below it stays. Containers that it empties go too."""
    if _is_granular_map(value, schema):
        found = {}
        for name, one in value.items():
            element = f"f:{name}"
            if element not in gone:
                found[name] = one
            elif element in kept or not _is_whole(one, gone[element], below(schema, name)):
                inner = remove(one, gone[element], kept.get(element, {}), below(schema, name))
                if inner or not one:
                    found[name] = inner
        return found
    if _is_granular_list(value, schema):
        items = schema.items or FREE
        return [
            remove(one, gone[key], kept.get(key, {}), items) if key in gone and isinstance(one, dict) else one
            for one in value
            if (key := _key(one, schema)) not in gone or key in kept or SELF not in gone[key]
        ]
    return value


def _is_whole(value: Any, gone: FieldSet, schema: Schema) -> bool:
    """Whether a removed member takes `value` with it: scalars, and what is atomic."""
    return SELF in gone and not _is_granular_map(value, schema) and not _is_granular_list(value, schema)


def written(fields: FieldSet) -> dict[str, Any]:
    """As FieldsV1: a member without members below is `{}`."""
    return {element: {} if inner is True or inner == {SELF: True} else written(inner) for element, inner in fields.items()}
