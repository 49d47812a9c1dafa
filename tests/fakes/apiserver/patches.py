"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and strategic merge patch, as functions of a document."""

import copy
from typing import Any

from tests.fakes.apiserver.errors import StatusError, bad_request
from tests.fakes.apiserver.fields import below
from tests.fakes.apiserver.schema import Json, Schema

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def strategic_patch(target: Any, patch: Any, schema: Schema) -> Any:
    """As a merge patch, but lists with keys are merged item by item; knows `$patch: delete|replace`."""
    if isinstance(patch, list) and schema.list_type == "map" and isinstance(target, list):
        return _merge_items(target, patch, schema)
    if isinstance(patch, list) and schema.list_type == "set" and isinstance(target, list):
        return target + [one for one in patch if one not in target]
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif not name.startswith("$"):
            merged[name] = strategic_patch(merged.get(name), value, below(schema, name))
    return merged


def _merge_items(target: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    # Strategic merge knows one key a list: the first.
    key = schema.list_keys[0]
    merged = list(target)
    for item in patch:
        at = next((at for at, one in enumerate(merged) if one.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            merged = [one for one in merged if one.get(key) != item.get(key)]
        elif at is None:
            merged.append(item)
        elif schema.items is not None:
            merged[at] = strategic_patch(merged[at], item, schema.items)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902 on a copy.

    Raises:
        StatusError: an operation is malformed, or does not fit (422).
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _unfit(f"the server rejected our request due to an error in our request: {error}") from error
    return document


def _unfit(message: str) -> StatusError:
    return StatusError(422, "Invalid", message)


def _operate(document: Any, operation: Json) -> Any:
    path = _path(operation["path"])
    match operation["op"]:
        case "add":
            return _put(document, path, operation["value"], insert=True)
        case "replace":
            _get(document, path)
            return _put(document, path, operation["value"], insert=False)
        case "remove":
            return _cut(document, path)
        case "test":
            if _get(document, path) != operation["value"]:
                raise _unfit("the server rejected our request due to an error in our request")
            return document
        case "copy":
            return _put(document, path, copy.deepcopy(_get(document, _path(operation["from"]))), insert=True)
        case "move":
            value = _get(document, _path(operation["from"]))
            return _put(_cut(document, _path(operation["from"])), path, value, insert=True)
        case other:
            raise bad_request(f"Unexpected kind: {other}")


def _path(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _put(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        if insert:
            parent.insert(len(parent) if last == "-" else int(last), value)
        else:
            parent[int(last)] = value
    else:
        parent[last] = value
    return document


def _cut(document: Any, path: list[str]) -> Any:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[int(last)]
    else:
        del parent[last]
    return document
