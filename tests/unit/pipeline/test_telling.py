"""What a play tells on its pull request."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.pipeline.samples import NOW, PACKAGED, play_at

from coderun.model.play import PassedGate, Play, PlayCommand, PlayPhase, PlayRun, Waiting
from coderun.model.pulls import CheckState
from coderun.pipeline.telling import code, orphaned_check, outdated_check, own_check, status_comment

HOSTILE = "](x) | <script>alert(1)</script> @everyone `rm -rf` ``` \x1b[31m\n# Title"


def at_testing() -> Play:
    return play_at(
        "testing",
        phase=PlayPhase.RUNNING,
        iteration=2,
        gates=(
            PassedGate(name="pull-request", stage="implementation", actor="rex[bot]"),
            PassedGate(name="label", stage="quality", head_sha="abcdef1234567", actor="cleo[bot]"),
        ),
        waiting=Waiting(kind="run", reason="RunActive", message="tess works on testing", would_move="its end"),
        runs=(PlayRun(name="play-demo-7-testing-2-1", stage="testing", iteration=2, attempt=1, agent="tess", phase="Running"),),
    )


def test_the_comment_says_where_the_play_stands() -> None:
    text = status_comment(at_testing(), PACKAGED)
    assert text.splitlines() == [
        "**coderun**: task 7 at work, round 2",
        "",
        "| stage | |",
        "|---|---|",
        "| implementation | passed by `rex[bot]` |",
        "| quality | passed by `cleo[bot]` at `abcdef12` |",
        "| testing | here |",
        "| merge | to come |",
        "",
        "Waits for `tess works on testing`  ",
        "What would move it: `its end`",
        "",
        "<details><summary>Runs</summary>",
        "",
        "| run | agent | phase | reason |",
        "|---|---|---|---|",
        "| `play-demo-7-testing-2-1` | `tess` | `Running` |  |",
        "",
        "</details>",
        "",
        "<sub>People with write access may comment `/coderun approve|pause|resume|retry|abort`.</sub>",
    ]


def test_what_became_of_commands_is_told() -> None:
    here = at_testing()
    given = (
        PlayCommand(comment=1, command="pause", by="dev", accepted=True, outcome="paused"),
        PlayCommand(comment=2, command="abort", by="mallory", outcome="refused: mallory may not write to the repository"),
    )
    text = status_comment(replace(here, spec=replace(here.spec, commands=given, paused=True)), PACKAGED)
    assert text.startswith("**coderun**: task 7 at work, round 2, paused\n")
    assert "- `/coderun pause` by `dev`: `paused`\n" in text
    assert "- `/coderun abort` by `mallory`: `refused: mallory may not write to the repository`\n" in text


@pytest.mark.parametrize(
    ("ended", "first", "stages", "state"),
    [
        (
            play_at("merge", phase=PlayPhase.SUCCEEDED),
            "task 7 merged",
            ["passed", "passed", "passed", "passed"],
            CheckState.PASSED,
        ),
        (
            play_at("quality", phase=PlayPhase.FAILED, message="gave up"),
            "task 7 failed",
            ["passed", "ended here: failed", "to come", "to come"],
            CheckState.FAILED,
        ),
        (play_at(phase=PlayPhase.ABORTED), "task 7 aborted", ["to come"] * 4, CheckState.FAILED),
        (play_at(phase=PlayPhase.PENDING), "task 7 has not started", ["to come"] * 4, CheckState.PENDING),
        (
            play_at("merge", phase=PlayPhase.WAITING),
            "task 7 waits for a person",
            ["passed", "passed", "passed", "here"],
            CheckState.PASSED,
        ),
        (play_at("gone", phase=PlayPhase.RUNNING), "task 7 at work", ["to come"] * 4, CheckState.PENDING),
    ],
)
def test_each_end_and_each_stage_is_told(ended: Play, first: str, stages: list[str], state: CheckState) -> None:
    text = status_comment(ended, PACKAGED)
    assert text.splitlines()[0] == f"**coderun**: {first}"
    assert re.findall(r"^\| (?:implementation|quality|testing|merge) \| (.*) \|$", text, re.MULTILINE) == stages
    assert ("/coderun" in text) is not ended.is_finished
    assert ("`gave up`" in text) is bool(ended.status.message)
    check = own_check(ended, PACKAGED)
    assert (check.name, check.state, check.required, check.summary) == ("coderun", state, False, text)
    assert (check.title, check.given_up) == (first.partition(",")[0], ended.status.phase is PlayPhase.ABORTED)


def test_a_check_on_a_commit_that_is_not_looked_at_any_more_says_why() -> None:
    outdated = outdated_check(at_testing(), "abcdef1234567890")
    assert (outdated.name, outdated.state, outdated.given_up) == ("coderun", CheckState.FAILED, True)
    assert (outdated.title, "task 7 went on with a newer commit, `abcdef123456`;" in outdated.summary) == (
        "a newer commit took over",
        True,
    )
    orphaned = orphaned_check("play-`x`")
    assert (orphaned.given_up, orphaned.title) == (True, "its play is gone")
    assert f"the play {code('play-`x`')} was deleted" in orphaned.summary


def test_the_text_is_the_same_however_late_it_is() -> None:
    here = at_testing()
    later = replace(here, status=replace(here.status, stage_since=NOW, observed_generation=9))
    assert status_comment(later, PACKAGED) == status_comment(here, PACKAGED)


def test_texts_of_others_are_neither_markup_nor_mentions() -> None:
    here = at_testing()
    waiting = Waiting(kind="person", message=HOSTILE, would_move=HOSTILE)
    runs = (PlayRun(name="r", stage="testing", iteration=2, attempt=1, agent="x", phase="Failed", reason=HOSTILE),)
    text = status_comment(replace(here, status=replace(here.status, waiting=waiting, runs=runs)), PACKAGED)
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    for piece in ("script", "@everyone", "rm -rf", "Title", "](x)"):
        assert piece in text
        assert piece not in outside


@given(st.text())
def test_a_code_span_ends_where_it_should(text: str) -> None:
    span = code(text)
    fence = re.match(r"`+", span)
    assert fence is not None
    inner = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert all(len(run) < len(fence[0]) for run in re.findall(r"`+", inner))
    assert "\n" not in span
    assert "|" not in span
