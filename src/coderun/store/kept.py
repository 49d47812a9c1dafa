"""Objects of a cluster as they are kept in memory, and back: metadata read, spec and status as bytes until somebody asks.

Between the caches of `kube` and the structs of `model`. Nothing here speaks to a server. Bytes, because ten thousand objects
are kept and few of them are looked at; only then it shows whether spec and status are what this coderun understands.
"""

from typing import Any, Final

import msgspec

from coderun.kube.objects import KubeMeta, Shape
from coderun.kube.resources import Resource
from coderun.model.errors import InvalidObjectError
from coderun.model.meta import ControllerRef, ObjectMeta
from coderun.store.protocol import ObjectT

_NOTHING: Final = msgspec.Raw(b"{}")
_decoders: Final[dict[tuple[type[Any], str], msgspec.json.Decoder[Any]]] = {}


class _Wire(Shape, frozen=True, kw_only=True):
    api_version: str = ""
    metadata: KubeMeta
    spec: msgspec.Raw = _NOTHING
    status: msgspec.Raw = _NOTHING


class Kept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An object as it is kept."""

    api_version: str
    metadata: KubeMeta
    spec: bytes
    status: bytes


_wire: Final = msgspec.json.Decoder(_Wire)


def keep(item: bytes | msgspec.Raw) -> Kept:
    """An object as the server sent it, without its managed fields. Raises `msgspec.MsgspecError` where it is no object."""
    wire = _wire.decode(item)
    return Kept(api_version=wire.api_version, metadata=wire.metadata, spec=bytes(wire.spec), status=bytes(wire.status))


def restore(kind: type[ObjectT], kept: Kept) -> ObjectT:
    """The object. Raises `InvalidObjectError` naming it and what is wrong."""
    return kind(
        api_version=kept.api_version,
        metadata=meta_of(kept.metadata),
        spec=_part(kind, kept, "spec", kept.spec),
        status=_part(kind, kept, "status", kept.status),
    )


def meta_of(meta: KubeMeta) -> ObjectMeta:
    """Metadata as `model` has it."""
    owner = next((each for each in meta.owner_references if each.controller), None)
    return ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        generation=meta.generation,
        creation_timestamp=meta.creation_timestamp,
        deletion_timestamp=meta.deletion_timestamp,
        labels=dict(meta.labels),  # of the caller's own: what is kept is shared
        annotations=dict(meta.annotations),
        controller=None
        if owner is None
        else ControllerRef(api_version=owner.api_version, kind=owner.kind, name=owner.name, uid=owner.uid),
    )


def new_body(new: Any, namespace: str) -> dict[str, Any]:
    """A new object as it is sent; the server sets the rest of its metadata, and takes no status yet."""
    meta: dict[str, Any] = {"name": new.metadata.name, "namespace": namespace}
    if new.metadata.labels:
        meta["labels"] = new.metadata.labels
    if new.metadata.annotations:
        meta["annotations"] = new.metadata.annotations
    if new.metadata.controller is not None:
        owner = msgspec.to_builtins(new.metadata.controller)
        meta["ownerReferences"] = [{**owner, "controller": True}]
    return {"apiVersion": new.api_version, "kind": new.KIND, "metadata": meta, "spec": msgspec.to_builtins(new.spec)}


def status_body(resource: Resource, changed: Any, *, uid: str) -> dict[str, Any]:
    """A status as it is applied: all of it, of exactly the object that was read."""
    meta = {"name": changed.metadata.name, "uid": uid, "resourceVersion": changed.metadata.resource_version}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": meta,
        "status": msgspec.to_builtins(changed.status),
    }


def merge_patch(old: Any, new: Any) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes the dict `new` of the dict `old`; empty where they are equal."""
    patch: dict[str, Any] = {}
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            patch[key] = merge_patch(before, after)
        else:
            patch[key] = after
    return patch


def _part(kind: type[Any], kept: Kept, part: str, stored: bytes) -> Any:
    decoder = _decoders.get((kind, part))
    if decoder is None:
        found = next(field for field in msgspec.structs.fields(kind) if field.name == part)
        decoder = _decoders[kind, part] = msgspec.json.Decoder(found.type)
    try:
        return decoder.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f"{kind.__name__} {kept.metadata.name!r}: its {part} is not what this coderun understands ({error}); mend it"
        raise InvalidObjectError(text) from error
