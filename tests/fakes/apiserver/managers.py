"""Who owns which field: `metadata.managedFields`, server-side apply and its conflicts.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from typing import Any, NamedTuple

from tests.fakes.apiserver.errors import Cause, apply_conflict
from tests.fakes.apiserver.fields import (
    SELF,
    FieldSet,
    common,
    compare,
    fields_of,
    leaves,
    merge,
    remove,
    union,
    without,
    written,
)
from tests.fakes.apiserver.schema import Json, Schema

_NEVER = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion")


class Manager(NamedTuple):
    """One entry: who, how, of what, since when."""

    name: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes it another entry."""
        return (self.name, self.operation, self.api_version, self.subresource)

    def body(self) -> Json:
        """The entry as it is shown."""
        return {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": written(self.fields),
            **({"subresource": self.subresource} if self.subresource else {}),
        }

    def shown(self) -> str:
        """How a conflict names it."""
        text = f'"{self.name}"' + (f' with subresource "{self.subresource}"' if self.subresource else "")
        return text if self.operation == "Apply" else f"{text} using {self.api_version} at {self.time}"


Managers = tuple[Manager, ...]


def owned_part(thing: Json, *, status: bool | None) -> Json:
    """What of an object can be owned: with `status` True its status alone, False all but that, None everything."""
    if status is True:
        return {"status": thing["status"]} if "status" in thing else {}
    kept = {name: one for name, one in thing.items() if name not in {"apiVersion", "kind", "metadata"}}
    if status is False:
        kept.pop("status", None)
    meta = {name: one for name, one in thing.get("metadata", {}).items() if name not in _NEVER and one not in ({}, [], None)}
    return {"metadata": meta, **kept} if meta else kept


def applied(
    live: Json, config: Json, managers: Managers, who: Manager, schema: Schema, *, force: bool
) -> tuple[Json, Managers]:
    """The object and its managers after an apply of `config`; all are what `owned_part` gives.

    Raises:
        StatusError: fields that others own would change, and `force` is off.
    """
    wanted = fields_of(config, schema)
    last = next((one.fields for one in managers if one.identity == who.identity), {})
    others = tuple(one for one in managers if one.identity != who.identity)
    merged = merge(live, config, schema)
    if last:
        kept = wanted
        for other in others:
            kept = union(kept, other.fields)
        merged = remove(merged, without(last, kept), kept, schema)
    others = _taken(live, merged, others, schema, force=force)
    mine = who._replace(fields=wanted)
    return merged, (*others, mine) if wanted else others


def _taken(live: Json, new: Json, others: Managers, schema: Schema, *, force: bool) -> Managers:
    if not others:
        return others
    changed = compare(live, new, schema)
    if changed.is_same:
        return others
    written_to = union(changed.added, changed.modified)
    conflicts = [(other, common(other.fields, written_to)) for other in others]
    if not force and (causes := [_cause(other, path) for other, part in conflicts for path in leaves(part)]):
        raise apply_conflict(causes)
    left = (other._replace(fields=without(without(other.fields, part), changed.removed)) for other, part in conflicts)
    return tuple(other for other in left if other.fields)


def _cause(other: Manager, path: str) -> Cause:
    return Cause(field=path, message=f"conflict with {other.shown()}", reason="FieldManagerConflict")


def updated(live: Json, new: Json, managers: Managers, who: Manager, schema: Schema) -> Managers:
    """The managers after a write that was no apply."""
    changed = compare(live, new, schema)
    if changed.is_same:
        return managers
    others = _taken(live, new, tuple(one for one in managers if one.identity != who.identity), schema, force=True)
    mine = next((one.fields for one in managers if one.identity == who.identity), {})
    fields = without(union(union(mine, changed.added), changed.modified), changed.removed)
    fields.pop(SELF, None)
    return (*others, who._replace(fields=fields)) if fields else others


def shown(managers: Managers) -> list[Any]:
    """`metadata.managedFields`."""
    return [one.body() for one in managers]
