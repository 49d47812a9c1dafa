"""Whole runs against the real local forge: its hooks take the runner's push, and what the runner says is there afterwards."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from tests.fakes.claude_cli import find_claude
from tests.fakes.model_server import ModelServer
from tests.integration.agent.conftest import BRANCH, READY, REVIEWED, Bench, ProgramsOfTest
from tests.integration.agent.test_work import COMMIT, ending

from coderun.agent.program import run_program
from coderun.agent.work import carry_out
from coderun.forge.local import LocalForge
from coderun.model.coderun import CliConfig, PullRequestRef, RunPhase, RunReport
from coderun.model.pulls import PullRequest, ReviewState
from coderun.plan.order import AgentIdentity, ForgeRef, RunOrder


class ForgeBench:
    """A bench whose repository is the local forge's."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.folder / "state" / "forge"

    async def init(self) -> None:
        await LocalForge.init(
            self.folder, source_repository=self.bench.person, base_branch="main", hook_python=Path(sys.executable)
        )

    async def run(self, agent: str, cli: CliConfig, **changes: object) -> RunReport:
        identity = AgentIdentity(name=agent, login=f"{agent}[bot]", email=f"{agent}@agents.local")
        ref = ForgeRef(kind="local", location=str(self.folder), repository=str(self.folder / "repo.git"))
        order = msgspec.structs.replace(self.bench.order(cli=cli, agent=identity, forge=ref), **changes)
        return await self.carry_out(order)

    async def carry_out(self, order: RunOrder) -> RunReport:
        bench, places = self.bench, self.bench.places(order.job)
        person = LocalForge.open(self.folder)
        token = await person.issue_token(order.agent.login, order.job)
        person.close()
        places.token.write_text(token)
        forge = LocalForge.open(self.folder, token=token)
        programs = ProgramsOfTest(run=run_program, log=bench.log)
        try:
            return await carry_out(
                order, places, programs, bench.stop, forge=forge, inherited=bench.inherited, clock=bench.clock
            )
        finally:
            forge.close()

    async def pull_request(self) -> PullRequest:
        person = LocalForge.open(self.folder)
        found = await person.get_pull_request(1)
        person.close()
        assert found is not None
        return found


@pytest.fixture
async def place(bench: Bench) -> ForgeBench:
    made = ForgeBench(bench)
    await made.init()
    return made


async def test_three_agents_bring_a_task_to_its_approval(place: ForgeBench) -> None:
    script = place.bench.script
    first = await place.run("rex", script(COMMIT + "result('done', 'It says hello.')"))
    second = await place.run("cleo", script("commit('lint.txt', '1')"), evidence=READY, pull_request=PullRequestRef(number=1))
    third = await place.run(
        "tess", script("result('approve', 'ran it')"), evidence=REVIEWED, pull_request=PullRequestRef(number=1)
    )

    for report in (first, second, third):
        assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    pull = await place.pull_request()
    assert (pull.author.login, pull.head_branch, pull.markers) == ("rex[bot]", BRANCH, (1,))
    assert {mark.name: mark.actor.login for mark in pull.labels} == {"task-1": "rex[bot]", "ready-for-qa": "cleo[bot]"}
    assert [(review.state, review.actor.login) for review in pull.reviews] == [(ReviewState.APPROVED, "tess[bot]")]
    assert [push.actor.login for push in pull.pushes] == ["rex[bot]", "cleo[bot]"]
    assert first.head_sha != second.head_sha == third.head_sha == pull.head_sha


async def test_an_agent_does_not_approve_its_own_pull_request_and_leaves_a_comment(place: ForgeBench) -> None:
    await place.run("rex", place.bench.script(COMMIT))
    number = PullRequestRef(number=1)
    report = await place.run("rex", place.bench.script("result('approve')"), evidence=REVIEWED, pull_request=number)

    assert ending(report) == (RunPhase.FAILED, "OwnPullRequest")
    assert "rex[bot] opened pull request #1 itself, and nobody reviews their own" in report.outcome.summary
    assert [review.state for review in (await place.pull_request()).reviews] == [ReviewState.COMMENTED]


async def test_a_change_request_is_repeated_by_no_second_run(place: ForgeBench) -> None:
    await place.run("rex", place.bench.script(COMMIT))
    changes = "result('request-changes', 'It crashes.')"
    for _ in range(2):
        report = await place.run("tess", place.bench.script(changes), evidence=REVIEWED, pull_request=PullRequestRef(number=1))
        assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary

    assert [review.state for review in (await place.pull_request()).reviews] == [ReviewState.CHANGES_REQUESTED]


@pytest.fixture
async def model(bench: Bench) -> AsyncIterator[ModelServer]:
    async with ModelServer({}) as server:
        bench.inherited |= {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-ant-dummy-key-of-the-test"}
        yield server


@pytest.mark.claude
async def test_the_real_cli_brings_a_task_to_a_pull_request_on_the_local_forge(
    place: ForgeBench, model: ModelServer, leave_out: Callable[[str, str], NoReturn]
) -> None:
    program = find_claude(leave_out)
    hello = {"file_path": str(place.bench.tree / "hello.py"), "content": "print(1)"}
    add = {"command": "git add hello.py && git commit -q -m 'Say hello'", "description": "commit"}
    model.scripts["work"] = [
        [{"tool": "Write", "input": hello}],
        [{"tool": "Bash", "input": add}],
        [{"text": 'Done.\n\n```json\n{"verdict": "done", "summary": "It says hello."}\n```'}],
    ]
    cli = CliConfig(cli_type="claude", settings={"program": program})
    report = await place.run("rex", cli, prompt="SCRIPT:work")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    pull = await place.pull_request()
    assert (pull.author.login, pull.title, pull.head_sha) == ("rex[bot]", "task 1: Say hello", report.head_sha)
    assert "It says hello." in pull.body
