"""A cluster for tests of the Job runtime: the fake API server, a small Job controller, and a kubelet of processes.

The "image" of its pods is a folder with a `coderun` that runs the scripted supervisor.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubelet import JobController, ProcessKubelet
from tests.integration.kube.odd_server import connected

from coderun.kube.api import Api
from coderun.kube.manifests import JobSettings
from coderun.runtime.job import JobRuntime, Workloads

ROOT = Path(__file__).parents[3]
SUPERVISOR = Path(__file__).parent / "scripted_supervisor.py"
SETTINGS = JobSettings(image="agent:1", start_seconds=60)


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of it."""

    server: FakeApiServer
    api: Api
    jobs: JobController
    kubelet: ProcessKubelet
    workloads: Workloads
    kubelet_root: Path

    def runtime(self, settings: JobSettings = SETTINGS, **more: Any) -> JobRuntime:
        """A runtime that remembers nothing, on the caches that are there."""
        return JobRuntime(
            self.api, namespace="default", settings=settings, workloads=self.workloads, **{"look_again": 0.2, **more}
        )

    def token_of(self, job: str) -> str:
        """A job's token where its agent reads it."""
        return next(self.kubelet_root.glob(f"*/runs/runs/{job}/token")).read_text(encoding="utf-8")

    def pod_of(self, job: str) -> str:
        """Name of a job's pod."""
        (found,) = [
            pod["metadata"]["name"] for pod in self.server.objects.all("pods") if pod["metadata"]["name"].startswith(job)
        ]
        return str(found)


def image(folder: Path, program: Path) -> dict[str, str]:
    """Variables of containers whose `coderun agent` is `program`."""
    folder.mkdir()
    script = folder / "coderun"
    script.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} {program} "$@"\n')
    script.chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
    }


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name: sockets below it must fit 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="k-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def cluster(tmp_path: Path, program: Path = SUPERVISOR) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(FakeApiServer())
        root = stack.enter_context(short_folder())
        api = Api(await stack.enter_async_context(connected(server.kubeconfig(tmp_path / "kubeconfig"))))
        jobs = await stack.enter_async_context(JobController(api))
        kubelet = ProcessKubelet(
            api,
            root=root / "pods",
            environment=image(root / "bin", program),
            say=server.logs.append,
            ended=server.logs.end,
        )
        await stack.enter_async_context(kubelet)
        workloads = Workloads.of(api, "default")
        await stack.enter_async_context(workloads.kept())
        yield Cluster(server=server, api=api, jobs=jobs, kubelet=kubelet, workloads=workloads, kubelet_root=root / "pods")
