"""The table of permissions: what a run, the controller and an App ask of GitHub."""

from typing import Any

import pytest

from coderun.app.configuration import packaged_roster, packaged_text
from coderun.forge.github.permissions import (
    EVENTS,
    app_needs,
    control_permissions,
    controller_needs,
    covers,
    missing_permissions,
    run_needs,
    run_permissions,
    strongest,
)
from coderun.model.gates import GateKind
from coderun.model.roster import Agent
from coderun.model.yaml import decode, load
from coderun.pipeline.definition import Pipeline

READS = {"checks": "read", "contents": "read", "pull_requests": "read", "statuses": "read"}
WRITER = Agent(name="rex", capabilities=("write-code", "commit"))
REVIEWER = Agent(name="tess", capabilities=("review",))


@pytest.mark.lesson(14)
@pytest.mark.parametrize(
    ("agent", "gates", "more"),
    [
        (WRITER, [GateKind.PULL_REQUEST], {"contents": "write", "pull_requests": "write"}),
        (WRITER, [GateKind.LABEL, GateKind.CHECKS], {"contents": "write", "pull_requests": "write"}),
        (REVIEWER, [GateKind.REVIEW], {"pull_requests": "write"}),
        (REVIEWER, [GateKind.RUN], {}),
        (REVIEWER, [GateKind.MERGED], {}),
        (REVIEWER, [GateKind.PULL_REQUEST], {"contents": "write", "pull_requests": "write"}),
        (Agent(name="x"), [], {"contents": "write"}),
    ],
)
def test_a_run_gets_what_its_gates_ask_for_and_no_more(agent: Agent, gates: list[GateKind], more: dict[str, str]) -> None:
    assert run_permissions(gates, agent) == {**READS, **more}


def test_an_agent_may_change_workflows_only_where_the_roster_says_so() -> None:
    agent = Agent(name="ops", capabilities=("write-code", "write-workflows"))
    assert run_permissions([], agent)["workflows"] == "write"
    assert "workflows" not in run_permissions([], Agent(name="ops", capabilities=("review", "write-workflows")))


def test_every_need_says_what_it_is_for() -> None:
    assert all(need.why for need in run_needs(GateKind, WRITER))
    assert all(EVENTS.values())


def packaged_pipeline() -> Pipeline:
    pipeline: Any = decode(load(packaged_text("pipelines/play.yaml"), name="play.yaml"), Pipeline)
    assert isinstance(pipeline, Pipeline)
    return pipeline


@pytest.mark.parametrize("controls", [True, False])
def test_an_app_holds_what_the_runs_of_its_agent_need_and_one_of_them_what_the_controller_needs(controls: bool) -> None:
    roster, pipeline = packaged_roster(), packaged_pipeline()
    for agent in roster.agents.values():
        held = strongest(app_needs(agent, [agent.role], pipeline, controls=controls))
        for stage in pipeline.stages:
            if stage.role == agent.role:
                assert missing_permissions(held, run_permissions([gate.kind for gate in stage.asked], agent)) == {}
        assert (missing_permissions(held, control_permissions()) == {}) is controls
        assert "administration" not in held
        assert "admin" not in held.values()


def test_the_controllers_app_may_be_told_of_comments() -> None:
    assert strongest(controller_needs()) == {**control_permissions(), "issues": "read"}


def test_what_is_missing_is_named_with_the_level_that_is_wanted() -> None:
    held = {"contents": "read", "checks": "write", "odd": "whatever"}
    assert missing_permissions(held, {"contents": "write", "checks": "read", "statuses": "read"}) == {
        "contents": "write",
        "statuses": "read",
    }
    assert covers("admin", "write")
    assert not covers("", "read")
    assert not covers("whatever", "read")
