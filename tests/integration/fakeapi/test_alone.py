"""`python -m tests.fakes.apiserver`: tells how it is reached, answers, and ends when told to."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import yaml
from tests.contracts.apiserver_contract import CRD, WIDGETS

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60


async def test_the_fake_runs_alone_with_the_kinds_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "crd.yaml").write_text(CRD, encoding="utf-8")
    arguments = ("--kubeconfig", str(tmp_path / "config"), str(tmp_path / "crd.yaml"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.apiserver", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = (await asyncio.wait_for(process.stdout.readuntil(b"http://"), WAIT_SECONDS)) + await process.stdout.readline()
        url = re.search(r"http://\S+", told.decode())
        assert url is not None
        config = yaml.safe_load((tmp_path / "config").read_text(encoding="utf-8"))
        assert config["clusters"][0]["cluster"]["server"] == url[0]
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{url[0]}{WIDGETS}/widgets") as response:
            assert (response.status, (await response.json())["items"]) == (200, [])
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
