"""`coderun github check`: looks at everything on GitHub that a play needs, and says what to click where it is wrong.

After `github_sight`, which asks. `judge` is pure and turns what was seen into findings, in the order a person would mend them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from coderun.app.configuration import Configuration
from coderun.app.doctor import ONE_PERSON, Finding, State
from coderun.app.github_desk import Desk
from coderun.app.github_keys import GitHubCredentials
from coderun.app.github_place import GitHubPlace
from coderun.app.github_setup import Wanted
from coderun.app.github_sight import AppSight, PersonSight, RepositorySight, Sight, gather
from coderun.forge.github.affairs import Demand, FullRule
from coderun.forge.github.manifest import (
    event_in_words,
    events_in_words,
    install_url,
    permissions_in_words,
    settings_url,
)
from coderun.forge.github.permissions import EVENTS, missing_permissions
from coderun.model.gates import GateActor, GateKind
from coderun.model.names import task_branch
from coderun.model.pulls import MergeMethod
from coderun.model.text import listed, printable

_SECRET_SET: Final = "********"  # noqa: S105 - what GitHub shows in place of one
_UNAUTHORIZED: Final = 401
_NO_WEBHOOK: Final = "gates move by polling (`forge.pollSeconds`); a webhook moves them at once"


async def check(
    configuration: Configuration,
    credentials: GitHubCredentials,
    desk: Desk,
    *,
    base: str,
    ping: bool,
    only: Collection[str] = (),
    now: Callable[[], datetime],
) -> list[Finding]:
    """All findings.

    Raises:
        ForgeUnavailableError: GitHub does not answer at all.
    """
    sight = await gather(configuration, credentials, desk, base=base, ping=ping, only=only)
    return list(judge(sight, desk.place, configuration, now=now()))


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether anything stands in the way of a play."""
    return any(finding.state is State.ERROR for finding in findings)


# -- judge -----------------------------------------------------------------------------------------------------------------


def judge(sight: Sight, place: GitHubPlace, configuration: Configuration, *, now: datetime) -> Iterator[Finding]:
    """Findings from what was seen."""
    seen = {one.wanted.agent.name: one for one in sight.apps}
    for wanted in sight.wanted:
        app = seen.get(wanted.agent.name)
        if app is None:
            yield _without_app(wanted, sight.person)
        else:
            yield from _judge_app(app, place)
    yield from _judge_identities(sight)
    if sight.person is not None:
        yield _judge_person(sight.person)
    yield from _judge_events(sight, place, now)
    yield from _judge_repository(sight.repository, place, configuration)


def _without_app(wanted: Wanted, person: PersonSight | None) -> Finding:
    name = f"{wanted.agent.name}: App"
    make = f"coderun github setup --agent {wanted.agent.name}"
    if person is not None and person.login:
        return Finding(name=name, state=State.WARNING, found=f"none; acts as {printable(person.login, 60)}", advice=make)
    return Finding(name=name, state=State.ERROR, found="no key on this machine, and no personal token", advice=make)


def _judge_app(one: AppSight, place: GitHubPlace) -> Iterator[Finding]:
    agent = one.wanted.agent
    if one.app is None:
        link = _settings(place, one, part="")
        yield Finding(
            name=f"{agent.name}: key",
            state=State.ERROR,
            found=printable(one.problem, 400),
            advice=f"generate a new private key at the end of that page and save it as {agent.name}.pem",
            link=link,
        )
        return
    slug = printable(one.app.slug, 60)
    yield _ok(f"{agent.name}: key", f"App {slug} ({one.app.id}) takes it")
    yield _judge_login(one, slug)
    yield _judge_permissions(one, place)
    yield _judge_installation(one, place)


def _judge_login(one: AppSight, slug: str) -> Finding:
    name = f"{one.wanted.agent.name}: login"
    if one.keys.slug in {"", slug}:
        return _ok(name, f"{slug}[bot]")
    found = f"{slug}[bot], but {one.wanted.agent.name}.json says {printable(one.keys.slug, 60)}: the App was renamed"
    return Finding(name=name, state=State.ERROR, found=found, advice=f'write "slug": "{slug}" there')


def _judge_permissions(one: AppSight, place: GitHubPlace) -> Finding:
    name = f"{one.wanted.agent.name}: permissions"
    held = one.app.permissions if one.app is not None else {}
    wanted = one.wanted.order.permissions
    lacking = missing_permissions(held, wanted)
    if lacking:
        return Finding(
            name=name,
            state=State.ERROR,
            found=f"the App lacks {permissions_in_words(lacking)}",
            advice="set these under Repository permissions, save, and accept them where it is installed",
            link=_settings(place, one, part="permissions"),
        )
    beyond = {key: level for key, level in missing_permissions(wanted, held).items() if key != "metadata"}
    if beyond:
        return Finding(
            name=name,
            state=State.WARNING,
            found=f"the App holds more than its stages need: {printable(permissions_in_words(beyond), 200)}",
            advice="take that away; tokens of runs never ask for it",
            link=_settings(place, one, part="permissions"),
        )
    return _ok(name, permissions_in_words(wanted))


def _judge_installation(one: AppSight, place: GitHubPlace) -> Finding:
    name, there = f"{one.wanted.agent.name}: installation", one.installation
    slug = one.app.slug if one.app is not None else one.keys.slug
    if there is None:
        if one.elsewhere is not None:
            return Finding(
                name=name,
                state=State.ERROR,
                found=f"installed for {place.repository.owner}, but not on {place.slug}",
                advice=f"add {place.slug} under Repository access and save",
                link=one.elsewhere.html_url,
            )
        return Finding(
            name=name,
            state=State.ERROR,
            found=f"not installed on {place.slug}",
            advice=f"click Install and choose only {place.slug}",
            link=install_url(place.host, slug),
        )
    if there.suspended_at is not None:
        return Finding(
            name=name, state=State.ERROR, found="suspended", advice="click Unsuspend at the end", link=there.html_url
        )
    lacking = missing_permissions(there.permissions, one.wanted.order.permissions)
    if lacking:
        return Finding(
            name=name,
            state=State.ERROR,
            found=f"its owner has not accepted {permissions_in_words(lacking)}",
            advice="click Review request and accept the new permissions",
            link=there.html_url,
        )
    if there.repository_selection == "all":
        return Finding(
            name=name,
            state=State.WARNING,
            found=f"reaches every repository of {place.repository.owner}",
            advice=f"choose Only select repositories and {place.slug}; tokens are for one repository all the same",
            link=there.html_url,
        )
    return _ok(name, f"on {place.slug}")


def _judge_identities(sight: Sight) -> Iterator[Finding]:
    owners: dict[int, list[str]] = {}
    for one in sight.apps:
        if one.app is not None:
            owners.setdefault(one.app.id, []).append(one.wanted.agent.name)
    for number, agents in owners.items():
        if len(agents) > 1:
            yield Finding(
                name="identities",
                state=State.ERROR,
                found=f"{listed(agents)} share App {number}, which then can approve nothing that it opened itself",
                advice=f"coderun github setup --replace --agent {agents[-1]}",
            )


def _judge_person(person: PersonSight) -> Finding:
    name = "personal token"
    if person.problem:
        advice = "make a new token with the permissions of docs/github.md"
        return Finding(name=name, state=State.ERROR, found=f"{person.source}: {printable(person.problem, 400)}", advice=advice)
    return Finding(
        name=name,
        state=State.WARNING,
        found=f"{printable(person.login, 60)} (from {person.source}); {ONE_PERSON}",
        advice="make an App for every agent: coderun github setup",
    )


def _judge_events(sight: Sight, place: GitHubPlace, now: datetime) -> Iterator[Finding]:
    carriers = [one for one in sight.apps if one.app is not None and one.hook.url and one.app.events]
    if not carriers:
        advice = "coderun github setup --webhook-url URL, or set it on the App's page"
        if sight.apps:
            yield Finding(name="webhook", state=State.WARNING, found=f"none; {_NO_WEBHOOK}", advice=advice)
        return
    if len({one.hook.url for one in carriers}) < len(carriers):
        names = listed(one.wanted.agent.name for one in carriers)
        yield Finding(
            name="webhook",
            state=State.WARNING,
            found=f"the Apps of {names} send the same events to one address",
            advice="switch Active off for all but one of them",
            link=_settings(place, carriers[-1], part=""),
        )
    for one in carriers:
        yield from _judge_hook(one, place)
        yield _judge_deliveries(one, place, now)
    if sight.answers is not None:
        yield _judge_ping(sight.answers, carriers[0])


def _judge_hook(one: AppSight, place: GitHubPlace) -> Iterator[Finding]:
    name, link = f"{one.wanted.agent.name}: webhook", _settings(place, one, part="")
    url = printable(one.hook.url, 200)
    if one.hook.secret != _SECRET_SET:
        advice = f"set a Webhook secret there, and the same as webhookSecret in {one.wanted.agent.name}.json"
        yield Finding(name=name, state=State.ERROR, found=f"{url} without a secret", advice=advice, link=link)
    elif not one.keys.webhook_secrets:
        advice = f"write the same secret as webhookSecret into {one.wanted.agent.name}.json"
        yield Finding(
            name=name, state=State.ERROR, found=f"{url}; this machine does not know its secret", advice=advice, link=link
        )
    elif str(one.hook.insecure_ssl) != "0":
        yield Finding(name=name, state=State.WARNING, found=f"{url} without TLS verification", advice="switch it on", link=link)
    else:
        yield _ok(name, url)
    lacking = sorted(set(EVENTS) - set(one.app.events if one.app is not None else ()))
    if lacking:
        yield Finding(
            name=f"{one.wanted.agent.name}: events",
            state=State.WARNING,
            found=f"not subscribed to {events_in_words(lacking)}; what they tell is found by polling",
            advice=f"tick {events_in_words(lacking)} under Subscribe to events and save",
            link=_settings(place, one, part="permissions"),
        )


def _judge_deliveries(one: AppSight, place: GitHubPlace, now: datetime) -> Finding:
    name = f"{one.wanted.agent.name}: deliveries"
    if not one.attempts:
        return _ok(name, "none yet")
    arrived = {attempt.guid for attempt in one.attempts if attempt.has_arrived}
    lost = [attempt for attempt in one.attempts if attempt.guid not in arrived]
    newest = one.attempts[0]
    age = max(0.0, (now - newest.delivered_at).total_seconds()) / 60
    if not lost:
        return _ok(name, f"{len(arrived)} arrived, the newest {age:.0f} min ago")
    last = lost[0]
    found = (
        f"{len({attempt.guid for attempt in lost})} of the newest {len(one.attempts)} did not arrive, the last one "
        f"({event_in_words(printable(last.event, 40))}) with {last.status_code} {printable(last.status, 80)}"
    )
    if last.status_code == _UNAUTHORIZED:
        advice = f"the secrets differ: set the webhookSecret of {one.wanted.agent.name}.json there as Webhook secret"
        return Finding(name=name, state=State.ERROR, found=found, advice=advice, link=_settings(place, one, part=""))
    advice = "see that the address leads to `coderun up`; what was missed is found by the deliveries log and by polling"
    return Finding(name=name, state=State.WARNING, found=found, advice=advice, link=_settings(place, one, part="advanced"))


def _judge_ping(answers: str, carrier: AppSight) -> Finding:
    url = printable(carrier.hook.url, 200)
    if not answers:
        return _ok("webhook door", f"{url} takes what is signed with our secret")
    return Finding(
        name="webhook door",
        state=State.ERROR if f" {_UNAUTHORIZED}: " in answers else State.WARNING,
        found=f"{url} did not take a signed ping: {printable(answers, 300)}",
        advice="start `coderun up` with its webhook door, and lead the address to it",
    )


def _judge_repository(seen: RepositorySight, place: GitHubPlace, configuration: Configuration) -> Iterator[Finding]:
    name = "repository"
    if seen.view is None:
        found = printable(seen.problem, 400) or (
            f"{seen.seen_by} does not see {place.slug}" if seen.seen_by else f"nobody here reaches {place.slug} yet"
        )
        advice = "mend what is above first; where the repository was renamed, write its new name into coderun.yaml"
        yield Finding(name=name, state=State.ERROR, found=found, advice=advice, link=place.page)
        return
    full_name = printable(seen.view.full_name, 200)
    if seen.view.archived or seen.view.disabled:
        found = f"{full_name} is {'archived' if seen.view.archived else 'disabled'}: nobody can push to it"
        yield Finding(
            name=name, state=State.ERROR, found=found, advice="unarchive it in its settings", link=f"{place.page}/settings"
        )
        return
    rights = seen.view.permissions
    if seen.by_person and rights is not None and not rights.push:
        found = f"{full_name}: {seen.seen_by} cannot push to it"
        advice = "use a token of somebody who may, with Contents: Read and write"
        yield Finding(name=name, state=State.ERROR, found=found, advice=advice, link=place.page)
        return
    if full_name.lower() != place.slug:
        found, advice = f"{place.slug} has moved to {full_name}", f"write repository: {full_name} in coderun.yaml"
        yield Finding(name=name, state=State.WARNING, found=found, advice=advice, link=place.page)
    else:
        yield _ok(name, f"{full_name}, seen by {printable(seen.seen_by, 60)}")
    if seen.branch is None:
        found = f"there is no branch {printable(seen.base, 80)!r}"
        yield Finding(
            name="base branch", state=State.ERROR, found=found, advice="push it, or correct baseBranch in coderun.yaml"
        )
    else:
        yield from _judge_merging(seen, place, configuration)
    yield from _judge_task_branches(seen, place)


def _judge_merging(seen: RepositorySight, place: GitHubPlace, configuration: Configuration) -> Iterator[Finding]:
    play = configuration.config.play
    allowed = allowed_methods(seen)
    found_problem = False
    if play.merge_method not in allowed:
        found_problem = True
        better = next((method.value for method in MergeMethod if method in allowed), "")
        advice = f"write play: {{mergeMethod: {better}}} into coderun.yaml" if better else "allow a merge method"
        found = f"{printable(seen.base, 80)} does not take merges by {play.merge_method.value!r}"
        link = f"{place.page}/settings"
        yield Finding(name="merge method", state=State.ERROR, found=found, advice=advice, link=link)
    for rule in seen.base_rules:
        problem = _base_problem(rule, approvals=_approvals(configuration), auto_merge=play.auto_merge)
        if problem is not None:
            found_problem = True
            state, found, advice = problem
            link = _ruleset(place, rule)
            yield Finding(name=f"rule {printable(rule.type, 60)}", state=state, found=found, advice=advice, link=link)
    if not found_problem:
        hidden = seen.branch is not None and seen.branch.protected and not seen.base_rules
        more = "; it is protected, and what that asks for beyond checks is shown to administrators alone" if hidden else ""
        found = f"{printable(seen.base, 80)}; {len(seen.base_rules)} rules, none of which stops a play{more}"
        yield Finding(name="base branch", state=State.OK, found=found, link=f"{place.page}/settings/branches" if hidden else "")


def allowed_methods(seen: RepositorySight) -> set[MergeMethod]:
    """How the base branch may be merged into, as far as GitHub tells."""
    view = seen.view
    switches = {
        MergeMethod.MERGE: None if view is None else view.allow_merge_commit,
        MergeMethod.SQUASH: None if view is None else view.allow_squash_merge,
    }
    allowed = {method for method, switch in switches.items() if switch is not False}
    for rule in seen.base_rules:
        if rule.type == "required_linear_history":
            allowed.discard(MergeMethod.MERGE)
        if rule.type == "pull_request" and rule.parameters is not None and rule.parameters.allowed_merge_methods is not None:
            allowed &= {method for method in MergeMethod if method.value in rule.parameters.allowed_merge_methods}
    return allowed


def _approvals(configuration: Configuration) -> int:
    """How many approving reviews the pipeline's agents give."""
    stages = configuration.pipeline.stages
    return sum(
        bool(stage.role) and any(gate.kind is GateKind.REVIEW and gate.by is GateActor.STAGE for gate in stage.gates)
        for stage in stages
    )


def _base_problem(rule: FullRule, *, approvals: int, auto_merge: bool) -> tuple[State, str, str] | None:
    demand = rule.parameters or Demand()
    match rule.type:
        case "required_signatures":
            found = "asks for signed commits; agents do not sign theirs, so GitHub will refuse the merge"
            return State.ERROR, found, "switch the rule off for this branch, or let the Apps bypass it"
        case "pull_request" if demand.required_approving_review_count > approvals:
            found = f"asks for {demand.required_approving_review_count} approvals; the agents give {approvals}"
            return State.WARNING, found, "let people give the others, or ask for fewer"
        case "pull_request" if demand.require_code_owner_review:
            return State.WARNING, "asks for a code owner's approval, which no App can give", "let a code owner review each one"
        case "update" if auto_merge:
            found = "lets nobody change the branch but those who may bypass it, so autoMerge will be refused"
            return State.ERROR, found, "add the implementation agent's App to the bypass list"
        case "required_deployments" | "code_scanning" | "workflows":
            return (
                State.WARNING,
                "asks for something that no agent sees to",
                "see that it comes about by itself on pull requests",
            )
        case _:
            return None


_PUSH_STOPPERS: Final[Mapping[str, str]] = {
    "creation": "lets nobody create such branches",
    "update": "lets nobody push to such branches",
    "pull_request": "lets changes in by pull requests only",
    "required_status_checks": "asks for checks before a push",
    "required_signatures": "asks for signed commits, which agents do not make",
}
_PUSH_PATTERNS: Final = frozenset(
    {"branch_name_pattern", "commit_message_pattern", "commit_author_email_pattern", "committer_email_pattern"}
)


def _judge_task_branches(seen: RepositorySight, place: GitHubPlace) -> Iterator[Finding]:
    branch, problems = task_branch(1), 0
    for rule in seen.head_rules:
        link = _ruleset(place, rule)
        kind = printable(rule.type, 60)
        if rule.type in _PUSH_STOPPERS:
            problems += 1
            yield Finding(
                name=f"task branches: rule {kind}",
                state=State.ERROR,
                found=f"{_PUSH_STOPPERS[rule.type]}, and it holds for {branch}",
                advice="leave feature/task-* out of the ruleset, or add the agents' Apps to its bypass list",
                link=link,
            )
        elif rule.type in _PUSH_PATTERNS:
            problems += 1
            pattern = printable(rule.parameters.pattern, 80) if rule.parameters is not None else ""
            yield Finding(
                name=f"task branches: rule {kind}",
                state=State.WARNING,
                found=f"asks for {pattern!r} on {branch}",
                advice="see that the agents' branches, commits and addresses match, or let their Apps bypass it",
                link=link,
            )
    if not problems:
        yield _ok("task branches", f"nothing stops a push to {branch}")


def _settings(place: GitHubPlace, one: AppSight, *, part: str) -> str:
    owner = one.app.owner if one.app is not None else None
    organization = owner.login if owner is not None and owner.type == "Organization" else ""
    slug = one.app.slug if one.app is not None else one.keys.slug
    return settings_url(place.host, slug, organization, part=part) if slug else f"{place.host.web}/settings/apps"


def _ruleset(place: GitHubPlace, rule: FullRule) -> str:
    if rule.ruleset_source_type == "Organization":
        return f"{place.host.web}/organizations/{quote(place.repository.owner, safe='')}/settings/rules/{rule.ruleset_id}"
    return f"{place.page}/rules/{rule.ruleset_id}" if rule.ruleset_id else f"{place.page}/settings/branches"


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, state=State.OK, found=found)
