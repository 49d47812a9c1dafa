"""Whole plays on GitHub: three agents, each as its own App, from start to merge, with no webhook at all."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.github_kit import AGENTS, BRANCH, PERMISSIONS, REPOSITORY, GitHubWorld
from tests.acceptance.kit import PERSON, reasons, task, until

from coderun.model.play import PlayPhase

DONE = {"do": "verdict", "verdict": "done"}


@pytest.fixture
async def bare_hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    """A user's world with a GitHub, and nothing on it."""
    world = GitHubWorld(tmp_path / "world")
    yield world
    await world.clear_up()


@pytest.fixture
def hub(bare_hub: GitHubWorld) -> GitHubWorld:
    """A user's world with a repository of one task, on GitHub."""
    bare_hub.open_hub(task(1, "Sell tea"))
    return bare_hub


@pytest.mark.lesson(20)
async def test_a_task_goes_from_implementation_to_merge_with_all_webhooks_lost(hub: GitHubWorld) -> None:
    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said + hub.tell()
    play, pull = await hub.play(1), hub.on_hub()
    assert play.status.phase is PlayPhase.SUCCEEDED
    assert reasons(play) == [
        *("Started", "RunCreated", "PullRequestFound", "StagePassed", "RunCreated", "StagePassed", "RunCreated"),
        *("StagePassed", "Merged"),
    ]
    assert hub.file_on("main", "work-1.txt") == "implementation 1 1"
    assert hub.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    rex, cleo, tess = (hub.login(name) for name in AGENTS)
    assert (pull.author.login, pull.merged_by.login if pull.merged_by else "") == (rex, rex)
    assert [(event.label.name, event.actor.login) for event in pull.events if event.label and event.kind == "labeled"] == [
        ("task-1", rex),
        ("run-play-acme-shop-1", rex),
        ("service-shop", rex),
        ("ready-for-qa", cleo),
    ]
    assert [(review.author.login, review.state.lower()) for review in pull.reviews] == [(tess, "approved")]
    assert play.status.message == f"pull request #1 is merged by {rex}"
    paid = [entry for entry in hub.fake.journal if entry["status"] != 304]
    assert len(paid) < 150, "of the 5000 an hour that each App has"


@pytest.mark.lesson(14, 28)
async def test_each_run_has_the_least_rights_on_its_one_repository_and_none_when_it_is_over(hub: GitHubWorld) -> None:
    assert (await hub.coderun("play", "--task", "1", "--auto-merge")).code == 0

    asked = hub.tokens()
    assert {tuple(repository["name"] for repository in one["repositories"]) for one in asked} == {("Shop",)}
    reading = {"checks": "read", "contents": "read", "pull_requests": "read", "statuses": "read"}
    wanted = [{name: level for name, level in one["permissions"].items() if name != "metadata"} for one in asked]
    assert {**reading, "contents": "write", "pull_requests": "write"} in wanted
    assert {**reading, "pull_requests": "write"} in wanted, "who only reviews cannot push"
    runs = [one["token"] for one in asked if one["permissions"].get("statuses") and one["permissions"]["checks"] == "read"]
    assert len(runs) == len(AGENTS)
    assert not set(runs) & set(hub.fake.world.tokens), "they were revoked"
    assert len(hub.written("DELETE", "/installation/token")) == len(AGENTS)


@pytest.mark.lesson(14)
async def test_an_agents_git_and_gh_work_and_no_token_is_anywhere_but_in_their_files(hub: GitHubWorld) -> None:
    steps: list[dict[str, Any]] = [
        {"do": "tell", "to": "told"},
        {"do": "copy", "from": "$GH_CONFIG_DIR/hosts.yml", "to": "hosts"},
        {"do": "copy", "from": "$CODERUN_FORGE_TOKEN_FILE", "to": "token"},
        {"do": "git", "words": ["fetch", "--quiet", "origin", "main"]},
        {"do": "commit"},
        {"do": "git", "words": ["push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}"]},
        {"do": "say", "text": "my name is ghs_0123456789abcdefghijABCDEFGHIJ456789"},
        DONE,
    ]
    hub.script({"implementation": steps})

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said + hub.tell()
    mode, token = (hub.stage_folder / "token").read_text().split()
    assert (mode, token[:4]) == ("0o600", "ghs_")
    mode, hosts = (hub.stage_folder / "hosts").read_text().split("\n", 1)
    assert (mode, json.loads(hosts)[hub.fake.url.removeprefix("http://")]["oauth_token"]) == ("0o600", token)
    told = hub.told("told")
    assert token not in json.dumps(told)
    assert told["order"]["agent"]["email"].endswith("+acme-rex[bot]@users.noreply.127.0.0.1")
    kept = [path for path in hub.state.rglob("*") if path.is_file() and b"ghs_" in path.read_bytes()]
    assert {path.name for path in kept} <= {"token"}
    assert token not in hub.fake.world.tokens, "it was revoked"
    author = hub.git("--git-dir", str(hub.fake.repo(REPOSITORY).git.path), "log", "-1", "--format=%an <%ae>", BRANCH)
    assert author == f"rex <{told['order']['agent']['email']}>"


@pytest.mark.lesson(14)
async def test_a_token_that_ends_during_a_run_is_replaced_while_the_run_goes_on(hub: GitHubWorld) -> None:
    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("implementation")

    assert hub.do(hub.fake.expire_tokens) > 0
    hub.release("go")

    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert await play.ended() == 0
    hub.assert_ran_once_each()


async def test_limits_and_failures_of_github_hold_a_play_up_and_do_not_end_it(hub: GitHubWorld) -> None:
    faults = [
        {"kind": "secondary-limit", "retry_after": 1, "count": 2},
        {"kind": "error", "status": 502, "path": "/pulls", "count": 3},
        {"kind": "cut", "path": "/labels", "after": True},
        {"kind": "error", "status": 500, "path": "/reviews", "method": "POST", "after": True},
        {"kind": "error", "status": 503, "path": "/merge", "method": "PUT", "after": True},
        {"kind": "cut", "path": "/access_tokens", "count": 2},
    ]
    for fault in faults:
        hub.do(hub.fake.fault, **fault)

    ended = await hub.coderun("play", "--task", "1", "--auto-merge", within=360)

    assert ended.code == 0, ended.said + hub.tell()
    pull = hub.on_hub()
    assert pull.merged_at is not None
    assert len(pull.reviews) == 1
    assert len(hub.fake.repo(REPOSITORY).pulls) == 1
    hub.assert_ran_once_each()


async def test_a_push_by_a_person_to_github_restarts_quality_and_takes_the_label_off(hub: GitHubWorld) -> None:
    hub.script({"testing/1/1": [{"do": "hold", "until": "never"}, {"do": "verdict", "verdict": "approve"}]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("testing")

    head = hub.push(BRANCH, "README.md", "# Shop\n\nWe sell tea.\n")

    hub.script({})
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0
    merged = await hub.play(1)
    assert "Push" in reasons(merged)
    assert hub.on_hub().head_sha == head
    assert [event.kind for event in hub.on_hub().events if event.label and event.label.name == "ready-for-qa"] == [
        *("labeled", "unlabeled", "labeled")
    ]


async def test_a_review_by_a_person_sends_the_task_back_and_one_by_a_stranger_does_not(hub: GitHubWorld) -> None:
    hub.script({"testing": [{"do": "hold", "until": "go"}, {"do": "verdict", "verdict": "approve"}]})
    hub.do(hub.fake.add_user, "mallory")
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("testing")
    number = await hub.until_pull(lambda pull: "ready-for-qa" in hub.labels(), "the label")

    for who in ("mallory", PERSON):
        hub.do(hub.fake.people.review, REPOSITORY, number.number, who, "CHANGES_REQUESTED", "Tea is not coffee")

    await hub.until_ran("implementation", 2)
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0
    again = next(entry for entry in (await hub.play(1)).status.history if entry.reason == "ChangesRequested")
    assert PERSON in again.message
    assert "mallory" not in again.message


async def test_with_one_persons_token_a_play_comes_to_the_approval_which_a_person_gives(bare_hub: GitHubWorld) -> None:
    hub = bare_hub
    hub.open_hub(task(1, "Sell tea"), apps=False, tokenFile="../token")
    file = hub.folder / "token"
    file.write_text(hub.person_token + "\n")
    file.chmod(0o600)

    asked = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert asked.code == 3, asked.said
    why = await hub.why(1)
    assert (why["stage"], why["reason"]) == ("testing", "OwnPullRequest")
    assert f"the verdict is 'approve', but {PERSON} opened pull request #1 itself" in why["waitsFor"]
    assert "`coderun approve play-acme-shop-1`" in why["wouldMove"]
    assert [(review.author.login, review.state.lower()) for review in hub.on_hub().reviews] == [(PERSON, "commented")]
    up = hub.start("up")
    assert (await hub.coderun("approve", "1")).code == 0
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert hub.occasions().count(("testing", 1, 1)) == 1
    assert up.is_running


async def test_an_app_that_may_too_little_is_named_with_what_it_lacks(bare_hub: GitHubWorld) -> None:
    hub = bare_hub
    hub.open_hub(task(1, "Sell tea"), apps=False)
    hub.add_app("rex", {name: level for name, level in PERMISSIONS.items() if name != "checks"} | {"checks": "read"})
    for name in AGENTS[1:]:
        hub.add_app(name)

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 6, ended.said
    assert "GitHub gives App rex no token for 127.0.0.1/acme/shop with checks: write" in ended.err
    assert "grant the App these permissions" in ended.err


async def test_a_play_whose_controller_lost_its_app_says_so_in_why_and_goes_on_when_it_has_it_again(hub: GitHubWorld) -> None:
    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("implementation")
    hub.do(hub.fake.suspend, hub.installations["rex"])
    hub.do(hub.fake.expire_tokens)

    # A token that was only just given is tried once more before it is given up: the first answer may be of the token alone.
    waiting = await hub.until_play(
        lambda play: play.status.waiting and "suspended" in play.status.waiting.message, "the word suspended"
    )

    assert waiting.status.waiting is not None
    assert waiting.status.waiting.reason == "ForgeRefused"
    hub.do(hub.fake.unsuspend, hub.installations["rex"])
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert await play.ended() == 0


async def test_a_suspended_app_holds_its_run_up_and_says_so_until_it_is_unsuspended(hub: GitHubWorld) -> None:
    hub.do(hub.fake.suspend, hub.installations["cleo"])
    play = hub.start("play", "--task", "1", "--auto-merge")

    waiting = await hub.until_play(
        lambda play: play.status.stage == "quality" and play.status.waiting and "suspended" in play.status.waiting.message,
        "the word suspended",
    )

    assert waiting.status.waiting is not None
    assert waiting.status.waiting.reason == "RunPending"
    assert "unsuspend" in waiting.status.waiting.message
    hub.do(hub.fake.unsuspend, hub.installations["cleo"])
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert await play.ended() == 0


async def test_pull_requests_are_listed_reviewed_and_merged_by_a_person_from_the_command_line(hub: GitHubWorld) -> None:
    waiting = await hub.coderun("play", "--task", "1", "--no-auto-merge")
    assert waiting.code == 3, waiting.said
    listed = await hub.coderun("pr", "list", "-o", "name")
    assert (listed.code, listed.out) == (0, "1\n"), listed.said

    merged = await hub.coderun("pr", "merge", "1", GH_ENTERPRISE_TOKEN=hub.person_token)

    assert merged.code == 0, merged.said
    assert (who := hub.on_hub().merged_by) is not None
    assert who.login == PERSON
    up = hub.start("up")
    await hub.until_phase(PlayPhase.SUCCEEDED)
    again = await hub.coderun("play", "--task", "1")
    assert "task 1: play-acme-shop-1 is done: its pull request was merged" in again.out, again.said
    assert up.is_running


async def test_a_controller_that_is_killed_during_a_run_leaves_it_going_and_its_successor_keeps_its_token_fresh(
    hub: GitHubWorld,
) -> None:
    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    assert (await hub.coderun("play", "--task", "1", "--auto-merge", "--detach")).code == 0
    await hub.until_ran("implementation")
    os.kill(await hub.controller_pid(), signal.SIGKILL)
    hub.do(hub.fake.expire_tokens)

    up = hub.start("up")
    hub.release("go")

    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    hub.assert_ran_once_each()
    assert up.is_running


def tokens_of_runs(hub: GitHubWorld) -> list[str]:
    """The tokens that runs were given, in order."""
    given = (one for one in hub.tokens() if one["permissions"].get("statuses") and one["permissions"]["checks"] == "read")
    return [one["token"] for one in given]


@pytest.mark.slow
@pytest.mark.lesson(14)
async def test_the_tokens_that_a_killed_controller_gave_are_revoked_by_its_successor(hub: GitHubWorld) -> None:
    def files() -> list[Path]:
        return [path for path in hub.state.glob("runs/*/token") if path.is_file()]

    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    assert (await hub.coderun("play", "--task", "1", "--auto-merge", "--detach")).code == 0
    await hub.until_ran("implementation")
    [first] = tokens_of_runs(hub)
    assert [path.read_text() for path in files()] == [first]
    os.kill(await hub.controller_pid(), signal.SIGKILL)

    up = hub.start("up")
    await until(lambda: len(tokens_of_runs(hub)) == 2 and [path.read_text() for path in files()] != [first], "a fresh token")
    assert first in hub.fake.world.tokens, "the run may be using it"
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)

    assert not set(tokens_of_runs(hub)) & set(hub.fake.world.tokens), "they were revoked"
    assert files() == []
    assert up.is_running
    hub.assert_ran_once_each()


@pytest.mark.slow
async def test_the_token_of_a_run_that_ended_while_nobody_controlled_is_revoked_as_well(hub: GitHubWorld) -> None:
    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    assert (await hub.coderun("play", "--task", "1", "--auto-merge", "--detach")).code == 0
    await hub.until_ran("implementation")
    [first] = tokens_of_runs(hub)
    os.kill(await hub.controller_pid(), signal.SIGKILL)
    hub.release("go")
    await until(lambda: list(hub.state.glob("runs/*/report.json")), "the end of the run", tell=hub.tell)

    hub.start("up")
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)

    assert tokens_of_runs(hub)[0] == first
    assert not set(tokens_of_runs(hub)) & set(hub.fake.world.tokens), "they were revoked"


async def test_a_spent_limit_is_the_reason_in_why_and_ends_nothing(hub: GitHubWorld) -> None:
    hub.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("implementation")

    hub.do(hub.fake.fault, "secondary-limit", retry_after=45, path="/pulls")
    await until(lambda: not hub.fake.server.faults.waiting, "somebody to meet the limit")
    assert (await hub.coderun("pause", "1")).code == 0, "so that somebody looks at the play"

    await hub.until_waits("ForgeUnavailable")
    why = await hub.why(1)
    assert "GitHub's limit for App rex is spent" in why["waitsFor"] or "GitHub limits App rex" in why["waitsFor"], why
    assert (await hub.coderun("resume", "1")).code == 0
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert await play.ended() == 0
    hub.assert_ran_once_each()


async def test_within_a_run_coderun_pr_acts_as_its_agent(hub: GitHubWorld) -> None:
    approve = {"do": "verdict", "verdict": "approve"}
    hub.script({"testing": [{"do": "tell", "to": "told"}, {"do": "hold", "until": "go"}, approve]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.put_down("told")
    inside = {name: hub.told("told")["environment"][name] for name in ("CODERUN_ORDER", "CODERUN_FORGE_TOKEN_FILE")}

    said = await hub.coderun("pr", "comment", "1", "-m", "I look at this", **inside)
    merged = await hub.coderun("pr", "merge", "1", **inside)

    assert said.code == 0, said.said
    assert [comment.author.login for comment in hub.on_hub().comments if comment.body == "I look at this"] == [
        hub.login("tess")
    ]
    assert merged.code == 6, merged.said
    assert hub.on_hub().merged_at is None, "who only reviews cannot merge"
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0


async def test_what_a_reviewer_leaves_behind_that_cannot_push_stops_no_play(hub: GitHubWorld) -> None:
    hub.script({"testing": [{"do": "write", "file": "report.xml", "text": "<x/>"}, {"do": "verdict", "verdict": "approve"}]})

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said + hub.tell()
    assert (await hub.play(1)).status.phase is PlayPhase.SUCCEEDED
    assert "report.xml" not in hub.git("--git-dir", str(hub.fake.repo(REPOSITORY).git.path), "ls-tree", "--name-only", "main")
