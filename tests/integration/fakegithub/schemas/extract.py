"""Takes from GitHub's OpenAPI what the fake speaks: `python -m tests.integration.fakegithub.schemas.extract FOLDER OUT`.

A process of its own, so that the many megabytes it reads are gone when it ends. Standard input has the operations, one
`METHOD /path` a line. OUT gets JSON Schemas (2020-12): `rest` has `METHOD /path STATUS`, `webhooks` has names like
`pull-request-opened`, `definitions` what both refer to.
"""

import json
import sys
from pathlib import Path
from typing import Any

_KINDS = ("rest", "webhooks")
_DROPPED = frozenset({"example", "examples", "description", "default", "title", "externalDocs", "discriminator", "xml"})
# Spelled out there with an account that is a user and an enterprise at once, which no answer can be.
_LIST = "GET /app/installations 200"
_SCHEMAS = "#/components/schemas/"
DEFINITIONS = "urn:github:definitions"


def convert(node: Any, kind: str) -> Any:
    """OpenAPI 3.0's `nullable` becomes a type; references point into the definitions, each document's apart."""
    if isinstance(node, list):
        return [convert(one, kind) for one in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in {"properties", "patternProperties"}:
            made[key] = {name: convert(one, kind) for name, one in value.items()}
        elif key == "$ref":
            made[key] = f"{DEFINITIONS}#/{kind}/{value.removeprefix(_SCHEMAS)}"
        elif key == "enum":
            made[key] = value
        elif key not in _DROPPED:
            made[key] = convert(value, kind)
    return _nullable(made) if made.pop("nullable", False) else made


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    return made if _takes_null(made) else {"anyOf": [made, {"type": "null"}]}


def _takes_null(made: dict[str, Any]) -> bool:
    return made.get("type") == "null" or not made


def references(node: Any) -> set[str]:
    """The names of every schema that a node of a document refers to."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    found = set().union(*(references(value) for value in node.values()))
    name = node.get("$ref")
    return found | {name.removeprefix(_SCHEMAS)} if isinstance(name, str) and name.startswith(_SCHEMAS) else found


def closure(document: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """The schemas of these names and of all they refer to."""
    found: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        found[name] = document["components"]["schemas"][name]
        wanted |= references(found[name]) - found.keys()
    return found


def answers(document: dict[str, Any], operations: list[str]) -> dict[str, Any]:
    """The JSON schema of each answer of these operations; None for an answer without a body."""
    found: dict[str, Any] = {}
    for operation in operations:
        method, _, path = operation.partition(" ")
        described = document["paths"].get(path, {}).get(method.lower(), {"responses": {}})
        for status, response in described["responses"].items():
            whole = document["components"]["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else response
            found[f"{operation} {status}"] = whole.get("content", {}).get("application/json", {}).get("schema")
    if _LIST in found:
        found[_LIST] = {"type": "array", "items": {"$ref": f"{_SCHEMAS}installation"}}
    found["error"] = {"$ref": f"{_SCHEMAS}basic-error"}
    return found


def events(document: dict[str, Any]) -> dict[str, Any]:
    """The schema of each webhook's body."""
    return {
        name: hook["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, hook in document["webhooks"].items()
        if name.startswith(_EVENTS)
    }


_EVENTS = (
    "check-run",
    "create",
    "delete",
    "installation",
    "issue-comment",
    "label",
    "merge-group",
    "ping",
    "pull-request",
    "push",
    "status",
)


def main(folder: Path, out: Path, operations: list[str]) -> None:
    """Reads both documents, one after the other, and writes the extract."""
    made: dict[str, Any] = {"definitions": {}}
    for kind in _KINDS:
        document = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
        found = answers(document, operations) if kind == "rest" else events(document)
        made["definitions"][kind] = convert(closure(document, references(list(found.values()))), kind)
        made[kind] = convert(found, kind)
        del document
    out.write_text(json.dumps(made), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.stdin.read().splitlines())
