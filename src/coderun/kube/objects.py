"""What every object of the API carries, as far as we read it: partial shapes, so that decoding costs what we use. Pure."""

from datetime import datetime
from typing import Any, Protocol

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of partial shapes: immutable, camelCase outside, fields we do not know are ignored."""


class OwnerReference(Shape, frozen=True, kw_only=True):
    """Who an object belongs to; garbage collection removes it with its owner."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class KubeMeta(Shape, frozen=True, kw_only=True):
    """An object's metadata. `managedFields` are never kept."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    def is_owned_by(self, uid: str) -> bool:
        """Whether the object with that uid is its controller."""
        return any(owner.uid == uid and owner.controller for owner in self.owner_references)


class HasMeta(Protocol):
    """Any shape of an object."""

    @property
    def metadata(self) -> KubeMeta:
        """Its metadata."""
        ...


class Bare(Shape, frozen=True, kw_only=True):
    """An object of which only the metadata is read."""

    metadata: KubeMeta = KubeMeta()


class PageMeta(Shape, frozen=True, kw_only=True):
    """Where a page of a list ends."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(Shape, frozen=True, kw_only=True):
    """One page of a list; items are decoded one by one, so that one that does not fit spoils no other."""

    metadata: PageMeta = PageMeta()
    items: tuple[msgspec.Raw, ...] | None = None


class Event(Shape, frozen=True, kw_only=True):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Cause(Shape, frozen=True, kw_only=True):
    """One thing that is wrong with an object that was refused."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Shape, frozen=True, kw_only=True):
    """More about a refusal."""

    name: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: int = 0


class Status(Shape, frozen=True, kw_only=True):
    """The API's answer where something went wrong."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


def plain(value: object) -> Any:
    """`value` (structs included) as dicts and lists, ready for JSON."""
    return msgspec.to_builtins(value, str_keys=True)
