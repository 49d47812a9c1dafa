"""Whole plays on a real cluster: our chart, RBAC, `restricted`, real pods; GitHub is the fake one."""

import json
import subprocess
import sys

from tests.acceptance.github_kit import AGENTS, REPOSITORY
from tests.cluster.company import DEADLINE, DONE, Company


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


def test_a_person_runs_one_agent_from_their_desk_without_a_play(company: Company) -> None:
    where = ("--kubeconfig", str(company.cluster.kubeconfig), "--namespace", company.namespace)
    words = [sys.executable, "-m", "coderun.cli.main", *where, "run", "--agent", "rex", "--task", "11", "-o", "json"]
    ended = subprocess.run(
        words,
        cwd=company.hub.repository,
        env=company.hub.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )

    assert ended.returncode == 0, f"{ended.stderr}\n{company.tell()}"
    run = json.loads(ended.stdout)
    assert (run["metadata"]["name"], run["status"]["phase"]) == ("run-shop-11-rex-1", "Succeeded")
    pulls = list(company.hub.fake.repo(REPOSITORY).pulls.values())
    (pull,) = [one for one in pulls if "task-11" in {label.name for label in one.labels}]
    assert (pull.author.login, pull.state.lower()) == (company.hub.login("rex"), "open")
    assert [start.run for start in company.director.starts if start.task == 11] == ["run-shop-11-rex-1"]
    assert company.cluster.kubectl("get", "plays", "-n", company.namespace, "-o", "name") == ""


def test_the_installed_controller_says_what_it_would_do_and_does_nothing(company: Company) -> None:
    company.director.script = {"12:implementation": [{"do": "hold", "until": "looked"}, {"do": "commit"}, DONE]}
    name = company.play(12)
    company.until_started(12, "implementation")
    dry_run = ("coderun", "controller", "--config", "/etc/coderun/config/coderun.yaml", "--dry-run")

    said = company.cluster.kubectl("exec", "deployment/coderun", "-n", company.namespace, "--", *dry_run)

    assert said == f"namespace {company.namespace}: nothing would be done now\n", "its agent is at work"
    assert company.occasions(12) == [("implementation", 1, 1)]
    company.director.released.add("looked")
    company.until_merged(name)
    company.assert_ran_once_each(12)
