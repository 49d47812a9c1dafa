"""What a run needs beside its files: precedence as tables, and rubbish with the field named."""

import base64
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.plan.samples import MINIMAL, ROSTER, minimal_run

from coderun.model.coderun import CodeRun, SecretEnvVar
from coderun.model.errors import InvalidCodeRunError
from coderun.model.names import LABEL_PLAY, LABEL_WORKFLOW
from coderun.model.roster import Agent
from coderun.plan.needs import MAX_REQUIREMENTS, Needed, needed_by
from coderun.plan.order import Owner, PodNeeds
from coderun.plan.plan import labels_of, owner_of, plan

REX = Agent(name="rex")


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def needs(agent: Agent = REX, **spec: Any) -> Needed:
    return needed_by(minimal_run("rex", **spec), agent)


def secret(name: str, of: str = "shop", key: str = "k") -> SecretEnvVar:
    return SecretEnvVar(name=name, secret_name=of, secret_key=key)


def test_a_run_that_says_nothing_needs_nothing() -> None:
    assert needs() == Needed(env={}, pod=PodNeeds())


@pytest.mark.lesson(44)
def test_task_requirements_are_laid_over_env_and_lose_nothing_of_it() -> None:
    text = "environment: {B: two, N: 3, F: 0.5, YES: true}\nsecrets:\n- name: db\n  keys: [{password: DB_PASSWORD}]\n"
    found = needs(env={"A": "one", "B": "old"}, env_from_secrets=(secret("T"),), task_requirements=coded(text))
    assert found.env == {"A": "one", "B": "two", "N": "3", "F": "0.5", "YES": "true"}
    assert found.pod.secret_env == (secret("T"), secret("DB_PASSWORD", "db", "password"))


@pytest.mark.parametrize(
    ("env", "from_secrets", "requirements", "winner"),
    [
        ({"X": "1"}, (secret("X"),), "", secret("X")),
        ({"X": "1"}, (secret("X"),), "environment: {X: r}", "r"),
        ({"X": "1"}, (secret("X"),), "environment: {X: r}\nsecrets: [{name: s, keys: [{k: X}]}]", secret("X", "s")),
        ({}, (secret("X", "a"), secret("X", "b")), "", secret("X", "b")),
    ],
)
def test_the_later_place_wins_whatever_kind_it_is(
    env: dict[str, str], from_secrets: tuple[SecretEnvVar, ...], requirements: str, winner: str | SecretEnvVar
) -> None:
    found = needs(env=env, env_from_secrets=from_secrets, task_requirements=coded(requirements) if requirements else "")
    if isinstance(winner, str):
        assert (found.env, found.pod.secret_env) == ({"X": winner}, ())
    else:
        assert (found.env, found.pod.secret_env) == ({}, (winner,))


def test_a_secret_without_keys_gives_all_its_keys_once() -> None:
    found = needs(task_requirements=coded("secrets: [{name: all.of.it}, {name: all.of.it}]"))
    assert found.pod.secret_sets == ("all.of.it",)


def test_requirements_that_are_empty_or_wrapped_are_fine() -> None:
    wrapped = "\n".join(coded("environment: {A: b}"))
    assert needs(task_requirements=wrapped).env == {"A": "b"}
    assert needs(task_requirements=coded("# nothing\n")).env == {}
    assert needs(task_requirements="  \n").env == {}


def test_requirements_that_others_read_are_let_pass() -> None:
    assert needs(task_requirements=coded("environment: {A: b}\nruntime: {node: 22}\nnotes: [x]")).env == {"A": "b"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"task_requirements": "!!!"}, "spec.taskRequirements is no base64 of a text"),
        ({"task_requirements": base64.b64encode(b"\xff\xfe").decode()}, "spec.taskRequirements is no base64 of a text"),
        ({"task_requirements": "QUJD" * MAX_REQUIREMENTS}, "spec.taskRequirements has more than 256 KiB"),
        ({"task_requirements": coded("a: [")}, "spec.taskRequirements cannot be used: taskRequirements:2:1: not valid YAML"),
        ({"task_requirements": coded("environment: [A]")}, "taskRequirements:1:14: environment: expected"),
        ({"task_requirements": coded("environment: {A: {b: c}}")}, "environment.A: expected"),
        ({"task_requirements": coded("secrets: [{name: S}]")}, "names Secret 'S', which cannot be the name of a Secret"),
        ({"task_requirements": coded("secrets: [{name: s, keys: [{k: PATH=}]}]")}, "sets 'PATH=', which is no variable"),
        ({"task_requirements": coded("enviroment: {A: b}")}, "has 'enviroment', which nobody reads; write 'environment'"),
        ({"task_requirements": coded("Secret: [{name: s}]")}, "has 'Secret', which nobody reads; write 'secrets'"),
        ({"task_requirements": coded("environment: {HOME: /x}")}, "spec.taskRequirements: environment sets 'HOME'"),
        ({"env": {"CODERUN_ROLE": "king"}}, "spec.env sets 'CODERUN_ROLE', which is no variable that a run may set"),
        ({"env": {"my-var": "1"}}, "spec.env sets 'my-var', which is no variable that a run may set"),
        ({"env": {"A": "x\0y"}}, "spec.env sets 'A' to a text with a NUL in it"),
        ({"env_from_secrets": (secret("HOME"),)}, "spec.envFromSecrets[0] sets 'HOME'"),
        ({"env_from_secrets": (secret("A"), secret("CODERUN_RUN"))}, "spec.envFromSecrets[1] sets 'CODERUN_RUN'"),
        ({"env_from_secrets": (secret("A", "no/secret"),)}, "names Secret 'no/secret'"),
        ({"env_from_secrets": (secret("A", key="a b"),)}, "names key 'a b', which cannot be a key of a Secret"),
        ({"service_account_name": "admin"}, "does not grant agent 'rex' (granted: none)"),
    ],
)
def test_rubbish_is_refused_with_its_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCodeRunError) as failure:
        needs(**spec)
    assert message in str(failure.value)
    assert "CodeRun 'run-7-rex': spec." in str(failure.value)


def test_what_is_wrong_with_the_needs_of_a_run_is_wrong_with_its_plan() -> None:
    with pytest.raises(InvalidCodeRunError, match="taskRequirements"):
        plan(minimal_run("rex", task_requirements="%"), ROSTER, MINIMAL, attempt=1)


@pytest.mark.lesson(28)
def test_a_service_account_is_the_rosters_to_grant() -> None:
    tess = Agent(name="tess", service_account="coderun-tess")
    assert needs(tess).pod.service_account == "coderun-tess"
    assert needs(tess, service_account_name="coderun-tess").pod.service_account == "coderun-tess"
    with pytest.raises(InvalidCodeRunError, match=r"is 'admin', which the roster does not grant .*granted: 'coderun-tess'"):
        needs(tess, service_account_name="admin")


@pytest.mark.lesson(43)
def test_the_plan_of_a_stored_run_names_its_owner() -> None:
    run = minimal_run("rex")
    assert owner_of(run) is None
    stored = replace(run, metadata=replace(run.metadata, uid="u-1", namespace="agents"))
    owner = Owner(api_version="agents.platform/v1", kind="CodeRun", name="run-7-rex", uid="u-1", namespace="agents")
    assert plan(stored, ROSTER, MINIMAL, attempt=1).owner == owner


def test_labels_are_values_that_a_cluster_takes() -> None:
    run = minimal_run("rex", stage="my stage!")
    labels = {LABEL_WORKFLOW: "play-7", LABEL_PLAY: "p" * 70}
    made: CodeRun = replace(run, metadata=replace(run.metadata, labels=labels))
    found = labels_of(made, REX)
    assert found["workflow-name"] == "play-7"
    assert found["agents.platform/stage"].startswith("my-stage-")
    assert len(found["agents.platform/play"]) <= 63
    assert "workflow-name" not in labels_of(run, REX)
