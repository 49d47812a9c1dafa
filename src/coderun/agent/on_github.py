"""A run's forge on GitHub: as its agent, with the token its controller keeps fresh. Loaded only by runs that need it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from coderun.agent.access import TokenFile, gh_folder, keep_gh_fresh, proxy_for
from coderun.agent.ports import Places
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.forge import GitHubForge
from coderun.model.repository import parse_repository
from coderun.plan.order import RunOrder


@contextlib.asynccontextmanager
async def open_github(order: RunOrder, places: Places, environment: Mapping[str, str]) -> AsyncIterator[GitHubForge]:
    """The repository of the order, as its agent; meanwhile `gh` finds a configuration that works."""
    ref = order.forge
    async with open_session() as session:
        client = Client(
            session,
            TokenFile(places.token, identity=order.agent.login),
            base_url=ref.location,
            proxy=proxy_for(ref.web, environment),
        )
        repository = parse_repository(ref.repository)
        gh = asyncio.create_task(keep_gh_fresh(gh_folder(places.tmp), order, places.token), name="gh")
        try:
            yield GitHubForge(client, repository, login=order.agent.login, trusted=ref.trusted, require_approval=False)
        finally:
            gh.cancel()
            await asyncio.gather(gh, return_exceptions=True)
            with contextlib.suppress(OSError):
                (gh_folder(places.tmp) / "hosts.yml").unlink(missing_ok=True)
