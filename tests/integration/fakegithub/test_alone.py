"""`python -m tests.fakes.github`: tells how it is reached, answers, and ends when told to."""

import asyncio
import re
import signal
import sys
from pathlib import Path

from tests.integration.fakegithub.desk import git

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60


async def test_the_fake_runs_alone_and_says_how_to_reach_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.github", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = (await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C"), WAIT_SECONDS)).decode()
        url, token = re.search(r"http://\S+\.git", told), re.search(r"ghp_\w+", told)
        assert url is not None
        assert token is not None
        cloned = await git("clone", "-q", url[0], str(tmp_path / "clone"), token=token[0])
        assert cloned == (0, "")
        assert (tmp_path / "clone" / "README.md").read_text(encoding="utf-8") == "# demo\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
