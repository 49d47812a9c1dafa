"""What is to be seen on GitHub of the agents' Apps, their installations, their webhook and the repository. Gathers only.

Before `github_check`, which judges it. Asks as each App, as its installation, and as a person where an agent has no App. What
GitHub refuses is part of what was seen; only a GitHub that does not answer at all is an error. It changes nothing; the one
thing it sends is a signed `ping` to the webhook's address, where that is asked for.
"""

from collections.abc import Collection, Sequence

import msgspec

from coderun.app.configuration import Configuration
from coderun.app.github_desk import Desk
from coderun.app.github_keys import AppKeys, GitHubCredentials
from coderun.app.github_setup import CONTROLLER, Wanted, agents_of, plan_apps
from coderun.forge.github import affairs
from coderun.forge.github.affairs import (
    AppAffairs,
    AppView,
    BranchView,
    FullRule,
    HookConfig,
    InstallationView,
    RepositoryView,
)
from coderun.forge.github.client import Client
from coderun.forge.github.deliveries import Attempt
from coderun.model.errors import CoderunError, ForgeUnavailableError
from coderun.model.names import task_branch


class AppSight(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one agent's App; `problem` says why nothing was.

    Attributes:
        elsewhere: Its installation on the repository's owner, where it does not reach the repository itself.
    """

    wanted: Wanted
    keys: AppKeys
    app: AppView | None = None
    problem: str = ""
    installation: InstallationView | None = None
    elsewhere: InstallationView | None = None
    hook: HookConfig = HookConfig()
    attempts: tuple[Attempt, ...] = ()


class RepositorySight(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the repository, by whom; `problem` says why nothing was."""

    seen_by: str = ""
    by_person: bool = False
    view: RepositoryView | None = None
    problem: str = ""
    base: str = ""
    branch: BranchView | None = None
    base_rules: tuple[FullRule, ...] = ()
    head_rules: tuple[FullRule, ...] = ()


class PersonSight(msgspec.Struct, frozen=True, kw_only=True):
    """Who a personal token belongs to; `problem` says why that is not known."""

    source: str
    login: str = ""
    problem: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen. `answers` is what the webhook's address said to a ping: "" for well, None where none was sent."""

    wanted: tuple[Wanted, ...]
    apps: tuple[AppSight, ...] = ()
    person: PersonSight | None = None
    repository: RepositorySight = RepositorySight()
    answers: str | None = None


async def gather(
    configuration: Configuration,
    credentials: GitHubCredentials,
    desk: Desk,
    *,
    base: str,
    ping: bool,
    only: Collection[str] = (),
) -> Sight:
    """Ask GitHub. What it refuses is part of what was seen."""
    has_controller = CONTROLLER.name in credentials.apps
    names = (*only,) or ((CONTROLLER.name,) if has_controller else ()) + tuple(agents_of(configuration))
    wanted = tuple(plan_apps(configuration, desk.place, only=names, has_controller=has_controller))
    apps = []
    for one in wanted:
        keys = credentials.apps.get(one.agent.name)
        if keys is not None:
            apps.append(await _see_app(desk, one, keys))
    person = None
    if credentials.personal is not None and len(apps) < len(wanted):
        person = await _see_person(desk, credentials.personal.token, credentials.personal.source)
    token = credentials.personal.token if person is not None and person.login and credentials.personal is not None else ""
    repository = await _see_repository(desk, apps, token, base)
    answers = await _ping(desk, apps) if ping else None
    return Sight(wanted=wanted, apps=tuple(apps), person=person, repository=repository, answers=answers)


async def _see_app(desk: Desk, wanted: Wanted, keys: AppKeys) -> AppSight:
    try:
        eyes = AppAffairs(desk.as_app(keys))
        app = await eyes.app()
        installation = await eyes.installation(desk.place.repository)
        elsewhere = None if installation is not None else await eyes.installed_at(desk.place.repository.owner)
        hook = await eyes.hook()
        attempts = await eyes.attempts() if hook.url else []
    except ForgeUnavailableError:
        raise
    except CoderunError as error:
        return AppSight(wanted=wanted, keys=keys, problem=str(error))
    return AppSight(
        wanted=wanted,
        keys=keys,
        app=app,
        installation=installation,
        elsewhere=elsewhere,
        hook=hook,
        attempts=tuple(attempts),
    )


async def _see_person(desk: Desk, token: str, source: str) -> PersonSight:
    try:
        return PersonSight(source=source, login=await desk.login(token))
    except ForgeUnavailableError:
        raise
    except CoderunError as error:
        return PersonSight(source=source, problem=str(error))


async def _see_repository(desk: Desk, apps: Sequence[AppSight], token: str, base: str) -> RepositorySight:
    """As the first App that gets there, else as the person."""
    problem = ""
    for one in apps:
        if one.installation is None or one.installation.suspended_at is not None:
            continue
        held = {name: "read" for name in ("contents", "pull_requests") if name in one.installation.permissions}
        try:
            client = await desk.as_installation(one.keys, held or {"metadata": "read"})
            return await _look_at_repository(desk, client, one.keys.slug or one.keys.agent, base)
        except ForgeUnavailableError:
            raise
        except CoderunError as error:
            problem = str(error)
    if not token:
        return RepositorySight(problem=problem)
    try:
        seen = await _look_at_repository(desk, desk.as_person(token), "the personal token", base)
        return msgspec.structs.replace(seen, by_person=True)
    except ForgeUnavailableError:
        raise
    except CoderunError as error:
        return RepositorySight(problem=str(error))


async def _look_at_repository(desk: Desk, client: Client, name: str, base: str) -> RepositorySight:
    repository = desk.place.repository
    view = await affairs.repository_view(client, repository)
    if view is None:
        return RepositorySight(seen_by=name)
    branch = base or view.default_branch
    return RepositorySight(
        seen_by=name,
        view=view,
        base=branch,
        branch=await affairs.branch_view(client, repository, branch),
        base_rules=tuple(await affairs.rules_of(client, repository, branch)),
        head_rules=tuple(await affairs.rules_of(client, repository, task_branch(1))),
    )


async def _ping(desk: Desk, apps: Sequence[AppSight]) -> str | None:
    carrier = next((one for one in apps if one.hook.url and one.keys.webhook_secrets), None)
    if carrier is None:
        return None
    try:
        await desk.ping(carrier.hook.url, carrier.keys.webhook_secrets[0])
    except CoderunError as error:
        return str(error)
    return ""
