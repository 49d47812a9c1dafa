"""The real Claude Code CLI with the files that the packaged templates make: its settings are taken, its hooks fire."""

import json
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import pytest
from tests.fakes.claude_cli import find_claude
from tests.fakes.model_server import ModelServer
from tests.integration.agent.conftest import Bench
from tests.integration.agent.test_work import ending
from tests.unit.plan.samples import EVERYBODY, FULL, MINIMAL, full_run, minimal_run

from coderun.model.coderun import CliConfig, RunPhase
from coderun.model.gates import Gate, GateKind
from coderun.plan.plan import plan

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]


@pytest.fixture
async def model(bench: Bench) -> AsyncIterator[ModelServer]:
    async with ModelServer({}) as server:
        bench.inherited |= {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-ant-dummy-key-of-the-test"}
        yield server


async def test_the_hooks_send_the_agent_back_to_commit_and_to_hand_over(
    bench: Bench, model: ModelServer, leave_out: Callable[[str, str], NoReturn]
) -> None:
    cli = CliConfig(cli_type="claude", settings={"program": find_claude(leave_out)})
    run = minimal_run("rex", evidence=(Gate(kind=GateKind.PULL_REQUEST),), cli_config=cli)
    made = plan(run, EVERYBODY, MINIMAL, attempt=1)
    files = bench.places("job-1").files
    for name, text in made.files.items():
        (files / name).write_text(text)
    # The name of the file chooses what the model does next: the hook that asks to commit it names it.
    left = {"file_path": str(bench.tree / "SCRIPT:back"), "content": "print('hello')\n"}
    result = 'printf \'{"verdict": "done", "summary": "wrote it"}\' > "$CODERUN_RESULT"'
    model.scripts["work"] = [[{"tool": "Write", "input": left}], [{"text": "All done, I think."}]]
    model.scripts["back"] = [
        [{"tool": "Bash", "input": {"command": "git push origin HEAD", "description": "push"}}],
        [{"tool": "Bash", "input": {"command": "git add SCRIPT:back && git commit -q -m 'Say hello'", "description": "c"}}],
        [{"tool": "Bash", "input": {"command": result, "description": "result"}}],
        [{"text": "Now it is."}],
    ]
    env = {"CLAUDE_CODE_MAX_RETRIES": "1"}
    report = await bench.run(cli, prompt="Do it. SCRIPT:work", env=env, system_prompt=made.order.system_prompt)

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert report.outcome.summary.startswith("wrote it")
    assert "denied to the agent: " in report.outcome.summary
    asked = json.dumps(model.requests()[-1])
    assert "These files are not committed:" in asked
    assert "Your result is missing" in asked
    assert bench.git(bench.remote, "log", "-1", "--format=%s", bench.order().branch) == "Say hello"
    assert "You are a senior backend engineer." in json.dumps(model.requests()[0]["system"])
    assert "# Memory of rex for shop" in json.dumps(model.requests()[0]["system"])


async def test_the_agent_is_pointed_to_the_guidelines(
    bench: Bench, model: ModelServer, leave_out: Callable[[str, str], NoReturn]
) -> None:
    cli = CliConfig(cli_type="claude", settings={"program": find_claude(leave_out)})
    made = plan(full_run("rex", cli_config=cli), EVERYBODY, FULL, attempt=1)
    files = bench.places("job-1").files
    for name in ("coding-guidelines.md", "github-guidelines.md"):
        (files / name).write_text(made.files[name])
    model.scripts["work"] = [
        [{"tool": "Read", "input": {"file_path": str(bench.places("job-1").task_dir / "coding-guidelines.md")}}],
        [{"tool": "Write", "input": {"file_path": str(bench.tree / "a.py"), "content": "x = 1\n"}}],
        [{"text": 'Done.\n\n```json\n{"verdict": "done", "summary": "done"}\n```'}],
    ]
    report = await bench.run(cli, prompt="Do it. SCRIPT:work")

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    asked = json.dumps(model.requests()[-1])
    assert "task/coding-guidelines.md" in asked
    assert "# Coding guidelines: shop" in asked
