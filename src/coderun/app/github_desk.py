"""GitHub, as the set-up and the check ask it: as nobody, as each App, as a person. Wires keys and clients together.

Opens the connections of those two; private keys go from `github_keys` into `AppKey` here.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from coderun.agent.access import proxy_for
from coderun.app.github_keys import AppKeys
from coderun.app.github_place import GitHubPlace
from coderun.app.github_setup import Made
from coderun.forge.github import affairs
from coderun.forge.github.affairs import Anonymous, AppAffairs
from coderun.forge.github.auth import AppCredential, AppInstallations, AppKey, PersonalToken, person_login
from coderun.forge.github.client import Client, open_session
from coderun.model.errors import ConfigError

_PATIENCE: Final = 8.0  # a person waits


class Desk:
    """Asks GitHub about one repository and the Apps on it. `clock` gives the time with a zone."""

    def __init__(self, open_client: Callable[[str], Client], place: GitHubPlace, clock: Callable[[], datetime]) -> None:
        """See the class; `open_client` makes a client that acts as nobody, for the base URL of an API."""
        self.place = place
        self.nobody = open_client(place.host.api)
        self._open_client = open_client
        self._clock = clock

    def as_app(self, keys: AppKeys) -> Client:
        """As an App, for its own affairs. Raises `ConfigError` where its key is none."""
        key = AppKey(keys.app_id, keys.pem, clock=self._clock)
        return self.nobody.acting_as(AppCredential(key, name=keys.slug or keys.agent))

    def as_person(self, token: str) -> Client:
        """As whoever a personal token belongs to."""
        return self.nobody.acting_as(PersonalToken(token))

    async def as_installation(self, keys: AppKeys, permissions: dict[str, str]) -> Client:
        """As an App on the repository, with these permissions. Raises as `AppInstallations.issue`."""
        client = self.as_app(keys)
        token = await AppInstallations(client, clock=self._clock).issue(self.place.repository, permissions)
        return client.acting_as(PersonalToken(token.text, name=client.identity))

    async def convert(self, code: str) -> Made:
        """See `GitHubDesk`."""
        made = await affairs.convert(self.nobody, code)
        return Made(
            app_id=str(made.id),
            slug=made.slug,
            name=made.name,
            client_id=made.client_id,
            url=made.html_url,
            pem=made.pem.encode(),
            webhook_secret=made.webhook_secret or "",
        )

    async def is_installed(self, keys: AppKeys) -> bool:
        """See `GitHubDesk`."""
        return await AppAffairs(self.as_app(keys)).installation(self.place.repository) is not None

    async def aim(self, keys: AppKeys, url: str, secret: str) -> None:
        """See `GitHubDesk`."""
        await AppAffairs(self.as_app(keys)).set_hook(url, secret)

    async def login(self, token: str) -> str:
        """Whose personal token this is."""
        return await person_login(self.as_person(token))

    async def ping(self, url: str, secret: str) -> None:
        """Send a signed ping to a webhook's address. Raises what it answers, and `ForgeUnavailableError` where nobody does."""
        parts = urlsplit(url)
        there = self._open_client(f"{parts.scheme}://{parts.netloc}")
        await affairs.ping(there, url, secret, guid=str(uuid4()))

    async def owner_is_organization(self) -> bool:
        """Whether the repository belongs to an organisation, whose Apps then must be its own.

        Raises:
            ConfigError: GitHub does not tell nobody (a private server, or no such account).
        """
        owner = self.place.repository.owner
        found = await affairs.account(self.nobody, owner)
        if found is None:
            raise ConfigError(
                f"{self.place.host.name} knows no account {owner!r}; name the owner of the Apps with --org or --user"
            )
        return found.type == "Organization"


@contextlib.asynccontextmanager
async def open_desk(
    place: GitHubPlace, *, clock: Callable[[], datetime], environ: Mapping[str, str] = {}
) -> AsyncIterator[Desk]:
    """A desk with its connections, closed at the end; by the proxy that the environment names, where it names one."""
    async with open_session() as session:

        def open_client(url: str) -> Client:
            return Client(session, Anonymous(), base_url=url, proxy=proxy_for(url, environ), patience=_PATIENCE)

        yield Desk(open_client, place, clock)
