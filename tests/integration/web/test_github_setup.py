"""The page of `coderun github setup`, clicked through over HTTP, with the fake GitHub on the other side."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest
from tests.fakes.browser import Browser, Form, Page
from tests.fakes.github import FakeGitHub
from tests.fakes.github.registration import take_manifest

from coderun.app.configuration import Configuration, packaged_roster, packaged_text, parse_pipeline
from coderun.app.github_desk import open_desk
from coderun.app.github_keys import AppKeys, read_app, write_app
from coderun.app.github_place import GitHubPlace
from coderun.app.github_setup import Made, Setup, Step, Wanted, agents_of, config_lines, manual, plan_apps
from coderun.forge.github.manifest import events_in_words
from coderun.forge.github.permissions import EVENTS
from coderun.model.config import Config, PlaySettings
from coderun.model.errors import ConfigError, NotFoundError, RefusedError
from coderun.model.github import github_host
from coderun.model.repository import RepositoryId
from coderun.model.roster import Agent, make_roster
from coderun.web.github_setup import serve_setup

HOSTILE = "<script>alert(1)</script>\"'"


def configuration(config: Config | None = None) -> Configuration:
    config = config or Config(play=PlaySettings())
    roster = config.roster(packaged_roster())
    pipeline = parse_pipeline(packaged_text("pipelines/play.yaml"), name="play.yaml", config=config, roster=roster)
    return Configuration(config=config, roster=roster, pipeline=pipeline)


class Place:
    """A fake GitHub with a repository, and set-ups for it that remember what they told."""

    def __init__(self, github: FakeGitHub, folder: Path) -> None:
        self.github = github
        self.keys = folder / "keys"
        self.told: list[str] = []
        self.place = GitHubPlace(
            host=github_host(github.url), repository=RepositoryId(host="127.0.0.1", owner="acme", name="shop")
        )

    def plan(self, *only: str, webhook_url: str = "", prefix: str = "") -> list[Wanted]:
        return plan_apps(configuration(), self.place, only=only, organization="acme", webhook_url=webhook_url, prefix=prefix)

    @asynccontextmanager
    async def setup(self, wanted: list[Wanted], *, replace: bool = False) -> AsyncIterator[Setup]:
        async with open_desk(self.place, clock=lambda: datetime.now(UTC)) as desk:
            yield Setup(wanted, place=self.place, folder=self.keys, desk=desk, tell=self.told.append, replace=replace)

    def install(self, slug: str) -> None:
        made = next(app for app in self.github.world.apps if app.slug == slug)

        class Whole:
            app = made

        self.github.install(Whole(), "acme", repos=["shop"])  # type: ignore[arg-type] # all that is looked at


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with FakeGitHub(tmp_path / "github") as github:
        await github.create_repo("acme/shop")
        yield Place(github, tmp_path)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as session:
        yield Browser(session)


def one_form(page: Page, agent: str) -> Form:
    return next(form for form in page.forms if json.loads(form.fields["manifest"])["name"].endswith(f"-{agent}"))


async def test_a_person_clicks_through_and_every_agent_has_its_app(place: Place, browser: Browser) -> None:
    async with (
        place.setup(place.plan(webhook_url="https://door.example/github/webhook")) as setup,
        serve_setup(setup) as address,
    ):
        page = await browser.open(address)
        assert "0 of 3 Apps are made" in page.text
        for agent in ("rex", "cleo", "tess"):
            page = await browser.submit(one_form(page, agent))
            assert (page.status, page.url) == (200, address)
        assert page.forms == []
        assert "Every App is made. Install each one on the repository" in page.text
        assert [urlsplit(link).path for link in page.links] == [
            f"/github-apps/acme-{agent}/installations/new" for agent in ("rex", "cleo", "tess")
        ]
        assert [one.step for one in setup.progress] == [Step.MADE] * 3
        for agent in ("rex", "cleo", "tess"):
            place.install(f"acme-{agent}")
        page = await browser.open(address)
        assert "All is done. You can close this page." in page.text
        assert setup.is_installed
    assert place.told == [
        *(f"{agent}: App acme-{agent} is made; its key is in {place.keys}/{agent}.pem" for agent in ("rex", "cleo", "tess")),
        *(f"{agent}: App acme-{agent} is installed on acme/shop" for agent in ("rex", "cleo", "tess")),
    ]
    kept = [read_app(place.keys, agent) for agent in ("rex", "cleo", "tess")]
    assert [(one.slug, bool(one.webhook_secrets)) for one in kept if one] == [
        ("acme-rex", True), ("acme-cleo", True), ("acme-tess", True),
    ]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.keys.iterdir()} == {0o600}


async def test_the_apps_hold_what_the_stages_need_and_the_first_one_carries_the_events(place: Place, browser: Browser) -> None:
    async with (
        place.setup(place.plan(webhook_url="https://door.example/github/webhook")) as setup,
        serve_setup(setup) as address,
    ):
        page = await browser.open(address)
        for agent in ("rex", "cleo", "tess"):
            page = await browser.submit(one_form(page, agent))
    rex, cleo, tess = (
        next(app for app in place.github.world.apps if app.slug == f"acme-{name}") for name in ("rex", "cleo", "tess")
    )
    assert rex.owner.login == "acme"
    assert rex.permissions == {
        "checks": "write", "contents": "write", "issues": "read", "pull_requests": "write", "statuses": "read",
    }  # fmt: skip
    assert cleo.permissions == {"checks": "read", "contents": "write", "pull_requests": "write", "statuses": "read"}
    assert (rex.hook.url, sorted(rex.events)) == ("https://door.example/github/webhook", sorted(EVENTS))
    assert [(app.hook.url, app.events) for app in (cleo, tess)] == [("", []), ("", [])]


async def test_the_page_says_what_each_permission_is_for(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("tess")) as setup, serve_setup(setup) as address:
        page = await browser.open(address)
    assert "Pull requests: Read and write read pull requests, reviews, labels and comments; post the review" in page.text
    assert "Commit statuses: Read-only read the commit statuses of a commit" in page.text
    assert "Contents: Read-only clone the repository" in page.text


async def test_whoever_breaks_off_goes_on_where_they_were(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan()) as setup, serve_setup(setup) as address:
        await browser.submit(one_form(await browser.open(address), "cleo"))
    before = read_app(place.keys, "cleo")
    async with place.setup(place.plan()) as setup, serve_setup(setup) as address:
        assert [one.step for one in setup.progress] == [Step.MISSING, Step.MADE, Step.MISSING]
        page = await browser.open(address)
        assert "1 of 3 Apps are made" in page.text
        assert len(page.forms) == 2
    assert read_app(place.keys, "cleo") == before


async def test_an_app_is_made_anew_only_where_that_was_said(place: Place, browser: Browser) -> None:
    write_app(place.keys, AppKeys(agent="rex", app_id="1", pem=b"-----BEGIN X", slug="old"))
    async with place.setup(place.plan("rex")) as setup:
        assert setup.is_made
    async with place.setup(place.plan("rex"), replace=True) as setup, serve_setup(setup) as address:
        await browser.submit(one_form(await browser.open(address), "rex"))
    kept = read_app(place.keys, "rex")
    assert kept is not None
    assert kept.slug == "acme-rex"


async def test_a_code_that_comes_without_our_state_makes_nothing(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        for query in ("code=abc", "code=abc&state=", "code=abc&state=guess", "state=x"):
            page = await browser.open(f"{address}created/rex?{query}")
            assert page.status == 403
            assert "did not come from the page that was opened here" in page.text
        assert (await browser.open(f"{address}created/nobody?code=a&state=b")).status == 404
        assert setup.progress[0].step is Step.MISSING
    assert place.github.world.apps == []
    assert not place.keys.exists()


async def test_a_state_is_good_for_one_app(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        form = one_form(await browser.open(address), "rex")
        state = parse_qs(urlsplit(form.action).query)["state"][0]
        await browser.submit(form)
        page = await browser.open(f"{address}created/rex?code=another&state={state}")
    assert page.status == 403
    assert "the App of rex is made already" in page.text
    assert len(place.github.world.apps) == 1


async def test_two_answers_at_once_make_one_app_and_spoil_nothing(place: Place) -> None:
    async with place.setup(place.plan("rex")) as setup:
        url, manifest = setup.manifest("rex", redirect_url="http://127.0.0.1:1/created/rex")
        state = parse_qs(urlsplit(url).query)["state"][0]
        code = take_manifest(place.github.world, manifest, "acme")
        ends = await asyncio.gather(
            setup.receive("rex", code=code, state=state), setup.receive("rex", code=code, state=state), return_exceptions=True
        )
        assert [type(end) for end in ends] == [type(None), RefusedError]
        assert setup.is_made


@pytest.mark.parametrize("code", ["", "../../x", "a b", "x" * 300])
async def test_what_is_no_code_is_not_sent_to_github(place: Place, code: str) -> None:
    async with place.setup(place.plan("rex")) as setup:
        url, _ = setup.manifest("rex", redirect_url="http://127.0.0.1:1/")
        with pytest.raises(RefusedError, match="GitHub's code is missing"):
            await setup.receive("rex", code=code, state=parse_qs(urlsplit(url).query)["state"][0])
    assert place.github.journal == []


async def test_a_code_that_github_does_not_know_is_said_on_the_page_and_tried_again(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        page = await browser.open(address)
        state = parse_qs(urlsplit(page.forms[0].action).query)["state"][0]
        wrong = await browser.open(f"{address}created/rex?code=outdated&state={state}")
        assert wrong.status == 404
        assert "GitHub knows nothing at POST /app-manifests/outdated/conversions" in wrong.text
        page = await browser.submit(wrong.forms[0])
        assert page.status == 200
        assert setup.is_made


async def test_a_key_that_cannot_be_kept_is_said_to_be_lost(place: Place, browser: Browser, tmp_path: Path) -> None:
    place.keys.parent.mkdir(exist_ok=True)
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        form = one_form(await browser.open(address), "rex")
        place.keys.write_text("in the way")
        page = await browser.submit(form)
    assert page.status == 500
    assert "App acme-rex is made, but its key could not be kept and is lost" in page.text
    assert "/apps/acme-rex" in page.text


async def test_nobody_calls_the_page_by_another_name(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        page = await browser.open(address, Host="evil.example")
        assert page.status == 421
        assert "rex" not in page.source


async def test_the_page_shows_no_secret_runs_no_script_and_stands_in_no_frame(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex", webhook_url="https://door.example/x")) as setup, serve_setup(setup) as address:
        await browser.submit(one_form(await browser.open(address), "rex"))
        page = await browser.open(address)
    kept = read_app(place.keys, "rex")
    assert kept is not None
    assert not any(secret in page.source for secret in (*kept.webhook_secrets, "PRIVATE KEY"))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert f"form-action 'self' {place.github.url};" in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"


async def test_texts_of_others_are_shown_as_text(place: Place, browser: Browser) -> None:
    hostile = msgspec.structs.replace(place.place, repository=RepositoryId(host="h", owner="acme", name=HOSTILE))
    agent = Agent(name="rex", role=HOSTILE)
    place.place = hostile
    wanted = plan_apps(
        msgspec.structs.replace(configuration(), roster=make_roster({"rex": agent})),
        hostile,
        only=["rex"],
        organization=HOSTILE,
    )
    async with place.setup(wanted) as setup, serve_setup(setup) as address:
        page = await browser.open(address)  # the browser itself refuses scripts
        assert HOSTILE in page.text
        trouble = await browser.open(f"{address}created/rex?code=a&state={HOSTILE}")
        assert trouble.status == 403


async def test_a_port_that_is_taken_is_an_error(place: Place) -> None:
    async with place.setup(place.plan("rex")) as setup, serve_setup(setup) as address:
        with pytest.raises(ConfigError, match=r"port \d+ of this machine cannot be used \(.*\); name another with --port"):
            async with serve_setup(setup, port=int(urlsplit(address).port or 0)):
                pass


async def test_events_of_an_app_that_is_there_are_sent_to_a_new_address(place: Place, browser: Browser) -> None:
    async with place.setup(place.plan("rex", "cleo")) as setup, serve_setup(setup) as address:
        page = await browser.open(address)
        for agent in ("rex", "cleo"):
            page = await browser.submit(one_form(page, agent))
    place.told.clear()
    async with place.setup(place.plan("rex", "cleo", webhook_url="https://new.example/github/webhook")) as setup:
        await setup.aim()
    rex, cleo = (next(app for app in place.github.world.apps if app.slug == f"acme-{name}") for name in ("rex", "cleo"))
    kept = read_app(place.keys, "rex")
    assert kept is not None
    assert (rex.hook.url, rex.hook.secret) == ("https://new.example/github/webhook", kept.webhook_secrets[0])
    assert cleo.hook.url == ""
    assert place.told == ["rex: App acme-rex sends its events to https://new.example/github/webhook"]


class Deaf:
    """A GitHub that never answers to anything good."""

    async def convert(self, code: str) -> Made:
        raise NotFoundError("no")

    async def is_installed(self, keys: AppKeys) -> bool:
        raise RefusedError("the key of this App was revoked")

    async def aim(self, keys: AppKeys, url: str, secret: str) -> None:
        raise RefusedError("no")


async def test_what_goes_wrong_while_it_looks_is_kept_with_the_agent(place: Place) -> None:
    write_app(place.keys, AppKeys(agent="rex", app_id="1", pem=b"-----BEGIN X", slug="acme-rex"))
    setup = Setup(place.plan("rex"), place=place.place, folder=place.keys, desk=Deaf(), tell=place.told.append)
    looks = 0

    async def pause() -> None:
        nonlocal looks
        looks += 1
        assert setup.progress[0].trouble == "the key of this App was revoked"
        if looks == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await setup.follow(pause=pause, wait_for_installation=True)
    await setup.follow(pause=pause, wait_for_installation=False)  # the App is made: nothing is waited for


def test_the_manual_way_names_every_permission_and_event(place: Place) -> None:
    text = manual(place.plan("rex", webhook_url="https://door.example/x"), place.place, Path("/keys"))
    assert text.splitlines()[2:] == [
        "rex (implementation)",
        f"  1. open {place.github.url}/organizations/acme/settings/apps/new",
        "     GitHub App name: acme-rex",
        f"     Homepage URL: {place.github.url}/acme/shop",
        "     Webhook: https://door.example/x, with a secret of yours",
        "     Repository permissions:",
        "       Checks: Read and write",
        "       Contents: Read and write",
        "       Issues: Read-only",
        "       Pull requests: Read and write",
        "       Commit statuses: Read-only",
        f"     Subscribe to events: {events_in_words(sorted(EVENTS))}",
        "     Where can this App be installed: only on this account",
        "  2. generate a private key there and save it as /keys/rex.pem",
        '  3. write {"appId": "…", "slug": "…", "webhookSecret": "…"} into /keys/rex.json (the App ID is on the same page)',
        f"  4. install it: {place.github.url}/github-apps/…/installations/new, only on acme/shop",
        "",
        "chmod 700 /keys; chmod 600 /keys/*",
        "Then `coderun github check` looks at it all.",
    ]


def test_an_agent_that_takes_two_roles_gets_one_app() -> None:
    config = Config(roles={"quality": "tess", "testing": "tess"})
    assert agents_of(configuration(config)) == {"rex": ("implementation",), "tess": ("quality", "testing")}
    assert agents_of(configuration(), ["blaze"]) == {"blaze": ("implementation",)}
    with pytest.raises(ConfigError, match=r"there is no agent max \(known agents: rex, blaze, cleo, tess, morgan\)"):
        agents_of(configuration(), ["max"])


def test_coderun_yaml_is_told_where_plays_go_on(place: Place) -> None:
    public = msgspec.structs.replace(place.place, host=github_host())
    own = ["forge:", "  type: github", f"  url: {place.github.url}", "  repository: acme/shop"]
    assert config_lines(public, webhook=False) == ["forge:", "  type: github", "  repository: acme/shop"]
    assert config_lines(place.place, webhook=True) == [*own, "webhook:", "  port: 8080"]


def test_an_app_for_the_controller_takes_from_the_agents_what_only_it_needs(place: Place) -> None:
    wanted = {one.agent.name: one.order for one in place.plan("coderun", "rex", "tess", webhook_url="https://door.example/x")}
    assert wanted["coderun"].permissions == {
        "checks": "write", "contents": "write", "issues": "read", "pull_requests": "write", "statuses": "read",
    }  # fmt: skip
    assert wanted["rex"].permissions == {
        "checks": "read", "contents": "write", "pull_requests": "write", "statuses": "read",
    }  # fmt: skip
    assert [name for name, order in wanted.items() if order.webhook_url] == ["coderun"]
    later = plan_apps(configuration(), place.place, only=["rex"], webhook_url="https://door.example/x", has_controller=True)
    assert (later[0].order.permissions, later[0].order.webhook_url) == (wanted["rex"].permissions, "")


def test_no_agent_but_the_first_one_holds_what_the_controller_needs(place: Place) -> None:
    wanted = {one.agent.name: dict(one.order.permissions) for one in place.plan()}
    assert wanted["tess"] == {"checks": "read", "contents": "read", "pull_requests": "write", "statuses": "read"}
    assert wanted["rex"]["checks"] == "write"
    assert place.plan("tess", webhook_url="https://door.example/x")[0].order.webhook_url == ""
