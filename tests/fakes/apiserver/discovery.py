"""Discovery: which groups, versions and resources there are, as `kubectl api-resources` asks."""

from collections import defaultdict

from tests.fakes.apiserver.catalog import Catalog
from tests.fakes.apiserver.resources import Resource
from tests.fakes.apiserver.schema import Json

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUB_VERBS = {"status": ["get", "patch", "update"], "log": ["get"], "eviction": ["create"], "binding": ["create"]}


def versions() -> Json:
    """`GET /api`."""
    return {"kind": "APIVersions", "versions": ["v1"]}


def groups(catalog: Catalog) -> Json:
    """`GET /apis`."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in catalog.all():
        if one.group and one.version not in found[one.group]:
            found[one.group].append(one.version)
    found["authorization.k8s.io"] = ["v1"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, some) for name, some in found.items()]}


def group(catalog: Catalog, name: str) -> Json | None:
    """`GET /apis/{group}`."""
    listed: list[Json] = groups(catalog)["groups"]
    found = next((one for one in listed if one["name"] == name), None)
    return {"kind": "APIGroup", "apiVersion": "v1", **found} if found else None


def _group(name: str, some: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in some]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resources(catalog: Catalog, name: str, version: str) -> Json | None:
    """`GET /api/v1` and `GET /apis/{group}/{version}`."""
    some = [one for one in catalog.all() if (one.group, one.version) == (name, version)]
    if not some and (name, version) != ("authorization.k8s.io", "v1"):
        return None
    listed = [entry for one in some for entry in _entries(one)]
    where = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": where, "resources": listed}


def _entries(one: Resource) -> list[Json]:
    main: Json = {
        "name": one.plural,
        "singularName": one.singular or one.kind.lower(),
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": _VERBS,
        **({"shortNames": list(one.short_names)} if one.short_names else {}),
        **({"categories": list(one.categories)} if one.categories else {}),
    }
    below = [
        {
            "name": f"{one.plural}/{sub}",
            "singularName": "",
            "namespaced": one.namespaced,
            "kind": {"eviction": "Eviction", "binding": "Binding"}.get(sub, one.kind),
            "verbs": _SUB_VERBS[sub],
        }
        for sub in sorted(one.subresources)
    ]
    return [main, *below]
