"""Comments on pull requests: people command, agents and strangers do not; one status comment says how the play goes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.github_kit import REPOSITORY, GitHubWorld
from tests.acceptance.kit import PERSON, Place, task, until

from coderun.model.play import PlayPhase

WORK = [{"do": "commit"}, {"do": "verdict", "verdict": "done"}]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    world = GitHubWorld(tmp_path / "world")
    world.open_hub(task(1, "Sell tea"))
    yield world
    await world.clear_up()


@pytest.mark.slow
async def test_people_steer_a_play_by_comments_and_one_comment_tells_them_how_it_goes(hub: GitHubWorld) -> None:
    hub.script({"1:quality": [{"do": "hold", "until": "go"}, *WORK]})
    up = hub.start("up")
    assert (await hub.coderun("play", "--task", "1", "--detach", "--auto-merge")).code == 0
    await hub.until_ran("quality")

    hub.do(hub.fake.people.comment, REPOSITORY, 1, "mallory", "/coderun abort")
    refused = await hub.until_play(lambda play: play.spec.commands, "a refused command")
    [record] = refused.spec.commands
    assert (record.by, record.accepted) == ("mallory", False)
    assert record.outcome == "refused: mallory may not write to the repository"
    assert (await hub.why(1))["lastCommand"] == f"/coderun abort by mallory: {record.outcome}"

    asked = hub.do(hub.fake.people.comment, REPOSITORY, 1, PERSON, "/coderun pause\n\nI want to look at it first.")
    await hub.until_play(lambda play: play.spec.paused, "the pause")
    await until(lambda: [content for _, content in asked.reactions] == ["+1"], "a reaction", tell=hub.tell)
    hub.release("go")
    await hub.until_waits("Paused")
    hub.do(hub.fake.people.comment, REPOSITORY, 1, PERSON, "/coderun resume")
    await hub.until_phase(PlayPhase.SUCCEEDED)

    def told() -> list[str]:
        return [comment.body for comment in hub.on_hub().comments if "<!-- coderun:status:" in comment.body]

    await until(lambda: told() and "task 1 merged" in told()[0], "the last words", tell=hub.tell)
    [words] = told()
    assert "- `/coderun abort` by `mallory`: `refused: mallory may not write to the repository`" in words
    assert f"- `/coderun resume` by `{PERSON}`: `resumed`" in words
    assert up.is_running
    hub.assert_ran_once_each()


@pytest.mark.slow
@pytest.mark.lesson(21)
async def test_a_retry_on_the_pull_request_of_an_ended_play_is_heard_without_any_webhook(hub: GitHubWorld) -> None:
    hub.script({"1:quality": [{"do": "hold", "until": "go"}, *WORK]})
    up = hub.start("up")
    assert (await hub.coderun("play", "--task", "1", "--detach", "--auto-merge")).code == 0
    await hub.until_ran("quality")
    assert (await hub.coderun("abort", "1")).code == 0
    await hub.until_phase(PlayPhase.ABORTED)

    hub.do(hub.fake.people.comment, REPOSITORY, 1, PERSON, "/coderun retry")
    await hub.until_play(lambda play: play.spec.retries == 1 and not play.is_finished, "the play to go on")
    assert (await hub.coderun("abort", "1")).code == 0
    await hub.until_phase(PlayPhase.ABORTED)

    # And one that was written while no controller ran.
    up.kill()
    hub.do(hub.fake.people.comment, REPOSITORY, 1, PERSON, "/coderun retry")
    hub.start("up")
    await hub.until_play(lambda play: play.spec.retries == 2 and not play.is_finished, "the play to go on")
    hub.release("go")
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert not hub.apps["rex"].app.hook.deliveries


@pytest.mark.slow
async def test_a_play_in_the_foreground_tells_its_end_before_the_command_ends(hub: GitHubWorld) -> None:
    hub.configure(pullRequests={"checkRun": True})

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said
    [words] = [comment.body for comment in hub.on_hub().comments if "<!-- coderun:status:" in comment.body]
    assert "task 1 merged" in words
    checks = [run for run in hub.fake.repo(REPOSITORY).checks if run.name == "coderun"]
    assert {(run.status, run.conclusion) for run in checks if run.sha == hub.on_hub().head_sha} == {("completed", "success")}
    assert {run.status for run in checks} == {"completed"}


@pytest.mark.slow
async def test_a_play_in_the_foreground_tells_whom_it_waits_for_before_the_command_ends(hub: GitHubWorld) -> None:
    ended = await hub.coderun("play", "--task", "1", "--no-auto-merge")

    assert ended.code == 3, ended.said
    [words] = [comment.body for comment in hub.on_hub().comments if "<!-- coderun:status:" in comment.body]
    assert "task 1 waits for a person" in words


async def test_a_comment_on_the_local_forge_steers_a_play_too(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1))
    place.script({"1:quality": [{"do": "hold", "until": "go"}, *WORK]})
    assert (await place.coderun("play", "--task", "1", "--detach", "--auto-merge")).code == 0
    await place.until_ran("quality")

    assert (await place.coderun("pr", "comment", "1", "-m", "/coderun pause")).code == 0
    paused = await place.until_play(lambda play: play.spec.paused, "the pause")
    assert [(record.by, record.outcome) for record in paused.spec.commands] == [(PERSON, "paused")]
    assert (await place.coderun("pr", "comment", "1", "-m", "/coderun abort")).code == 0
    await place.until_phase(PlayPhase.ABORTED)
    assert (await place.coderun("pr", "comment", "1", "-m", "/coderun retry")).code == 0
    await place.until_phase(PlayPhase.WAITING)  # it was paused before
    assert (await place.coderun("pr", "comment", "1", "-m", "/coderun resume")).code == 0
    place.release("go")
    await place.until_phase(PlayPhase.SUCCEEDED)
    given = [record.command for record in (await place.play(1)).spec.commands]
    assert given == ["pause", "abort", "retry", "resume"]
