"""`coderun controller` as a process of its own: probes, metrics, the webhook door, an orderly end, and rehearsals."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fakes.apiserver import FakeApiServer
from tests.integration.app.test_cluster import coderun, play_of
from tests.integration.kube.cluster import fake_cluster
from tests.integration.kube.test_informer import until

pytestmark = pytest.mark.slow
SOURCE = str(Path(__file__).parents[3] / "src")
CONFIG = """
forge: {type: github, url: "http://127.0.0.1:1"}
cluster: {image: "agent:1"}
"""


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": SOURCE, "POD_NAME": "controller-0"}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_cluster() as server:
        yield server


class Controller:
    """A running process and what it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, event: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if line["event"] == event), None)

    async def url(self, event: str) -> str:
        await until(lambda: self.said(event))
        found = self.said(event)
        assert found is not None
        return str(found["url"])


@contextlib.asynccontextmanager
async def controller(server: FakeApiServer, folder: Path, *more: str) -> AsyncIterator[Controller]:
    (folder / "coderun.yaml").write_text(CONFIG)
    kubeconfig = server.kubeconfig(folder / "kubeconfig")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coderun.cli.main", "controller", "--config", str(folder / "coderun.yaml")),
        *("--kubeconfig", str(kubeconfig), "--health-host", "127.0.0.1", "--health-port", "0"),
        *("--github-keys", str(folder / "keys"), *more),
        stdout=asyncio.subprocess.PIPE,
        env=environment(folder),
    )
    running = Controller(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await running.reading


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


def holder(server: FakeApiServer) -> str:
    lease = server.objects.get("leases.coordination.k8s.io", "default", "coderun-controller")
    return "" if lease is None else str(lease["spec"].get("holderIdentity", ""))


async def test_it_answers_probes_leads_and_gives_the_lease_back_on_sigterm(server: FakeApiServer, tmp_path: Path) -> None:
    async with controller(server, tmp_path) as running:
        url = await running.url("health is served")
        assert await get(f"{url}/healthz") == (200, "ok\n")
        await until(lambda: holder(server).startswith("controller-0_"))
        status, metrics = await get(f"{url}/metrics")
        assert status == 200
        assert 'leader_election_master_status{name="coderun-controller"} 1.0' in metrics
        assert (await get(f"{url}/readyz"))[0] == 503  # without keys no namespace can be worked, and that is said
        await until(lambda: running.said("namespace is not worked"))
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0
        assert not holder(server)
    assert running.said("stopped; agents at work go on")


async def test_a_webhook_that_comes_in_is_stored_and_one_without_the_secret_is_not(
    server: FakeApiServer, tmp_path: Path
) -> None:
    server.objects.create(play_of("http://127.0.0.1:1/acme/shop"))
    keys = tmp_path / "keys" / "rex"
    keys.mkdir(parents=True)
    for name, text in (("app-id", "1"), ("private-key", "-----BEGIN RSA PRIVATE KEY-----"), ("webhook-secret", "s3cret")):
        (keys / name).write_text(text)
    body = json.dumps(
        {"repository": {"full_name": "acme/shop", "html_url": "http://127.0.0.1:1/acme/shop"}, "ref": "refs/heads/x"}
    ).encode()
    async with controller(server, tmp_path, "--webhook-host", "127.0.0.1", "--webhook-port", "0") as running:
        url = await running.url("webhooks are taken")
        await until(lambda: running.said("health is served"))

        async def post(secret: str) -> int:
            sign = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers = {
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": "5f2b3c1e-0000-4000-8000-000000000001",
                "X-Hub-Signature-256": f"sha256={sign}",
                "Content-Type": "application/json",
            }
            async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
                return answer.status

        assert await post("wrong") == 401
        status = 503
        async with asyncio.timeout(20):
            while status == 503:  # until it is known which repositories are played
                status = await post("s3cret")
                await asyncio.sleep(0.05)
        assert status == 202


async def test_a_rehearsal_says_what_it_would_do_and_ends(server: FakeApiServer, tmp_path: Path) -> None:
    server.objects.create(coderun())
    server.audit.clear()
    async with controller(server, tmp_path, "--dry-run") as running:
        running.reading.cancel()
        assert running.process.stdout is not None
        with contextlib.suppress(asyncio.CancelledError):
            await running.reading
        running.reading = asyncio.create_task(asyncio.sleep(0))
        async with asyncio.timeout(30):
            code = await running.process.wait()
    assert code == 2  # there are no keys: nothing can be said of plays
    assert server.audit.writes() == []
