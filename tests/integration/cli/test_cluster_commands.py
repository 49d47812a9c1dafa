"""The commands against a cluster: what people see of plays and runs there, and what they do to them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.fakes.apiserver import FakeApiServer
from tests.integration.app.test_cluster import coderun, running_pod
from tests.integration.kube.cluster import fake_cluster

from coderun.kube.api import MANAGER

pytestmark = pytest.mark.slow
SOURCE = str(Path(__file__).parents[3] / "src")
POD = {"containers": [{"name": "agent", "image": "agent:1"}], "restartPolicy": "Never"}
PLAYS, RUNS = "plays.agents.platform", "coderuns.agents.platform"


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Where a person types: in a repository, with a kubeconfig."""

    def __init__(self, server: FakeApiServer, folder: Path) -> None:
        self.server = server
        self.folder = folder / "shop"
        self._kubeconfig = server.kubeconfig(folder / "kubeconfig")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": SOURCE,
            "KUBECONFIG": str(self._kubeconfig),
            "USER": "ann",
            "LOGNAME": "ann",
        }

    async def run(self, *words: str, choose: tuple[str, ...] = ("--namespace", "default")) -> Said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "coderun.cli.main", *choose, *words),
            cwd=self.folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())

    async def made(self, run: str) -> dict[str, Any]:
        """The CodeRun of that name, as soon as it is there."""
        async with asyncio.timeout(60):
            while (found := self.server.objects.get(RUNS, "default", run)) is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        return found

    def play(self, name: str = "play-acme-shop-7") -> dict[str, Any]:
        found = self.server.objects.get(PLAYS, "default", name)
        assert found is not None
        return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    tasks = folder / ".taskmaster" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "tasks.json").write_text(json.dumps({"tasks": [{"id": 7, "title": "Add a cart", "status": "pending"}]}))
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", "git@github.com:Acme/shop.git"],
        ["add", "."],
        [*person, "commit", "--quiet", "--message=first"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def move_to(folder: Path, forge: str) -> None:
    """Have the repository on another forge."""
    subprocess.run(["git", "remote", "set-url", "origin", f"{forge}/Acme/shop.git"], cwd=folder, check=True)
    (folder / "coderun.yaml").write_text(f"forge: {{type: github, url: {forge}}}\n")


@pytest.fixture
async def shell(repository: Path) -> AsyncIterator[Shell]:
    async with fake_cluster() as server:
        yield Shell(server, repository.parent)


async def test_a_play_is_asked_for_shown_paused_resumed_and_ended(shell: Shell) -> None:
    asked = await shell.run("play", "--task", "7", "--detach")
    assert asked.code == 0, asked.err
    assert "task 7: play-acme-shop-7 starts" in asked.out
    made = shell.play()
    assert made["spec"]["repositoryUrl"] == "https://github.com/Acme/shop"
    assert (made["spec"]["taskId"], made["spec"]["service"], made["spec"]["baseBranch"]) == (7, "shop", "main")
    shown = await shell.run("get")
    assert shown.out.splitlines()[0].split() == ["NAME", "TASK", "PHASE", "STAGE", "ITERATION", "PR", "WAITING"]
    assert shown.out.splitlines()[1].split()[:4] == ["play-acme-shop-7", "7", "Pending", "-"]
    assert (await shell.run("pause", "7")).out.startswith("play play-acme-shop-7: paused")
    assert shell.play()["spec"]["paused"] is True
    assert (await shell.run("resume", "7")).code == 0
    assert not shell.play()["spec"].get("paused", False)
    assert (await shell.run("abort", "play-acme-shop-7")).code == 0
    assert shell.play()["spec"]["abortRequested"] is True
    why = json.loads((await shell.run("why", "7", "-o", "json")).out)
    assert (why["play"], why["phase"]) == ("play-acme-shop-7", "Pending")


async def test_asking_twice_makes_no_second_play(shell: Shell) -> None:
    await shell.run("play", "--task", "7", "--detach")
    again = await shell.run("play", "--task", "7", "--detach")
    assert "is under way already" in again.out
    assert len(shell.server.objects.all(PLAYS, "default")) == 1


async def test_an_agent_runs_once_on_the_pull_request_that_a_play_has(shell: Shell) -> None:
    nothing = await shell.run("run", "-a", "tess", "--task", "7")
    assert nothing.code == 4, nothing.err
    assert "none of task 7 is known in namespace 'default'; `coderun play` makes one" in nothing.err
    await shell.run("play", "--task", "7", "--detach")
    pull = {"number": 3, "url": "https://github.com/acme/shop/pull/3", "headSha": "a" * 40}
    shell.server.objects.set_status(PLAYS, "default", "play-acme-shop-7", {"phase": "Running", "pullRequest": pull})

    running = asyncio.create_task(shell.run("run", "-a", "tess", "--task", "7"))
    made = await shell.made("run-shop-7-tess-1")
    assert made["spec"]["pullRequest"] == pull
    assert (made["spec"]["stage"], made["spec"]["githubApp"]) == ("testing", "5DLabs-Tess")
    ended = {"phase": "Succeeded", "workCompleted": True, "message": "all is well"}
    shell.server.objects.set_status(RUNS, "default", "run-shop-7-tess-1", ended)

    said = await running
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "run-shop-7-tess-1: Succeeded. all is well"


async def test_a_play_that_names_its_repository_by_owner_and_name_is_found_on_the_forges_own_host(shell: Shell) -> None:
    move_to(shell.folder, "https://github.example.com")
    await shell.run("play", "--task", "7", "--detach")
    (play,) = shell.server.objects.all(PLAYS, "default")
    name = play["metadata"]["name"]
    shell.server.objects.delete(PLAYS, "default", name)
    spec = {**play["spec"], "repositoryUrl": "acme/shop"}
    shell.server.objects.create({"apiVersion": play["apiVersion"], "kind": "Play", "metadata": {"name": name}, "spec": spec})
    pull = {"number": 3, "url": "https://github.example.com/acme/shop/pull/3", "headSha": "a" * 40}
    shell.server.objects.set_status(PLAYS, "default", name, {"phase": "Running", "pullRequest": pull})

    running = asyncio.create_task(shell.run("run", "-a", "tess", "--task", "7"))
    made = await shell.made("run-shop-7-tess-1")
    assert made["spec"]["pullRequest"] == pull
    shell.server.objects.set_status(RUNS, "default", "run-shop-7-tess-1", {"phase": "Succeeded", "workCompleted": True})
    said = await running
    assert said.code == 0, said.err


async def test_a_run_is_shown_cancelled_and_what_it_says_is_read(shell: Shell) -> None:
    shell.server.objects.create(
        {**coderun(), "status": {"phase": "Running", "attempt": 1, "jobName": "coderun-7-shop-run-1-1"}}
    )
    shown = json.loads((await shell.run("get", "runs", "run-1", "-o", "json")).out)
    assert (shown["metadata"]["name"], shown["status"]["phase"]) == ("run-1", "Running")
    cancelled = await shell.run("cancel", "run-1", "--reason", "not now")
    assert cancelled.code == 0, cancelled.err
    found = shell.server.objects.get(RUNS, "default", "run-1")
    assert found is not None
    assert found["spec"]["cancelRequested"] == "not now"
    said = await shell.run("logs", "run-1")
    assert (said.code, said.out) == (0, "")  # its pod is gone


async def test_a_run_whose_pod_waits_or_is_gone_has_a_word_for_whoever_asks_what_it_says(shell: Shell) -> None:
    job = "coderun-7-shop-run-1-1"
    shell.server.objects.create(
        {**coderun(), "status": {"phase": "Pending", "attempt": 1, "jobName": job, "message": "image 'x' cannot be pulled"}}
    )
    said = await shell.run("logs", "run-1")
    assert (said.code, said.out, said.err) == (0, "", "run run-1 has not started: image 'x' cannot be pulled\n")
    ended = {"phase": "Failed", "attempt": 1, "jobName": job, "message": "its Job was deleted"}
    shell.server.objects.set_status(RUNS, "default", "run-1", ended)
    said = await shell.run("logs", "run-1")
    assert (said.code, said.out) == (0, "")
    assert said.err == "of run run-1 nothing is there to read any more (Failed, its Job was deleted)\n"


async def test_a_run_that_is_taken_for_a_play_is_told_what_it_is(shell: Shell) -> None:
    shell.server.objects.create(coderun())
    said = await shell.run("why", "run-1")
    assert said.code == 4
    assert "run-1 is a run that no play made: `coderun get runs run-1` says how it stands" in said.err


async def test_what_a_pod_says_is_printed_without_control_characters(shell: Shell) -> None:
    job = "coderun-7-shop-run-1-1"
    labels = {"agents.platform/job": job}
    made = shell.server.objects.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": job, "namespace": "default", "labels": labels},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": POD}},
        }
    )
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": made["metadata"]["uid"], "controller": True}
    shell.server.objects.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{job}-x", "namespace": "default", "labels": labels, "ownerReferences": [owner]},
            "spec": POD,
        }
    )
    shell.server.objects.set_status("pods", "default", f"{job}-x", running_pod())
    shell.server.logs.append("default", f"{job}-x", "agent", b"cloning\x1b[31m the repository\nworking\n")
    shell.server.logs.end("default", f"{job}-x", "agent")
    shell.server.objects.create({**coderun(), "status": {"phase": "Running", "attempt": 1, "jobName": job}})
    said = await shell.run("logs", "run-1")
    assert (said.code, said.out) == (0, "cloning the repository\nworking\n"), said.err


async def test_a_play_is_watched_to_its_end(shell: Shell) -> None:
    await shell.run("play", "--task", "7", "--detach")
    watching = asyncio.create_task(shell.run("watch", "7", "--plain"))
    async with asyncio.timeout(60):
        while not shell.server.streams:  # noqa: ASYNC110 - until it watches
            await asyncio.sleep(0.05)
    entry = {"at": "2026-01-01T00:00:00Z", "reason": "Merged", "message": "pull request #3 was merged"}
    status = {"phase": "Succeeded", "observedGeneration": 1, "history": [entry], "message": "merged"}
    shell.server.objects.set_status(PLAYS, "default", "play-acme-shop-7", status)
    said = await watching
    assert said.code == 0, said.err
    assert "no controller is running" not in said.err  # there may be one in another namespace


async def test_where_no_controller_works_nobody_is_sent_to_one_of_this_machine(shell: Shell) -> None:
    await shell.run("play", "--task", "7", "--detach")
    shell.server.objects.create(coderun())
    lease = {"metadata": {"name": MANAGER, "namespace": "default"}, "spec": {"holderIdentity": ""}}
    shell.server.objects.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease})
    whole = [await shell.run(*words) for words in (("get",), ("get", "runs"), ("why", "7"), ("logs", "run-1"))]
    for said in whole:
        assert "the cluster's `coderun controller`" in said.out + said.err
        assert "coderun up" not in said.out + said.err


async def test_what_is_not_there_is_told_with_the_exit_code_of_every_command(shell: Shell) -> None:
    said = await shell.run("why", "99")
    assert (said.code, said.err.partition(":")[0]) == (4, "error")
    assert "there is no play '99'" in said.err
    nowhere = await shell.run("get", choose=("--context", "elsewhere"))
    assert nowhere.code == 2
    assert "has no context 'elsewhere'; it has: " in nowhere.err
    empty = await shell.run("get", choose=("--namespace", "elsewhere"))
    assert "no plays yet in namespace 'elsewhere'; " in empty.err + empty.out


async def test_a_command_for_one_machine_says_so(shell: Shell) -> None:
    said = await shell.run("up")
    assert said.code == 2
    assert "this command is for one machine" in said.err


async def test_rights_that_are_missing_are_named(shell: Shell) -> None:
    token = shell.server.token("ann")
    shell.server.kubeconfig(shell.folder.parent / "kubeconfig", token=token)
    said = await shell.run("get")
    assert said.code == 6
    assert 'User "ann" cannot list resource "plays"' in said.err
