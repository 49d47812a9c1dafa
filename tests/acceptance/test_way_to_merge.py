"""The main job: a task goes from implementation to merge, and back where somebody says so."""

from tests.acceptance.kit import PERSON, Place, reasons, task

from coderun.model.play import PlayPhase
from coderun.model.pulls import PullState, ReviewState

BRANCH = "feature/task-1-implementation"


async def test_a_task_goes_from_implementation_to_merge_by_itself(place: Place) -> None:
    ended = await place.coderun("play", "--task", "1", "--auto-merge")

    assert ended.code == 0, ended.said
    assert "Merged: pull request #1 is merged" in ended.out
    play, pull = await place.play(1), await place.pull(1)
    assert play.status.phase is PlayPhase.SUCCEEDED
    assert play.status.message == f"pull request #1 is merged by {PERSON}"
    assert reasons(play) == [
        *("Started", "RunCreated", "PullRequestFound", "StagePassed", "RunCreated", "StagePassed", "RunCreated"),
        *("StagePassed", "Merged"),
    ]
    assert pull.state is PullState.MERGED
    assert place.file_on("main", "work-1.txt") == "implementation 1 1"
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    why = await place.why(1)
    assert (why["phase"], why["waitsFor"], why["wouldMove"]) == ("Succeeded", "", "")
    assert why["movedBy"] == f"Merged: pull request #1 is merged by {PERSON}"
    again = await place.coderun("play", "--task", "1")
    assert again.code == 0
    assert "task 1: play-shop-1 is done: its pull request was merged" in again.out


async def test_a_play_waits_at_the_merge_for_a_person_and_pr_merge_moves_it(place: Place) -> None:
    waiting = await place.coderun("play", "--task", "1", "--no-auto-merge")

    assert waiting.code == 3, waiting.said
    assert "what would move it: merging #1: `coderun pr merge 1` or `coderun approve play-shop-1`" in waiting.out
    why = await place.why(1)
    assert (why["phase"], why["stage"], why["reason"]) == ("Waiting", "merge", "WaitingForPeople")
    assert why["waitsFor"] == "pull request #1 is not merged"
    assert why["movedBy"] == "WaitingForPeople: pull request #1 is not merged"
    assert why["wouldMove"].startswith("a controller, as none is running: `coderun up`; then merging #1")
    up = place.start("up")
    await place.controller_pid()
    merged = await place.coderun("pr", "merge", "1")
    assert merged.code == 0, merged.said
    play = await place.until_phase(PlayPhase.SUCCEEDED)
    assert play.status.message == f"pull request #1 is merged by {PERSON}"
    assert up.is_running


async def test_approving_the_merge_stage_merges(place: Place) -> None:
    play = place.start("play", "--task", "1", "--no-auto-merge", "--plain")
    await place.until_waits("WaitingForPeople")
    await play.ended()
    up = place.start("up")
    await place.controller_pid()

    approved = await place.coderun("approve", "1")

    assert approved.code == 0, approved.said
    head = (await place.pull(1)).head_sha
    assert approved.out == f"play play-shop-1: stage merge approved by {PERSON} for {head[:8]}\n"
    await place.until_phase(PlayPhase.SUCCEEDED)
    assert up.is_running


async def test_a_review_that_asks_for_changes_sends_the_task_back_with_what_was_said(place: Place) -> None:
    request = {
        "do": "verdict",
        "verdict": "request-changes",
        "summary": "It does not add up",
        "comments": ["total() is off by 1"],
    }
    again = [{"do": "tell", "to": "told"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]
    place.script({"testing/1": [request], "implementation/2": again})

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    play, pull = await place.play(1), await place.pull(1)
    assert (play.status.iteration, play.status.remediations) == (2, 1)
    sent_back = next(entry for entry in play.status.history if entry.reason == "ChangesRequested")
    assert sent_back.message.startswith("tess[bot] asked for changes on ")
    assert sent_back.message.endswith("; back to implementation")
    assert [review.state for review in pull.reviews] == [ReviewState.CHANGES_REQUESTED, ReviewState.APPROVED]
    assert [label.name for label in pull.labels if label.name == "ready-for-qa"] == ["ready-for-qa"]
    told = place.told("told")
    assert told["order"]["continueSession"] is True
    assert "total() is off by 1" in told["context/requested-changes.md"]
    assert place.occasions()[3:] == [("implementation", 2, 1), ("quality", 2, 1), ("testing", 2, 1)]
    place.assert_ran_once_each()


async def test_a_push_by_a_person_in_testing_restarts_quality_and_takes_the_label_off(place: Place) -> None:
    place.script({"testing/1": [{"do": "hold", "until": "never"}], "quality/2": [{"do": "hold", "until": "go"}]})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("testing")

    pushed = place.push(BRANCH, "notes.txt", "from a person\n")

    await place.until_ran("quality", 2)
    play, pull = await place.play(1), await place.pull(1)
    sent_back = next(entry for entry in play.status.history if entry.reason == "Push")
    assert sent_back.message == f"{PERSON} pushed {pushed[:8]}; back to quality"
    assert [label.name for label in pull.labels] == ["task-1"]
    runs = {run.name: run for run in await place.runs(play)}
    stopped = runs["play-shop-1-testing-1-1"].status
    assert stopped.result is not None
    assert (stopped.phase.value, stopped.result.terminal_reason) == ("Cancelled", "Cancelled")
    assert stopped.message == f"{PERSON} pushed {pushed[:8]}; back to quality"
    assert play.status.remediations == 0
    place.release("go")
    assert await command.ended() == 0, command.said
    assert place.file_on("main", "notes.txt") == "from a person"
    assert (await place.pull(1)).head_sha == pushed


async def test_a_conflict_with_the_base_restarts_implementation(place: Place) -> None:
    base_moves = [{"do": "tell", "to": "told"}, {"do": "merge", "text": "both\n"}, {"do": "verdict", "verdict": "done"}]
    place.script({"testing/1": [{"do": "hold", "until": "never"}], "implementation/2": base_moves})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("testing")

    place.push("main", "work-1.txt", "somebody else was here\n")

    assert await command.ended() == 0, command.said
    play = await place.play(1)
    conflict = next(entry for entry in play.status.history if entry.reason == "Conflict")
    assert conflict.message.endswith(" conflicts with main; back to implementation")
    assert (play.status.iteration, play.status.remediations) == (2, 1)
    assert "Merge origin/main into it and resolve the conflicts" in place.told("told")["context/conflict.md"]
    assert place.file_on("main", "work-1.txt") == "both"


async def test_two_tasks_with_a_dependency_are_merged_in_its_order(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1, "Second", dependencies=[2]), task(2, "First"))
    place.script({"2:testing": [{"do": "hold", "until": "go"}, {"do": "verdict", "verdict": "approve"}]})
    command = place.start("play", "--all", "--plain")
    await place.until_ran("testing", number=2)

    behind = await place.until_waits("DependencyNotDone", number=1)

    assert behind.status.phase is PlayPhase.PENDING
    why = await place.why(1)
    assert (why["waitsFor"], why["wouldMove"]) == ("task 2 must be merged first", "the merge of task 2")
    place.release("go")
    assert await command.ended() == 0, command.said
    assert [ran.task for ran in place.ran()] == [2, 2, 2, 1, 1, 1]
    assert place.file_on("main", "work-1.txt") == "implementation 1 1"
    assert place.file_on("main", "work-2.txt") == "implementation 1 1"


async def test_next_takes_the_ready_task_that_matters_most(bare_place: Place) -> None:
    place = bare_place
    place.init(
        task(1, status="done"),
        task(2, priority="low", dependencies=[1]),
        task(3, priority="high", dependencies=[1]),
        task(4, priority="high", dependencies=[3]),
    )

    first = await place.coderun("play", "--next")
    second = await place.coderun("play", "--next")
    third = await place.coderun("play", "--next")

    assert [each.out.splitlines()[0] for each in (first, second, third)] == [
        "task 3: play-shop-3 starts",
        "task 4: play-shop-4 starts",
        "task 2: play-shop-2 starts",
    ]
    nothing = await place.coderun("play", "--next")
    assert nothing.code == 2
    assert "no task is ready to start" in nothing.err
