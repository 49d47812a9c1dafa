"""The token broker: a token for each run, for its one repository, with the least that its stage needs, and only while it runs.

Called by the CodeRun reconciler (`reconcile.coderun.Tokens`) in every pass over a running run. It keeps what it has given in
memory: a token of a controller that died is replaced by its successor's, and ends by itself within the hour.
"""

from collections.abc import Mapping

import structlog

from coderun.forge.github.accounts import Account, Lease
from coderun.forge.github.permissions import run_permissions
from coderun.model.coderun import CodeRun
from coderun.model.errors import ConfigError, ForgeUnavailableError, RefusedError
from coderun.model.repository import RepositoryId, parse_repository
from coderun.model.roster import Agent

_log = structlog.get_logger(__name__)


class Accounts:
    """The account of each agent: its own, else the one that all share."""

    def __init__(self, own: Mapping[str, Account], shared: Account | None, *, advice: str) -> None:
        """See the class; `advice` says to a person how an agent without one gets one."""
        self._own = dict(own)
        self._shared = shared
        self._advice = advice

    def find(self, agent: str) -> Account | None:
        """The account of an agent, by its short name; None where it has none."""
        return self._own.get(agent, self._shared)

    def of(self, agent: str) -> Account:
        """The account of an agent. Raises `RefusedError` where it has none."""
        found = self.find(agent)
        if found is None:
            raise RefusedError(f"agent {agent} has no GitHub App, and there is no personal token; {self._advice}")
        return found

    def forget(self) -> None:
        """Installations may have changed: find them anew."""
        for account in self._own.values():
            account.forget()


class Broker:
    """Tokens of runs; `reconcile.coderun.Tokens`."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._leases: dict[str, Lease] = {}
        self._owed: list[Lease] = []

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        """A token for the run's repository and stage, good for ten minutes at least; the same one until it must be renewed.

        Raises:
            RefusedError: not installed, suspended, lacking a permission; the message says who has to do what.
            ForgeUnavailableError: GitHub gives none now.
        """
        if run.name not in self._leases:
            gates = [gate.kind for gate in run.spec.evidence]
            account = self._accounts.of(agent.name)
            self._leases[run.name] = account.lease(repository_of(run.spec.repository_url), run_permissions(gates, agent))
        return await self._leases[run.name].text()

    async def revoke(self, run: str) -> None:
        """End a run's token. Where GitHub cannot be told now that is made up for later: no run waits for it."""
        lease = self._leases.pop(run, None)
        owed, self._owed = [*self._owed, *filter(None, [lease])], []
        for one in owed:
            try:
                await one.end()
            except ForgeUnavailableError as error:
                self._owed.append(one)
                _log.warning("token not revoked yet", coderun=run, error=str(error))
            except RefusedError as error:
                _log.warning("token not revoked", coderun=run, error=str(error))


def repository_of(url: str) -> RepositoryId:
    """A repository that can be on GitHub. Raises `RefusedError` for a folder of this machine and what is no repository."""
    try:
        found = parse_repository(url)
    except ConfigError as error:
        raise RefusedError(str(error)) from error
    if found.is_local:
        raise RefusedError(f"repository {url!r} is a folder, not a repository on GitHub; write owner/name")
    return found
