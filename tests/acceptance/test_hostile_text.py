"""Titles, branches, reviews and output that try to be commands or to steer the terminal: played, and nothing of it happens."""

import os
from pathlib import Path

from tests.acceptance.kit import Place, task

TRAP = "$(touch PWNED)`touch PWNED`;touch PWNED|touch PWNED&touch PWNED"
ESCAPES = "\x1b[31mred\x1b]0;title\x07\x1b[2J\u202egnp.exe\x9b31m\r"
TITLE = f"""It's "quoted" {TRAP} {ESCAPES}
second line -- --option 'x' \\ $HOME %s {{{{x}}}} ${{{{ y }}}}"""
BRANCH = """it's-"$(touch${IFS}PWNED)"-`touch${IFS}PWNED`-;touch${IFS}PWNED-&-|-<x>"""
LONG = "0123456789abcdef" * (1 << 16)
"""One MiB."""

WORDY = LONG[: 120 << 10]
"""Two of them are as much as a result file may hold."""


def _assert_nothing_happened(place: Place, *said: str) -> None:
    found = [*place.folder.rglob("PWNED*"), *Path.cwd().glob("PWNED*")]
    assert found == []
    for text in said:
        assert [char for char in text if not char.isprintable() and char not in "\n\t"] == []


async def test_a_task_with_bytes_that_are_no_text_is_played_like_any_other(bare_place: Place) -> None:
    place = bare_place
    place.init()
    play = await place.coderun("play", os.fsdecode(b"Fix the caf\xe9"), "--auto-merge")
    assert play.code == 0, play.said
    assert "Fix the caf\ufffd" in (await place.coderun("pr", "list", "--state", "all")).out


async def test_a_hostile_title_and_base_branch_are_played_to_the_merge(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1, TITLE, description=TRAP, details=TITLE, testStrategy=ESCAPES))
    place.git("checkout", "--quiet", "-b", BRANCH)
    hostile = {
        "do": "verdict",
        "verdict": "request-changes",
        "summary": TITLE,
        "comments": [TITLE, "<!-- coderun:x -->\n```\n"],
    }
    place.script(
        {
            "implementation/1": [
                {"do": "say", "text": TITLE},
                {"do": "commit", "message": TITLE},
                {"do": "verdict", "verdict": "done"},
            ],
            "testing/1": [hostile],
            "implementation/2": [{"do": "tell", "to": "told"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}],
        }
    )

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    shown = [await place.coderun(*words) for words in (
        ("get",),
        ("get", "plays", "1", "-o", "yaml"),
        ("get", "plays", "-o", "json"),
        ("get", "runs"),
        ("why", "1", "--history"),
        ("pr", "list", "--state", "all"),
        ("pr", "show", "1"),
        ("logs", "play-shop-1-implementation-1-1"),
    )]  # fmt: skip
    assert [each.code for each in shown] == [0] * len(shown)
    _assert_nothing_happened(place, ended.out, ended.err, *(each.out + each.err for each in shown))
    play, pull = await place.play(1), await place.pull(1)
    assert pull.base_branch == BRANCH
    assert "\n" not in pull.title
    assert TRAP in pull.title
    assert play.spec.task is not None
    assert play.spec.task.details == TITLE
    assert place.file_on(BRANCH, "work-1.txt").startswith("implementation 1 1")
    told = place.told("told")
    assert TRAP in told["task.md"]
    assert TRAP in told["context/requested-changes.md"]
    assert TRAP in shown[-1].out


async def test_a_text_of_a_mebibyte_reaches_the_agent_whole(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1, "Long", details=LONG))
    place.write(".taskmaster/docs/task-1/prompt.md", LONG)
    place.git("add", "--all")
    place.git("commit", "--quiet", "-m", "Long texts")
    work = [{"do": "tell", "to": "told"}, {"do": "say", "text": LONG}, {"do": "commit", "file": "long.txt", "text": LONG}]
    place.script(
        {
            "implementation/1": [*work, {"do": "verdict", "verdict": "done", "summary": WORDY, "comments": [WORDY]}],
            "testing/1": [{"do": "verdict", "verdict": "request-changes", "summary": WORDY, "comments": [WORDY]}],
        }
    )

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    told = place.told("told")
    assert LONG in told["task.md"]
    assert LONG in told["prompt.md"]
    assert place.file_on("main", "long.txt") == LONG
    for words in (("why", "1", "--history"), ("get",), ("pr", "show", "1")):
        shown = await place.coderun(*words)
        assert shown.code == 0, shown.err
        assert len(shown.out) < 3 * len(LONG)


async def test_a_sentence_that_looks_like_options_and_commands_is_a_task(place: Place) -> None:
    ended = await place.coderun("play", "--", f"--task {TRAP} {ESCAPES}")

    assert ended.code == 0, ended.said
    _assert_nothing_happened(place, ended.out, ended.err)
    assert (await place.pull(1)).title.startswith(f"task 9001: --task {TRAP}")
