"""What every stored object carries, as in Kubernetes."""

from datetime import datetime
from enum import StrEnum

import msgspec


class ControllerRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The stored object that another one belongs to, and goes with."""

    api_version: str
    kind: str
    name: str
    uid: str


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Identity and bookkeeping of a stored object; the store sets uid, resourceVersion, generation and the times.

    Attributes:
        resource_version: Opaque except for equality; changes at every write. "" means "not stored yet".
        generation: Raised by the store when the spec changes.
        controller: What it belongs to. Kept only by a store that removes objects together with what they belong to.
    """

    name: str
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    controller: ControllerRef | None = None


class ConditionStatus(StrEnum):
    """The three states of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A standard Kubernetes condition; `reason` is CamelCase and for programs, `message` is for people."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int = 0


def set_condition(conditions: tuple[Condition, ...], new: Condition, now: datetime) -> tuple[Condition, ...]:
    """`conditions` with `new` in place of the one of its type; the transition time moves only when `status` changes."""
    old = find_condition(conditions, new.type)
    since = old.last_transition_time if old is not None and old.status == new.status else now
    stamped = msgspec.structs.replace(new, last_transition_time=since)
    if old is None:
        return (*conditions, stamped)
    return tuple(stamped if c.type == new.type else c for c in conditions)


def find_condition(conditions: tuple[Condition, ...], type_: str) -> Condition | None:
    """The condition of a type."""
    return next((condition for condition in conditions if condition.type == type_), None)
