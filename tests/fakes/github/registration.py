"""How Apps come to be: with a new key, made by a test or by the manifest flow (form, code, conversion)."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.fakes.github.state import Account, App, Hook
from tests.fakes.github.world import World

_KEY_BITS = 2048
_CODE_SECONDS = 3600
_LONGEST_NAME = 34
_EVENT_NEEDS = {
    "check_run": "checks",
    "check_suite": "checks",
    "create": "contents",
    "delete": "contents",
    "issue_comment": "issues",
    "merge_group": "merge_queues",
    "pull_request": "pull_requests",
    "pull_request_review": "pull_requests",
    "push": "contents",
    "repository": "metadata",
    "status": "statuses",
}


def register(
    world: World,
    owner: Account,
    name: str,
    *,
    permissions: dict[str, str],
    events: Iterable[str],
    url: str,
    secret: str,
    slug: str = "",
) -> tuple[App, str]:
    """A new App that is installed nowhere, and its private key (PEM)."""
    public, private = _as_told(_key(len(world.apps)))
    slug, number = slug or name.lower().replace(" ", "-"), world.new_id()
    app = App(
        id=number,
        slug=slug,
        name=name,
        client_id=f"Iv23li{number:014d}",
        owner=owner,
        bot=world.add_account(f"{slug}[bot]", "Bot"),
        public_key=public,
        permissions=permissions,
        events=list(events),
        hook=Hook(id=world.new_id(), url=url, secret=secret, target_id=number),
        created_at=world.clock(),
    )
    world.apps.append(app)
    return app, private


def new_key() -> tuple[rsa.RSAPublicKey, str]:
    """Another key for an App: what GitHub keeps of it, and the private key (PEM)."""
    return _as_told(_make_key())


def _as_told(key: rsa.RSAPrivateKey) -> tuple[rsa.RSAPublicKey, str]:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return key.public_key(), key.private_bytes(*form).decode()


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """The key of the App of that number: another one for each App of a world, the same in every world of this process.

    Making one takes a fifth of a second, and nothing that is tested depends on its being new.
    """
    _ = number
    return _make_key()


def _make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def take_manifest(world: World, manifest: dict[str, Any], owner: str) -> str:
    """Keeps a manifest under a code that is good for one conversion."""
    code = world.new_secret("")
    world.manifests[code] = {**manifest, "owner": owner, "until": world.clock() + _CODE_SECONDS}
    return code


def faults_of(world: World, manifest: dict[str, Any]) -> list[str]:
    """What GitHub's page would find wrong with a manifest."""
    name, hook, held = str(manifest.get("name", "")), manifest.get("hook_attributes"), manifest.get("default_permissions", {})
    wrong = [f"{key} is missing" for key in ("name", "url", "redirect_url") if not manifest.get(key)]
    if len(name) > _LONGEST_NAME:
        wrong.append(f"name is too long (maximum is {_LONGEST_NAME} characters)")
    if any(app.name.lower() == name.lower() for app in world.apps):
        wrong.append(f"name {name!r} is already taken")
    if hook is not None and not hook.get("url"):
        wrong.append("hook_attributes needs a url")
    for event in manifest.get("default_events", []):
        needed = _EVENT_NEEDS.get(event)
        if needed is None or (needed != "metadata" and held.get(needed) not in {"read", "write"}):
            wrong.append(f"default_events: {event} is not supported with these permissions")
    return wrong


def convert(world: World, code: str) -> tuple[App, str] | None:
    """Makes the App of a code; None where there is no such code, or no more."""
    manifest = world.manifests.pop(code, None)
    if manifest is None or world.clock() >= manifest["until"]:
        return None
    hook = manifest.get("hook_attributes", {})
    owner = world.find_account(manifest["owner"]) or world.add_account(manifest["owner"], "Organization")
    return register(
        world,
        owner,
        manifest.get("name") or "unnamed app",
        permissions=manifest.get("default_permissions", {}),
        events=manifest.get("default_events", []),
        url=hook.get("url", "") if hook.get("active", True) else "",
        secret=world.new_secret(""),
    )


class ManifestPage:
    """Where a browser posts a manifest to; the person's click on "create" is taken for granted."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Sends the browser back to the manifest's `redirect_url` with a code."""
        try:
            manifest = json.loads(str((await request.post())["manifest"]))
            target = manifest["redirect_url"]
        except (KeyError, ValueError) as error:
            raise web.HTTPUnprocessableEntity(text=f"The manifest cannot be read: {error}") from error
        if wrong := faults_of(self._world, manifest):
            raise web.HTTPUnprocessableEntity(text="; ".join(wrong))
        code = take_manifest(self._world, manifest, request.match_info.get("org", "apps"))
        state = {"state": request.query["state"]} if "state" in request.query else {}
        raise web.HTTPFound(f"{target}?{urlencode({'code': code, **state})}")
