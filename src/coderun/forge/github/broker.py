"""The token broker: a token for each run, for its one repository, with the least that its stage needs, and only while it runs.

Called by the CodeRun reconciler (`reconcile.coderun.Tokens`) in every pass over a running run. It keeps what it has given in
memory, and nowhere else: a token of a controller that died is replaced by its successor's, which reads it where the run has it
and revokes it with its own.
"""

import re
from collections.abc import Mapping
from typing import Final

import structlog

from coderun.forge.github.accounts import Account, Lease
from coderun.forge.github.permissions import run_permissions
from coderun.model.coderun import CodeRun
from coderun.model.errors import ConfigError, ForgeUnavailableError, RefusedError
from coderun.model.repository import DEFAULT_HOST, RepositoryId, parse_repository
from coderun.model.roster import Agent

_TOKEN: Final = re.compile(r"[!-~]{1,1000}")
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
    """Tokens of runs; `reconcile.coderun.Tokens`. A repository of which only owner and name are said is on `host`."""

    def __init__(self, accounts: Accounts, host: str = DEFAULT_HOST) -> None:
        self._accounts = accounts
        self._host = host
        self._leases: dict[str, Lease] = {}
        self._inherited: dict[str, Lease] = {}
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
            repository = repository_of(run.spec.repository_url, self._host)
            self._leases[run.name] = account.lease(repository, run_permissions(gates, agent))
        return await self._leases[run.name].text()

    def knows(self, run: str) -> bool:
        """Whether this process has given the run a token, or has inherited one."""
        return run in self._leases or run in self._inherited

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        """Remember a token that another process gave the run. It is not ended before the run, whose programs may be using it.

        It was where the run could write: what is none is passed over, and what is ended is what the run itself could end.
        """
        account = self._accounts.find(agent.name)
        if account is not None and _TOKEN.fullmatch(token):
            self._inherited[run.name] = account.take_over(token)

    async def revoke(self, run: str) -> None:
        """End a run's tokens. Where GitHub cannot be told now that is made up for later: no run waits for it."""
        leases = (self._inherited.pop(run, None), self._leases.pop(run, None))
        owed, self._owed = [*self._owed, *filter(None, leases)], []
        for one in owed:
            try:
                await one.end()
            except ForgeUnavailableError as error:
                self._owed.append(one)
                _log.warning("token not revoked yet", coderun=run, error=str(error))
            except RefusedError as error:
                _log.warning("token not revoked", coderun=run, error=str(error))


def repository_of(url: str, host: str = DEFAULT_HOST) -> RepositoryId:
    """A repository that can be on GitHub: on `host`, where only owner and name are said.

    Raises:
        RefusedError: it is a folder of this machine, or no repository at all.
    """
    try:
        found = parse_repository(url, host)
    except ConfigError as error:
        raise RefusedError(str(error)) from error
    if found.is_local:
        raise RefusedError(f"repository {url!r} is a folder, not a repository on GitHub; write owner/name")
    return found
