"""`coderun github check`: every finding, right and wrong, with the fake GitHub on the other side."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.fakes.github import FakeGitHub, MadeApp

from coderun.app.configuration import Configuration, packaged_roster, packaged_text, parse_pipeline
from coderun.app.doctor import Finding, State
from coderun.app.github_check import allowed_methods, check, has_errors, judge
from coderun.app.github_desk import open_desk
from coderun.app.github_keys import AppKeys, GitHubCredentials, PersonalAccess
from coderun.app.github_place import GitHubPlace
from coderun.app.github_setup import plan_apps
from coderun.app.github_sight import RepositorySight, Sight
from coderun.events.signature import HEADER, sign
from coderun.forge.github.affairs import Demand, FullRule, RepositoryView
from coderun.forge.github.permissions import EVENTS
from coderun.model.config import Config, PlaySettings
from coderun.model.errors import ForgeUnavailableError
from coderun.model.github import github_host
from coderun.model.pulls import MergeMethod
from coderun.model.repository import RepositoryId

SECRET = "hook-secret"


def configuration(**play: Any) -> Configuration:
    config = Config(play=PlaySettings(**play))
    roster = config.roster(packaged_roster())
    pipeline = parse_pipeline(packaged_text("pipelines/play.yaml"), name="play.yaml", config=config, roster=roster)
    return Configuration(config=config, roster=roster, pipeline=pipeline)


class Door:
    """Takes webhooks in, and refuses what is not signed with the secret."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        if sign(await request.read(), SECRET) != request.headers.get(HEADER):
            return web.Response(status=401)
        self.events.append(request.headers["X-GitHub-Event"])
        return web.Response(status=202)


class Place:
    """Everything as it should be; each test spoils one thing."""

    def __init__(self, github: FakeGitHub, door: Door) -> None:
        self.github = github
        self.door = door
        self.place = GitHubPlace(
            host=github_host(github.url), repository=RepositoryId(host="127.0.0.1", owner="acme", name="shop")
        )
        self.made: dict[str, MadeApp] = {}
        self.installations: dict[str, Any] = {}
        self.keys: dict[str, AppKeys] = {}
        self.personal: PersonalAccess | None = None
        self.configuration = configuration()

    def set_up(self) -> None:
        for position, wanted in enumerate(plan_apps(self.configuration, self.place)):
            name = wanted.agent.name
            carries = position == 0
            self.made[name] = self.github.create_app(
                f"acme-{name}",
                permissions=dict(wanted.order.permissions),
                subscribed=sorted(EVENTS) if carries else [],
                owner="acme",
                webhook_url=self.door.url if carries else "",
                webhook_secret=SECRET if carries else "",
            )
            self.installations[name] = self.github.install(self.made[name], "acme", repos=["shop"])
            self.keep(name)

    def keep(self, name: str, **more: Any) -> None:
        made = self.made[name]
        keys = AppKeys(
            agent=name, app_id=str(made.id), slug=made.slug, pem=made.private_key.encode(), webhook_secrets=(SECRET,)
        )
        self.keys[name] = msgspec.structs.replace(keys, **more)

    async def check(self, *, ping: bool = False, only: tuple[str, ...] = (), base: str = "") -> dict[str, Finding]:
        await self.github.settle()
        credentials = GitHubCredentials(host=self.place.host, folder=Path("/keys"), apps=self.keys, personal=self.personal)
        async with open_desk(self.place, clock=lambda: datetime.now(UTC)) as desk:
            found = await check(
                self.configuration, credentials, desk, base=base, ping=ping, only=only, now=lambda: datetime.now(UTC)
            )
        return {finding.name: finding for finding in found}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    door = Door()
    application = web.Application()
    application.router.add_post("/github/webhook", door.handle)
    async with FakeGitHub(tmp_path / "github") as github, TestServer(application) as server:
        door.url = str(server.make_url("/github/webhook"))
        await github.create_repo("acme/shop", source=await source(tmp_path / "source"))
        place = Place(github, door)
        place.set_up()
        yield place


async def source(folder: Path) -> Path:
    script = "git init -q -b main . && git -c user.name=a -c user.email=a@x commit -q --allow-empty -m first"
    folder.mkdir()
    process = await asyncio.create_subprocess_exec("sh", "-c", script, cwd=folder)
    assert await process.wait() == 0
    return folder


def wrong(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state is not State.OK]


async def test_where_all_is_right_nothing_is_wrong_and_the_door_was_asked(place: Place) -> None:
    found = await place.check(ping=True)
    assert wrong(found) == []
    assert not has_errors(list(found.values()))
    assert found["rex: key"].found == f"App acme-rex ({place.made['rex'].id}) takes it"
    assert found["rex: installation"].found == "on acme/shop"
    assert found["webhook door"].found == f"{place.door.url} takes what is signed with our secret"
    assert found["repository"].found == "acme/shop, seen by acme-rex"
    assert found["base branch"].found == "main; 0 rules, none of which stops a play"
    assert found["task branches"].found == "nothing stops a push to feature/task-1-implementation"
    assert "ping" in place.door.events


async def test_checking_changes_nothing(place: Place) -> None:
    await place.check()
    writes = {(entry["method"], entry["template"]) for entry in place.github.journal if entry["method"] != "GET"}
    assert writes == {("POST", "/app/installations/{installation_id}/access_tokens")}


async def test_an_agent_without_an_app_is_an_error_with_the_command_that_makes_one(place: Place) -> None:
    del place.keys["cleo"]
    finding = (await place.check())["cleo: App"]
    assert (finding.state, finding.found) == (State.ERROR, "no key on this machine, and no personal token")
    assert finding.advice == "coderun github setup --agent cleo"


async def test_a_personal_token_stands_in_and_what_is_lost_is_said(place: Place) -> None:
    place.github.add_collaborator("acme/shop", "ada", "admin")
    place.personal = PersonalAccess(token=place.github.personal_token("ada"), source="$GH_TOKEN")
    place.keys.clear()
    found = await place.check()
    assert wrong(found) == ["rex: App", "cleo: App", "tess: App", "personal token"]
    assert not has_errors(list(found.values()))
    assert found["tess: App"].found == "none; acts as ada"
    assert "nobody can approve what the same person opened" in found["personal token"].found
    assert found["personal token"].found.startswith("ada (from $GH_TOKEN); ")
    assert found["repository"].found == "acme/shop, seen by the personal token"


async def test_a_personal_token_that_is_worth_nothing_is_an_error(place: Place) -> None:
    place.personal = PersonalAccess(token="ghp_made_up", source="$GH_TOKEN")
    place.keys.clear()
    found = await place.check()
    assert found["personal token"].state is State.ERROR
    assert "the credential of the personal token is wrong, expired or revoked" in found["personal token"].found
    assert found["repository"].found == "nobody here reaches acme/shop yet"
    assert "ghp_made_up" not in str(found)


async def test_a_personal_token_of_somebody_who_cannot_push_is_an_error(place: Place) -> None:
    place.github.add_collaborator("acme/shop", "eve", "read")
    place.personal = PersonalAccess(token=place.github.personal_token("eve"), source="$GH_TOKEN")
    place.keys.clear()
    finding = (await place.check())["repository"]
    assert (finding.state, finding.found) == (State.ERROR, "acme/shop: the personal token cannot push to it")
    assert finding.advice == "use a token of somebody who may, with Contents: Read and write"


async def test_a_key_that_github_does_not_take_leads_to_the_page_with_a_new_one(place: Place) -> None:
    place.keep("rex", pem=place.made["cleo"].private_key.encode())
    finding = (await place.check())["rex: key"]
    assert finding.state is State.ERROR
    assert "A JSON web token could not be decoded" in finding.found
    assert finding.advice == "generate a new private key at the end of that page and save it as rex.pem"
    assert finding.link == f"{place.github.url}/settings/apps/acme-rex"


async def test_what_is_no_key_is_an_error_and_is_not_shown(place: Place) -> None:
    place.keep("rex", pem=b"-----BEGIN RSA PRIVATE KEY-----\nVERYSECRET\n-----END RSA PRIVATE KEY-----\n")
    finding = (await place.check())["rex: key"]
    assert finding.found.startswith(f"the private key of GitHub App {place.made['rex'].id} cannot be read")
    assert "VERYSECRET" not in str(finding)


async def test_an_app_that_was_renamed_is_an_error_with_what_to_write(place: Place) -> None:
    place.keep("rex", slug="acme-old")
    finding = (await place.check())["rex: login"]
    assert (finding.state, finding.found) == (State.ERROR, "acme-rex[bot], but rex.json says acme-old: the App was renamed")
    assert finding.advice == 'write "slug": "acme-rex" there'
    place.keep("rex", slug="")
    assert (await place.check())["rex: login"].found == "acme-rex[bot]"


async def test_an_app_of_the_controllers_own_is_looked_at_as_well(place: Place) -> None:
    wanted = plan_apps(place.configuration, place.place, only=["coderun"])[0]
    place.made["coderun"] = place.github.create_app("acme-coderun", permissions=dict(wanted.order.permissions), owner="acme")
    place.installations["coderun"] = place.github.install(place.made["coderun"], "acme", repos=["shop"])
    place.keep("coderun")
    found = await place.check()
    assert found["coderun: permissions"].state is State.OK
    assert (
        found["rex: permissions"].found == "the App holds more than its stages need: Checks: Read and write, Issues: Read-only"
    )


async def test_a_permission_that_the_app_lacks_is_named_as_githubs_page_does(place: Place) -> None:
    place.made["rex"].app.permissions = {"contents": "read", "checks": "write", "statuses": "read", "issues": "read"}
    finding = (await place.check())["rex: permissions"]
    assert finding.state is State.ERROR
    assert finding.found == "the App lacks Contents: Read and write, Pull requests: Read and write"
    assert finding.link == f"{place.github.url}/organizations/acme/settings/apps/acme-rex/permissions"


async def test_a_permission_beyond_need_is_a_warning(place: Place) -> None:
    place.made["rex"].app.permissions["administration"] = "write"
    finding = (await place.check())["rex: permissions"]
    assert finding.state is State.WARNING
    assert finding.found == "the App holds more than its stages need: Administration: Read and write"


async def test_permissions_that_the_owner_has_not_accepted_are_an_error(place: Place) -> None:
    place.installations["tess"].permissions["pull_requests"] = "read"
    finding = (await place.check())["tess: installation"]
    assert (finding.state, finding.found) == (State.ERROR, "its owner has not accepted Pull requests: Read and write")
    assert finding.link == f"{place.github.url}/settings/installations/{place.installations['tess'].id}"


async def test_an_app_that_is_installed_nowhere_leads_to_its_installation(place: Place) -> None:
    place.github.uninstall(place.installations["rex"])
    found = await place.check()
    assert (found["rex: installation"].state, found["rex: installation"].found) == (State.ERROR, "not installed on acme/shop")
    assert found["rex: installation"].link == f"{place.github.url}/github-apps/acme-rex/installations/new"
    assert found["repository"].found == "acme/shop, seen by acme-cleo"


async def test_an_app_that_is_installed_beside_the_repository_leads_to_its_repositories(place: Place) -> None:
    await place.github.create_repo("acme/other")
    place.installations["rex"].repos = {place.github.repo("acme/other").id}
    finding = (await place.check())["rex: installation"]
    assert finding.found == "installed for acme, but not on acme/shop"
    assert finding.advice == "add acme/shop under Repository access and save"


async def test_a_suspended_installation_is_an_error(place: Place) -> None:
    place.github.suspend(place.installations["rex"])
    assert (await place.check())["rex: installation"].found == "suspended"


async def test_an_installation_on_everything_is_a_warning(place: Place) -> None:
    place.installations["rex"].repos = None
    finding = (await place.check())["rex: installation"]
    assert (finding.state, finding.found) == (State.WARNING, "reaches every repository of acme")


async def test_two_agents_with_one_app_are_an_error(place: Place) -> None:
    place.keep("cleo", app_id=str(place.made["rex"].id), slug="acme-rex", pem=place.made["rex"].private_key.encode())
    finding = (await place.check())["identities"]
    assert finding.state is State.ERROR
    assert finding.found.startswith(f"rex, cleo share App {place.made['rex'].id}, which then can approve nothing")


async def test_no_webhook_is_a_warning_for_polling_does_too(place: Place) -> None:
    place.made["rex"].app.hook.url = ""
    finding = (await place.check(ping=True))["webhook"]
    assert finding.state is State.WARNING
    assert finding.found == "none; gates move by polling (`forge.pollSeconds`); a webhook moves them at once"


async def test_two_apps_that_send_the_same_events_are_a_warning(place: Place) -> None:
    cleo = place.made["cleo"].app
    cleo.hook.url, cleo.hook.secret, cleo.events = place.door.url, SECRET, sorted(EVENTS)
    finding = (await place.check())["webhook"]
    assert finding.found == "the Apps of rex, cleo send the same events to one address"
    assert finding.advice == "switch Active off for all but one of them"


async def test_a_webhook_without_a_secret_is_an_error(place: Place) -> None:
    place.made["rex"].app.hook.secret = ""
    assert (await place.check())["rex: webhook"].found == f"{place.door.url} without a secret"


async def test_a_secret_that_this_machine_does_not_know_is_an_error(place: Place) -> None:
    place.keep("rex", webhook_secrets=())
    finding = (await place.check(ping=True))["rex: webhook"]
    assert finding.found == f"{place.door.url}; this machine does not know its secret"
    assert finding.advice == "write the same secret as webhookSecret into rex.json"


async def test_events_that_are_not_subscribed_are_named(place: Place) -> None:
    place.made["rex"].app.events.remove("pull_request_review")
    finding = (await place.check())["rex: events"]
    assert finding.state is State.WARNING
    assert finding.advice == "tick Pull request review under Subscribe to events and save"


async def make_event(place: Place) -> None:
    place.github.unsuspend(place.installations["rex"])
    await place.github.settle()


async def test_deliveries_that_arrive_are_counted(place: Place) -> None:
    await make_event(place)
    finding = (await place.check())["rex: deliveries"]
    assert finding.state is State.OK
    assert finding.found == "2 arrived, the newest 0 min ago"


async def test_deliveries_that_are_refused_as_unsigned_say_that_the_secrets_differ(place: Place) -> None:
    place.made["rex"].app.hook.secret = "another"
    await make_event(place)
    finding = (await place.check())["rex: deliveries"]
    assert finding.state is State.ERROR
    assert finding.found.endswith("did not arrive, the last one (Installation) with 401 Invalid HTTP Response: 401")
    assert finding.advice == "the secrets differ: set the webhookSecret of rex.json there as Webhook secret"


async def test_deliveries_that_nobody_took_lead_to_the_log_and_one_that_came_again_counts_as_arrived(place: Place) -> None:
    hook = place.made["rex"].app.hook
    hook.url = "http://127.0.0.1:9/nobody"
    await make_event(place)
    finding = (await place.check())["rex: deliveries"]
    assert (finding.state, finding.link.rpartition("/")[2]) == (State.WARNING, "advanced")
    hook.url = place.door.url
    await place.github.settle()
    place.github.webhooks.redeliver(hook, hook.deliveries[-1])
    assert (await place.check())["rex: deliveries"].state is State.OK


@pytest.mark.parametrize("port", [9, None])
async def test_a_door_that_does_not_take_a_ping_is_a_warning_and_one_that_knows_another_secret_an_error(
    place: Place, port: int | None
) -> None:
    hook = place.made["rex"].app.hook
    if port is not None:
        hook.url = f"http://127.0.0.1:{port}/github/webhook"
    else:
        place.keep("rex", webhook_secrets=("another",))
    finding = (await place.check(ping=True))["webhook door"]
    assert finding.state is (State.WARNING if port else State.ERROR)
    assert finding.advice == "start `coderun up` with its webhook door, and lead the address to it"
    assert ("no answer" if port else "401") in finding.found


async def test_a_base_branch_that_is_not_there_is_an_error(place: Place) -> None:
    finding = (await place.check(base="develop"))["base branch"]
    assert (finding.state, finding.found) == (State.ERROR, "there is no branch 'develop'")


async def test_a_repository_that_has_moved_is_said_with_its_new_name(place: Place) -> None:
    place.github.add_collaborator("acme/shop", "ada", "admin")
    place.personal = PersonalAccess(token=place.github.personal_token("ada"), source="$GH_TOKEN")
    place.keys.clear()
    place.github.transfer("acme/shop", "acme/store")
    found = await place.check()
    assert found["repository"].found == "acme/shop has moved to acme/store"
    assert found["repository"].advice == "write repository: acme/store in coderun.yaml"


RULES = [
    ({"type": "required_signatures"}, "rule required_signatures", State.ERROR, "asks for signed commits; agents do not sign"),
    (
        {"type": "pull_request", "parameters": {"required_approving_review_count": 2}},
        "rule pull_request", State.WARNING, "asks for 2 approvals; the agents give 1",
    ),
    (
        {"type": "pull_request", "parameters": {"require_code_owner_review": True}},
        "rule pull_request", State.WARNING, "asks for a code owner's approval",
    ),
    ({"type": "required_linear_history"}, "merge method", State.ERROR, "main does not take merges by 'merge'"),
    ({"type": "workflows"}, "rule workflows", State.WARNING, "asks for something that no agent sees to"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "state", "found"), RULES)
async def test_rules_of_the_base_branch_that_would_stop_a_play_are_named(
    place: Place, rule: dict[str, Any], name: str, state: State, found: str
) -> None:
    made = place.github.add_ruleset("acme/shop", [rule])
    finding = (await place.check())[name]
    assert finding.state is state
    assert finding.found.startswith(found)
    if name != "merge method":
        assert finding.link == f"{place.github.url}/acme/shop/rules/{made.id}"


async def test_rules_that_a_play_meets_anyway_are_no_trouble(place: Place) -> None:
    rules: list[dict[str, Any]] = [
        {"type": "pull_request", "parameters": {"required_approving_review_count": 1}},
        {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "ci"}]}},
        {"type": "non_fast_forward"},
        {"type": "deletion"},
    ]
    place.github.add_ruleset("acme/shop", rules)
    assert (await place.check())["base branch"].found == "main; 4 rules, none of which stops a play"


async def test_a_rule_that_forbids_to_change_the_base_is_an_error_where_plays_merge_by_themselves(place: Place) -> None:
    place.github.add_ruleset("acme/shop", [{"type": "update"}])
    assert "rule update" not in await place.check()
    place.configuration = configuration(auto_merge=True)
    assert (await place.check())["rule update"].state is State.ERROR


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"type": "creation"}, "lets nobody create such branches, and it holds for feature/task-1-implementation"),
        ({"type": "update"}, "lets nobody push to such branches, and it holds for feature/task-1-implementation"),
        ({"type": "required_signatures"}, "asks for signed commits, which agents do not make"),
    ],
)
async def test_rules_over_every_branch_that_would_refuse_a_push_are_errors(
    place: Place, rule: dict[str, Any], found: str
) -> None:
    place.github.add_ruleset("acme/shop", [rule], include=["~ALL"])
    finding = (await place.check())[f"task branches: rule {rule['type']}"]
    assert finding.state is State.ERROR
    assert finding.found.startswith(found)
    assert finding.advice.startswith("leave feature/task-* out of the ruleset")


async def test_a_pattern_for_branches_is_shown(place: Place) -> None:
    rule = {"type": "branch_name_pattern", "parameters": {"operator": "starts_with", "pattern": "release/\x1b[2J"}}
    place.github.add_ruleset("acme/shop", [rule], include=["~ALL"])
    finding = (await place.check())["task branches: rule branch_name_pattern"]
    assert finding.state is State.WARNING
    assert finding.found == "asks for 'release/' on feature/task-1-implementation"


def test_a_repository_says_how_it_may_be_merged_into() -> None:
    seen = RepositorySight(view=RepositoryView(allow_merge_commit=False, allow_squash_merge=True))
    assert allowed_methods(seen) == {MergeMethod.SQUASH}
    only = FullRule(type="pull_request", parameters=Demand(allowed_merge_methods=("merge",)))
    assert allowed_methods(msgspec.structs.replace(seen, base_rules=(only,))) == set()
    assert allowed_methods(RepositorySight()) == set(MergeMethod)


def judged(view: RepositoryView) -> dict[str, Finding]:
    place = GitHubPlace(host=github_host(), repository=RepositoryId(host="github.com", owner="acme", name="shop"))
    sight = Sight(wanted=(), repository=RepositorySight(seen_by="acme-rex", view=view, base="main"))
    return {one.name: one for one in judge(sight, place, configuration(), now=datetime.now(UTC) + timedelta(0))}


def test_an_archived_repository_takes_nothing() -> None:
    for view in (RepositoryView(full_name="acme/shop", archived=True), RepositoryView(full_name="acme/shop", disabled=True)):
        assert judged(view)["repository"].found.endswith(": nobody can push to it")


async def test_an_app_that_does_not_reach_the_renamed_repository_leads_to_its_new_name(place: Place) -> None:
    place.github.transfer("acme/shop", "acme/store")
    finding = (await place.check())["repository"]
    assert finding.state is State.ERROR
    assert finding.advice.endswith("where the repository was renamed, write its new name into coderun.yaml")


async def test_only_some_agents_are_looked_at(place: Place) -> None:
    place.keys.clear()
    assert [name for name in await place.check(only=("tess",)) if name.endswith(": App")] == ["tess: App"]


async def test_a_github_that_does_not_answer_is_not_available(place: Place) -> None:
    place.github.fault("error", count=100, status=503)
    with pytest.raises(ForgeUnavailableError):
        await place.check()


async def test_one_app_less_is_no_reason_to_see_no_repository(place: Place) -> None:
    place.made["rex"].app.permissions.pop("contents")
    place.installations["rex"].permissions.pop("contents")
    assert (await place.check())["repository"].found == "acme/shop, seen by acme-cleo"
