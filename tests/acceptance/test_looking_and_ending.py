"""Looking at plays and ending them works whatever the repository is like just now, and whether a controller runs or not."""

import pytest
from tests.acceptance.kit import Place, Ran, until

from coderun.model.coderun import RunPhase
from coderun.runtime import proc

BROKEN = {
    "coderun.yaml": ("coderun.yaml", "plai: 3\n", "coderun.yaml:1:1: plai: unknown key"),
    "a template": (".coderun/templates/nonsense/x.hbs", "x\n", "is no template of a run"),
}


async def _waiting_for_a_merge(place: Place) -> None:
    place.configure(play={"autoMerge": False})
    ended = await place.coderun("play", "--task", "1", "--plain")
    assert ended.code == 3, ended.said


@pytest.mark.parametrize("what", list(BROKEN))
async def test_plays_are_shown_and_aborted_though_the_configuration_is_broken(place: Place, what: str) -> None:
    await _waiting_for_a_merge(place)
    name, text, problem = BROKEN[what]
    place.write(name, text)
    assert (await place.coderun("play", "--task", "1")).code == 2
    for words in (("get",), ("why", "1"), ("logs", "1"), ("up", "--stop"), ("abort", "1")):
        ended = await place.coderun(*words)
        assert ended.code == 0, ended.said
        assert ended.err.startswith("warning: "), ended.said
        assert problem in ended.err, ended.said
    assert (await place.coderun("pr", "list", "-o", "name")).out == "1\n"
    assert (await place.play()).spec.abort_requested


async def test_plays_are_shown_and_aborted_at_a_detached_head(place: Place) -> None:
    await _waiting_for_a_merge(place)
    place.git("checkout", "--quiet", "--detach")
    for words in (("get",), ("why", "1"), ("abort", "1")):
        ended = await place.coderun(*words)
        assert ended.code == 0, ended.said
    assert (await place.coderun("get", "forge", "-o", "json")).out.count('"base": "main"') == 1


async def test_a_merge_that_no_controller_has_seen_yet_is_not_asked_for_again(place: Place) -> None:
    await _waiting_for_a_merge(place)
    assert "`coderun pr merge 1`" in (await place.why(1))["wouldMove"]
    assert (await place.coderun("pr", "merge", "1")).code == 0
    told = await place.why(1)
    assert told["waitsFor"] == "a controller that sees that pull request #1 is merged"
    assert told["wouldMove"] == "a controller, as none is running: `coderun up`"


async def _agent_without_a_controller(place: Place) -> Ran:
    """An agent at work, whose controller was killed."""
    place.script({"implementation": [{"do": "hold", "until": "never"}]})
    playing = place.start("play", "--task", "1", "--plain")
    agent = await place.until_ran("implementation")
    await place.until_run_is(RunPhase.RUNNING)
    playing.kill()
    return agent


async def test_cancelling_ends_the_agent_though_no_controller_runs(place: Place) -> None:
    agent = await _agent_without_a_controller(place)
    ended = await place.coderun("cancel", "1")
    assert "is being cancelled; its agent is told to end; no controller is running" in ended.out, ended.said
    await until(lambda: proc.identify(agent.pid) is None, "the agent to end", tell=place.tell)
    again = await place.coderun("play", "--task", "1", "--plain")
    assert "cancelled by ada" in again.out, again.said
    assert (await place.until_waits("RunCancelled")).status.runs
    place.assert_ran_once_each()


async def test_aborting_ends_the_agent_though_no_controller_runs(place: Place) -> None:
    agent = await _agent_without_a_controller(place)
    ended = await place.coderun("abort", "1")
    assert "is being aborted; its agent is told to end; no controller is running" in ended.out, ended.said
    await until(lambda: proc.identify(agent.pid) is None, "the agent to end", tell=place.tell)
    again = await place.coderun("play", "--task", "1", "--plain")
    assert again.code == 1, again.said
    assert "what would move it: `coderun retry play-shop-1`" in again.out, again.said
    place.assert_ran_once_each()
