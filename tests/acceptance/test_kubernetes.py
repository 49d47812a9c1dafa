"""Whole plays in a cluster: three agents, each in a pod of its own, with a controller that may die at any time."""

import base64
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.cluster_kit import PLAYS, RUNS, ClusterWorld, cluster_world
from tests.acceptance.github_kit import AGENTS, BRANCH
from tests.acceptance.kit import reasons, until
from tests.fakes.apiserver.errors import StatusError

from coderun.model.coderun import RunPhase

DONE = {"do": "verdict", "verdict": "done"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ClusterWorld]:
    async with cluster_world(tmp_path / "world") as made:
        yield made


def condition(run: Any) -> tuple[str, str]:
    (ready,) = [one for one in run.status.conditions if one.type == "Ready"]
    return ready.reason, ready.message


@pytest.mark.lesson(10)
async def test_a_task_goes_from_implementation_to_merge_in_three_pods(world: ClusterWorld) -> None:
    world.control()
    world.play_task()

    play = await world.until_done()

    assert reasons(play) == [
        *("Started", "RunCreated", "PullRequestFound", "StagePassed", "RunCreated", "StagePassed", "RunCreated"),
        *("StagePassed", "Merged"),
    ]
    assert world.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    pull = world.on_hub()
    rex, cleo, tess = (world.login(name) for name in AGENTS)
    assert (pull.author.login, pull.merged_by.login if pull.merged_by else "") == (rex, rex)
    assert world.labels() == {"task-1", "ready-for-qa", "service-shop", "run-play-acme-shop-1"}
    assert [(review.author.login, review.state.lower()) for review in pull.reviews] == [(tess, "approved")]
    assert [event.actor.login for event in pull.events if event.label and event.label.name == "ready-for-qa"] == [cleo]
    claims = {one["metadata"]["name"] for one in world.server.objects.all("persistentvolumeclaims")}
    assert claims == {"workspace-shop-rex", "workspace-shop-cleo", "workspace-shop-tess"}
    runs = world.runs_of(play)
    assert [run.status.phase for run in runs] == [RunPhase.SUCCEEDED] * 3
    assert all(run.status.configmap_name.startswith(run.status.job_name) for run in runs)


@pytest.mark.lesson(39)
async def test_a_controller_that_is_killed_while_an_agent_works_is_followed_by_one_that_finds_its_result(
    world: ClusterWorld,
) -> None:
    world.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    first = world.control()
    world.play_task()
    await world.until_ran("implementation")

    first.kill()
    world.release("go")
    await until(lambda: all(pod["status"]["phase"] == "Succeeded" for pod in world.pods()), "the end of the pod")
    world.control()

    await world.until_done()
    world.assert_ran_once_each()


async def test_a_push_by_a_person_stops_the_pod_that_tests_and_restarts_quality(world: ClusterWorld) -> None:
    world.script({"testing/1/1": [{"do": "hold", "until": "never"}, {"do": "verdict", "verdict": "approve"}]})
    world.control()
    world.play_task()
    await world.until_ran("testing")

    head = world.push(BRANCH, "README.md", "# Shop\n\nWe sell tea.\n")
    world.script({})

    play = await world.until_done()
    assert "Push" in reasons(play)
    assert world.on_hub().head_sha == head
    (stopped,) = [run for run in world.runs_of(play) if run.status.phase is RunPhase.CANCELLED]
    assert stopped.status.result is not None
    assert stopped.status.result.summary == stopped.spec.cancel_requested


@pytest.mark.lesson(15)
async def test_work_of_a_drained_node_is_kept_and_the_next_attempt_goes_on_from_it(world: ClusterWorld) -> None:
    hold = {"do": "hold", "until": "never"}
    world.script({"implementation/1/1": [{"do": "commit", "text": "half of it\n"}, {"do": "write", "file": "rest.txt"}, hold]})
    world.control()
    world.play_task()
    await world.until_ran("implementation")
    await until(lambda: list(world.kubelet_root.rglob("rest.txt")), "work in the worktree", tell=world.tell)

    (pod,) = world.pods()
    await world.kubelet.evict(pod["metadata"]["name"])

    play = await world.until_done()
    first = world.runs_of(play)[0]
    assert condition(first)[0] == "Interrupted"
    assert "it was evicted (its node is being drained)" in condition(first)[1]
    assert world.occasions()[:2] == [("implementation", 1, 1), ("implementation", 1, 2)]
    assert world.file_on("main", "work-1.txt").startswith("half of it")


@pytest.mark.lesson(14)
async def test_a_token_that_ends_during_a_run_is_replaced_in_its_pod(world: ClusterWorld) -> None:
    world.script({"implementation": [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]})
    world.control()
    world.play_task()
    await world.until_ran("implementation")

    assert world.do(world.fake.expire_tokens) > 0
    world.release("go")

    await world.until_done(within=180)
    world.assert_ran_once_each()
    said = json.dumps([world.server.objects.all(kind) for kind in ("pods", "jobs.batch", "configmaps", RUNS, PLAYS)])
    assert "ghs_" not in said


async def test_two_runs_that_want_one_workspace_take_turns(world: ClusterWorld) -> None:
    world.script({"run": [{"do": "hold", "until": "go"}, DONE], "quality": [{"do": "hold", "until": "go"}, DONE]})
    world.control()
    world.make_run("first-1")
    await world.until_run("first-1", lambda run: run.status.phase is RunPhase.RUNNING, "the start")
    world.make_run("second-1", taskId=2)

    waiting = await world.until_run("second-1", lambda run: run.status.conditions, "a condition")

    assert condition(waiting) == ("WorkspaceBusy", waiting.status.message)
    assert "first-1" in waiting.status.message
    assert len(world.pods()) == 1
    world.release("go")
    for name in ("first-1", "second-1"):
        await world.until_run(name, lambda run: run.status.work_completed, "the end")


@pytest.mark.lesson(3)
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"githubApp": "5DLabs-Max"}, "names GitHub App '5DLabs-Max', which is not in the roster"),
        ({"taskRequirements": base64.b64encode(b"\xff").decode()}, "spec.taskRequirements is no base64 of a text"),
        ({"taskRequirements": base64.b64encode(b"a: [").decode()}, "spec.taskRequirements cannot be used"),
        ({"enableDocker": True}, "spec.enableDocker asks for a Docker daemon, which this installation does not allow"),
        ({"serviceAccountName": "admin"}, "which the roster does not grant agent 'cleo'"),
    ],
)
async def test_a_run_that_can_never_run_gets_a_condition_and_others_are_not_held_up(
    world: ClusterWorld, spec: dict[str, Any], words: str
) -> None:
    world.control()
    world.make_run("bad-1", **spec)
    world.make_run("good-1")

    bad = await world.until_run("bad-1", lambda run: run.status.work_completed, "the end")

    assert (bad.status.phase, condition(bad)[0]) == (RunPhase.FAILED, "InvalidSpec")
    assert words in condition(bad)[1]
    await world.until_run("good-1", lambda run: run.status.work_completed, "the end")
    assert {pod["metadata"]["labels"]["agents.platform/coderun"] for pod in world.pods()} == {"good-1"}


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("x" * 300, {}, "metadata.name"),
        ("a", {"taskId": 0}, "spec.taskId"),
        ("a", {"service": "My Service"}, "spec.service"),
        ("a", {"taskRequirements": "!!!"}, 'spec.taskRequirements: Invalid value: "!!!": taskRequirements must be base64'),
    ],
)
def test_what_the_api_server_can_refuse_it_refuses_with_the_field_named(
    world: ClusterWorld, name: str, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(StatusError) as refusal:
        world.make_run(name, **spec)
    assert words in str(refusal.value)


async def test_a_missing_secret_holds_a_run_up_by_name_and_the_run_gets_it_once_it_is_there(world: ClusterWorld) -> None:
    world.script({"quality": [{"do": "tell", "to": "told"}, DONE]})
    world.control()
    asked = [{"name": "DB_PASSWORD", "secretName": "db", "secretKey": "password"}]
    world.make_run("needy-1", envFromSecrets=asked, env={"PLAIN": "yes"})

    waiting = await world.until_run("needy-1", lambda run: "db" in run.status.message, "the word db")

    assert (waiting.status.phase, condition(waiting)) == (
        RunPhase.PENDING,
        ("Starting", "container 'agent' cannot be started: secret \"db\" not found"),
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": "aHVudGVyMg=="}}
    world.server.objects.create(secret)
    await world.until_run("needy-1", lambda run: run.status.phase is RunPhase.SUCCEEDED, "success")
    environment = world.told("told")["environment"]
    assert (environment["DB_PASSWORD"], environment["PLAIN"]) == ("hunter2", "yes")
    assert not [name for name in environment if name.startswith("CODERUN_SECRET_")]


async def test_a_controller_that_is_told_to_stop_leaves_agents_at_work(world: ClusterWorld) -> None:
    world.script({"quality": [{"do": "hold", "until": "go"}, DONE]})
    controller = world.control()
    world.make_run("long-1")
    await world.until_ran("quality")

    controller.send(signal.SIGTERM)

    assert await controller.ended() == 0
    assert [pod["status"]["phase"] for pod in world.pods()] == ["Running"]
    world.release("go")
    world.control()
    await world.until_run("long-1", lambda run: run.status.phase is RunPhase.SUCCEEDED, "success")
    world.assert_ran_once_each()
