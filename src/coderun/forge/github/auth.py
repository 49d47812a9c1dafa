"""Who we are to GitHub: an App with its private key, its installations, tokens for one repository; or a person's token.

Under `forge`, beside `client`, whose `Credential` everything here is. The private key is loaded once and stays in this process;
a token reaches one repository with the permissions that were asked for, never an installation as a whole. Nothing here logs a
token or a key. Facts: GitHub's pages "Generating a JSON Web Token" and "Create an installation access token for an app".
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from coderun.forge.github.answers import GitHubRefusedError
from coderun.forge.github.client import Client, decode
from coderun.forge.github.shapes import App, Installation, IssuedToken, User
from coderun.model.errors import ConfigError, ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.repository import RepositoryId

_BACKDATED: Final = timedelta(seconds=60)
_LIFETIME: Final = timedelta(minutes=8)  # from now: nine minutes after `iat`
_JWT_MARGIN: Final = timedelta(minutes=1)
_WORTH_CORRECTING: Final = timedelta(seconds=30)
_MARGIN: Final = timedelta(minutes=10)
_JUST_ISSUED: Final = timedelta(seconds=30)
_LAG_PAUSE: Final = 1.0
_SMALLEST_KEY: Final = 2048
_UNPROCESSABLE: Final = 422
_FORBIDDEN: Final = 403


class AppKey:
    """An App's id and private key; signs as the App. `clock` gives the time with a zone.

    Raises:
        ConfigError: the key is not an RSA private key in PEM without a passphrase.
    """

    def __init__(self, app_id: str, pem: bytes, *, clock: Callable[[], datetime]) -> None:
        self.app_id = app_id
        self._key = _load(app_id, pem)
        self._clock = clock
        self._skew = timedelta(0)
        self._signed = ""
        self._good_until = datetime.min.replace(tzinfo=UTC)

    def sign(self) -> str:
        """A JWT of the App, used again until shortly before it ends."""
        now = self._clock() + self._skew
        if now >= self._good_until:
            claims = {"iat": int((now - _BACKDATED).timestamp()), "exp": int((now + _LIFETIME).timestamp()), "iss": self.app_id}
            self._signed = jwt.encode(claims, self._key, algorithm="RS256")
            self._good_until = now + _LIFETIME - _JWT_MARGIN
        return self._signed

    def follow(self, date: datetime | None) -> bool:
        """Go by GitHub's clock where ours is off by more than half a minute; whether that changed anything."""
        if date is None or date.tzinfo is None:
            return False
        skew = date - self._clock()
        if abs(skew - self._skew) < _WORTH_CORRECTING:
            return False
        self._skew = skew
        self._good_until = datetime.min.replace(tzinfo=UTC)
        return True


def _load(app_id: str, pem: bytes) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's words may quote the key: they are left out.
        raise ConfigError(
            f"the private key of GitHub App {app_id} cannot be read ({type(error).__name__}); "
            "give the PEM file that GitHub generated, without a passphrase"
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _SMALLEST_KEY:
        raise ConfigError(f"the private key of GitHub App {app_id} is no RSA key of 2048 bits or more; generate a new one")
    return key


class AppCredential:
    """The App itself: only for its own affairs (installations, tokens, deliveries)."""

    def __init__(self, key: AppKey, *, name: str = "") -> None:
        self._key = key
        self.identity = f"App {name or key.app_id}"

    async def authorization(self) -> str:
        """See `Credential`."""
        return f"Bearer {self._key.sign()}"

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """See `Credential`. A clock that is off is the one reason that goes away."""
        _ = authorization
        return 0.0 if self._key.follow(date) else None


class PersonalToken:
    """A person's token: simple, not refreshed, and everything is done in that person's name."""

    def __init__(self, token: str, *, name: str = "") -> None:
        self._token = token.strip()
        self.identity = name or "the personal token"
        if not self._token or not self._token.isascii() or not self._token.isprintable() or " " in self._token:
            raise ConfigError("the GitHub token is empty or holds blanks; give the one line that GitHub showed")

    def __repr__(self) -> str:
        return f"PersonalToken({self.identity!r})"

    async def authorization(self) -> str:
        """See `Credential`."""
        return f"Bearer {self._token}"

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """See `Credential`. There is no other token to try."""
        _ = authorization, date
        return None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An installation token for one repository. Its text is secret and no part of its `repr`."""

    text: str
    expires_at: datetime
    issued_at: datetime

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at.isoformat()})"


class AppInstallations:
    """Where an App is installed, and tokens there. `client` acts as the App (`AppCredential`)."""

    def __init__(self, client: Client, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[RepositoryId, int] = {}
        self._numbers: dict[RepositoryId, int] = {}

    async def login(self) -> str:
        """The login of what the App does: `{slug}[bot]`."""
        return f"{(await self._client.get('/app', App)).slug}[bot]"

    async def find(self, repository: RepositoryId) -> int:
        """Id of the installation that reaches a repository; remembered.

        Raises:
            RefusedError: the App is not installed there, or suspended.
        """
        known = self._known.get(repository)
        if known is not None:
            return known
        owner, name = quote(repository.owner, safe=""), quote(repository.name, safe="")
        for path in (f"/repos/{owner}/{name}", f"/orgs/{owner}", f"/users/{owner}"):
            found = await self._client.find(f"{path}/installation", Installation)
            if found is None:
                continue
            if found.suspended_at is not None:
                raise RefusedError(
                    f"{self._client.identity} is suspended for {repository}; "
                    f"somebody who owns {repository.owner} has to unsuspend it"
                )
            self._known[repository] = found.id
            return found.id
        raise RefusedError(
            f"{self._client.identity} is not installed on {repository}; install it there, or give it that repository"
        )

    async def look_around(self) -> Token | None:
        """A token that may read what everybody may, from any installation; None where the App is installed nowhere."""
        installations = await self._client.get("/app/installations", list[Installation])
        usable = next((one for one in installations if one.suspended_at is None), None)
        if usable is None:
            return None
        path = f"/app/installations/{usable.id}/access_tokens"
        issued_at = self._clock()
        answer = await self._client.write("POST", path, {"permissions": {"metadata": "read"}}, repeatable=True)
        issued = decode(answer, IssuedToken, path)
        return Token(text=issued.token, expires_at=issued.expires_at, issued_at=issued_at)

    def forget(self, repository: RepositoryId | None = None) -> None:
        """Look for the installation anew, of one repository or of all: one was moved, removed or suspended."""
        if repository is None:
            self._known.clear()
        else:
            self._known.pop(repository, None)

    async def issue(self, repository: RepositoryId, permissions: Mapping[str, str]) -> Token:
        """A token for this repository alone, with these permissions alone (`{"contents": "write"}`).

        Raises:
            ValueError: no permission was named: GitHub would give all.
            RefusedError: not installed, suspended, or the App lacks a permission or the repository.
        """
        if not permissions:
            raise ValueError("a token without named permissions would carry all of them; name the least that do")
        for is_last in (False, True):
            installation = await self.find(repository)
            try:
                return await self._issue(installation, repository, permissions)
            except NotFoundError:
                # The installation has moved on since it was found.
                self.forget(repository)
                if is_last:
                    raise
            except GitHubRefusedError as error:
                self.forget(repository)
                raise _unissued(error, self._client.identity, repository, permissions) from error
        raise AssertionError("unreachable")  # pragma: no cover

    async def _issue(self, installation: int, repository: RepositoryId, permissions: Mapping[str, str]) -> Token:
        path = f"/app/installations/{installation}/access_tokens"
        number = self._numbers.get(repository, 0)
        # By its number once that is known: a repository that was renamed keeps it.
        named = {"repository_ids": [number]} if number else {"repositories": [repository.name]}
        body = {**named, "permissions": dict(permissions)}
        issued_at = self._clock()
        answer = await self._client.write("POST", path, body, repeatable=True)
        issued = decode(answer, IssuedToken, path)
        others = [one for one in issued.repositories if (one.id != number if number else one.name.lower() != repository.name)]
        if issued.repository_selection == "all" or others:
            raise RefusedError(f"GitHub gave {self._client.identity} a token for more than {repository}; it is not used")
        if issued.repositories:
            self._numbers[repository] = issued.repositories[0].id
        return Token(text=issued.token, expires_at=issued.expires_at, issued_at=issued_at)


def _unissued(
    error: GitHubRefusedError, identity: str, repository: RepositoryId, permissions: Mapping[str, str]
) -> RefusedError:
    asked = ", ".join(f"{name}: {level}" for name, level in permissions.items())
    if error.status == _UNPROCESSABLE:
        return RefusedError(
            f"GitHub gives {identity} no token for {repository} with {asked}: {error.said}; grant the App these permissions "
            "and let its owner accept them, and give its installation this repository (under the name it has now)"
        )
    if error.status == _FORBIDDEN:
        return RefusedError(f"GitHub gives {identity} no token for {repository}: {error.said}; is its installation suspended?")
    return error


class RepositoryToken:
    """A token for one repository that is replaced before it ends, for as long as somebody asks. `revoke` ends it.

    `client` is any client of the same App: it only carries the revocation.
    """

    def __init__(
        self,
        installations: AppInstallations,
        client: Client,
        repository: RepositoryId,
        permissions: Mapping[str, str],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.identity = client.identity
        self._installations = installations
        self._client = client
        self._repository = repository
        self._permissions = dict(permissions)
        self._clock = clock
        self._token: Token | None = None
        self._live: list[Token] = []
        self._issuing = asyncio.Lock()
        self._is_over = False

    async def token(self, *, margin: timedelta = _MARGIN) -> Token:
        """A token that is good for `margin` at least.

        Where no new one can be had and the old one still holds, that one is given. Raises as `AppInstallations.issue`, and
        `RefusedError` after `revoke`.
        """
        async with self._issuing:
            if self._is_over:
                raise RefusedError(f"the token of {self.identity} for {self._repository} was revoked; its run is over")
            old = self._token
            if old is not None and old.expires_at - margin > self._clock():
                return old
            try:
                self._token = await self._installations.issue(self._repository, self._permissions)
            except ForgeUnavailableError:
                if old is not None and old.expires_at > self._clock():
                    return old
                raise
            self._live = [token for token in self._live if token.expires_at > self._clock()]
            self._live.append(self._token)
            return self._token

    async def authorization(self) -> str:
        """See `Credential`."""
        return f"Bearer {(await self.token()).text}"

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """See `Credential`. Right after issue not all of GitHub may know the token yet; later a new one is due."""
        _ = date
        current = self._token
        if current is None or authorization != f"Bearer {current.text}":
            return 0.0  # somebody has replaced it meanwhile
        if self._clock() - current.issued_at < _JUST_ISSUED:
            return _LAG_PAUSE
        self._token = None
        return 0.0

    async def revoke(self) -> None:
        """End every token that was given; they are useless at once. Repeating it does nothing.

        Raises:
            ForgeUnavailableError: GitHub could not be told; they end by themselves within the hour.
        """
        async with self._issuing:
            self._is_over = True
            self._token = None
            while self._live:
                await self._revoke(self._live[-1])
                self._live.pop()

    async def _revoke(self, token: Token) -> None:
        if token.expires_at > self._clock():
            await end_token(self._client, token.text)


async def end_token(client: Client, token: str) -> None:
    """End a token of an installation, with which it says so itself; nothing happens where it has ended, or is a person's.

    Raises:
        ForgeUnavailableError: GitHub could not be told.
    """
    try:
        await client.acting_as(PersonalToken(token, name=client.identity)).write(
            "DELETE", "/installation/token", quiet=frozenset({401, 403, 404})
        )
    except (NotFoundError, GitHubRefusedError):
        return


async def person_login(client: Client) -> str:
    """The login behind a personal token."""
    return (await client.get("/user", User)).login
