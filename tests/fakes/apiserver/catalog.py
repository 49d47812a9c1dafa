"""Which resources are served: the built-in ones, and those that CustomResourceDefinitions add."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from tests.fakes.apiserver import cel
from tests.fakes.apiserver.errors import Cause, StatusError, invalid_value, required
from tests.fakes.apiserver.resources import BUILTIN, Resource
from tests.fakes.apiserver.schema import Json, Schema, compile_schema
from tests.fakes.apiserver.typed import schema_of

SERVER_VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.4", "platform": "linux/amd64"}


class Catalog:
    """Resources by group, version and plural."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        for one in BUILTIN:
            self._resources[one.group, one.version, one.plural] = one

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource that a path names, with its schema."""
        found = self._resources.get((group, version, plural))
        if found is not None and found.schema is None:
            found = dataclasses.replace(found, schema=_with_meta(schema_of(found.model)))
            self._resources[group, version, plural] = found
        return found

    def at(self, table: tuple[str, str]) -> Resource | None:
        """Any version of a resource."""
        return next((self.find(*key) for key, one in list(self._resources.items()) if one.table == table), None)

    def all(self) -> Iterator[Resource]:
        """Everything that is served."""
        yield from self._resources.values()

    def install(self, definition: Json) -> None:
        """Serve what a CRD defines, in place of what it defined before."""
        spec = definition["spec"]
        self.uninstall(definition)
        for version in spec["versions"]:
            if version.get("served", False):
                made = _custom(spec, version)
                self._resources[made.group, made.version, made.plural] = made

    def uninstall(self, definition: Json) -> None:
        """Serve it no longer."""
        table = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        self._resources = {key: one for key, one in self._resources.items() if one.table != table}


def _with_meta(schema: Schema) -> Schema:
    return schema


def _custom(spec: Json, version: Json) -> Resource:
    names = spec["names"]
    schema = compile_schema(version["schema"]["openAPIV3Schema"])
    schema.properties["metadata"] = schema_of("V1ObjectMeta")
    subresources = version.get("subresources", {})
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        singular=names.get("singular", names["kind"].lower()),
        list_kind=names.get("listKind", f"{names['kind']}List"),
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        namespaced=spec["scope"] == "Namespaced",
        subresources=frozenset({"status"} if "status" in subresources else ()),
        generation=True,
        unconditional=False,
        fields=tuple(one["jsonPath"].removeprefix(".") for one in version.get("selectableFields", ())),
        schema=schema,
    )


def complete(definition: Json) -> None:
    """Fill in what the server says of a CRD: defaults and the status of an established one."""
    spec, names = definition["spec"], definition["spec"]["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    spec.setdefault("preserveUnknownFields", False)
    definition["status"] = {
        "acceptedNames": names,
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"},
            {
                "type": "Established",
                "status": "True",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "storedVersions": [one["name"] for one in spec["versions"] if one.get("storage")],
    }


def check_definition(definition: Json) -> list[Cause]:
    """What is wrong with a CRD.

    Raises:
        StatusError: 501, where it has a rule that this server cannot evaluate: it does not claim to.
    """
    spec = definition.get("spec", {})
    missing = [name for name in ("group", "names", "scope", "versions") if not spec.get(name)]
    if missing:
        return [required(f"spec.{name}") for name in missing]
    wanted = f"{spec['names']['plural']}.{spec['group']}"
    found: list[Cause] = []
    if definition["metadata"]["name"] != wanted:
        found.append(invalid_value("metadata.name", definition["metadata"]["name"], 'must be spec.names.plural+"."+spec.group'))
    if sum(bool(one.get("storage")) for one in spec["versions"]) != 1:
        found.append(
            invalid_value("spec.versions", spec["versions"], "must have exactly one version marked as storage version")
        )
    for at, version in enumerate(spec["versions"]):
        # A single version is checked as the old form of the object, which kept its schema elsewhere.
        one = len(spec["versions"]) == 1
        field = "spec.validation.openAPIV3Schema" if one else f"spec.versions[{at}].schema.openAPIV3Schema"
        schema = version.get("schema", {}).get("openAPIV3Schema")
        if schema is None:
            found.append(required(field, "schemas are required"))
        else:
            _check_structure(schema, field, found)
    return found


def _check_structure(schema: Json, field: str, found: list[Cause]) -> None:
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and not free:
        found.append(required(f"{field}.type", "must not be empty for specified object fields"))
    if "properties" in schema and "additionalProperties" in schema:
        text = "additionalProperties and properties are mutual exclusive"
        found.append(Cause(field=f"{field}.additionalProperties", message=f"Forbidden: {text}", reason="FieldValueForbidden"))
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get("x-kubernetes-list-map-keys"):
        found.append(required(f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
    for rule in schema.get("x-kubernetes-validations", ()):
        _check_rule(rule)
    for name, one in schema.get("properties", {}).items():
        _check_structure(one, f"{field}.properties[{name}]", found)
    if isinstance(schema.get("additionalProperties"), dict):
        _check_structure(schema["additionalProperties"], f"{field}.additionalProperties", found)
    if "items" in schema:
        _check_structure(schema["items"], f"{field}.items", found)


def _check_rule(rule: dict[str, Any]) -> None:
    try:
        for name in ("rule", "messageExpression"):
            if rule.get(name):
                cel.parse(rule[name])
    except cel.CelUnknownError as error:
        raise StatusError(501, "NotImplemented", f"this fake API server cannot evaluate the CEL rule {error}") from error
