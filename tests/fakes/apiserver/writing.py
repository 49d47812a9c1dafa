"""Writes: create, update, patch and apply, as one way from a body to a stored object.

decode → (merge) → what the caller may not set → prune, default, check → owners of fields → generation → store.
"""

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.apiserver import builtin
from tests.fakes.apiserver.catalog import Catalog, check_definition, complete
from tests.fakes.apiserver.errors import (
    MODIFIED,
    Cause,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    forbidden_field,
    invalid,
    invalid_value,
    not_found,
    required,
)
from tests.fakes.apiserver.managers import Manager, Managers, applied, owned_part, shown, updated
from tests.fakes.apiserver.names import check_meta
from tests.fakes.apiserver.patches import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, json_patch, merge_patch, strategic_patch
from tests.fakes.apiserver.resources import CRDS, NAMESPACES, PODS, Resource
from tests.fakes.apiserver.schema import Json, Schema, fill_defaults, prune
from tests.fakes.apiserver.storage import Key, Storage, Stored
from tests.fakes.apiserver.typed import copied, schema_of
from tests.fakes.apiserver.validation import check

_SYSTEM = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 58


@dataclass(frozen=True, kw_only=True)
class Options:
    """The parameters of a write."""

    manager: str = "unknown"
    force: bool = False
    dry_run: bool = False
    validation: str = "Warn"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a write is aimed at."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """Where the object stands."""
        return (self.namespace, self.name)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a write led to."""

    stored: Stored
    created: bool = False
    warnings: tuple[str, ...] = ()


class Writer:
    """Changes the storage; `now` is the time as RFC 3339."""

    def __init__(
        self, storage: Storage, catalog: Catalog, now: Callable[[], str], removed: Callable[[Resource, Stored], None]
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._now = now
        self._removed = removed

    # --- the four ways in -----------------------------------------------------------------------------------------------------

    def create(self, place: Place, body: Json, options: Options) -> Written:
        """POST."""
        meta = _meta(body)
        self._fits(place, body)
        if not meta.get("name") and meta.get("generateName"):
            prefix = meta["generateName"][:_MAX_GENERATED]
            meta["name"] = prefix + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        if not meta.get("name"):
            raise invalid(place.resource, "", [required("metadata.name", "name or generateName is required")])
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        at = Place(resource=place.resource, namespace=place.namespace, name=str(meta["name"]))
        self._namespace_takes(at)
        if at.resource.table == PODS.table:
            self._account_is_there(at, body)
        if self._storage.get(at.resource.table, at.key) is not None:
            raise already_exists(at.resource, at.name)
        return self._finish(at, None, body, options, self._update_of(at, options))

    def update(self, place: Place, body: Json, options: Options) -> Written:
        """PUT."""
        meta = _meta(body)
        self._fits(place, body)
        if not meta.get("name"):
            raise bad_request("name is required" if place.resource.is_custom else "the name of the object must be given")
        old = self._storage.get(place.resource.table, place.key)
        if old is None:
            if place.resource.create_on_update and not place.subresource and not meta.get("uid"):
                self._namespace_takes(place)
                return self._finish(place, None, body, options, self._update_of(place, options))
            raise not_found(place.resource, place.name)
        if not meta.get("resourceVersion") and not place.resource.unconditional:
            what = "must be specified for an update"
            raise invalid(place.resource, place.name, [invalid_value("metadata.resourceVersion", 0, what)])
        self._preconditions(place, old, meta)
        return self._finish(place, old, body, options, self._update_of(place, options))

    def patch(self, place: Place, kind: str, patch: Any, options: Options) -> Written:
        """PATCH of the kinds that are no apply."""
        old = self._storage.get(place.resource.table, place.key)
        if old is None:
            raise not_found(place.resource, place.name)
        base = {"apiVersion": place.resource.api_version, "kind": place.resource.kind, **old.value}
        if kind == JSON_PATCH:
            body = json_patch(base, patch)
        elif not isinstance(patch, dict):
            raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
        elif kind == MERGE_PATCH or place.resource.schema is None:
            body = merge_patch(base, patch)
        else:
            body = strategic_patch(base, patch, place.resource.schema)
        meta = dict(body.get("metadata") or {})
        body = {**body, "metadata": meta}
        self._fits(place, body)
        if place.subresource:
            meta.pop("uid", None)
        elif meta.get("uid") not in {None, old.meta["uid"]}:
            raise invalid(place.resource, place.name, [invalid_value("metadata.uid", meta["uid"], "field is immutable")])
        self._preconditions(place, old, meta)
        return self._finish(place, old, body, options, self._update_of(place, options))

    def apply(self, place: Place, config: Json, options: Options) -> Written:
        """PATCH with `application/apply-patch+yaml`."""
        resource = place.resource
        meta = _meta(config)
        self._fits(place, config, apply=True)
        if meta.pop("managedFields", None):
            raise bad_request("metadata.managedFields must be nil")
        old = self._storage.get(resource.table, place.key)
        if old is None:
            if place.subresource:
                raise not_found(resource, place.name)
            if meta.get("uid"):
                raise conflict(
                    resource,
                    place.name,
                    f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found",
                )
            self._namespace_takes(place)
        else:
            self._preconditions(place, old, meta)
        self._declared(config, resource)
        live = _full(resource, place, old)
        status = _part(place)
        wanted = owned_part(config, status=status)
        managers = old.managers if old is not None else ()
        who = self._who(place, options, "Apply")
        assert resource.schema is not None
        part = owned_part(live, status=status)
        merged, managers = applied(part, wanted, managers, who, resource.schema, force=options.force)
        body = _with_part(live, merged, status=status)
        return self._finish(place, old, body, options, lambda _old, _new: managers)

    # --- what they share ------------------------------------------------------------------------------------------------------

    def _finish(
        self,
        place: Place,
        old: Stored | None,
        body: Json,
        options: Options,
        owners: Callable[[Json, Json], Managers],
    ) -> Written:
        resource = place.resource
        value = self._limited(place, old, body)
        warnings = self._shaped(place, value, old, options)
        self._checked(place, value, old)
        before: Json = old.value if old is not None else {}
        managers = _stamped(owners(before, value), old, self._now())
        meta = value["metadata"]
        if old is not None and resource.generation and _spec_of(value) != _spec_of(before):
            meta["generation"] = meta.get("generation", 1) + 1
        if old is not None and _same(value, before) and _same_owners(managers, old.managers):
            return Written(stored=old, warnings=warnings)
        if options.dry_run:
            meta["managedFields"] = shown(managers)
            return Written(stored=Stored(value, managers, 0), created=old is None, warnings=warnings)
        if old is not None and meta.get("deletionTimestamp") and not meta.get("finalizers") and _may_go(value, before):
            return Written(stored=self.drop(resource, old, value, managers), warnings=warnings)
        meta["managedFields"] = shown(managers)
        stored = self._storage.put(resource.table, value, managers)
        if resource is CRDS or resource.table == CRDS.table:
            self._catalog.install(stored.value)
        return Written(stored=stored, created=old is None, warnings=warnings)

    def drop(self, resource: Resource, old: Stored, value: Json | None = None, managers: Managers = ()) -> Stored:
        """Remove an object for good, in the state of `value` where that is given."""
        if value is not None:
            value["metadata"]["managedFields"] = shown(managers)
            value["metadata"]["resourceVersion"] = old.meta["resourceVersion"]
            old = Stored(value, managers, old.revision)
        last = self._storage.drop(resource.table, old)
        self._removed(resource, last)
        return last

    def _limited(self, place: Place, old: Stored | None, body: Json) -> Json:
        """The object to come, without what the caller may not set."""
        value = {name: one for name, one in body.items() if name not in {"apiVersion", "kind"}}
        meta = dict(value.get("metadata") or {})
        meta.pop("managedFields", None)
        meta.pop("resourceVersion", None)
        for name in _SYSTEM:
            meta.pop(name, None)
        if old is None:
            meta["uid"] = str(uuid.uuid4())
            meta["creationTimestamp"] = self._now()
            if place.resource.generation:
                meta["generation"] = 1
            if place.resource.has_status:
                value.pop("status", None)
        elif place.subresource == "status":
            status = {"status": value["status"]} if "status" in value else {}
            value = {**{name: one for name, one in old.value.items() if name != "status"}, **status}
            meta = {name: one for name, one in old.meta.items() if name not in {"managedFields", "resourceVersion"}}
        else:
            meta.update({name: old.meta[name] for name in _SYSTEM if name in old.meta})
            if place.resource.has_status:
                value.pop("status", None)
                if "status" in old.value:
                    value["status"] = old.value["status"]
        meta["name"] = place.name
        if place.resource.namespaced:
            meta["namespace"] = place.namespace
        value["metadata"] = {name: one for name, one in meta.items() if one not in (None, {}, [])}
        return value

    def _shaped(self, place: Place, value: Json, old: Stored | None, options: Options) -> tuple[str, ...]:
        """Prune and default, in place; the warnings that come of it."""
        resource = place.resource
        assert resource.schema is not None
        if place.subresource != "status":
            _check_types(resource, value["metadata"])
        unknown: list[str] = []
        if resource.is_custom and place.subresource == "status":
            # All but the status is what is stored already.
            part = {"status": value["status"]} if "status" in value else {}
            prune(part, resource.schema, unknown)
            fill_defaults(part, Schema(properties={"status": resource.schema.properties["status"]}, defaults_inside=True))
            value.pop("status", None)
            value.update(part)
        elif resource.is_custom:
            prune(value, resource.schema, unknown, root=True)
            fill_defaults(value, resource.schema)
        else:
            prune(value, resource.schema, unknown)
            wrong = check(value, resource.schema)
            if wrong:
                said = "; ".join(f"{cause.field}: {cause.message}" for cause in wrong)
                raise bad_request(
                    f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {said}'
                )
            if place.subresource != "status":
                builtin.fill(resource.plural, value, new=old is None)
            if resource.table == CRDS.table and not check_definition(value):
                complete(value)
        if unknown and options.validation == "Strict":
            listed = ", ".join(f'unknown field "{field}"' for field in unknown)
            what = f"strict decoding error: {listed}"
            if not resource.is_custom:
                what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {what}'
            raise bad_request(what)
        if options.validation == "Ignore":
            return ()
        return tuple(f'unknown field "{field}"' for field in unknown)

    def _checked(self, place: Place, value: Json, old: Stored | None) -> None:
        resource = place.resource
        causes: list[Cause] = []
        if place.subresource != "status":
            causes += check_meta(value["metadata"], resource.names, is_custom=resource.is_custom)
            causes += _no_new_finalizers(value["metadata"], old)
        if resource.is_custom:
            assert resource.schema is not None
            before = old.value if old is not None else None
            if place.subresource == "status" and before is not None and not resource.schema.rules:
                status = resource.schema.properties["status"]
                causes += check(value.get("status", {}), status, old=before.get("status"), field="status")
            else:
                causes += check(value, resource.schema, old=before)
        elif resource.table == CRDS.table:
            causes += check_definition(value)
        elif place.subresource != "status":
            causes += builtin.check(resource.plural, value, old.value if old is not None else None)
        if causes:
            raise invalid(resource, place.name, causes)

    def _fits(self, place: Place, body: Json, *, apply: bool = False) -> None:
        """The body is of the kind, name and namespace that the path says."""
        resource = place.resource
        if not isinstance(body, dict):
            raise bad_request("the body of the request is no object")
        kind, version = body.get("kind"), body.get("apiVersion")
        if apply or resource.is_custom or kind or version:
            self._of_kind(resource, kind, version, place.name or str((body.get("metadata") or {}).get("name", "")))
        meta = body.get("metadata") or {}
        name = meta.get("name")
        if place.name and name and name != place.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({place.name})")
        namespace = meta.get("namespace")
        if resource.namespaced and namespace and namespace != place.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")

    @staticmethod
    def _of_kind(resource: Resource, kind: Any, version: Any, name: str) -> None:
        if not kind or not version:
            missing = "Kind" if not kind else "apiVersion"
            what = f"Object '{missing}' is missing in the body of the request"
            raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): {what}")
        if (kind, version) != (resource.kind, resource.api_version):
            if resource.is_custom and version != resource.api_version:
                data = f"({version}) does not match the expected API version ({resource.api_version})"
                raise bad_request(f"the API version in the data {data}")
            if resource.is_custom:
                raise invalid(resource, name, [invalid_value("kind", kind, f"must be {resource.kind}")], kind=str(kind))
            short = str(version).rpartition("/")[2]
            why = f'no kind "{kind}" is registered for version "{version}"'
            raise bad_request(f'{kind} in version "{short}" cannot be handled as a {resource.kind}: {why}')

    def _namespace_takes(self, place: Place) -> None:
        """The namespace is there, and not on its way out."""
        if not place.resource.namespaced:
            return
        namespace = self._storage.get(NAMESPACES.table, ("", place.namespace))
        if namespace is None:
            raise not_found(NAMESPACES, place.namespace)
        if namespace.meta.get("deletionTimestamp"):
            why = f"unable to create new content in namespace {place.namespace} because it is being terminated"
            raise forbidden(place.resource, place.name, why)

    def _account_is_there(self, place: Place, pod: Json) -> None:
        spec = pod.get("spec") or {}
        name = spec.get("serviceAccountName") or "default"
        if self._storage.get(("", "serviceaccounts"), (place.namespace, name)) is None:
            why = f'error looking up service account {place.namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden(place.resource, place.name, why)

    @staticmethod
    def _preconditions(place: Place, old: Stored, meta: Json) -> None:
        uid, version = meta.get("uid"), meta.get("resourceVersion")
        if uid and uid != old.meta["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.meta['uid']}"
            raise conflict(place.resource, place.name, why)
        if version and version != old.meta["resourceVersion"]:
            raise conflict(place.resource, place.name, MODIFIED)

    @staticmethod
    def _declared(config: Json, resource: Resource) -> None:
        """An applied object may hold no field that its kind does not know."""
        assert resource.schema is not None
        unknown: list[str] = []
        probe = {name: one for name, one in config.items() if name not in {"apiVersion", "kind", "metadata"}}
        prune(copied(probe), resource.schema, unknown)
        if unknown:
            name = config["metadata"].get("name", "")
            namespace = config["metadata"].get("namespace", "")
            where = f"{namespace}/{name}; {resource.api_version}, Kind={resource.kind}"
            raise StatusError(
                500, "", f"failed to create typed patch object ({where}): .{unknown[0]}: field not declared in schema"
            )

    def _update_of(self, place: Place, options: Options) -> Callable[[Json, Json], Managers]:
        def owners(before: Json, value: Json) -> Managers:
            assert place.resource.schema is not None
            old = self._storage.get(place.resource.table, place.key)
            status = _part(place)
            who = self._who(place, options, "Update")
            return updated(
                owned_part(before, status=status),
                owned_part(value, status=status),
                old.managers if old is not None else (),
                who,
                place.resource.schema,
            )

        return owners

    def _who(self, place: Place, options: Options, operation: str) -> Manager:
        return Manager(
            name=options.manager,
            operation=operation,
            api_version=place.resource.api_version,
            subresource=place.subresource,
            time=self._now(),
            fields={},
        )


def _check_types(resource: Resource, meta: Json) -> None:
    if wrong := check(meta, schema_of("V1ObjectMeta"), field="metadata"):
        said = "; ".join(f"{cause.field}: {cause.message}" for cause in wrong)
        raise bad_request(f"{resource.kind} cannot be handled: {said}")


def _meta(body: Any) -> Json:
    """The metadata of a body, made its own so that it may be changed."""
    if not isinstance(body, dict):
        raise bad_request("the body of the request is no object")
    found = body.get("metadata")
    if found is not None and not isinstance(found, dict):
        raise bad_request("json: cannot unmarshal into Go struct field ObjectMeta")
    body["metadata"] = made = dict(found or {})
    return made


def _part(place: Place) -> bool | None:
    """Which part of the object a write is about: see `owned_part`."""
    if place.subresource == "status":
        return True
    return False if place.resource.has_status else None


def _full(resource: Resource, place: Place, old: Stored | None) -> Json:
    if old is not None:
        return {"apiVersion": resource.api_version, "kind": resource.kind, **old.value}
    namespace = {"namespace": place.namespace} if resource.namespaced else {}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": place.name, **namespace}}


def _with_part(live: Json, merged: Json, *, status: bool | None) -> Json:
    """`live` with the merged part in its place."""
    if status is True:
        kept = {name: one for name, one in live.items() if name != "status"}
        return {**kept, **merged}
    rest = {name: one for name, one in merged.items() if name != "metadata"}
    keep = {"status": live["status"]} if status is False and "status" in live else {}
    system = {
        name: one
        for name, one in live["metadata"].items()
        if name not in {"labels", "annotations", "finalizers", "ownerReferences"}
    }
    meta = {**merged.get("metadata", {}), **system}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta, **rest, **keep}


def _spec_of(value: Json) -> Json:
    return {name: one for name, one in value.items() if name not in {"metadata", "status"}}


def _plain(value: Json) -> Json:
    meta = {name: one for name, one in value["metadata"].items() if name not in {"managedFields", "resourceVersion"}}
    return {**value, "metadata": meta}


def _same(value: Json, before: Json) -> bool:
    return _plain(value) == _plain(before)


def _same_owners(one: Managers, two: Managers) -> bool:
    return {(m.identity, str(m.fields)) for m in one} == {(m.identity, str(m.fields)) for m in two}


def _stamped(managers: Managers, old: Stored | None, now: str) -> Managers:
    """Entries keep their time as long as their fields stay."""
    before = {one.identity: one for one in old.managers} if old is not None else {}
    return tuple(
        one._replace(time=before[one.identity].time)
        if one.identity in before and before[one.identity].fields == one.fields
        else one._replace(time=now)
        for one in managers
    )


def _may_go(value: Json, before: Json) -> bool:
    """Whether an object that is being deleted and has no finalizers left may go now; a running pod waits for its kubelet."""
    grace = value["metadata"].get("deletionGracePeriodSeconds", 0)
    return not grace or bool(before["metadata"].get("finalizers"))


def _no_new_finalizers(meta: Json, old: Stored | None) -> list[Cause]:
    if old is None or not old.meta.get("deletionTimestamp"):
        return []
    added = [one for one in meta.get("finalizers") or () if one not in (old.meta.get("finalizers") or ())]
    if not added:
        return []
    listed = ", ".join(f'"{one}"' for one in added)
    text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
    return [forbidden_field("metadata.finalizers", text)]


__all__ = ["APPLY_PATCH", "Options", "Place", "Writer", "Written"]
