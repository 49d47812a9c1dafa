"""An App's own affairs: what it may do, where it is installed, where its events go, what became of them; and how it is made.

Under `app.github_setup` and `app.github_check`. Reads, apart from `convert`, which makes an App, and `set_hook`. Every text is
untrusted. Facts: GitHub's REST pages "GitHub Apps", "GitHub App installations" and "GitHub App webhooks".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from coderun.events.signature import HEADER, sign
from coderun.forge.github.answers import GitHubRefusedError
from coderun.forge.github.client import Client, Request, decode
from coderun.forge.github.deliveries import PATH, Attempt
from coderun.forge.github.shapes import Repository, Shape, User
from coderun.model.errors import NotFoundError
from coderun.model.repository import RepositoryId

RECENT: Final = 100


class Account(User, frozen=True, kw_only=True):
    """An account; `type` is `User`, `Organization` or `Bot`."""

    type: str = ""


class AppView(Shape, frozen=True, kw_only=True):
    """An App as it sees itself."""

    id: int = 0
    slug: str = ""
    name: str = ""
    client_id: str = ""
    html_url: str = ""
    owner: Account | None = None
    permissions: Mapping[str, str] = {}
    events: tuple[str, ...] = ()


class Conversion(AppView, frozen=True, kw_only=True):
    """An App that has just been made: the only time that its key and its secret are told."""

    pem: str
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return f"Conversion(id={self.id}, slug={self.slug!r})"


class InstallationView(Shape, frozen=True, kw_only=True):
    """An App on an account; its permissions lag behind the App's until the owner has accepted them."""

    id: int
    account: Account | None = None
    html_url: str = ""
    permissions: Mapping[str, str] = {}
    events: tuple[str, ...] = ()
    repository_selection: str = ""
    suspended_at: datetime | None = None


class HookConfig(Shape, frozen=True, kw_only=True):
    """Where an App's events go; of the secret GitHub tells only that there is one."""

    url: str = ""
    content_type: str = ""
    secret: str = ""
    insecure_ssl: str | int = "0"


class Rights(Shape, frozen=True, kw_only=True):
    """What the caller may do to a repository."""

    push: bool = False
    admin: bool = False


class RepositoryView(Repository, frozen=True, kw_only=True):
    """A repository with the settings that a play meets; None where the caller is not told."""

    default_branch: str = ""
    html_url: str = ""
    private: bool = False
    archived: bool = False
    disabled: bool = False
    allow_merge_commit: bool | None = None
    allow_squash_merge: bool | None = None
    permissions: Rights | None = None


class BranchView(Shape, frozen=True, kw_only=True):
    """A branch; `protected` is about classic protection and rulesets alike."""

    name: str = ""
    protected: bool = False


class Demand(Shape, frozen=True, kw_only=True):
    """Parameters of a rule, as far as they may stop a play."""

    required_approving_review_count: int = 0
    require_code_owner_review: bool = False
    require_last_push_approval: bool = False
    required_review_thread_resolution: bool = False
    allowed_merge_methods: tuple[str, ...] | None = None
    pattern: str = ""


class FullRule(Shape, frozen=True, kw_only=True):
    """A rule that is in force over a branch; `ruleset_id` tells where it is from."""

    type: str = ""
    ruleset_id: int = 0
    ruleset_source_type: str = ""
    parameters: Demand | None = None


class Anonymous:
    """Nobody: for what GitHub tells everybody."""

    identity = "nobody"

    async def authorization(self) -> str:
        """See `Credential`."""
        return ""

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """See `Credential`."""
        _ = authorization, date
        return None


class AppAffairs:
    """What an App tells of itself. `client` acts as the App."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def app(self) -> AppView:
        """The App. Raises `RefusedError` where the key is not, or not any more, a key of it."""
        return await self._client.get("/app", AppView)

    async def installation(self, repository: RepositoryId) -> InstallationView | None:
        """Where the App reaches a repository; None where it does not."""
        return await self._client.find(f"{_path(repository)}/installation", InstallationView)

    async def installed_at(self, owner: str) -> InstallationView | None:
        """Where the App is installed on an account, whether or not it reaches a certain repository of it."""
        for kind in ("orgs", "users"):
            found = await self._client.find(f"/{kind}/{quote(owner, safe='')}/installation", InstallationView)
            if found is not None:
                return found
        return None

    async def hook(self) -> HookConfig:
        """Where its events go; without an address where it has no webhook."""
        return await self._client.find("/app/hook/config", HookConfig) or HookConfig()

    async def set_hook(self, url: str, secret: str) -> None:
        """Send its events to `url`, signed with `secret`."""
        body = {"url": url, "secret": secret, "content_type": "json", "insecure_ssl": "0"}
        await self._client.write("PATCH", "/app/hook/config", body)

    async def attempts(self) -> list[Attempt]:
        """The newest attempts to deliver its events, at most a hundred, newest first."""
        return await self._client.get(PATH, list[Attempt], {"per_page": str(RECENT)})


async def convert(client: Client, code: str) -> Conversion:
    """Make the App of a manifest that a person has just confirmed; a code is good for one hour and one time.

    Raises:
        NotFoundError: GitHub does not know the code, or not any more.
    """
    path = f"/app-manifests/{quote(code, safe='')}/conversions"
    return decode(await client.write("POST", path), Conversion, path)


async def account(client: Client, login: str) -> Account | None:
    """An account, None where there is none."""
    return await client.find(f"/users/{quote(login, safe='')}", Account)


async def repository_view(client: Client, repository: RepositoryId) -> RepositoryView | None:
    """A repository, None where the caller does not see it."""
    return await client.find(_path(repository), RepositoryView)


async def branch_view(client: Client, repository: RepositoryId, branch: str) -> BranchView | None:
    """A branch, None where there is none."""
    return await client.find(f"{_path(repository)}/branches/{quote(branch, safe='')}", BranchView)


async def rules_of(client: Client, repository: RepositoryId, branch: str) -> list[FullRule]:
    """Rules of rulesets in force over a branch, which need not exist; none where GitHub does not tell."""
    try:
        return await client.list(f"{_path(repository)}/rules/branches/{quote(branch, safe='')}", FullRule)
    except (NotFoundError, GitHubRefusedError):
        return []


async def ping(client: Client, url: str, secret: str, *, guid: str) -> None:
    """Send a `ping` event to a webhook's address, signed as GitHub signs. `client` is for the origin of `url`, as nobody.

    Raises what an answer other than 2xx stands for.
    """
    payload = {"zen": "coderun github check", "hook_id": 0}
    headers = {
        HEADER: sign(msgspec.json.encode(payload), secret),
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": guid,
    }
    await client.send(Request(method="POST", path=url, body=payload, headers=headers))


def _path(repository: RepositoryId) -> str:
    return f"/repos/{quote(repository.owner, safe='')}/{quote(repository.name, safe='')}"
