"""What happens to clusters in real life happens here in the middle of a play, and the play comes to its end all the same."""

import json
from typing import Any

import pytest
from tests.acceptance.github_kit import REPOSITORY
from tests.cluster.company import DONE, Company

PLATFORM = "/apis/agents.platform/v1/namespaces"
AGENT_PODS = "agents.platform/coderun"
CONTROLLERS = "app.kubernetes.io/component=controller"
HELD = [{"do": "hold", "until": "go"}, {"do": "commit"}, DONE]


def leader(company: Company) -> str:
    """The pod that holds the Lease."""
    lease = company.cluster.get("lease", "coderun-controller", company.namespace)
    holder: str = lease["spec"].get("holderIdentity", "")
    return holder.partition("_")[0]


def runs(company: Company, number: int, namespace: str = "") -> list[dict[str, Any]]:
    """The CodeRuns of a task."""
    words = ("get", "coderuns", "-n", namespace or company.namespace, "-l", f"agents.platform/task-id={number}", "-o", "json")
    found: list[dict[str, Any]] = json.loads(company.cluster.kubectl(*words))["items"]
    return found


def test_a_run_whose_node_is_drained_is_tried_again_when_there_is_a_node(company: Company) -> None:
    company.director.script = {"2:implementation": HELD}
    name = company.play(2)
    company.until_started(2, "implementation")

    company.node.drain(AGENT_PODS)

    def failed() -> dict[str, Any] | None:
        return next((run["status"] for run in runs(company, 2) if run["status"].get("phase") == "Failed"), None)

    status = company.until(failed, "a run that was ended")
    assert "its node is being drained" in json.dumps(status)
    company.director.released.add("go")
    company.node.uncordon()
    company.until_merged(name)
    company.assert_ran_once_each(2)


def test_a_run_whose_node_falls_silent_says_so_and_goes_on_when_the_node_is_back(company: Company) -> None:
    company.director.script = {"10:implementation": HELD}
    name = company.play(10)
    company.until_started(10, "implementation")

    company.node.fall_silent()
    try:

        def told() -> bool | None:
            words = "its node 'node' does not answer: nobody knows whether it goes on"
            return any(words in run["status"].get("message", "") for run in runs(company, 10)) or None

        company.until(told, "a run that says that its node does not answer")
    finally:
        company.node.answer_again()
    company.director.released.add("go")
    company.until_merged(name)
    assert company.occasions(10) == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


@pytest.mark.lesson(29)
def test_when_the_leader_dies_another_goes_on_and_no_agent_runs_twice(company: Company) -> None:
    company.director.script = {"3:implementation": HELD}
    name = company.play(3)
    company.until_started(3, "implementation")
    dead = leader(company)

    company.cluster.kubectl("delete", "pod", dead, "-n", company.namespace, "--grace-period=0", "--force")
    company.director.released.add("go")

    company.until_merged(name)
    assert leader(company) not in {dead, ""}
    assert company.occasions(3) == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


def test_a_play_outlives_an_api_server_that_comes_back_without_its_history(company: Company) -> None:
    company.director.script = {"4:implementation": HELD}
    name = company.play(4)
    company.until_started(4, "implementation")

    company.cluster.restart_apiserver()
    company.cluster.compact_etcd()
    company.director.released.add("go")

    company.until_merged(name)
    assert company.occasions(4) == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


def test_an_app_whose_key_is_replaced_works_on_with_the_new_one(company: Company) -> None:
    company.director.script = {"5:implementation": HELD}
    name = company.play(5)
    company.until_started(5, "implementation")

    for agent in ("rex", "cleo", "tess"):
        company.keep_key(agent, company.hub.do(company.hub.fake.replace_key, company.hub.apps[agent]))
    company.hub.do(company.hub.fake.expire_tokens)
    company.director.released.add("go")

    company.until_merged(name)
    company.assert_ran_once_each(5)


def test_a_quota_that_is_used_up_holds_a_run_up_with_a_reason_until_there_is_room(company: Company) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full", "namespace": company.namespaces[1]},
        "spec": {"hard": {"pods": "0"}},
    }
    company.cluster.apply(quota)
    name = company.play(6, namespace=company.namespaces[1])

    def told() -> str | None:
        texts = [json.dumps(run.get("status", {})) for run in runs(company, 6, company.namespaces[1])]
        return next((text for text in texts if "exceeded quota" in text), None)

    company.until(told, "a run that says that the quota is used up")
    company.cluster.kubectl("delete", "resourcequota", "full", "-n", company.namespaces[1])
    company.until_merged(name, namespace=company.namespaces[1])
    company.assert_ran_once_each(6)


def test_the_same_task_in_two_namespaces_is_two_plays_that_do_not_meet(company: Company) -> None:
    here, there = company.namespaces
    other = company.open_repository("Store")
    names = {company.play(7, namespace=here), company.play(7, namespace=there, repository=other, name="play-shop-7")}
    assert names == {"play-shop-7"}, "the objects have the same names"

    for namespace, repository in ((here, REPOSITORY), (there, other)):
        play = company.until_merged("play-shop-7", namespace=namespace)
        assert play["status"]["pullRequest"]["url"].startswith(f"{company.hub.fake.url}/{repository}/pull/")
    assert {run["metadata"]["name"] for run in runs(company, 7, here)} == {
        run["metadata"]["name"] for run in runs(company, 7, there)
    }
    started = [
        (start.repository.removesuffix(".git").rpartition("/")[2], *start.occasion)
        for start in company.director.starts
        if start.task == 7
    ]
    assert len(started) == len(set(started)) == 6


@pytest.mark.lesson(28)
def test_an_agents_pod_gets_into_the_cluster_only_as_far_as_the_roster_says(company: Company) -> None:
    here = f"/api/v1/namespaces/{company.namespace}"
    elsewhere = f"/api/v1/namespaces/{company.namespaces[1]}/services"
    forbidden = {f"{here}/secrets", f"{here}/pods", elsewhere, "/api/v1/nodes", f"{PLATFORM}/{company.namespace}/plays"}
    paths = [f"{here}/services", *sorted(forbidden)]
    ask = {"do": "ask-cluster", "server": [company.node.network.host, 6443], "paths": paths}
    company.director.script = {
        "8:implementation": [ask, {"do": "commit"}, DONE],
        "8:testing": [ask, {"do": "verdict", "verdict": "approve"}],
    }
    company.until_merged(company.play(8))

    rex, tess = company.director.asked
    assert (rex["account"], set(rex["answers"].values())) == (False, {403}), "it is nobody there"
    assert tess["account"] is True, "the roster grants it an account"
    assert {path for path, status in tess["answers"].items() if status == 403} == forbidden
    assert tess["answers"][f"{here}/services"] == 200, "which may do what the chart was told"
    for asked in (rex, tess):
        assert not [name for name in asked["variables"] if name.startswith(("CODERUN_SECRET", "KUBERNETES_"))]
