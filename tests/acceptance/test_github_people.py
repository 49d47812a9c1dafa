"""What people do on GitHub while agents work, and what their rules refuse: each has a reason that people can read."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec
import pytest
from tests.acceptance.github_kit import BRANCH, REPOSITORY, GitHubWorld
from tests.acceptance.kit import PERSON, reasons, task

from coderun.model.play import PlayPhase

DONE = {"do": "verdict", "verdict": "done"}
HOLD = [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]
CI = {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "ci"}]}}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[GitHubWorld]:
    """A user's world with a repository of one task, on GitHub."""
    world = GitHubWorld(tmp_path / "world")
    world.open_hub(task(1, "Sell tea"))
    yield world
    await world.clear_up()


def report(hub: GitHubWorld, sha: str, state: str, context: str = "ci") -> None:
    """As the CI of the repository: a status of a commit."""
    request = Request(  # noqa: S310 - the fake's own address
        f"{hub.fake.api_url}/repos/{REPOSITORY}/statuses/{sha}",
        data=msgspec.json.encode({"state": state, "context": context, "description": f"ci says {state}"}),
        headers={"Authorization": f"Bearer {hub.person_token}"},
        method="POST",
    )
    with urlopen(request) as answer:  # noqa: S310 - the same
        assert answer.status == 201


def patch(hub: GitHubWorld, path: str, change: dict[str, str]) -> None:
    """As the person, in the browser."""
    request = Request(  # noqa: S310 - the fake's own address
        f"{hub.fake.api_url}/repos/{REPOSITORY}/{path}",
        data=msgspec.json.encode(change),
        headers={"Authorization": f"Bearer {hub.person_token}"},
        method="PATCH",
    )
    with urlopen(request) as answer:  # noqa: S310 - the same
        assert answer.status == 200


async def test_labels_are_made_in_their_colours_and_say_task_play_and_service(hub: GitHubWorld) -> None:
    assert (await hub.coderun("play", "--task", "1", "--auto-merge")).code == 0
    assert hub.labels() == {"task-1", "run-play-acme-shop-1", "service-shop", "ready-for-qa"}
    colours = {label.name: label.color for label in hub.on_hub().labels}
    assert (colours["task-1"], colours["run-play-acme-shop-1"], colours["service-shop"]) == ("f29513", "0366d6", "0e8a16")


async def test_a_sentence_played_on_another_machine_gets_a_number_that_is_free_on_github(hub: GitHubWorld) -> None:
    first = await hub.coderun("play", "Fix the typo", "--auto-merge")
    assert (first.code, first.out.splitlines()[0]) == (0, "task 9001: play-acme-shop-9001 starts"), first.said

    other = await hub.coderun("play", "Sell coffee", "--auto-merge", XDG_STATE_HOME=str(hub.folder / "another-machine"))

    assert (other.code, other.out.splitlines()[0]) == (0, "task 9002: play-acme-shop-9002 starts"), other.said
    assert [hub.on_hub(number).title for number in (1, 2)] == ["task 9001: Fix the typo", "task 9002: Sell coffee"]
    assert hub.on_hub(2).merged_at is not None


@pytest.mark.lesson(45)
async def test_quality_hands_nothing_over_while_a_required_check_is_red(hub: GitHubWorld) -> None:
    hub.do(hub.fake.add_ruleset, REPOSITORY, [CI])
    hub.configure(limits={"attempts": 5})
    hub.script({"quality/1/2": [{"do": "hold", "until": "green"}, DONE]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    pull = await hub.until_pull(lambda pull: True, "the pull request")
    report(hub, pull.head_sha, "success", context="something else")
    await hub.until_ran("quality")
    report(hub, pull.head_sha, "failure")

    await hub.until_ran("quality", attempt=2)

    assert "ready-for-qa" not in hub.labels()
    failed = next(run for run in await hub.runs(await hub.play(1)) if run.spec.stage == "quality")
    assert failed.status.result is not None
    assert failed.status.result.terminal_reason == "ChecksFailed"
    assert "ci says failure" in failed.status.result.summary
    report(hub, pull.head_sha, "success")
    hub.release("green")
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0


async def test_a_ruleset_that_refuses_the_push_is_the_reason_that_is_shown(hub: GitHubWorld) -> None:
    hub.do(hub.fake.add_ruleset, REPOSITORY, [{"type": "creation"}], include=["refs/heads/feature/*"])
    hub.configure(limits={"attempts": 1})

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code != 0
    play = await hub.play(1)
    assert play.status.phase is PlayPhase.FAILED
    assert "ForgeRefused: pushing 'feature/task-1-implementation'" in play.status.message
    assert "Cannot create ref due to creations being restricted." in play.status.message


async def test_a_merge_queue_gets_the_pull_request_and_merges_it_in_its_turn(hub: GitHubWorld) -> None:
    hub.do(hub.fake.add_ruleset, REPOSITORY, [{"type": "merge_queue"}])
    play = hub.start("play", "--task", "1", "--auto-merge")

    def is_queued(pull: object) -> bool:
        return any(event.kind == "added_to_merge_queue" for event in hub.on_hub().events)

    await hub.until_pull(is_queued, "the queue")
    await hub.until_play(lambda play: play.status.stage == "merge", "the stage merge")
    hub.here(hub.fake.people.run_queue(REPOSITORY, 1))

    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0
    assert sum(event.kind == "added_to_merge_queue" for event in hub.on_hub().events) == 1


async def test_a_pull_request_that_the_queue_threw_out_is_not_put_there_again_by_itself(hub: GitHubWorld) -> None:
    hub.do(hub.fake.add_ruleset, REPOSITORY, [{"type": "merge_queue"}])
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_pull(lambda pull: any(event.kind == "added_to_merge_queue" for event in pull.events), "the queue")

    hub.here(hub.fake.people.run_queue(REPOSITORY, 1, passed=False))

    waiting = await hub.until_waits("ForgeRefused")
    assert waiting.status.waiting is not None
    assert "the merge queue of 'main' took pull request 1 off without merging it" in waiting.status.waiting.message
    play.kill()


async def test_an_outsiders_fork_with_the_tasks_branch_is_nobodys_pull_request(hub: GitHubWorld) -> None:
    fork = hub.here(hub.fake.fork(REPOSITORY, "mallory"))
    hub.here(hub.fake.people.commit("mallory/Shop", BRANCH, "evil.txt", "evil", "mallory"))
    opened = hub.here(
        hub.fake.people.open_pull(REPOSITORY, "mallory", title="task 1: $(touch owned)", head=f"mallory:{BRANCH}")
    )
    assert (opened.number, opened.head_repo) == (1, fork)

    ended = await hub.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said
    play = await hub.play(1)
    assert play.status.pull_request is not None
    assert play.status.pull_request.number == 2
    assert hub.on_hub(1).state == "open"
    assert not (hub.repository / "owned").exists()


async def test_branches_that_only_look_like_the_tasks_are_left_alone_and_two_that_claim_it_ask_a_person(
    hub: GitHubWorld,
) -> None:
    for number, branch in enumerate(("hotfix/task-1", "task-1x", "task-1", "feature/task-1-other"), start=1):
        hub.here(hub.fake.people.commit(REPOSITORY, branch, f"file-{number}", "text", PERSON))
        hub.here(hub.fake.people.open_pull(REPOSITORY, PERSON, title=f"Mine {number}", head=branch))
    for label in ("task-1x", "task-001", "Task 1"):
        hub.do(hub.fake.people.label, REPOSITORY, 1, label, PERSON)
    play = hub.start("play", "--task", "1", "--auto-merge")

    waiting = await hub.until_waits("AmbiguousPullRequests")

    assert waiting.status.waiting is not None
    assert waiting.status.waiting.message == "pull requests #3, #4 all claim task 1"
    play.kill()


@pytest.mark.lesson(22)
async def test_a_label_of_another_task_fails_the_play_with_one_comment_that_says_why(hub: GitHubWorld) -> None:
    hub.script({"quality": [{"do": "hold", "until": "never"}]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("quality")

    hub.do(hub.fake.people.label, REPOSITORY, 1, "TASK-7", PERSON)

    failed = await hub.until_phase(PlayPhase.FAILED)
    assert "AssociationMismatch" in reasons(failed)
    assert await play.ended() != 0
    comments = [comment.body for comment in hub.on_hub().comments if "task-7" in comment.body]
    assert sorted("<!-- coderun:status:" in body for body in comments) == [False, True], comments


async def test_a_draft_waits_for_whoever_made_it_one_and_goes_on_when_it_is_ready(hub: GitHubWorld) -> None:
    hub.script({"implementation": HOLD})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("implementation")
    hub.release("go")
    await hub.until_ran("quality")
    hub.do(hub.fake.people.set_draft, REPOSITORY, 1, PERSON, draft=True)

    waiting = await hub.until_play(
        lambda play: play.status.waiting and "draft" in play.status.waiting.message, "the word draft", within=120
    )

    assert waiting.status.stage == "merge"
    assert await play.ended() == 3
    up = hub.start("up")
    hub.do(hub.fake.people.set_draft, REPOSITORY, 1, PERSON, draft=False)
    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert up.is_running


async def test_a_forced_push_by_a_person_restarts_quality_on_the_new_history(hub: GitHubWorld) -> None:
    hub.script({"testing/1/1": [{"do": "hold", "until": "never"}]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("testing")

    head = hub.push(BRANCH, "README.md", "# Another history\n", force=True)

    hub.script({})
    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0
    assert hub.on_hub().head_sha == head
    assert hub.occasions().count(("quality", 1, 1)) == 1
    assert "Push" in reasons(await hub.play(1))


async def test_a_deleted_branch_ends_the_play_and_says_that_its_pull_request_is_closed(hub: GitHubWorld) -> None:
    hub.script({"quality": [{"do": "hold", "until": "never"}]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("quality")

    hub.git("push", "--quiet", hub.hub_url(), f":refs/heads/{BRANCH}")

    ended = await hub.until_play(lambda play: play.is_finished, "an end")
    assert "pull request #1 was closed" in ended.status.message
    assert await play.ended() != 0


@pytest.mark.lesson(41)
async def test_a_repository_that_is_renamed_and_moved_while_agents_work_is_found_again(hub: GitHubWorld) -> None:
    hub.script({"implementation": HOLD})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("implementation")

    hub.do(hub.fake.transfer, REPOSITORY, "Acme/Store")
    hub.release("go")

    await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert await play.ended() == 0
    assert hub.fake.pull("Acme/Store", 1).merged_at is not None
    hub.assert_ran_once_each()


async def test_a_person_called_like_an_agent_is_no_agent(hub: GitHubWorld) -> None:
    hub.do(hub.fake.add_collaborator, REPOSITORY, "tess", "read")
    hub.script({"testing": [{"do": "hold", "until": "go"}, {"do": "verdict", "verdict": "approve"}]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("testing")

    hub.do(hub.fake.people.review, REPOSITORY, 1, "tess", "APPROVED", "fine")
    hub.push("main", "NEWS.md", "A change of the base, so that there is something to look at.\n")
    hub.release("go")

    await hub.until_phase(PlayPhase.SUCCEEDED)
    assert await play.ended() == 0
    passed = next(gate for gate in (await hub.play(1)).status.gates if gate.stage == "testing")
    assert passed.actor == hub.login("tess")


async def test_a_closed_pull_request_ends_the_play_and_a_reopened_one_goes_on_with_a_retry(hub: GitHubWorld) -> None:
    hub.script({"quality": [{"do": "hold", "until": "go"}, DONE]})
    play = hub.start("play", "--task", "1", "--auto-merge")
    await hub.until_ran("quality")
    hub.do(hub.fake.people.close, REPOSITORY, 1, PERSON)
    ended = await hub.until_play(lambda play: play.is_finished, "an end")
    assert "pull request #1 was closed" in ended.status.message
    assert await play.ended() != 0

    up = hub.start("up")
    patch(hub, "pulls/1", {"state": "open"})
    hub.release("go")
    retried = await hub.coderun("retry", "1")

    assert retried.code == 0, retried.said
    merged = await hub.until_phase(PlayPhase.SUCCEEDED, within=360)
    assert merged.status.pull_request is not None
    assert (merged.status.pull_request.number, len(hub.fake.repo(REPOSITORY).pulls)) == (1, 1)
    assert up.is_running
