"""What was merged is marked as done on the forge's base branch, by one commit, and only when it is not yet."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coderun.app.writeback import TaskWriter
from coderun.model.meta import ObjectMeta
from coderun.model.play import Play, PlayPhase, PlaySpec, PlayStatus
from coderun.store.sqlite import SqliteStore

LIST = '{"tasks": [{"id": 1, "title": "a", "status": "pending"}, {"id": 2, "title": "b", "status": "pending"}]}\n'
PERSON = {"GIT_AUTHOR_NAME": "p", "GIT_AUTHOR_EMAIL": "p@x", "GIT_COMMITTER_NAME": "p", "GIT_COMMITTER_EMAIL": "p@x"}


def git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, env={**os.environ, **PERSON}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    work, repository = tmp_path / "work", tmp_path / "repo.git"
    (work / ".taskmaster/tasks").mkdir(parents=True)
    (work / ".taskmaster/tasks/tasks.json").write_text(LIST)
    git(work, "init", "-q", "-b", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "start")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(repository))
    return repository


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore.open(tmp_path / "state.db", clock=lambda: datetime.now(UTC))


def writer(store: SqliteStore, bare: Path, tmp_path: Path) -> TaskWriter:
    return TaskWriter(
        store=store, repository=bare, branch="main", file="", tag="", folder=tmp_path / "scratch", environment=os.environ
    )


async def add(store: SqliteStore, task: int, phase: PlayPhase) -> None:
    play = Play(
        metadata=ObjectMeta(name=f"play-{task}"),
        spec=PlaySpec(task_id=task, repository_url="/r"),
        status=PlayStatus(phase=phase),
    )
    await store.create(play)


def listed(bare: Path) -> str:
    return git(bare, "show", "main:.taskmaster/tasks/tasks.json")


async def test_a_merged_task_is_marked_by_one_commit(store: SqliteStore, bare: Path, tmp_path: Path) -> None:
    await add(store, 1, PlayPhase.SUCCEEDED)
    await add(store, 2, PlayPhase.RUNNING)
    tasks = writer(store, bare, tmp_path)
    await tasks.reconcile("done")
    assert listed(bare) == LIST.replace('"pending"', '"done"', 1)
    assert git(bare, "log", "--format=%s %an", "main").splitlines() == ["Mark merged tasks as done coderun", "start p"]
    await tasks.reconcile("done")
    assert git(bare, "rev-list", "--count", "main").strip() == "2"
    assert not (tmp_path / "scratch").exists()
    await store.close()


async def test_without_a_merged_task_nothing_is_written(store: SqliteStore, bare: Path, tmp_path: Path) -> None:
    await add(store, 1, PlayPhase.FAILED)
    await writer(store, bare, tmp_path).reconcile("done")
    assert git(bare, "rev-list", "--count", "main").strip() == "1"
    await store.close()


async def test_a_list_that_broke_meanwhile_stops_nothing(store: SqliteStore, bare: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / ".taskmaster/tasks/tasks.json").write_text("{")
    git(work, "commit", "-q", "-am", "break")
    git(work, "push", "-q", str(bare), "main")
    await add(store, 1, PlayPhase.SUCCEEDED)
    await writer(store, bare, tmp_path).reconcile("done")
    assert listed(bare) == "{"
    await store.close()
