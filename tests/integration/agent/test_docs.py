"""The example program of docs/agents.md plays its stages as the page says."""

import re
import sys
from pathlib import Path

from tests.integration.agent.conftest import REVIEWED, Bench
from tests.integration.agent.test_work import TESS, ending

from coderun.model.coderun import CliConfig, RunPhase, Verdict
from coderun.plan.order import AgentIdentity

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"


def example(bench: Bench) -> CliConfig:
    found = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    program = bench.folder / found[1]
    program.write_text(found[2], encoding="utf-8")
    return CliConfig(cli_type="command", settings={"command": [sys.executable, str(program)]})


async def test_the_example_agent_of_the_page_implements_and_approves(bench: Bench) -> None:
    cli = example(bench)
    done = await bench.run(cli)
    tess = bench.forge.acting_as("tess[bot]")
    judged = await bench.run(cli, forge=tess, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(done) == (RunPhase.SUCCEEDED, "Completed"), done.outcome.summary
    assert bench.remote_text("notes/task-1.md").startswith("# Task 1: Say hello")
    assert ending(judged) == (RunPhase.SUCCEEDED, "Completed"), judged.outcome.summary
    assert judged.outcome.verdict is Verdict.APPROVE


async def test_the_example_agent_of_the_page_asks_for_changes_where_the_work_is_missing(bench: Bench) -> None:
    rex = AgentIdentity(name="rex", login="rex[bot]", email="rex@agents.local", role="implementation")
    await bench.run("commit('hello.py', '1')", agent=rex)
    tess = bench.forge.acting_as("tess[bot]")
    judged = await bench.run(example(bench), forge=tess, agent=TESS, evidence=REVIEWED, pull_request=bench.reference())

    assert ending(judged) == (RunPhase.SUCCEEDED, "Completed"), judged.outcome.summary
    assert judged.outcome.verdict is Verdict.REQUEST_CHANGES


def test_the_page_names_every_reason_the_code_can_give() -> None:
    text = PAGE.read_text(encoding="utf-8")
    source = Path(__file__).parents[3] / "src" / "coderun" / "agent"
    files = [*source.glob("*.py"), *source.glob("adapters/*.py")]
    raised = {
        name for file in files for name in re.findall(r'RunFailedError\(\s*"([A-Z]\w+)"', file.read_text(encoding="utf-8"))
    }

    assert len(raised) > 10
    assert {name for name in raised if f"`{name}`" not in text} == set()
