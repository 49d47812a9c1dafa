"""What can be played beside a numbered task, and that the user's own repository is left alone."""

import json

from tests.acceptance.kit import Place

from coderun.model.coderun import RunPhase
from coderun.model.pulls import PullState


async def test_a_sentence_is_played_as_a_task_of_its_own(place: Place) -> None:
    place.script({"implementation": [{"do": "tell", "to": "told"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]})

    ended = await place.coderun("play", "Fix the typo in README")

    assert ended.code == 0, ended.said
    assert ended.out.splitlines()[0] == "task 9001: play-shop-9001 starts"
    pull = await place.pull(1)
    assert (pull.title, pull.head_branch) == ("task 9001: Fix the typo in README", "feature/task-9001-implementation")
    assert "Fix the typo in README" in place.told("told")["task.md"]
    again = await place.coderun("play", "Fix the typo in README")
    assert again.out.splitlines()[0] == "task 9001: play-shop-9001 is done: its pull request was merged"


async def test_a_markdown_file_is_played_as_a_task_of_its_own(place: Place) -> None:
    place.script({"implementation": [{"do": "tell", "to": "told"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]})
    place.write("notes/feature.md", "# Take coupons\n\nA coupon is `TEA-10`.\n")

    ended = await place.coderun("play", "feature.md", cwd=place.repository / "notes")

    assert ended.code == 0, ended.said
    assert (await place.pull(1)).title == "task 9001: Take coupons"
    assert "A coupon is `TEA-10`." in place.told("told")["task.md"]


async def test_run_runs_one_agent_once_and_nothing_follows(place: Place) -> None:
    ended = await place.coderun("run", "--agent", "rex", "--task", "1", "-o", "json")

    assert ended.code == 0, ended.said
    run = json.loads(ended.out)
    assert (run["metadata"]["name"], run["status"]["phase"]) == ("run-shop-1-rex-1", "Succeeded")
    assert run["status"]["result"]["terminalReason"] == "Completed"
    assert (await place.pull(1)).state is PullState.OPEN
    assert await place.plays() == []
    tested = await place.coderun("run", "-a", "tess", "--task", "1")
    assert tested.code == 0, tested.said
    assert tested.out.splitlines()[-1] == "run-shop-1-tess-1: Succeeded. all is well"
    assert [ran.stage for ran in place.ran()] == ["implementation", "testing"]


async def test_a_run_that_fails_says_why_and_ends_with_1(place: Place) -> None:
    place.script({"implementation": [{"do": "say", "text": "out of tea"}, {"do": "exit", "code": 9}]})

    ended = await place.coderun("run", "--agent", "rex", "--task", "1")

    assert ended.code == 1, ended.said
    assert "run-shop-1-rex-1: Failed. " in ended.out
    assert "out of tea" in ended.out
    logs = await place.coderun("logs", "run-shop-1-rex-1")
    assert "out of tea" in logs.out
    missing = await place.coderun("run", "--agent", "tess", "--task", "1")
    assert missing.code == 4
    assert missing.err == "error: agent tess works on a pull request, and none of task 1 is open\n"


async def test_the_users_tree_index_stash_and_branches_are_not_touched(place: Place) -> None:
    place.git("checkout", "--quiet", "-b", "mine")
    place.write("stashed.txt", "stashed\n")
    place.git("stash", "push", "--quiet", "--include-untracked")
    place.git("checkout", "--quiet", "main")
    place.write("staged.txt", "staged\n")
    place.git("add", "staged.txt")
    place.write("README.md", "# Shop, changed\n")
    place.write("untracked.txt", "untracked\n")

    def everything() -> list[str]:
        return [
            place.git("status", "--porcelain=v2", "--branch"),
            place.git("for-each-ref"),
            place.git("stash", "list"),
            place.git("config", "--local", "--list"),
            place.git("worktree", "list"),
            place.git("diff"),
            place.git("diff", "--cached"),
            (place.repository / "untracked.txt").read_text(),
        ]

    before = everything()
    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    assert everything() == before
    assert "# Shop\n".strip() == place.file_on("main", "README.md")


async def test_the_work_of_a_run_outside_a_play_is_shown_by_get(place: Place) -> None:
    await place.coderun("run", "--agent", "rex", "--task", "1")

    runs = await place.coderun("get", "runs")
    names = await place.coderun("get", "runs", "-o", "name")

    assert names.out == "run-shop-1-rex-1\n"
    header, line = runs.out.splitlines()
    assert header.split() == ["NAME", "AGENT", "STAGE", "PHASE", "REASON", "MESSAGE"]
    assert line.split()[:5] == ["run-shop-1-rex-1", "rex", "implementation", RunPhase.SUCCEEDED.value, "Completed"]
