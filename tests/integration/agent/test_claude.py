"""Runs with the real Claude Code CLI against the mock model server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coderun.agent.stop import StopCause
from coderun.model.coderun import Budget, CliConfig, RunPhase, RunReport, Verdict
from tests.fakes.claude_cli import find_claude
from tests.fakes.model_server import ModelServer, Script
from tests.integration.agent.conftest import BRANCH, READY, REVIEWED, Bench
from tests.integration.agent.test_work import TESS, ending, opened

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]


def bash(command: str) -> list[dict[str, Any]]:
    return [{"tool": "Bash", "input": {"command": command, "description": "scripted"}}]


def say(text: str) -> list[dict[str, Any]]:
    return [{"text": text}]


RESULT = bash('printf \'{"verdict": "done", "summary": "wrote it"}\' > "$CODERUN_RESULT"')


class ClaudeBench:
    """A bench whose agent is the real CLI, scripted through the model server."""

    def __init__(self, bench: Bench, model: ModelServer, program: str) -> None:
        self.bench = bench
        self.model = model
        self.program = program
        bench.inherited |= {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-ant-dummy-key-of-the-test"}

    async def run(self, script: Script, *, settings: dict[str, Any] | None = None, **changes: Any) -> RunReport:
        name = f"step-{len(self.model.scripts)}"
        self.model.scripts[name] = script
        cli = CliConfig(cli_type="claude", settings={"program": self.program, **(settings or {})})
        env = {"CLAUDE_CODE_MAX_RETRIES": "1", **changes.pop("env", {})}
        return await self.bench.run(cli, prompt=f"Do the task. SCRIPT:{name}", env=env, **changes)


@pytest.fixture
async def claude(bench: Bench) -> AsyncIterator[ClaudeBench]:
    program = find_claude()
    async with ModelServer({}) as model:
        yield ClaudeBench(bench, model, program)


def write_hello(bench: Bench, name: str = "hello.py") -> list[dict[str, Any]]:
    return [{"tool": "Write", "input": {"file_path": str(bench.tree / name), "content": "print('hello')\n"}}]


async def test_the_real_cli_writes_a_file_commits_and_gets_its_pull_request(claude: ClaudeBench) -> None:
    bench = claude.bench
    report = await claude.run([write_hello(bench), bash("git add hello.py && git commit -q -m 'Say hello'"), RESULT, say("ok")])

    assert ending(report) == (RunPhase.SUCCEEDED, "Completed"), report.outcome.summary
    assert (report.outcome.verdict, report.outcome.summary) == (Verdict.DONE, "wrote it")
    assert bench.remote_text("hello.py") == "print('hello')"
    assert bench.git(bench.remote, "log", "-1", "--format=%an: %s%b", BRANCH) == "rex: Say hello"
    assert report.usage is not None
    assert (report.usage.turns, report.usage.input_tokens, report.usage.output_tokens) == (4, 440, 80)
    assert report.usage.cost_usd > 0
    assert report.session_id
    assert bench.forge.pulls[1].author.login == "rex[bot]"
