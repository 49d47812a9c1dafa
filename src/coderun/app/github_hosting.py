"""GitHub as a hosting: accounts from the keys of this machine; the forges, tokens and lookout of a controller; `coderun pr`.

Loaded only where `forge.type` is `github`. Every agent acts as its own App; the controller as the App of the agent in the first
stage, or as one called `coderun` where there is one. Without Apps one person's token does for all. Nothing here decides.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from coderun.agent.access import proxy_for
from coderun.app.configuration import Configuration
from coderun.app.controller import LISTEN_DAYS
from coderun.app.github_keys import GitHubCredentials
from coderun.app.hosting import ForgeParts
from coderun.app.lookout import Lookout
from coderun.app.repair import DeliveryRepair
from coderun.forge.github.accounts import Account, AppAccount, Identity, PersonAccount
from coderun.forge.github.auth import PersonalToken
from coderun.forge.github.broker import Accounts, Broker
from coderun.forge.github.client import Client, Session, open_session
from coderun.forge.github.deliveries import DeliveryLog
from coderun.forge.github.forge import GitHubForge
from coderun.forge.github.forges import GitHubForges, on_host
from coderun.model.errors import ConfigError, ForgeUnavailableError, RefusedError
from coderun.model.metrics import ForgeMetrics
from coderun.model.pulls import PullState
from coderun.model.repository import host_of
from coderun.model.roster import Agent, Roster
from coderun.plan.order import GITHUB, ForgeRef
from coderun.reconcile.view import View
from coderun.store.protocol import Store

CONTROLLER: Final = "coderun"
SLOWEST_RUN: Final = 15.0
_ADVICE: Final = "`coderun github setup` makes the Apps, docs/github.md says how to go on with a token"
_log = structlog.get_logger(__name__)


class InboxSource:
    """Deliveries come in by the door: here there is nothing to fetch, only to hand on."""

    async def take_in(self) -> bool:
        """Whatever lies in the inbox is to be handed on."""
        return True


class GitHubHosting:
    """One repository on a GitHub, or (in a cluster) all that its plays name.

    Args:
        repository: `owner/name`, as a person wrote it; "" for all.
        cache: File for what GitHub says of who the agents are, for a start while it does not answer; None keeps nothing.
        permit: Called before anything is changed on GitHub; raises where this process may not.
        poll: Seconds between two looks at the forge while things move.
    """

    def __init__(
        self,
        *,
        repository: str,
        configuration: Configuration,
        credentials: GitHubCredentials,
        person: str,
        cache: Path | None,
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        metrics: ForgeMetrics | None = None,
        permit: Callable[[], None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._permit = permit
        self._host = credentials.host
        self._configuration = configuration
        self._credentials = credentials
        self._cache = cache
        self._environment = environment
        self._clock = clock
        self._session: Session | None = None
        self._own: dict[str, AppAccount] | None = None
        self._accounts: Accounts | None = None
        self._forges: GitHubForges | None = None
        self.person = person
        self.repository = f"{self._host.web}/{repository}" if repository else ""

    @property
    def place(self) -> str:
        """Its page, which is also what git clones."""
        return self.repository or self._host.web

    async def open(self) -> GitHubForge:
        """The repository's forge: as the person whose token is there, else as the controller's App."""
        personal = self._credentials.personal
        if personal is None:
            if self._forges is None:
                self._forges = self._make_forges(await self._identify(self._configuration.roster))
            return await self._forges.of(self.repository)
        account = PersonAccount(self._client(), personal.token, source=personal.source)
        bots = [f"{keys.slug}[bot]" for keys in self._credentials.apps.values() if keys.slug]
        return await GitHubForges(self._host, account, trusted=bots).of(self.repository)

    async def counts(self) -> dict[PullState, int]:
        """How many pull requests there are in each state."""
        return await (await self.open()).count_pull_requests()

    async def merged_tasks(self, base_branch: str) -> frozenset[int]:
        """Tasks that a merged pull request has done."""
        forge = await self.open()
        return await forge.merged_tasks(base_branch)

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        """The parts for one controller; the roster with the logins that GitHub knows."""
        known = await self._identify(roster)
        forges = self._make_forges(known)  # of its own: what a forge tells as news, it tells once
        settings = self._configuration.config.forge
        return ForgeParts(
            ref=ForgeRef(
                kind=GITHUB,
                location=self._host.api,
                repository=f"{self.repository}.git" if self.repository else "",
                web=self._host.web,
                trusted=_bots(known),
            ),
            roster=known,
            forges=forges,
            tokens=Broker(self._all_accounts(), host_of(self._host.web)),
            source=InboxSource(),
            lookout=Lookout(
                forges,
                lambda: [*view.open_plays(), *view.retried_since(self._clock() - timedelta(days=LISTEN_DAYS))],
                fastest=settings.poll_seconds,
                monotonic=time.monotonic,
            ),
            repair=DeliveryRepair(
                {name: DeliveryLog(account.as_app) for name, account in self._apps().items()},
                store,
                clock=self._clock,
                pause=self._configuration.config.webhook.repair_seconds,
            ),
            poll=min(settings.poll_seconds, SLOWEST_RUN),
            tells=True,
            moved=self._all_accounts().forget,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    # -- accounts ----------------------------------------------------------------------------------------------------------

    def _client(self) -> Client:
        """A way to GitHub; whoever uses it brings a credential."""
        if self._session is None:
            self._session = open_session()
        proxy = proxy_for(self._host.api, self._environment)
        return Client(
            self._session,
            PersonalToken("nobody"),
            base_url=self._host.api,
            proxy=proxy,
            metrics=self._metrics,
            permit=self._permit,
        )

    def _apps(self) -> dict[str, AppAccount]:
        if self._own is None:
            self._own = {
                name: AppAccount(
                    self._client(), app_id=keys.app_id, pem=keys.pem, slug=keys.slug, name=keys.name or name, clock=self._clock
                )
                for name, keys in self._credentials.apps.items()
            }
        return self._own

    def _all_accounts(self) -> Accounts:
        if self._accounts is None:
            personal = self._credentials.personal
            shared = None if personal is None else PersonAccount(self._client(), personal.token, source=personal.source)
            self._accounts = Accounts(self._apps(), shared, advice=_ADVICE)
        return self._accounts

    def _controller(self) -> Account:
        """Whom the controller acts as."""
        accounts, config = self._all_accounts(), self._configuration
        roles = [stage.role for stage in config.pipeline.stages if stage.role]
        agents = (config.config.agent_in_role(role, config.roster) for role in roles)
        names = [CONTROLLER, *(agent.name for agent in agents if agent is not None)]
        chosen = next((name for name in names if name in self._credentials.apps), "")
        found = accounts.find(chosen)
        if found is None:
            folder = self._credentials.folder
            raise ConfigError(f"there is no GitHub App in {folder} for any agent, and no token; {_ADVICE}")
        return found

    def _make_forges(self, roster: Roster) -> GitHubForges:
        return GitHubForges(self._host, self._controller(), trusted=_bots(roster))

    async def _identify(self, roster: Roster) -> Roster:
        """The roster, each agent with its login and address on GitHub. Agents without an account stay as they are."""
        cached = _read_cache(self._cache) if self._cache is not None else {}
        home = on_host(self._host, self.repository) if self.repository else None
        found: dict[str, Identity] = {}
        for agent in roster.agents.values():
            account = self._all_accounts().find(agent.name)
            if account is None:
                continue
            try:
                found[agent.name] = await account.identity(home)
            except ForgeUnavailableError:
                if agent.name not in cached:
                    raise
                found[agent.name] = cached[agent.name]
            except RefusedError as error:
                _log.warning("agent not known to GitHub", agent=agent.name, error=str(error))
        if self._cache is not None and found != cached:
            _write_cache(self._cache, found)
        return Roster({name: _identified(agent, found.get(name)) for name, agent in roster.agents.items()})


def _identified(agent: Agent, identity: Identity | None) -> Agent:
    if identity is None:
        # No account can be called so: a person of the agent's name is not to pass for it.
        return replace(agent, forge_login=f"{agent.name}[nobody]")
    return replace(agent, forge_login=identity.login, forge_email=identity.email)


def _bots(roster: Roster) -> tuple[str, ...]:
    logins = (agent.forge_login for agent in roster.agents.values())
    return tuple(sorted({login for login in logins if login.lower().endswith("[bot]")}))


def _read_cache(path: Path) -> dict[str, Identity]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Identity])
    except (OSError, msgspec.MsgspecError):
        return {}


def _write_cache(path: Path, identities: Mapping[str, Identity]) -> None:
    try:
        path.write_bytes(msgspec.json.encode(identities))
    except OSError as error:
        _log.warning("identities not kept", file=str(path), error=str(error))
