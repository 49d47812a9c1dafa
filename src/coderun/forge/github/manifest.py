"""What GitHub is told of an App that shall be made: the manifest a browser posts, and the addresses around it. Pure.

The person confirms on GitHub's own page and is sent back with a code; `affairs.convert` makes the App of it. Facts: GitHub's
page "Registering a GitHub App from a manifest".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from coderun.forge.github.permissions import EVENTS
from coderun.model.github import GitHubHost

MAX_NAME: Final = 34
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_UNNAMED: Final = re.compile(r"[^A-Za-z0-9-]+")


class AppOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An App to be made.

    Attributes:
        agent: Whose it is.
        organization: Account that shall own it; "" is the account of whoever confirms.
        permissions: All that it shall hold.
        webhook_url: Where its events go; "" for no events.
        homepage: A page for people; GitHub wants one.
    """

    agent: str
    name: str
    description: str
    organization: str = ""
    permissions: Mapping[str, str]
    webhook_url: str = ""
    homepage: str


def app_name(prefix: str, agent: str) -> str:
    """A name for an agent's App: `{prefix}-{agent}`, at most 34 characters; the prefix gives way."""
    room = MAX_NAME - len(agent) - 1
    start = _UNNAMED.sub("-", prefix).strip("-")[: max(room, 0)].strip("-")
    return f"{start}-{agent}"[:MAX_NAME] if start else agent[:MAX_NAME]


def manifest_of(order: AppOrder, *, redirect_url: str) -> dict[str, Any]:
    """The manifest; GitHub sends the person's browser to `redirect_url` with the code. The App is private to its owner."""
    hook: dict[str, Any] = {"url": order.webhook_url or order.homepage, "active": bool(order.webhook_url)}
    return {
        "name": order.name,
        "url": order.homepage,
        "description": order.description,
        "public": False,
        "redirect_url": redirect_url,
        "hook_attributes": hook,
        "default_permissions": dict(order.permissions),
        "default_events": sorted(EVENTS) if order.webhook_url else [],
    }


def creation_url(host: GitHubHost, organization: str, state: str = "") -> str:
    """Where a manifest is posted to, and where a person makes an App by hand."""
    owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
    query = f"?{urlencode({'state': state})}" if state else ""
    return f"{host.web}{owner}/settings/apps/new{query}"


def settings_url(host: GitHubHost, slug: str, organization: str = "", *, part: str = "") -> str:
    """The settings of an App; `part` is `permissions`, `installations` or `advanced`."""
    owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
    return f"{host.web}{owner}/settings/apps/{quote(slug, safe='')}" + (f"/{part}" if part else "")


def install_url(host: GitHubHost, slug: str) -> str:
    """Where a person installs an App."""
    root = "apps" if host.is_hosted else "github-apps"
    return f"{host.web}/{root}/{quote(slug, safe='')}/installations/new"


def is_code(text: str) -> bool:
    """Whether this may be a code of GitHub's."""
    return _CODE.fullmatch(text) is not None


def level_in_words(level: str) -> str:
    """A level as GitHub's pages call it."""
    return {"read": "Read-only", "write": "Read and write", "admin": "Admin"}.get(level, level)


def permission_in_words(name: str) -> str:
    """A permission as GitHub's pages call it."""
    return {"statuses": "Commit statuses"}.get(name, name.replace("_", " ").capitalize())


def event_in_words(name: str) -> str:
    """An event as GitHub's pages call it."""
    return name.replace("_", " ").capitalize()


def permissions_in_words(permissions: Mapping[str, str]) -> str:
    """`Contents: Read and write, …`."""
    return ", ".join(f"{permission_in_words(name)}: {level_in_words(level)}" for name, level in permissions.items())


def events_in_words(events: Iterable[str]) -> str:
    """`Check run, Push, …`."""
    return ", ".join(map(event_in_words, events))
