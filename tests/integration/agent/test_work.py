"""Whole runs with scripted agents: what ends up on the remote and on the forge, and what the report says."""

from tests.integration.agent.conftest import BRANCH, Bench

from coderun.model.coderun import RunPhase, Verdict


async def test_an_implementation_run_pushes_its_branch_and_opens_the_pull_request(bench: Bench) -> None:
    report = await bench.run("commit('hello.py', 'print(1)')\nresult('done', 'It says hello.')")

    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert report.outcome.verdict is Verdict.DONE
    assert report.outcome.summary == "It says hello."
    assert report.outcome.exit_code == 0
    assert bench.remote_files() == [".coderun/tasks/task-1.json", "README.md", "hello.py"]
    pull = bench.forge.pulls[1]
    assert (pull.title, pull.head_branch, pull.base_branch) == ("task 1: Say hello", BRANCH, "main")
    assert [mark.name for mark in pull.labels] == ["task-1"]
    assert report.pull_request is not None
    assert report.pull_request.number == 1
    assert report.head_sha == bench.remote_head() == report.pull_request.head_sha
    assert bench.git(bench.remote, "log", "-1", "--format=%an <%ae> %cn", BRANCH) == "rex <rex@agents.local> rex"
