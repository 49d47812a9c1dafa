"""One controller a repository: who it is, who takes over, and that agents outlive it."""

import signal

import pytest
from tests.acceptance.kit import Place, is_alive, task, until, until_found

from coderun.model.coderun import RunPhase
from coderun.model.play import PlayPhase

HOLD = [{"do": "hold", "until": "go"}]
HOLD_AND_WORK = [*HOLD, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]


async def test_a_second_play_hands_over_to_the_first_and_goes_on_when_that_one_is_killed(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1), task(2))
    place.script({"1:implementation": HOLD_AND_WORK})
    first = place.start("play", "--task", "1", "--plain")
    await place.until_ran("implementation")

    second = place.start("play", "--task", "2", "--parallel", "2", "--plain")

    behind = await place.until_waits("PlaysAhead", number=2)
    assert behind.status.waiting is not None
    assert behind.status.waiting.message == "1 play(s) come first: play-shop-1"
    assert await place.controller_pid() == first.pid
    first.kill()
    await until_found(lambda: _is_controller(place, second.pid), "the second to take over", tell=place.tell)
    place.release("go")
    assert await second.ended() == 0, second.said
    await place.look_away()
    assert (await place.play(2)).status.phase is PlayPhase.SUCCEEDED
    place.assert_ran_once_each()


async def _is_controller(place: Place, pid: int) -> bool:
    return await place.controller_pid() == pid


async def test_a_second_up_says_who_holds_the_repository_and_leaves(place: Place) -> None:
    first = place.start("up")
    await place.controller_pid()

    second = await place.coderun("up")

    assert second.code == 6
    assert second.err.startswith(
        f"error: the controller of {place.repository} is already running: pid {first.pid}, coderun up, since "
    )
    assert first.is_running


async def test_a_detached_play_goes_on_in_a_controller_of_its_own(place: Place) -> None:
    detached = await place.coderun("play", "--task", "1", "--detach")

    assert detached.code == 0, detached.said
    first, second = detached.out.splitlines()
    assert first == "task 1: play-shop-1 starts"
    assert second.startswith("handed over to the controller (pid ")
    watched = await place.coderun("watch", "--plain")
    assert watched.code == 0, watched.said
    assert (await place.play(1)).status.phase is PlayPhase.SUCCEEDED
    assert is_alive(await place.controller_pid())


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_ctrl_c_leaves_the_agent_at_work_and_the_same_command_picks_it_up(place: Place, sign: signal.Signals) -> None:
    place.script({"implementation": HOLD_AND_WORK})
    first = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("implementation")
    await place.until_play(lambda play: play.status.runs and play.status.runs[-1].phase == "Running", "its run running")

    first.send(sign)

    assert await first.ended() == 130, first.said
    assert "stopped watching; agents at work go on." in first.said
    assert "Traceback" not in first.said
    assert is_alive(agent.pid)
    second = place.start("play", "--task", "1", "--plain")
    await until_found(lambda: _is_controller(place, second.pid), "the second to control", tell=place.tell)
    place.release("go")
    assert await second.ended() == 0, second.said
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


async def test_an_agent_that_ends_while_nobody_controls_is_found_with_its_result(place: Place) -> None:
    place.script({"implementation": HOLD_AND_WORK})
    first = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("implementation")
    first.kill()
    place.release("go")
    await until(lambda: not is_alive(agent.pid), "the agent to end")
    await until(lambda: list(place.state.glob("runs/*/report.json")), "its report")

    second = await place.coderun("play", "--task", "1")

    assert second.code == 0, second.said
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


async def test_a_workspace_holds_one_run_and_the_next_waits_with_the_reason(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1), task(2))
    place.script({"1:implementation": HOLD_AND_WORK})
    command = place.start("play", "--tasks", "1,2", "--parallel", "2", "--plain")
    await place.until_ran("implementation")

    waiting = await place.until_play(
        lambda play: play.status.waiting and "in use" in play.status.waiting.message, "its workspace to be in use", number=2
    )

    [run] = await place.runs(waiting)
    assert run.status.phase is RunPhase.PENDING
    assert run.status.message == "workspace workspace-shop-rex is in use by run play-shop-1-implementation-1-1"
    assert [(c.type, c.reason) for c in run.status.conditions] == [("Ready", "WorkspaceBusy")]
    assert (await place.why(2))["waitsFor"] == (
        "rex is about to work on implementation (iteration 1, attempt 1): "
        "workspace workspace-shop-rex is in use by run play-shop-1-implementation-1-1"
    )
    place.release("go")
    assert await command.ended() == 0, command.said
    place.assert_ran_once_each()
