"""The manners of the fake's REST: ETags, paging, limits, faults, the prefix of GitHub Enterprise Server."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.fakes.github import FakeGitHub, FaultKind
from tests.integration.fakegithub.desk import REPO, Client, Desk


async def test_an_unchanged_answer_is_304_and_costs_nothing(desk: Desk) -> None:
    bot = desk.bot()
    first = await bot.get(f"/repos/{REPO}/pulls")
    again = await bot.get(f"/repos/{REPO}/pulls", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, "")
    assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"] == "1"
    await desk.pull()
    changed = await bot.get(f"/repos/{REPO}/pulls", If_None_Match=first.headers["etag"])
    assert (changed.status, len(changed.body), changed.headers["x-ratelimit-used"]) == (200, 1, "2")


async def test_lists_are_paged_by_link(desk: Desk) -> None:
    for number in range(35):
        desk.github.world.label(desk.github.repo(REPO), f"l{number:02d}")
    bot = desk.bot()
    first = await bot.get(f"/repos/{REPO}/labels")
    assert len(first.body) == 30
    assert 'rel="next"' in first.headers["link"]
    assert 'rel="prev"' not in first.headers["link"]
    following = first.headers["link"].partition("<")[2].partition(">")[0]
    last = await bot.get(following)
    assert [one["name"] for one in last.body] == [f"l{number}" for number in range(30, 35)]
    assert 'rel="next"' not in last.headers["link"]
    assert "link" not in (await bot.get(f"/repos/{REPO}/labels?per_page=100")).headers


async def test_the_primary_limit_holds_until_the_reset(desk: Desk) -> None:
    desk.github.server.limits.limit = 2
    bot = desk.bot()
    assert [(await bot.get(f"/repos/{REPO}")).status for _ in range(3)] == [200, 200, 403]
    refused = await bot.get(f"/repos/{REPO}")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert "API rate limit exceeded" in refused.message
    assert (await bot.get("/rate_limit")).body["resources"]["core"]["remaining"] == 0
    desk.clock.advance(int(refused.headers["x-ratelimit-reset"]) - desk.clock.now)
    assert (await desk.bot().get(f"/repos/{REPO}")).status == 200


async def test_faults_meet_the_requests_they_are_for(desk: Desk) -> None:
    bot, path = desk.bot(), f"/repos/{REPO}"
    desk.github.fault("error", status=502, count=2, path="/labels$")
    desk.github.fault("secondary-limit", retry_after=7, path="/pulls$")
    desk.github.fault("secondary-limit", status=429, path="/activity$")
    desk.github.fault(FaultKind.PRIMARY_LIMIT, path="/branches$")
    assert (await bot.get(path)).status == 200
    assert [(await bot.get(f"{path}/labels")).status for _ in range(3)] == [502, 502, 200]
    limited = await bot.get(f"{path}/pulls")
    assert (limited.status, limited.headers["retry-after"]) == (403, "7")
    assert "secondary rate limit" in limited.message
    unsaid = await bot.get(f"{path}/activity")
    assert (unsaid.status, "retry-after" in unsaid.headers) == (429, False)
    assert (await bot.get(f"{path}/branches")).headers["x-ratelimit-remaining"] == "0"


async def test_a_cut_connection_can_come_after_the_effect(desk: Desk) -> None:
    number, bot = await desk.pull(), desk.bot()
    path = f"/repos/{REPO}/issues/{number}/comments"
    desk.github.fault("cut", path="/comments$")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await bot.post(path, {"body": "never"})
    desk.github.fault("cut", path="/comments$", after=True)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await bot.post(path, {"body": "unseen"})
    assert [one["body"] for one in (await bot.get(path)).body] == ["unseen"]


async def test_an_answer_can_be_slow(desk: Desk) -> None:
    desk.github.fault("slow", seconds=5)
    with pytest.raises(TimeoutError):
        await _impatient(desk)
    assert (await desk.bot().get(f"/repos/{REPO}")).status == 200


async def _impatient(desk: Desk) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
        await Client(session, desk.github.api_url, desk.token()).get(f"/repos/{REPO}")


async def test_malformed_json_is_a_400_and_an_unknown_path_a_404(desk: Desk) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{desk.github.api_url}/repos/{REPO}/pulls", data="{", headers={"Authorization": f"Bearer {desk.token()}"}
        ) as reply,
    ):
        assert (reply.status, (await reply.json())["message"]) == (400, "Problems parsing JSON")
    assert (await desk.bot().get("/nothing/here")).message == "Not Found"


@pytest.fixture
async def enterprise(tmp_path: Path) -> AsyncIterator[FakeGitHub]:
    async with FakeGitHub(tmp_path, enterprise=True) as github:
        yield github


async def test_an_enterprise_server_speaks_below_its_prefix(enterprise: FakeGitHub) -> None:
    await enterprise.create_repo(REPO)
    token = enterprise.personal_token("5dlabs")
    async with aiohttp.ClientSession() as session:
        body = (await Client(session, enterprise.api_url, token).get(f"/repos/{REPO}")).body
    assert body["url"] == f"{enterprise.url}/api/v3/repos/{REPO}"
    assert body["clone_url"] == f"{enterprise.url}/{REPO}.git"
