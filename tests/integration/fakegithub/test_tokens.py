"""App JWTs and installation tokens of the fake: what is refused, and in which words."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.fakes.github import MadeApp
from tests.fakes.github.registration import take_manifest
from tests.integration.fakegithub.desk import REPO, Desk, app_jwt


async def test_an_app_finds_its_installation_and_gets_a_token_for_one_repository(desk: Desk) -> None:
    found = await desk.jwt().get(f"/repos/{REPO}/installation")
    assert (found.status, found.body["app_slug"]) == (200, "5dlabs-rex")
    wanted = {"repositories": ["demo"], "permissions": {"contents": "read"}}
    made = await desk.jwt().post(f"/app/installations/{found.body['id']}/access_tokens", wanted)
    assert made.status == 201
    assert made.body["permissions"] == {"metadata": "read", "contents": "read"}
    assert [repo["full_name"] for repo in made.body["repositories"]] == [REPO]
    assert made.body["expires_at"].endswith("Z")
    assert (await desk.client.as_(made.body["token"]).get(f"/repos/{REPO}/commits")).status == 200


async def test_a_client_id_stands_for_the_app_as_well(desk: Desk) -> None:
    assert (await desk.jwt(issuer=desk.app.client_id).get("/app")).body["slug"] == "5dlabs-rex"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ends_in": 660}, "'Expiration time' claim ('exp') is too far in the future"),
        ({"ends_in": -1}, "'Expiration time' claim ('exp') must be a numeric value representing the future time"),
        ({"issued": 120}, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"),
    ],
)
async def test_a_jwt_whose_times_are_wrong_is_refused(desk: Desk, more: dict[str, float], message: str) -> None:
    reply = await desk.jwt(**more).get("/app")
    assert (reply.status, reply.message) == (401, message)


async def test_an_unknown_app_is_not_found(desk: Desk) -> None:
    reply = await desk.jwt(issuer="999999").get("/app")
    assert (reply.status, reply.message) == (404, "Integration not found")


async def test_a_jwt_of_another_key_is_refused(desk: Desk) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    thief = MadeApp(desk.app.app, key.private_bytes(*form).decode())
    reply = await desk.client.as_(app_jwt(thief, desk.clock.now)).get("/app")
    assert (reply.status, reply.message) == (401, "A JSON web token could not be decoded")


async def test_a_token_is_never_wider_than_its_installation(desk: Desk) -> None:
    path = f"/app/installations/{desk.installation.id}/access_tokens"
    more = await desk.jwt().post(path, {"permissions": {"administration": "write"}})
    assert (more.status, more.message) == (422, "The permissions requested are not granted to this installation.")
    other = await desk.jwt().post(path, {"repositories": ["other"]})
    assert other.status == 422
    assert "not accessible to the parent installation" in other.message


async def test_a_read_token_writes_nothing(desk: Desk) -> None:
    number = await desk.pull()
    reader = desk.bot(pull_requests="read", contents="read")
    assert (await reader.get(f"/repos/{REPO}/pulls/{number}")).status == 200
    reply = await reader.post(f"/repos/{REPO}/issues/{number}/labels", {"labels": ["x"]})
    assert (reply.status, reply.message) == (403, "Resource not accessible by integration")
    merging = await reader.ask("PUT", f"/repos/{REPO}/pulls/{number}/merge", {})
    assert merging.status == 403
    assert (await reader.get(f"/repos/{REPO}/commits/main/check-runs")).status == 403


async def test_a_token_of_one_repository_does_not_see_another(desk: Desk) -> None:
    await desk.github.create_repo("5dlabs/other")
    reply = await desk.bot().get("/repos/5dlabs/other")
    assert (reply.status, reply.message) == (404, "Not Found")


async def test_a_token_ends_after_an_hour_of_the_injected_clock(desk: Desk) -> None:
    bot = desk.bot()
    desk.clock.advance(3599)
    assert (await bot.get(f"/repos/{REPO}")).status == 200
    desk.clock.advance(1)
    reply = await bot.get(f"/repos/{REPO}")
    assert (reply.status, reply.message) == (401, "Bad credentials")


async def test_a_token_can_end_early(desk: Desk) -> None:
    bot = desk.bot()
    assert desk.github.expire_tokens() == 1
    assert (await bot.get(f"/repos/{REPO}")).status == 401


async def test_a_revoked_token_is_worth_nothing(desk: Desk) -> None:
    bot = desk.bot()
    assert (await bot.ask("DELETE", "/installation/token")).status == 204
    assert (await bot.get(f"/repos/{REPO}")).message == "Bad credentials"


async def test_a_suspended_installation_gives_no_tokens_and_honours_none(desk: Desk) -> None:
    bot = desk.bot()
    desk.github.suspend(desk.installation)
    for reply in (
        await bot.get(f"/repos/{REPO}"),
        await desk.jwt().post(f"/app/installations/{desk.installation.id}/access_tokens"),
    ):
        assert (reply.status, reply.message) == (403, "This installation has been suspended")
    desk.github.unsuspend(desk.installation)
    assert (await bot.get(f"/repos/{REPO}")).status == 200


async def test_an_app_that_is_not_installed_finds_no_installation(desk: Desk) -> None:
    bot = desk.bot()
    desk.github.uninstall(desk.installation)
    assert (await desk.jwt().get(f"/repos/{REPO}/installation")).status == 404
    assert (await desk.jwt().get("/orgs/5dlabs/installation")).status == 404
    assert (await bot.get(f"/repos/{REPO}")).status == 401


async def test_an_unknown_token_is_nobody(desk: Desk) -> None:
    reply = await desk.client.as_("ghs_nobody").get(f"/repos/{REPO}")
    assert (reply.status, reply.message) == (401, "Bad credentials")


async def test_a_manifest_becomes_an_app_once(desk: Desk) -> None:
    manifest = {
        "name": "Demo Tess",
        "url": "https://demo.example",
        "redirect_url": "http://127.0.0.1:9/done",
        "hook_attributes": {"url": desk.door.url},
        "default_permissions": {"contents": "read"},
        "default_events": ["push"],
    }
    page = f"{desk.github.url}/organizations/5dlabs/settings/apps/new?state=s1"
    async with (
        aiohttp.ClientSession() as session,
        session.post(page, data={"manifest": json.dumps(manifest)}, allow_redirects=False) as sent,
    ):
        assert sent.status == 302
        query = parse_qs(urlsplit(sent.headers["Location"]).query)
    assert query["state"] == ["s1"]
    made = await desk.client.post(f"/app-manifests/{query['code'][0]}/conversions")
    assert (made.status, made.body["slug"], made.body["permissions"]["contents"]) == (201, "demo-tess", "read")
    assert made.body["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert (await desk.client.post(f"/app-manifests/{query['code'][0]}/conversions")).status == 404


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": ""}, "url is missing"),
        ({"name": "x" * 35}, "name is too long"),
        ({"name": "5DLabs-Rex"}, "name '5DLabs-Rex' is already taken"),
        ({"hook_attributes": {"active": False}}, "hook_attributes needs a url"),
        ({"default_events": ["issue_comment"]}, "issue_comment is not supported with these permissions"),
        ({"default_events": ["unheard_of"]}, "unheard_of is not supported"),
    ],
)
async def test_a_manifest_that_github_would_not_take_is_refused(desk: Desk, change: dict[str, Any], message: str) -> None:
    desk.github.create_app("5DLabs-Rex", owner="5dlabs")
    manifest = {"name": "Demo Cleo", "url": "https://demo.example", "redirect_url": "http://127.0.0.1:9/done", **change}
    async with aiohttp.ClientSession() as session:
        data = {"manifest": json.dumps(manifest)}
        async with session.post(f"{desk.github.url}/settings/apps/new", data=data, allow_redirects=False) as sent:
            assert sent.status == 422
            assert message in await sent.text()


async def test_the_code_of_a_manifest_is_good_for_an_hour(desk: Desk) -> None:
    code = take_manifest(desk.github.world, {"name": "Demo Late"}, "5dlabs")
    desk.clock.advance(3600)
    assert (await desk.client.post(f"/app-manifests/{code}/conversions")).status == 404
