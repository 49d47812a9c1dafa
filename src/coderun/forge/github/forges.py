"""The forges of all repositories on one GitHub, as the account that the controller acts with. `forge.protocol.Forges`."""

import time
from collections.abc import Callable, Collection

from coderun.forge.github.accounts import Account
from coderun.forge.github.broker import repository_of
from coderun.forge.github.forge import GitHubForge
from coderun.forge.github.permissions import control_permissions
from coderun.model.errors import RefusedError
from coderun.model.github import GitHubHost
from coderun.model.repository import RepositoryId, host_of


class GitHubForges:
    """Makes each forge once; what it has read stays with it.

    `trusted` are the logins of the roster's Apps. Whether a merge needs an approval is for the pipeline and the branch's own
    rules to say, not for this.
    """

    def __init__(
        self,
        host: GitHubHost,
        account: Account,
        *,
        trusted: Collection[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._account = account
        self._trusted = tuple(trusted)
        self._now = now
        self._made: dict[RepositoryId, GitHubForge] = {}

    async def of(self, repository_url: str) -> GitHubForge:
        """The forge of a repository.

        Raises:
            RefusedError: it is on another host, or the controller's App does not reach it.
            ForgeUnavailableError: GitHub does not answer now.
        """
        repository = on_host(self._host, repository_url)
        if repository not in self._made:
            identity = await self._account.identity(repository)
            self._made[repository] = GitHubForge(
                self._account.client(repository, control_permissions()),
                repository,
                login=identity.login,
                trusted=self._trusted,
                require_approval=False,
                now=self._now,
            )
        return self._made[repository]


def on_host(host: GitHubHost, repository_url: str) -> RepositoryId:
    """The repository, which must be on this GitHub; where only owner and name are said, it is. Raises `RefusedError`."""
    wanted = host_of(host.web)
    repository = repository_of(repository_url, wanted)
    if repository.host != wanted:
        raise RefusedError(
            f"repository {repository} is on {repository.host}, and this controller works with {wanted}; "
            "set forge.url, or name a repository there"
        )
    return repository
