"""A run's forge on GitHub: as its agent, with the token its controller keeps fresh. Loaded only by runs that need it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from coderun.agent.access import TokenFile, gh_folder, keep_gh_fresh, proxy_for
from coderun.agent.ports import Places
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.forge import GitHubForge
from coderun.model.repository import parse_repository
from coderun.plan.order import RunOrder


@contextlib.asynccontextmanager
async def open_as_agent(order: RunOrder, token: Path, environment: Mapping[str, str]) -> AsyncIterator[GitHubForge]:
    """The repository of the order, as its agent, with whatever the token file holds."""
    ref = order.forge
    async with open_session() as session:
        credential = TokenFile(token, identity=order.agent.login)
        client = Client(session, credential, base_url=ref.location, proxy=proxy_for(ref.location, environment))
        repository = parse_repository(ref.repository)
        yield GitHubForge(client, repository, login=order.agent.login, trusted=ref.trusted, require_approval=False)


@contextlib.asynccontextmanager
async def open_github(order: RunOrder, places: Places, environment: Mapping[str, str]) -> AsyncIterator[GitHubForge]:
    """The same for the runner; meanwhile `gh` finds a configuration that works."""
    folder = gh_folder(places.tmp)
    async with open_as_agent(order, places.token, environment) as forge:
        gh = asyncio.create_task(keep_gh_fresh(folder, order, places.token), name="gh")
        try:
            yield forge
        finally:
            gh.cancel()
            await asyncio.gather(gh, return_exceptions=True)
            with contextlib.suppress(OSError):
                (folder / "hosts.yml").unlink(missing_ok=True)
