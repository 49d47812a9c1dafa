"""Kill -9 of what carries out a run: the run has failed with a reason, and is tried again as the policy says."""

import os
import signal
from pathlib import Path

from tests.acceptance.kit import Place, is_alive, until

from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.play import PlayPhase
from coderun.runtime import proc

HOLD = [{"do": "hold", "until": "never"}]


async def _run(place: Place, name: str) -> CodeRun:
    found = await place.store.get(CodeRun, name)
    assert found is not None
    return found


async def test_a_killed_supervisor_takes_its_agent_along_and_the_run_is_lost_and_tried_again(place: Place) -> None:
    place.script({"quality/1/1": [{"do": "stubborn"}, {"do": "daemon", "pid": "daemon.pid"}, *HOLD]})
    command = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("quality")
    daemon = int(await place.put_down("daemon.pid"))
    supervisor = _parent_of(agent.pid)

    os.kill(supervisor, signal.SIGKILL)

    assert await command.ended() == 0, command.said
    lost = (await _run(place, "play-shop-1-quality-1-1")).status
    assert lost.phase is RunPhase.FAILED
    assert lost.result is not None
    assert lost.result.terminal_reason == "JobLost"
    assert lost.message.startswith(f"the supervisor (process {supervisor}) was killed")
    assert (await place.play(1)).status.phase is PlayPhase.SUCCEEDED
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("quality", 1, 2), ("testing", 1, 1)]
    assert not is_alive(agent.pid)
    await until(lambda: not is_alive(daemon), "the daemon to end")


async def test_a_supervisor_that_is_killed_while_nobody_controls_is_found_lost_by_the_next_controller(place: Place) -> None:
    place.script({"implementation/1/1": HOLD})
    command = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("implementation")
    command.kill()
    os.kill(_parent_of(agent.pid), signal.SIGKILL)

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    lost = (await _run(place, "play-shop-1-implementation-1-1")).status
    assert lost.result is not None
    assert (lost.phase, lost.result.terminal_reason) == (RunPhase.FAILED, "JobLost")
    assert place.occasions()[:2] == [("implementation", 1, 1), ("implementation", 1, 2)]


async def test_a_killed_agent_has_failed_with_the_signal_and_is_tried_again(place: Place) -> None:
    place.script({"implementation/1/1": [{"do": "say", "text": "so long"}, {"do": "die"}]})

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 0, ended.said
    failed = (await _run(place, "play-shop-1-implementation-1-1")).status
    assert failed.phase is RunPhase.FAILED
    assert failed.result is not None
    assert (failed.result.terminal_reason, failed.result.exit_code) == ("AgentFailed", None)
    assert "SIGKILL" in failed.message
    assert "so long" in failed.message
    assert place.occasions()[:2] == [("implementation", 1, 1), ("implementation", 1, 2)]


async def test_an_agent_that_dies_every_time_fails_the_play_after_the_allowed_attempts(place: Place) -> None:
    place.configure(limits={"attempts": 2})
    place.script({"implementation": [{"do": "die"}]})

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 1, ended.said
    play = await place.play(1)
    assert play.status.phase is PlayPhase.FAILED
    assert play.status.message.startswith(
        "implementation failed 2 time(s), last in play-shop-1-implementation-1-2: AgentFailed: "
    )
    assert place.occasions() == [("implementation", 1, 1), ("implementation", 1, 2)]


async def test_an_agent_that_takes_longer_than_its_time_is_ended_with_all_it_started(place: Place) -> None:
    place.configure(limits={"runTimeoutSeconds": 1, "stopGraceSeconds": 0.5, "attempts": 1})
    place.script({"implementation": [{"do": "stubborn"}, {"do": "daemon", "pid": "daemon.pid"}, *HOLD]})

    ended = await place.coderun("play", "--task", "1")

    assert ended.code == 1, ended.said
    [agent] = place.ran()
    assert not is_alive(agent.pid)
    assert not is_alive(int(await place.put_down("daemon.pid")))
    failed = (await _run(place, "play-shop-1-implementation-1-1")).status
    assert failed.result is not None
    assert failed.result.terminal_reason == "TimedOut"
    assert "time limit of 1 s" in failed.message


def _parent_of(pid: int) -> int:
    parent = proc.table()[pid].parent
    assert b"coderun.agent" in Path(f"/proc/{parent}/cmdline").read_bytes()
    return parent
