"""Who asks, what they may, and what was asked: bearer tokens with allow-lists, and the audit log."""

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from tests.fakes.apiserver.errors import StatusError, forbidden, unauthorized
from tests.fakes.apiserver.resources import Resource

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """As in a Role; `resources` as `pods`, `pods/log`, `coderuns/status`; "*" is everything.

    Without namespaces it is a ClusterRole's.
    """

    verbs: frozenset[str] = frozenset({"*"})
    groups: frozenset[str] = frozenset({"*"})
    resources: frozenset[str] = frozenset({"*"})
    namespaces: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def allows(self, attributes: "Attributes") -> bool:
        """Whether it covers a request."""
        return (
            _has(self.verbs, attributes.verb)
            and _has(self.groups, attributes.group)
            and _has(self.resources, attributes.resource)
            and (not self.namespaces or attributes.namespace in self.namespaces)
            and (not self.names or attributes.name in self.names)
        )


def _has(known: frozenset[str], wanted: str) -> bool:
    return "*" in known or wanted in known


class Attributes(NamedTuple):
    """What a request wants, in the words of RBAC; `resource` with its subresource."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class User:
    """A name and what it may."""

    name: str
    rules: tuple[Rule, ...]

    def may(self, attributes: Attributes) -> bool:
        """Whether one of its rules covers the request."""
        return any(rule.allows(attributes) for rule in self.rules)


class Users:
    """Users by their token. The first is the administrator's."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self.admin_token = self.add("kubernetes-admin", (Rule(),))

    def add(self, name: str, rules: tuple[Rule, ...]) -> str:
        """A new token of a user."""
        token = secrets.token_urlsafe(16)
        self._users[token] = User(name=name, rules=rules)
        return token

    def revoke(self, token: str) -> None:
        """The token is good for nothing from now on."""
        self._users.pop(token, None)

    def of(self, header: str) -> User:
        """Who an Authorization header stands for. Raises 401."""
        scheme, _, token = header.partition(" ")
        user = self._users.get(token.strip()) if scheme == "Bearer" else None
        if user is None:
            raise unauthorized()
        return user


def permit(user: User, resource: Resource, subresource: str, verb: str, namespace: str, name: str) -> None:
    """Let a request pass. Raises 403, in RBAC's words."""
    full = f"{resource.plural}/{subresource}" if subresource else resource.plural
    attributes = Attributes(verb, resource.group, full, namespace, name)
    if not user.may(attributes):
        raise denied(user, resource, attributes)


def denied(user: User, resource: Resource, attributes: Attributes) -> StatusError:
    """The refusal of a request."""
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    what = f'resource "{attributes.resource}" in API group "{attributes.group}" {where}'
    why = f'User "{user.name}" cannot {attributes.verb} {what}'
    return forbidden(resource, attributes.name, why)


class Entry(NamedTuple):
    """One request that was answered."""

    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int
    dry_run: bool

    @property
    def is_write(self) -> bool:
        """Whether it meant to change something."""
        return self.verb in WRITES and not self.dry_run


class Audit(list[Entry]):
    """The requests so far, oldest first; `clear()` begins anew."""

    def writes(self, user: str = "") -> list[Entry]:
        """The requests that meant to change something, of one user or all."""
        return [one for one in self if one.is_write and user in {"", one.user}]

    def counted(self) -> Counter[str]:
        """How often each `verb resource/subresource` was asked for, and of writes how often each worked."""
        return Counter(f"{one.verb} {one.resource}{'/' if one.subresource else ''}{one.subresource}" for one in self)
