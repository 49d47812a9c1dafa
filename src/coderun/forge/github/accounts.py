"""Whom an agent is on GitHub: its App, or the one person whose token all share. Each gives clients and leases of tokens.

Between `auth`, which signs and asks, and `broker` and `forges`, which hand out. An account makes its tokens for one repository
with named permissions; a person's token is what it is. Private keys stay in here.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote

import msgspec
import structlog

from coderun.forge.github.auth import (
    AppCredential,
    AppInstallations,
    AppKey,
    PersonalToken,
    RepositoryToken,
    end_token,
)
from coderun.forge.github.client import Client, prove
from coderun.forge.github.shapes import Person
from coderun.model.errors import ForgeUnavailableError, RefusedError
from coderun.model.repository import RepositoryId

LOOK: Final[Mapping[str, str]] = {"metadata": "read"}
_PROVEN: Final = timedelta(seconds=20)
_log = structlog.get_logger(__name__)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is on GitHub: the login of what they do, and their address in commits."""

    login: str
    email: str


class Lease(Protocol):
    """A token for as long as somebody needs it."""

    async def text(self) -> str:
        """A token that is good for ten minutes at least; the same one until it must be renewed. Raises as `Account`."""
        ...

    async def end(self) -> None:
        """End it on GitHub. Raises `ForgeUnavailableError` where GitHub could not be told."""
        ...


class Account(Protocol):
    """An App or a person. What GitHub refuses is `RefusedError`, what may work later `ForgeUnavailableError`."""

    @property
    def is_personal(self) -> bool:
        """Whether it is a person's, with all that the person may do."""
        ...

    async def identity(self, repository: RepositoryId | None) -> Identity:
        """Who it is; remembered. The repository is one that it reaches, None where nobody knows any yet."""
        ...

    def client(self, repository: RepositoryId, permissions: Mapping[str, str]) -> Client:
        """A client for one repository with these permissions alone."""
        ...

    def lease(self, repository: RepositoryId, permissions: Mapping[str, str]) -> Lease:
        """A token for somebody else, for one repository with these permissions alone."""
        ...

    def take_over(self, token: str) -> Lease:
        """A token that another process has asked for as this account; it can only be ended, as far as it is to be."""
        ...

    def forget(self) -> None:
        """Installations may have changed: find them anew."""
        ...


class AppAccount:
    """A GitHub App. `client` is any way to this GitHub: its credential is not used."""

    is_personal = False

    def __init__(
        self, client: Client, *, app_id: str, pem: bytes, slug: str = "", name: str = "", clock: Callable[[], datetime]
    ) -> None:
        self._client = client.acting_as(AppCredential(AppKey(app_id, pem, clock=clock), name=name or slug))
        self._installations = AppInstallations(self._client, clock=clock)
        self._clock = clock
        self._slug = slug
        self._known: Identity | None = None
        self._clients: dict[tuple[RepositoryId, tuple[tuple[str, str], ...]], Client] = {}

    @property
    def as_app(self) -> Client:
        """The App itself, for its own affairs."""
        return self._client

    async def identity(self, repository: RepositoryId | None) -> Identity:
        """See `Account`. Its login is known also while it is not installed or suspended, its number is not."""
        if self._known is None:
            login = f"{self._slug}[bot]" if self._slug else await self._installations.login()
            try:
                client = await self._anywhere() if repository is None else self.client(repository, LOOK)
                person = await client.get(f"/users/{quote(login, safe='')}", Person)
            except RefusedError as error:
                _log.warning("App without access", identity=self._client.identity, error=str(error))
                return Identity(login=login, email=noreply(login, self._client.base_url))
            self._known = Identity(login=login, email=noreply(f"{person.id}+{person.login}", self._client.base_url))
        return self._known

    async def _anywhere(self) -> Client:
        token = await self._installations.look_around()
        if token is None:
            raise RefusedError(f"{self._client.identity} is installed nowhere; install it on the repositories it works on")
        return self._client.acting_as(PersonalToken(token.text, name=self._client.identity))

    def client(self, repository: RepositoryId, permissions: Mapping[str, str]) -> Client:
        """See `Account`; the same one for the same wish, so that its tokens and ETags are used again."""
        key = (repository, tuple(sorted(permissions.items())))
        if key not in self._clients:
            self._clients[key] = self._client.acting_as(self._token(repository, permissions))
        return self._clients[key]

    def lease(self, repository: RepositoryId, permissions: Mapping[str, str]) -> "AppLease":
        """See `Account`."""
        return AppLease(self._client, self._token(repository, permissions), clock=self._clock)

    def take_over(self, token: str) -> "InheritedLease":
        """See `Account`."""
        return InheritedLease(self._client, token)

    def forget(self) -> None:
        """See `Account`."""
        self._installations.forget()

    def _token(self, repository: RepositoryId, permissions: Mapping[str, str]) -> RepositoryToken:
        return RepositoryToken(self._installations, self._client, repository, permissions, clock=self._clock)


class AppLease:
    """A run's token: renewed before it ends, and also where GitHub has ended it early."""

    def __init__(self, client: Client, token: RepositoryToken, *, clock: Callable[[], datetime]) -> None:
        self._token = token
        self._client = client.acting_as(token)
        self._clock = clock
        self._proven_at: datetime | None = None
        self._asking = asyncio.Lock()

    async def text(self) -> str:
        """See `Lease`. Now and then GitHub is asked whether it still takes the token, which costs nothing of any limit."""
        async with self._asking:
            fresh = await self._token.token()
            now = self._clock()
            if fresh.issued_at >= now - _PROVEN or (self._proven_at is not None and now - self._proven_at < _PROVEN):
                return fresh.text
            try:
                await prove(self._client)
            except ForgeUnavailableError as error:
                _log.warning("token not proven", identity=self._token.identity, error=str(error))
            self._proven_at = now
            return (await self._token.token()).text

    async def end(self) -> None:
        """See `Lease`."""
        await self._token.revoke()


class InheritedLease:
    """A token of which nobody knows when it ends."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self._token = token

    async def text(self) -> str:
        """See `Lease`; it may end at any time."""
        return self._token

    async def end(self) -> None:
        """See `Lease`; nothing happens where it has ended."""
        await end_token(self._client, self._token)


class PersonAccount:
    """A person, with the one token that they gave. Nothing is narrowed, renewed or revoked: it is theirs."""

    is_personal = True

    def __init__(self, client: Client, token: str, *, source: str = "") -> None:
        self._token = token
        self._client = client.acting_as(PersonalToken(token, name=f"the token of {source}" if source else ""))
        self._known: Identity | None = None

    async def identity(self, repository: RepositoryId | None) -> Identity:
        """See `Account`."""
        _ = repository
        if self._known is None:
            person = await self._client.get("/user", Person)
            self._known = Identity(login=person.login, email=noreply(f"{person.id}+{person.login}", self._client.base_url))
        return self._known

    def client(self, repository: RepositoryId, permissions: Mapping[str, str]) -> Client:
        """See `Account`."""
        _ = repository, permissions
        return self._client

    def lease(self, repository: RepositoryId, permissions: Mapping[str, str]) -> "PersonLease":
        """See `Account`."""
        _ = repository, permissions
        return PersonLease(self._token)

    def take_over(self, token: str) -> "PersonLease":
        """See `Account`."""
        return PersonLease(token)

    def forget(self) -> None:
        """See `Account`; a person has no installations."""


class PersonLease:
    """The person's own token, lent out."""

    def __init__(self, token: str) -> None:
        self._text = token

    async def text(self) -> str:
        """See `Lease`."""
        return self._text

    async def end(self) -> None:
        """See `Lease`; the person goes on using it."""


def noreply(name: str, api: str) -> str:
    """The address that ties commits to an account without showing a mailbox; a server of one's own has its own domain."""
    host = api.partition("://")[2].partition("/")[0].partition(":")[0].removeprefix("api.")
    domain = f"users.noreply.{host}" if host else "users.noreply.github.com"
    return f"{name}@{domain}"
