"""The live view: what is drawn for any number of plays on any terminal, and what is printed a line at a time."""

import io
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from coderun.app.configuration import packaged_text
from coderun.cli.live import LineView, draw, unseen
from coderun.model.coderun import PullRequestRef
from coderun.model.meta import ObjectMeta
from coderun.model.play import HISTORY_LIMIT, HistoryEntry, Play, PlayPhase, PlaySpec, PlayStatus, Waiting, with_history
from coderun.model.task import TaskText
from coderun.model.yaml import decode, load
from coderun.pipeline.definition import Pipeline

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PIPELINES = {"play": decode(load(packaged_text("pipelines/play.yaml"), name="play.yaml"), Pipeline)}
HOSTILE = "ti'tle \x1b]0;owned\x07\x1b[31mred\x1b[2J \u202e\r\nnext \x9b31m [bold]$(id)[/bold] :smile:"
SIZES = [(40, 24), (79, 24), (80, 24), (100, 30), (250, 50), (100, 6), (40, 4)]


def play(number: int, phase: PlayPhase = PlayPhase.RUNNING, *, title: str = "", history: int = 0) -> Play:
    is_open = not phase.is_finished
    waiting = Waiting(
        kind="run",
        reason="RunRunning",
        since=NOW - timedelta(seconds=90),
        message=f"rex works on implementation of {title}",
        would_move=f"the end of {title}",
    )
    status = PlayStatus(
        phase=phase,
        stage="quality" if is_open else "",
        iteration=2,
        waiting=waiting if is_open else None,
        message="" if is_open else "it is over",
        pull_request=PullRequestRef(number=number),
    )
    for at in range(history):
        entry = HistoryEntry(at=NOW + timedelta(seconds=at), reason="RunCreated", message=f"decision {at} {title}")
        status = with_history(status, entry)
    return Play(
        metadata=ObjectMeta(name=f"play-shop-{number}"),
        spec=PlaySpec(task_id=number, repository_url="/s", task=TaskText(title=title or f"Thing {number}")),
        status=status,
    )


def shown(plays: Sequence[Play], width: int = 100, height: int = 30) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(draw(plays, PIPELINES, NOW, console))
    return capture.get()


@pytest.mark.parametrize("width", [120, 149])
def test_a_play_is_drawn_with_its_stages_its_pull_request_and_what_it_waits_for(width: int) -> None:
    text = shown([play(3, title="Sell tea", history=2)], width)
    heading, row = text.splitlines()[:2]
    assert heading.split() == ["task", "stages", "round", "pr", "now"]
    for part in ("3 Sell tea", "●◐○○ quality", "#3", "(1.5 min)"):
        assert part in row
    assert [line.split(" ", 1)[1] for line in text.splitlines()[-2:]] == [
        "task 3 RunCreated: decision 0 Sell tea",
        "task 3 RunCreated: decision 1 Sell tea",
    ]


def test_decisions_of_one_pass_stay_in_the_order_they_were_made() -> None:
    both = play(1, title="t")
    for reason in ("HeadMoved", "StagePassed", "RunCreated"):
        both = replace(both, status=with_history(both.status, HistoryEntry(at=NOW, reason=reason, message="m")))
    lines = shown([both], 120).splitlines()[-3:]
    assert [line.split()[3] for line in lines] == ["HeadMoved:", "StagePassed:", "RunCreated:"]


@pytest.mark.parametrize(
    ("phase", "marks"),
    [
        (PlayPhase.RUNNING, "● implementation  ◐ quality  ○ testing  ○ merge"),
        (PlayPhase.WAITING, "● implementation  ◆ quality  ○ testing  ○ merge"),
        (PlayPhase.SUCCEEDED, "● implementation  ● quality  ● testing  ● merge"),
        (PlayPhase.PENDING, "● implementation  ◐ quality  ○ testing  ○ merge"),
    ],
)
def test_each_stage_has_a_mark_of_how_far_it_is(phase: PlayPhase, marks: str) -> None:
    assert marks in shown([play(1, phase)], 200)


def test_a_narrow_terminal_still_shows_how_far_a_play_is() -> None:
    text = shown([play(3, title="Sell tea")], 40)
    assert "●◐○○ quality" in text


def test_a_wait_for_a_person_says_what_the_person_can_do() -> None:
    assert "→ the end of it" in shown([play(1, PlayPhase.WAITING, title="it")], 200)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [0, 1, 3, 60, 1000])
def test_it_never_outgrows_the_terminal(count: int, width: int, height: int) -> None:
    plays = [play(n, title="A long title that is folded on every narrow terminal", history=3) for n in range(1, count + 1)]
    lines = shown(plays, width, height).splitlines()
    tallest_row = 30
    assert len(lines) < max(height, tallest_row if height < 12 and count else 0)
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(("count", "height"), [(60, 24), (25, 24), (60, 50)])
def test_where_not_all_fit_unfinished_ones_come_first_and_the_rest_is_counted(count: int, height: int) -> None:
    phases = [PlayPhase.SUCCEEDED if n % 2 else PlayPhase.RUNNING for n in range(1, count + 1)]
    text = shown([play(n, phase, title="t") for n, phase in enumerate(phases, 1)], 200, height)
    numbers = [int(line.split()[0]) for line in text.splitlines()[1:] if re.match(r"\d+ t", line)]
    rest = next(line for line in text.splitlines() if line.startswith("… and "))
    found = re.match(r"… and (\d+) more: (.+)$", rest)
    assert found
    assert len(numbers) + int(found[1]) == count
    assert sum(int(each.split()[0]) for each in found[2].split(", ")) == int(found[1])
    open_ones = [n for n, phase in enumerate(phases, 1) if phase is PlayPhase.RUNNING]
    assert numbers[: len(open_ones)] == open_ones[: len(numbers)]


def test_where_all_fit_they_keep_their_order() -> None:
    text = shown([play(1, PlayPhase.SUCCEEDED), play(2), play(3, PlayPhase.FAILED)], 120)
    assert [int(line[0]) for line in text.splitlines() if line[:1].isdigit()] == [1, 2, 3]
    assert "more" not in text


@pytest.mark.parametrize("width", [40, 120])
def test_texts_of_others_reach_the_terminal_clean_in_the_table(width: int) -> None:
    text = shown([play(1, PlayPhase.WAITING, title=HOSTILE, history=2), play(2, PlayPhase.FAILED, title=HOSTILE)], width)
    assert is_clean(text)
    flat = "".join(text.split())
    assert "[bold]$(id)[/bold]" in flat
    assert ":smile:" in flat


def test_texts_of_others_reach_the_terminal_clean_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    LineView(NOW).update([play(1, title=HOSTILE, history=3)], NOW)
    text = capsys.readouterr().out
    assert is_clean(text)
    assert len(text.splitlines()) == 3


def is_clean(text: str) -> bool:
    return not any((ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2028" for char in text)


def test_a_play_of_a_pipeline_nobody_knows_is_drawn_without_stages() -> None:
    console = Console(file=io.StringIO(), width=100, height=30)
    with console.capture() as capture:
        console.print(draw([play(1, title="Sell tea")], {}, NOW, console))
    assert "Sell tea" in capture.get()


def entry(number: int) -> HistoryEntry:
    return HistoryEntry(at=NOW + timedelta(microseconds=number), reason="R", message=f"decision {number}")


@given(st.lists(st.integers(0, 40), max_size=12), st.booleans(), st.randoms(use_true_random=False))
def test_each_decision_is_printed_exactly_once_however_often_it_is_looked_at(
    steps: list[int], repeated: bool, chance: random.Random
) -> None:
    printed: list[HistoryEntry] = []
    status = PlayStatus()
    seen: tuple[HistoryEntry, ...] = ()
    made = 0
    for step in steps:
        for _ in range(step):
            made += 1
            status = with_history(status, entry(made))
        for _ in range(chance.randint(1, 3) if repeated else 1):
            printed += unseen(seen, status.history)
            seen = status.history
    assert [each.message for each in printed] == [f"decision {n}" for n in range(1, made + 1)]


def test_equal_decisions_are_told_apart_by_their_number() -> None:
    one = entry(1)
    assert unseen([one], [one, one]) == (one,)
    assert unseen([one, one], [one, one]) == ()
    assert unseen([], [one, one]) == (one, one)
    assert unseen([entry(1)] * HISTORY_LIMIT, [*[entry(1)] * (HISTORY_LIMIT - 1), entry(2)]) == (entry(2),)


def test_of_a_play_that_was_there_before_only_new_decisions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    older = play(1, history=3)
    view = LineView(NOW + timedelta(seconds=2))
    view.update([older], NOW)
    assert [line.rpartition("decision ")[2].split()[0] for line in capsys.readouterr().out.splitlines()] == ["2"]
    view.update([older], NOW)
    assert capsys.readouterr().out == ""


def test_a_wait_that_only_time_ends_is_told_once_with_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = Waiting(kind="time", reason="BackOff", message="attempt 1 failed", would_move="attempt 2 starts at 12:00:30 UTC")
    paused = play(1, history=1)
    paused = replace(paused, status=replace(paused.status, waiting=waiting))
    view = LineView(NOW)
    for _ in range(2):
        view.update([paused], NOW)
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == ["task 1  BackOff: attempt 1 failed; attempt 2 starts at 12:00:30 UTC"]
    assert "→ attempt 2 starts at 12:00:30 UTC" in shown([paused], 120)


@pytest.mark.parametrize(
    ("kind", "reason", "seconds", "told"),
    [
        ("gate", "GateOpen", 4, 0),
        ("gate", "GateOpen", 6, 1),
        ("run", "RunPending", 6, 1),
        ("run", "RunRunning", 600, 0),
        ("person", "WaitingForPeople", 600, 0),
    ],
)
def test_a_wait_that_goes_on_is_told_once(
    capsys: pytest.CaptureFixture[str], kind: str, reason: str, seconds: int, told: int
) -> None:
    waiting = Waiting(kind=kind, reason=reason, since=NOW, message="no check has reported yet", would_move="happens by itself")
    waits = play(1, history=1)
    waits = replace(waits, status=replace(waits.status, waiting=waiting))
    view = LineView(NOW)
    for later in (0, seconds, seconds):
        view.update([waits], NOW + timedelta(seconds=later))
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [f"task 1  {reason}: no check has reported yet; happens by itself"] * told


def test_a_play_of_which_nothing_is_new_is_introduced_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView(NOW + timedelta(minutes=1))
    for _ in range(2):
        view.update([play(1, title="t", history=3), play(2, PlayPhase.SUCCEEDED, history=1)], NOW)
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["task 1  Running, stage quality: rex works on implementation of t", "task 2  Succeeded: it is over"]
