"""What can go wrong in a play, and what people do about it; `coderun why` tells in every state what is waited for."""

import json
from datetime import datetime

from tests.acceptance.kit import Place, is_alive, reasons

from coderun.model.coderun import RunPhase
from coderun.model.play import PlayPhase
from coderun.model.pulls import PullState

BLOCKED = [{"do": "verdict", "verdict": "blocked", "summary": "which currency?"}]
REFUSE = [{"do": "verdict", "verdict": "request-changes", "summary": "no"}]
HOLD = [{"do": "hold", "until": "never"}]


async def test_at_the_limit_of_rounds_the_play_waits_for_a_person_and_a_retry_allows_one_more(place: Place) -> None:
    place.script({"testing/1": REFUSE, "testing/2": REFUSE})

    waiting = await place.coderun("play", "--task", "1", "--max-iterations", "1")

    assert waiting.code == 3, waiting.said
    why = await place.why(1)
    assert (why["phase"], why["stage"], why["reason"], why["iteration"]) == ("Waiting", "testing", "MaxIterations", 2)
    assert why["waitsFor"].startswith("tess[bot] asked for changes on ")
    assert why["waitsFor"].endswith(", and 1 restarts have been made already")
    assert why["wouldMove"].endswith("`coderun retry play-shop-1` allows one more, or work on the pull request yourself")
    assert why["movedBy"].startswith("MaxIterations: tess[bot] asked for changes on ")
    retried = await place.coderun("retry", "1")
    assert retried.out == "play play-shop-1: goes on; no controller is running, `coderun up` carries it out\n"
    ended = await place.coderun("play", "--task", "1", "--max-iterations", "1")
    assert ended.code == 0, ended.said
    assert place.occasions()[6:] == [("implementation", 3, 1), ("quality", 3, 1), ("testing", 3, 1)]


async def test_a_blocked_agent_is_not_tried_again_until_a_person_says_so(place: Place) -> None:
    place.script({"implementation/1/1": BLOCKED})

    waiting = await place.coderun("play", "--task", "1")

    assert waiting.code == 3, waiting.said
    why = await place.why(1)
    assert (why["phase"], why["stage"], why["reason"]) == ("Waiting", "implementation", "AgentBlocked")
    assert why["waitsFor"] == "rex cannot go on: rex ended with the verdict 'blocked': which currency?"
    assert why["wouldMove"].endswith("`coderun retry play-shop-1`")
    assert place.occasions() == [("implementation", 1, 1)]
    await place.coderun("retry", "1")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said
    assert place.occasions()[:2] == [("implementation", 1, 1), ("implementation", 1, 2)]


async def test_an_agent_that_says_done_and_did_nothing_is_tried_again_and_then_fails_the_play(place: Place) -> None:
    place.configure(limits={"attempts": 2})
    place.script({"implementation": [{"do": "verdict", "verdict": "done", "summary": "all done, honestly"}]})

    failed = await place.coderun("play", "--task", "1")

    assert failed.code == 1, failed.said
    play = await place.play(1)
    assert play.status.phase is PlayPhase.FAILED
    assert reasons(play) == ["Started", "RunCreated", "RunCreated", "AttemptsExhausted"]
    assert play.status.message == (
        "implementation failed 2 time(s), last in play-shop-1-implementation-1-2: EvidenceMissing: "
        "rex changed nothing: there is nothing to open a pull request for"
    )
    results = [run.status.result for run in await place.runs(play)]
    assert [result.terminal_reason for result in results if result] == ["EvidenceMissing", "EvidenceMissing"]
    assert await place.forge.list_pull_requests() == []
    why = await place.why(1)
    assert (why["phase"], why["reason"]) == ("Failed", "AttemptsExhausted")
    assert why["wouldMove"] == "`coderun retry play-shop-1`"
    assert why["movedBy"].startswith(
        "AttemptsExhausted: implementation failed 2 time(s); last: EvidenceMissing: rex changed nothing"
    )
    place.script({})
    await place.coderun("retry", "1")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said
    assert place.occasions()[:3] == [("implementation", 1, 1), ("implementation", 1, 2), ("implementation", 1, 3)]


async def test_an_agent_that_ends_with_an_error_is_told_so_when_it_is_tried_again(place: Place) -> None:
    place.configure(limits={"retryBackoffSeconds": 0.5})
    place.script(
        {
            "quality/1/1": [{"do": "say", "text": "no such linter"}, {"do": "exit", "code": 3}],
            "quality/1/2": [{"do": "tell", "to": "told"}, {"do": "verdict", "verdict": "done"}],
        }
    )

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    play = await place.play(1)
    failed = next(run for run in await place.runs(play) if run.name == "play-shop-1-quality-1-1")
    assert failed.status.phase is RunPhase.FAILED
    assert failed.status.result is not None
    assert (failed.status.result.terminal_reason, failed.status.result.exit_code) == ("AgentFailed", 3)
    assert "no such linter" in failed.status.message
    assert "BackOff" in reasons(play)
    assert "no such linter" in place.told("told")["context/last-attempt.md"]


async def test_a_cancelled_run_ends_with_all_it_started_and_the_play_waits_for_a_person(place: Place) -> None:
    place.script({"quality/1/1": [{"do": "stubborn"}, {"do": "daemon", "pid": "daemon.pid"}, *HOLD]})
    place.configure(limits={"stopGraceSeconds": 0.5})
    command = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("quality")
    daemon = await place.put_down("daemon.pid")
    await place.until_waits("RunRunning")
    why = await place.why(1)
    assert (why["phase"], why["reason"]) == ("Running", "RunRunning")
    assert why["waitsFor"] == "cleo works on quality (iteration 1, attempt 1)"
    assert why["wouldMove"] == "the end of run play-shop-1-quality-1-1"
    assert why["controller"].startswith(f"pid {command.pid}, coderun play --task 1")

    cancelled = await place.coderun("cancel", "1", "--reason", "lunch")

    assert cancelled.out == "run play-shop-1-quality-1-1: is being cancelled\n"
    assert await command.ended() == 3, command.said
    why = await place.why(1)
    assert (why["phase"], why["reason"]) == ("Waiting", "RunCancelled")
    assert why["waitsFor"] == "run play-shop-1-quality-1-1 was cancelled: lunch"
    assert not is_alive(agent.pid)
    assert not is_alive(int(daemon))
    assert (await place.coderun("cancel", "play-shop-1-quality-1-1")).code == 6


async def test_an_aborted_play_ends_its_run_first_and_can_be_taken_up_again(place: Place) -> None:
    place.script({"testing/1/1": HOLD})
    command = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("testing")

    aborted = await place.coderun("abort", "1")

    assert aborted.out == "play play-shop-1: is being aborted\n"
    assert await command.ended() == 1, command.said
    assert not is_alive(agent.pid)
    play = await place.play(1)
    assert (play.status.phase, play.status.message) == (PlayPhase.ABORTED, "a person aborted the play")
    why = await place.why(1)
    assert (why["phase"], why["reason"], why["wouldMove"]) == ("Aborted", "AbortRequested", "`coderun retry play-shop-1`")
    assert (await place.pull(1)).state is PullState.OPEN
    assert (await place.coderun("abort", "1")).code == 6
    await place.coderun("retry", "1")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1), ("testing", 1, 2)]


async def test_a_paused_play_lets_its_run_end_and_starts_no_other_until_it_is_resumed(place: Place) -> None:
    place.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]})
    up = place.start("up")
    started = await place.coderun("play", "--task", "1", "--detach")
    assert started.code == 0, started.said
    await place.until_ran("implementation")

    paused = await place.coderun("pause", "1")
    place.release("go")

    assert paused.out == "play play-shop-1: paused; `coderun resume` goes on\n"
    play = await place.until_waits("Paused")
    assert (play.status.phase, play.status.stage) == (PlayPhase.WAITING, "quality")
    why = await place.why(1)
    assert (why["waitsFor"], why["wouldMove"]) == ("a person paused the play", "`coderun resume play-shop-1`")
    assert place.occasions() == [("implementation", 1, 1)]
    assert (await place.coderun("resume", "1")).out == "play play-shop-1: resumed\n"
    await place.until_phase(PlayPhase.SUCCEEDED)
    assert up.is_running


async def test_closing_the_pull_request_ends_the_play(place: Place) -> None:
    place.script({"testing/1/1": HOLD})
    command = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("testing")

    await place.forge.close_pull_request(1)

    assert await command.ended() == 1, command.said
    play = await place.play(1)
    assert (play.status.phase, play.status.message) == (PlayPhase.ABORTED, "pull request #1 was closed without merging")
    assert not is_alive(agent.pid)
    why = await place.why(1)
    assert why["movedBy"] == "PullRequestClosed: pull request #1 was closed without merging"
    assert why["lastEvent"].startswith("pull_request.closed (local-")


async def test_marks_that_disagree_fail_the_play_with_exactly_one_comment(place: Place) -> None:
    place.script({"testing/1/1": HOLD})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("testing")

    await place.forge.add_label(1, "task-7")

    assert await command.ended() == 1, command.said
    play = await place.play(1)
    assert play.status.phase is PlayPhase.FAILED
    assert reasons(play)[-1] == "AssociationMismatch"
    assert play.status.message == (
        "the marks of pull request #1 disagree: label task-1, label task-7, branch of task-1, marker file of task-1"
    )
    comments = await place.forge.comments(1)
    assert len(comments) == 1
    assert "label task-7" in comments[0].body
    assert (await place.why(1))["reason"] == "AssociationMismatch"
    again = await place.coderun("play", "--task", "1")
    assert again.code == 1, again.said
    assert len(await place.forge.comments(1)) == 1


async def test_why_says_since_when_and_what_moved_it_last_in_words_for_people(place: Place) -> None:
    place.script({"implementation/1/1": BLOCKED})
    await place.coderun("play", "--task", "1")

    said = await place.coderun("why", "1", "--history")

    why = json.loads((await place.coderun("why", "1", "-o", "json")).out)
    waiting = (await place.play(1)).status.waiting
    assert waiting is not None
    assert datetime.fromisoformat(why["since"]) == waiting.since
    lines = said.out.splitlines()
    assert lines[0] == "play-shop-1 (task 1): Waiting, stage implementation, iteration 1"
    rows = {line[2:14].strip(): line[15:] for line in lines[1:] if line.startswith("  ")}
    assert rows["reason:"] == "AgentBlocked"
    assert rows["since:"].endswith(" ago")
    assert rows["moved by:"].startswith("AgentBlocked: rex cannot go on: ")
    assert rows["controller:"] == "none"
    assert [line.split("  ")[2].split(":")[0] for line in lines[lines.index("decisions, oldest first:") + 1 :]] == reasons(
        await place.play(1)
    )


async def test_a_play_that_nobody_works_on_says_that_it_needs_a_controller(place: Place) -> None:
    place.script({"implementation/1/1": HOLD})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("implementation")
    await place.until_run_is(RunPhase.RUNNING)
    command.kill()

    why = await place.why(1)

    assert why["controller"] == ""
    assert why["wouldMove"].startswith("a controller, as none is running: `coderun up`; then the end of run ")
    assert "play-shop-1-implementation-1-1 (Running" in why["run"]


async def test_a_play_or_run_that_is_not_there_is_said_to_be_so(place: Place) -> None:
    nothing = await place.coderun("why", "1")
    assert (nothing.code, nothing.err) == (
        4,
        f"error: nothing was played in {place.repository} yet; `coderun play --task N` starts\n",
    )
    place.script({"implementation/1/1": BLOCKED})
    await place.coderun("play", "--task", "1")

    answers = [await place.coderun(*words) for words in (("why", "7"), ("cancel", "7"), ("logs", "nothing"), ("abort", "x"))]

    assert [answer.code for answer in answers] == [4, 4, 4, 4]
    assert answers[0].err == "error: there is no play '7'; known plays: play-shop-1\n"
