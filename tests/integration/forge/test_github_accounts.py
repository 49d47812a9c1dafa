"""Accounts, leases and the broker, against answers that a test has written down."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.forge.hub import Reply, scripted_hub
from tests.integration.forge.test_github_auth import INSTALLATION, ISSUE, SHOP, Place, pem

from coderun.forge.github.accounts import Account, AppAccount, Identity, PersonAccount
from coderun.forge.github.broker import Accounts, Broker
from coderun.forge.github.client import open_session
from coderun.forge.github.forges import GitHubForges
from coderun.model.coderun import CodeRun, CodeRunSpec
from coderun.model.errors import ForgeUnavailableError, RefusedError
from coderun.model.gates import Gate, GateKind
from coderun.model.github import github_host
from coderun.model.meta import ObjectMeta
from coderun.model.roster import Agent

REX = Agent(name="rex", role="implementation", capabilities=("write-code",))
TESS = Agent(name="tess", role="testing", capabilities=("review",))
REVOKE = "DELETE /installation/token"
LIMITS = "GET /rate_limit"


def run(name: str = "run-1", gate: GateKind = GateKind.PULL_REQUEST, repository: str = "acme/shop") -> CodeRun:
    spec = CodeRunSpec(task_id=1, service="shop", repository_url=repository, evidence=(Gate(kind=gate),))
    return CodeRun(metadata=ObjectMeta(name=name), spec=spec)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with scripted_hub() as hub, open_session() as session:
        hub.on(LIMITS, {"rate": {}})
        hub.on(REVOKE, Reply(status=204))
        yield Place(hub, session)


def app(place: Place, slug: str = "acme-rex") -> AppAccount:
    return AppAccount(place.client, app_id="4711", pem=pem(), slug=slug, name="rex", clock=place.clock)


def broker(place: Place, own: dict[str, Account] | None = None, shared: Account | None = None) -> Broker:
    return Broker(Accounts({"rex": app(place)} if own is None else own, shared, advice="do this"))


def asked_permissions(place: Place) -> list[dict[str, Any]]:
    return [asked.body["permissions"] for asked in place.hub.asked if asked.line == ISSUE]


@pytest.mark.parametrize("slug", ["acme-rex", ""])
async def test_an_app_is_its_bot_with_the_address_that_ties_commits_to_it(place: Place, slug: str) -> None:
    place.hub.on("GET /app", {"id": 4711, "slug": "acme-rex"})
    place.hub.on("GET /users/acme-rex%5Bbot%5D", {"id": 77, "login": "acme-rex[bot]"})
    account = app(place, slug)
    for _ in range(2):
        assert await account.identity(SHOP) == Identity(login="acme-rex[bot]", email="77+acme-rex[bot]@users.noreply.127.0.0.1")
    assert place.hub.lines.count("GET /users/acme-rex%5Bbot%5D") == 1


async def test_an_app_that_is_not_installed_still_has_its_login(place: Place) -> None:
    place.hub.on(INSTALLATION, Reply({"message": "Not Found"}, 404))
    assert (await app(place).identity(SHOP)).login == "acme-rex[bot]"


async def test_a_person_is_who_the_token_says_and_lends_it_out_as_it_is(place: Place) -> None:
    place.hub.on("GET /user", {"id": 5, "login": "ada"})
    account = PersonAccount(place.client, "ghp_ada", source="$GH_TOKEN")
    for _ in range(2):
        assert await account.identity(SHOP) == Identity(login="ada", email="5+ada@users.noreply.127.0.0.1")
    lease = account.lease(SHOP, {})
    await lease.end()
    account.forget()
    assert (await lease.text(), account.is_personal) == ("ghp_ada", True)


@pytest.mark.lesson(14)
async def test_a_run_gets_one_token_with_what_its_stage_needs_until_it_must_be_renewed(place: Place) -> None:
    tokens = broker(place, {"rex": app(place), "tess": app(place)})
    assert [await tokens.issue(run(), REX) for _ in range(3)] == ["ghs_1"] * 3
    assert await tokens.issue(run("run-2", GateKind.REVIEW), TESS) == "ghs_2"
    writing, reviewing = asked_permissions(place)
    assert (writing["contents"], reviewing["contents"]) == ("write", "read")
    place.time += timedelta(minutes=51)
    assert await tokens.issue(run(), REX) == "ghs_3"


@pytest.mark.lesson(14)
async def test_a_token_that_github_does_not_take_any_more_is_replaced_at_the_next_look(place: Place) -> None:
    tokens = broker(place)
    assert await tokens.issue(run(), REX) == "ghs_1"
    place.time += timedelta(seconds=31)
    place.hub.on(LIMITS, Reply({"message": "Bad credentials"}, 401), {"rate": {}})
    assert await tokens.issue(run(), REX) == "ghs_2"


async def test_a_refusal_names_the_repository_on_the_host_that_is_worked_with(place: Place) -> None:
    place.hub.on(ISSUE, Reply({"message": "There is at least one repository that does not exist"}, 422))
    tokens = Broker(Accounts({"rex": app(place)}, None, advice="do this"), "github.example.com")
    with pytest.raises(RefusedError, match=r"GitHub gives App rex no token for github\.example\.com/acme/shop with "):
        await tokens.issue(run(), REX)


async def test_a_token_is_given_though_github_cannot_be_asked_whether_it_holds(place: Place) -> None:
    tokens = broker(place)
    await tokens.issue(run(), REX)
    place.time += timedelta(seconds=31)
    place.hub.on(LIMITS, Reply(status=502))
    assert await tokens.issue(run(), REX) == "ghs_1"


@pytest.mark.lesson(14)
async def test_a_token_that_another_process_gave_is_ended_with_the_run_and_not_before(place: Place) -> None:
    tokens = broker(place)
    assert not tokens.knows("run-1")
    for left in ("two lines\n", "", "gh\u00f6", "ghs_left"):
        tokens.inherit(run(), REX, left)
        assert tokens.knows("run-1") is (left == "ghs_left")
    assert await tokens.issue(run(), REX) == "ghs_1"
    assert REVOKE not in place.hub.lines
    await tokens.revoke("run-1")
    shown = [asked.headers["authorization"] for asked in place.hub.asked if asked.line == REVOKE]
    assert shown == ["Bearer ghs_left", "Bearer ghs_1"]
    assert not tokens.knows("run-1")


async def test_a_persons_token_is_not_ended_whoever_gave_it_and_an_ended_one_is_no_trouble(place: Place) -> None:
    tokens = broker(place, {}, PersonAccount(place.client, "ghp_ada", source="$GH_TOKEN"))
    tokens.inherit(run(), REX, "ghp_ada")
    await tokens.revoke("run-1")
    assert REVOKE not in place.hub.lines
    nobody = broker(place, {})
    nobody.inherit(run(), REX, "ghs_left")
    assert not nobody.knows("run-1")
    ended = broker(place)
    for status in (401, 403, 404):
        place.hub.on(REVOKE, Reply({"message": "no"}, status))
        ended.inherit(run(), REX, "ghs_left")
        await ended.revoke("run-1")
    assert await app(place).take_over("ghs_left").text() == "ghs_left"


@pytest.mark.lesson(14)
async def test_the_end_of_a_run_ends_its_token_and_waits_for_nobody(place: Place) -> None:
    tokens = broker(place)
    await tokens.issue(run(), REX)
    place.hub.on(REVOKE, Reply(status=503))
    await tokens.revoke("run-1")
    await tokens.revoke("run-of-another-controller")
    place.hub.on(REVOKE, Reply(status=204))
    before = place.hub.lines.count(REVOKE)
    await tokens.revoke("run-1")
    await tokens.revoke("run-1")
    assert place.hub.lines.count(REVOKE) == before + 1
    assert await tokens.issue(run(), REX) == "ghs_2", "a run of the same name is another one"


async def test_an_agent_without_an_account_uses_the_shared_one_or_is_refused_with_advice(place: Place) -> None:
    shared = PersonAccount(place.client, "ghp_ada")
    assert await broker(place, {}, shared).issue(run(), REX) == "ghp_ada"
    with pytest.raises(RefusedError, match="agent rex has no GitHub App, and there is no personal token; do this"):
        await broker(place, {}).issue(run(), REX)


@pytest.mark.parametrize("repository", ["/srv/shop", "what is this?"])
async def test_no_token_is_asked_for_what_is_no_repository_on_github(place: Place, repository: str) -> None:
    with pytest.raises(RefusedError):
        await broker(place).issue(run(repository=repository), REX)
    assert place.hub.asked == []


async def test_the_forge_of_a_repository_is_made_once_whatever_it_is_called(place: Place) -> None:
    place.hub.on("GET /users/acme-rex%5Bbot%5D", {"id": 77, "login": "acme-rex[bot]"})
    forges = GitHubForges(github_host(), app(place))
    made = await forges.of("Acme/Shop")
    assert await forges.of("https://github.com/acme/shop.git") is made
    assert made.login == "acme-rex[bot]"
    with pytest.raises(RefusedError, match=r"is on ghes\.example, and this controller works with github\.com; set forge\.url"):
        await forges.of("https://ghes.example/acme/shop")


async def test_owner_and_name_alone_are_a_repository_on_a_github_of_ones_own_too(place: Place) -> None:
    place.hub.on("GET /users/acme-rex%5Bbot%5D", {"id": 77, "login": "acme-rex[bot]"})
    forges = GitHubForges(github_host("https://ghes.example:8443"), app(place))
    made = await forges.of("Acme/Shop")
    assert await forges.of("https://ghes.example:8443/acme/shop.git") is made


async def test_a_forge_that_cannot_be_had_now_is_asked_for_again(place: Place) -> None:
    place.hub.on("GET /users/acme-rex%5Bbot%5D", Reply(status=502))
    forges = GitHubForges(github_host(), app(place))
    with pytest.raises(ForgeUnavailableError):
        await forges.of("acme/shop")
    place.hub.on("GET /users/acme-rex%5Bbot%5D", {"id": 77, "login": "acme-rex[bot]"})
    assert (await forges.of("acme/shop")).login == "acme-rex[bot]"


async def test_a_repository_that_was_renamed_keeps_its_tokens_by_its_number(place: Place) -> None:
    ends = (place.time + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"token": "ghs_x", "expires_at": ends, "repository_selection": "selected"}
    place.hub.on(
        ISSUE,
        Reply({**body, "repositories": [{"id": 42, "name": "shop"}]}, 201),
        Reply({**body, "repositories": [{"id": 42, "name": "store"}]}, 201),
        Reply({**body, "repositories": [{"id": 43, "name": "shop"}]}, 201),
    )
    account = app(place)
    for _ in range(2):
        await account.lease(SHOP, {"contents": "read"}).text()
    assert [asked.body.get("repository_ids") for asked in place.hub.asked if asked.line == ISSUE] == [None, [42]]
    with pytest.raises(RefusedError, match="a token for more than"):
        await account.lease(SHOP, {"contents": "read"}).text()
