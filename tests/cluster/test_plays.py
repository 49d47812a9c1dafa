"""Whole plays on a real cluster: our chart, RBAC, `restricted`, real pods; GitHub is the fake one."""

import json

from tests.acceptance.github_kit import AGENTS
from tests.cluster.company import Company


def test_a_task_goes_from_implementation_to_merge_in_three_pods(company: Company) -> None:
    name = company.play(1)
    play = company.until_merged(name)

    assert company.occasions(1) == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    pull = company.hub.on_hub(play["status"]["pullRequest"]["number"])
    rex, cleo, tess = (company.hub.login(agent) for agent in AGENTS)
    assert (pull.author.login, pull.merged_by.login if pull.merged_by else "") == (rex, rex)
    labeled = [(event.label.name, event.actor.login) for event in pull.events if event.label and event.kind == "labeled"]
    assert {("task-1", rex), ("ready-for-qa", cleo)} <= set(labeled)
    assert [(review.author.login, review.state.lower()) for review in pull.reviews] == [(tess, "approved")]
    claims = json.loads(company.cluster.kubectl("get", "pvc", "-n", company.namespace, "-o", "json"))["items"]
    assert {claim["metadata"]["name"] for claim in claims} == {f"workspace-shop-{agent}" for agent in AGENTS}
