"""A cluster in which plays run: the fake API server with our kinds, a Job controller, a kubelet of processes, the fake GitHub.

`coderun controller` is a process of its own, and so is everything that runs in a pod: bash, `coderun agent --pod`, git and the
scripted agent. Only the API server, the Job controller and GitHub are not the real ones.
"""

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from tests.acceptance.github_kit import AGENTS, REPOSITORY, GitHubWorld
from tests.acceptance.kit import DEADLINE, ROOT, Command, task, until
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubelet import JobController, ProcessKubelet
from tests.integration.kube.cluster import fake_cluster
from tests.integration.kube.odd_server import connected
from tests.integration.runtime.cluster import short_folder

from coderun.kube.api import Api
from coderun.model.coderun import CodeRun
from coderun.model.play import Play, PlayPhase

PLAYS: Final = "plays.agents.platform"
RUNS: Final = "coderuns.agents.platform"
PLAY: Final = "play-acme-shop-1"
NAMESPACE: Final = "default"
_PROGRAM: Final = '#!/bin/sh\nexec {python} -m coderun.cli.main "$@"\n'


class ClusterWorld(GitHubWorld):
    """A `GitHubWorld` whose plays run in a cluster. Made by `cluster_world`."""

    server: FakeApiServer
    jobs: JobController
    kubelet: ProcessKubelet
    kubelet_root: Path
    api: Api
    kubeconfig: Path

    def prepare(self) -> None:
        """Put the repository and the Apps on GitHub, and write what the controller is told."""
        self.open_hub(task(1, "Sell tea"))
        forge = {key: value for key, value in self.settings["forge"].items() if key != "repository"}
        said = {**self.settings, "forge": forge, "cluster": {"image": "agent:1", "startSeconds": 60}}
        self.write_controller(said)
        for name in AGENTS:
            folder = self.folder / "keys" / name
            folder.mkdir(parents=True)
            (folder / "app-id").write_text(str(self.apps[name].id))
            (folder / "private-key").write_text(self.apps[name].private_key)

    def write_controller(self, said: dict[str, Any]) -> None:
        (self.folder / "controller.yaml").write_text(json.dumps(said), encoding="utf-8")

    def control(self) -> Command:
        """A controller in the background."""
        words = ["controller", "--config", str(self.folder / "controller.yaml"), "--kubeconfig", str(self.kubeconfig)]
        more = ["--namespace", NAMESPACE, "--github-keys", str(self.folder / "keys")]
        return self.start(*words, *more, "--health-host", "127.0.0.1", "--health-port", "0")

    @property
    def repository_url(self) -> str:
        return f"{self.fake.url}/{REPOSITORY}"

    def play_task(self, **spec: Any) -> None:
        """Make the Play of task 1, as a person with kubectl would."""
        said = {"taskId": 1, "repositoryUrl": self.repository_url, "autoMerge": True, "task": {"title": "Sell tea"}, **spec}
        play = {"apiVersion": "agents.platform/v1", "kind": "Play", "metadata": {"name": PLAY}, "spec": said}
        self.server.objects.create(play)

    def make_run(self, name: str, **spec: Any) -> None:
        """Make a CodeRun of no play."""
        said = {"taskId": 1, "service": "shop", "repositoryUrl": self.repository_url, "githubApp": "cleo", **spec}
        run = {"apiVersion": "agents.platform/v1", "kind": "CodeRun", "metadata": {"name": name}, "spec": said}
        self.server.objects.create(run)

    def play_now(self) -> Play | None:
        found = self.server.objects.get(PLAYS, NAMESPACE, PLAY)
        return None if found is None else msgspec.convert(found, Play, strict=False)

    def runs_of(self, play: Play) -> list[CodeRun]:
        """The CodeRuns of a play, in order."""
        return [run for one in play.status.runs if (run := self.run_now(one.name)) is not None]

    def run_now(self, name: str) -> CodeRun | None:
        found = self.server.objects.get(RUNS, NAMESPACE, name)
        return None if found is None else msgspec.convert(found, CodeRun, strict=False)

    async def until_cluster_play(self, holds: Callable[[Play], object], what: str, *, within: float = DEADLINE) -> Play:
        def look() -> Play | None:
            play = self.play_now()
            return play if play is not None and holds(play) else None

        return await until(look, what, within=within, tell=self.tell)

    async def until_done(self, *, within: float = 2 * DEADLINE) -> Play:
        return await self.until_cluster_play(lambda play: play.status.phase is PlayPhase.SUCCEEDED, "the merge", within=within)

    async def until_run(self, name: str, holds: Callable[[CodeRun], object], what: str) -> CodeRun:
        def look() -> CodeRun | None:
            run = self.run_now(name)
            return run if run is not None and holds(run) else None

        return await until(look, f"{what} of {name}", within=DEADLINE, tell=self.tell)

    def pods(self) -> list[dict[str, Any]]:
        return self.server.objects.all("pods", NAMESPACE)

    def tell(self) -> str:
        """All that is known, for a test that waits in vain."""
        kinds = (PLAYS, RUNS, "jobs.batch", "pods")
        objects = [
            f"{kind} {one['metadata']['name']}: {json.dumps(one.get('status'))}"
            for kind in kinds
            for one in self.server.objects.all(kind, NAMESPACE)
        ]
        return "\n".join([*objects, *(command.said[-4000:] for command in self.commands), str(self.ran())])


@contextlib.asynccontextmanager
async def cluster_world(folder: Path) -> AsyncIterator[ClusterWorld]:
    """A cluster and a GitHub, with nothing running in either yet."""
    world = ClusterWorld(folder)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(world.clear_up)
        world.server = await stack.enter_async_context(fake_cluster())
        world.kubeconfig = world.server.kubeconfig(folder / "kubeconfig")
        root = stack.enter_context(short_folder())
        program = root / "bin" / "coderun"
        program.parent.mkdir()
        program.write_text(_PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }
        world.api = Api(await stack.enter_async_context(connected(world.kubeconfig)))
        world.jobs = await stack.enter_async_context(JobController(world.api))
        world.kubelet_root = root / "pods"
        world.kubelet = ProcessKubelet(
            world.api,
            root=world.kubelet_root,
            environment=environment,
            say=world.server.logs.append,
            ended=world.server.logs.end,
        )
        await stack.enter_async_context(world.kubelet)
        world.prepare()
        yield world
