"""`coderun github setup`: from a roster without Apps to one App an agent, each with its key on this machine.

Between the page that a person clicks on (`web.github_setup`) and GitHub (`forge.github.affairs`). For every agent a random
state is kept; GitHub must bring it back with its code, once. An App that is on this machine already is left alone, so that
whoever breaks off goes on where it was. A key is written before anything is said.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from coderun.app.configuration import Configuration
from coderun.app.github_keys import AppKeys, read_app, write_app
from coderun.app.github_place import GitHubPlace
from coderun.forge.github.manifest import (
    AppOrder,
    app_name,
    creation_url,
    events_in_words,
    install_url,
    is_code,
    level_in_words,
    manifest_of,
    permission_in_words,
)
from coderun.forge.github.permissions import EVENTS, Need, app_needs, controller_needs, strongest
from coderun.model.errors import ConfigError, NotFoundError, RefusedError, UnavailableError
from coderun.model.roster import Agent
from coderun.model.text import listed, printable

_DESCRIPTION: Final = "Works as {agent} ({role}) for coderun on {repository}."


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that needs an App: which App, and what for."""

    agent: Agent
    roles: tuple[str, ...]
    order: AppOrder
    needs: tuple[Need, ...]


CONTROLLER: Final = Agent(name="coderun", role="controller", capabilities=("review",))
"""Whose App the controller acts as where there is one; else it acts as the App of the agent in the first stage."""


class Step(StrEnum):
    """How far an agent's App has come."""

    MISSING = "missing"
    MADE = "made"
    INSTALLED = "installed"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One agent on the way; `trouble` says what went wrong last."""

    wanted: Wanted
    step: Step
    keys: AppKeys | None = None
    trouble: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An App that GitHub has just made, with the secrets it tells once."""

    app_id: str
    slug: str
    name: str
    client_id: str
    url: str
    pem: bytes
    webhook_secret: str

    def __repr__(self) -> str:
        return f"Made(app_id={self.app_id!r}, slug={self.slug!r})"


class GitHubDesk(Protocol):
    """What is asked of GitHub (`app.github_desk`)."""

    async def convert(self, code: str) -> Made:
        """Make the App of a code."""
        ...

    async def is_installed(self, keys: AppKeys) -> bool:
        """Whether an App reaches the repository."""
        ...

    async def aim(self, keys: AppKeys, url: str, secret: str) -> None:
        """Send an App's events to `url`, signed with `secret`."""
        ...


def agents_of(configuration: Configuration, only: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """The agents of the pipeline in the order of its stages, each with the roles it takes; `only` some of the roster.

    Raises:
        ConfigError: `only` names one that is not in the roster.
    """
    taken: dict[str, list[str]] = {}
    for role in dict.fromkeys(stage.role for stage in configuration.pipeline.stages if stage.role):
        agent = configuration.config.agent_in_role(role, configuration.roster)
        if agent is not None:
            taken.setdefault(agent.name, []).append(role)
    chosen = tuple(dict.fromkeys(only))
    unknown = [name for name in chosen if name not in {*configuration.roster.agents, CONTROLLER.name}]
    if unknown:
        raise ConfigError(f"there is no agent {listed(unknown)} (known agents: {listed(configuration.roster.agents)})")
    return {name: tuple(taken.get(name, (_known(configuration, name).role,))) for name in chosen or tuple(taken)}


def _known(configuration: Configuration, name: str) -> Agent:
    return configuration.roster.agents.get(name, CONTROLLER)


def plan_apps(
    configuration: Configuration,
    place: GitHubPlace,
    *,
    only: Iterable[str] = (),
    organization: str = "",
    prefix: str = "",
    webhook_url: str = "",
    has_controller: bool = False,
) -> list[Wanted]:
    """An App for each agent.

    One of them, that of the controller, carries the events: those of every App would say the same, once for each. Where there
    is an App of the controller's own already (`has_controller`), no agent's holds what only that needs.
    """
    chosen = agents_of(configuration, only)
    has_controller = has_controller or CONTROLLER.name in chosen
    controlling = CONTROLLER.name if has_controller else next(iter(agents_of(configuration)), "")
    found = []
    for name, roles in chosen.items():
        agent = _known(configuration, name)
        controls = name == controlling
        needs = (
            controller_needs() if agent is CONTROLLER else app_needs(agent, roles, configuration.pipeline, controls=controls)
        )
        order = AppOrder(
            agent=name,
            name=app_name(prefix or place.repository.owner, name),
            description=_DESCRIPTION.format(agent=name, role=", ".join(roles), repository=place.slug),
            organization=organization,
            permissions=strongest(needs),
            webhook_url=webhook_url if controls else "",
            homepage=place.page,
        )
        found.append(Wanted(agent=agent, roles=roles, order=order, needs=needs))
    return found


class Setup:
    """One set-up on its way. `folder` is where keys are kept; `tell` is told what happens, a line at a time."""

    def __init__(
        self,
        wanted: Iterable[Wanted],
        *,
        place: GitHubPlace,
        folder: Path,
        desk: GitHubDesk,
        tell: Callable[[str], None],
        replace: bool = False,
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """See the class. With `replace` the Apps that are on this machine already are made anew.

        Raises:
            ConfigError: the keys that are there cannot be read.
        """
        self.place = place
        self._folder = folder
        self._desk = desk
        self._tell = tell
        self._progress: dict[str, Progress] = {}
        self._states: dict[str, str] = {}
        self._replace = replace
        self._new_secret = new_secret
        self._one_at_a_time = asyncio.Lock()
        for one in wanted:
            keys = None if replace else read_app(folder, one.agent.name)
            step = Step.MISSING if keys is None else Step.MADE
            self._progress[one.agent.name] = Progress(wanted=one, step=step, keys=keys)
            self._states[one.agent.name] = new_secret()

    @property
    def progress(self) -> tuple[Progress, ...]:
        """All agents, in order."""
        return tuple(self._progress.values())

    @property
    def is_made(self) -> bool:
        """Whether every agent has its App."""
        return all(one.step is not Step.MISSING for one in self.progress)

    @property
    def is_installed(self) -> bool:
        """Whether every App reaches the repository."""
        return all(one.step is Step.INSTALLED for one in self.progress)

    def manifest(self, agent: str, *, redirect_url: str) -> tuple[str, dict[str, Any]]:
        """Where an agent's manifest is posted to, and the manifest."""
        order = self._progress[agent].wanted.order
        url = creation_url(self.place.host, order.organization, self._states[agent])
        return url, manifest_of(order, redirect_url=redirect_url)

    async def receive(self, agent: str, *, code: str, state: str) -> None:
        """Take the code that GitHub sent a person's browser back with: make the App, and keep its key.

        Raises:
            NotFoundError: there is no such agent here, or GitHub does not know the code.
            RefusedError: the state is not the one that was given out, or the App is made already.
            ConfigError: the key cannot be kept.
            UnavailableError: GitHub does not answer.
        """
        async with self._one_at_a_time:
            await self._receive(agent, code, state)

    async def _receive(self, agent: str, code: str, state: str) -> None:
        one = self._progress.get(agent)
        if one is None:
            raise NotFoundError(f"this set-up has no agent {printable(agent, 60)!r}")
        if not compare_digest(state.encode(), self._states[agent].encode()):
            raise RefusedError("this did not come from the page that was opened here; start again from it")
        if one.step is not Step.MISSING:
            raise RefusedError(f"the App of {agent} is made already")
        if not is_code(code):
            raise RefusedError("GitHub's code is missing; confirm on GitHub's page and let it send you back")
        try:
            made = await self._desk.convert(code)
            keys = self._keep(agent, made)
        except (NotFoundError, RefusedError, ConfigError, UnavailableError) as error:
            self._progress[agent] = msgspec.structs.replace(one, trouble=str(error))
            raise
        self._progress[agent] = Progress(wanted=one.wanted, step=Step.MADE, keys=keys)
        self._tell(f"{agent}: App {printable(keys.slug, 60)} is made; its key is in {self._folder / agent}.pem")

    def _keep(self, agent: str, made: Made) -> AppKeys:
        keys = AppKeys(
            agent=agent,
            app_id=made.app_id,
            pem=made.pem,
            slug=made.slug,
            client_id=made.client_id,
            name=made.name,
            url=made.url,
            webhook_secrets=tuple(filter(None, (made.webhook_secret,))),
        )
        try:
            write_app(self._folder, keys, replace=self._replace)
        except ConfigError as error:
            raise ConfigError(
                f"App {printable(made.slug, 60)} is made, but its key could not be kept and is lost ({error}); generate a new "
                f"one at {printable(made.url, 200)}, or delete that App and start again"
            ) from error
        return keys

    async def look(self) -> None:
        """See which Apps are installed by now; what cannot be told is looked at again later."""
        for name, one in self._progress.items():
            if one.step is not Step.MADE or one.keys is None:
                continue
            try:
                is_there = await self._desk.is_installed(one.keys)
            except (UnavailableError, RefusedError, ConfigError, NotFoundError) as error:
                self._progress[name] = msgspec.structs.replace(one, trouble=str(error))
                continue
            step = Step.INSTALLED if is_there else Step.MADE
            self._progress[name] = msgspec.structs.replace(one, step=step, trouble="")
            if is_there:
                self._tell(f"{name}: App {printable(one.keys.slug, 60)} is installed on {self.place.slug}")

    async def aim(self) -> None:
        """Where the App that carries the events was made earlier, send them to the address that is wanted now.

        Raises what GitHub says; the secret is kept before it is used.
        """
        for name, one in self._progress.items():
            url, keys = one.wanted.order.webhook_url, one.keys
            if not url or keys is None:
                continue
            if not keys.webhook_secrets:
                keys = msgspec.structs.replace(keys, webhook_secrets=(self._new_secret(),))
                write_app(self._folder, keys, replace=True)
                self._progress[name] = msgspec.structs.replace(one, keys=keys)
            await self._desk.aim(keys, url, keys.webhook_secrets[0])
            self._tell(f"{name}: App {printable(keys.slug, 60)} sends its events to {printable(url, 200)}")

    async def follow(self, *, pause: Callable[[], Awaitable[object]], wait_for_installation: bool) -> None:
        """Come back once every App is made, and installed if that is waited for."""
        while not (self.is_installed or (self.is_made and not wait_for_installation)):
            await self.look()
            if not self.is_installed:
                await pause()


def install_links(place: GitHubPlace, progress: Iterable[Progress]) -> dict[str, str]:
    """Where each App that is made is installed, by agent."""
    return {
        one.wanted.agent.name: install_url(place.host, one.keys.slug)
        for one in progress
        if one.keys is not None and one.keys.slug
    }


def manual(wanted: Iterable[Wanted], place: GitHubPlace, folder: Path) -> str:
    """How a person does by hand what the pages do; plain text for a terminal."""
    lines = [f"For each of these agents, make a GitHub App, keep its key, and install it on {place.slug}.", ""]
    for one in wanted:
        lines += _manual_app(one, place, folder)
    lines += [f"chmod 700 {folder}; chmod 600 {folder}/*", "Then `coderun github check` looks at it all."]
    return "\n".join(lines)


def _manual_app(one: Wanted, place: GitHubPlace, folder: Path) -> list[str]:
    order, name = one.order, one.agent.name
    lines = [
        f"{name} ({', '.join(one.roles)})",
        f"  1. open {creation_url(place.host, order.organization)}",
        f"     GitHub App name: {order.name}",
        f"     Homepage URL: {order.homepage}",
        f"     Webhook: {order.webhook_url + ', with a secret of yours' if order.webhook_url else 'not active'}",
        "     Repository permissions:",
        *(f"       {permission_in_words(key)}: {level_in_words(level)}" for key, level in order.permissions.items()),
    ]
    if order.webhook_url:
        lines.append(f"     Subscribe to events: {events_in_words(sorted(EVENTS))}")
    secret = ', "webhookSecret": "…"' if order.webhook_url else ""
    return [
        *lines,
        "     Where can this App be installed: only on this account",
        f"  2. generate a private key there and save it as {folder}/{name}.pem",
        f'  3. write {{"appId": "…", "slug": "…"{secret}}} into {folder}/{name}.json (the App ID is on the same page)',
        f"  4. install it: {install_url(place.host, '…').replace('%E2%80%A6', '…')}, only on {place.slug}",
        "",
    ]


def config_lines(place: GitHubPlace, *, webhook: bool) -> list[str]:
    """What `coderun.yaml` has to say so that plays go on there."""
    lines = ["forge:", "  type: github"]
    if place.host.name != "github.com":
        lines.append(f"  url: {place.host.web}")
    lines.append(f"  repository: {place.slug}")
    return [*lines, "webhook:", "  port: 8080"] if webhook else lines
