"""`python -m tests.fakes.github`: tells how it is reached, answers, and ends when told to."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.fakegithub.desk import git

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[str]:
    """The fake, running alone with webhooks; what it tells."""
    options = ("--webhook-url", "http://127.0.0.1:9/github/webhook")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.github", *options), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C"), WAIT_SECONDS)).decode()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0


@pytest.mark.slow
async def test_what_the_fake_tells_brings_a_first_play_to_its_merge(told: str, tmp_path: Path) -> None:
    [set_up] = re.findall(r"^  (git clone .*?^END)$", told, re.MULTILINE | re.DOTALL)
    [enter] = re.findall(r"^  (cd demo && .*)$", told, re.MULTILINE)
    [agent] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "agents.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "agent.py").write_text(agent, encoding="utf-8")
    (tmp_path / "coderun").write_text(f'#!/bin/sh\nexec {sys.executable} -m coderun.cli.main "$@"\n', encoding="utf-8")
    (tmp_path / "coderun").chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    async def typed(script: str) -> tuple[int | None, str]:
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-ec", script),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(shell.communicate(), 240)
        return shell.returncode, said.decode()

    code, checked = await typed(f"{set_up}\ncoderun github check --no-ping")
    assert code == 0, checked
    assert not re.findall(r"^(?!rex: deliveries).*  (?:error|warning) ", checked, re.MULTILINE), checked
    code, played = await typed(f"{enter}\ncoderun play 'Say hello' --auto-merge --agent-command 'python3 ../agent.py'")
    assert code == 0, played
    assert "Merged: pull request #1 is merged by demo-org-rex[bot]" in played


async def test_the_fake_runs_alone_and_says_how_to_reach_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.github", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = (await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C"), WAIT_SECONDS)).decode()
        found = re.search(r"http://x-access-token:(ghp_\w+)@(\S+\.git)", told)
        assert found is not None
        cloned = await git("clone", "-q", f"http://{found[2]}", str(tmp_path / "clone"), token=found[1])
        assert cloned == (0, "")
        assert (tmp_path / "clone" / "README.md").read_text(encoding="utf-8") == "# demo\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
