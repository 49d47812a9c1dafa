"""Looks at real worktrees."""

import os
import subprocess
from pathlib import Path

import pytest

from coderun.agent.git import Git
from coderun.agent.look import Look, look_at

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false")


def run(folder: Path, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, capture_output=True, text=True, check=check)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Git:
    run(tmp_path, "init", "--quiet", "-b", "main")
    (tmp_path / "a.txt").write_text("one\n")
    run(tmp_path, "add", "-A")
    run(tmp_path, "commit", "--quiet", "-m", "Begin")
    return Git(folder=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})


async def test_a_look_tells_commit_and_branch_and_sees_new_files(tree: Git) -> None:
    head = run(tree.folder, "rev-parse", "HEAD")
    assert await look_at(tree) == Look(head=head, branch="main")
    (tree.folder / "new file").write_text("x")
    assert await look_at(tree) == Look(head=head, branch="main", is_dirty=True)


async def test_a_renamed_file_cannot_pass_for_a_line_about_the_branch(tree: Git) -> None:
    hostile = "# branch.head evil"
    (tree.folder / hostile).write_text("one\ntwo\nthree\n")
    run(tree.folder, "add", "-A")
    run(tree.folder, "commit", "--quiet", "-m", "Add")
    run(tree.folder, "mv", hostile, "calm")
    found = await look_at(tree)
    assert (found.branch, found.is_dirty, found.conflicts) == ("main", True, ())


async def test_a_merge_left_in_conflict_shows_its_paths(tree: Git) -> None:
    run(tree.folder, "checkout", "--quiet", "-b", "other")
    (tree.folder / "a.txt").write_text("other\n")
    run(tree.folder, "commit", "--quiet", "-am", "Other")
    run(tree.folder, "checkout", "--quiet", "main")
    (tree.folder / "a.txt").write_text("main\n")
    run(tree.folder, "commit", "--quiet", "-am", "Main")
    run(tree.folder, "merge", "other", check=False)
    assert (await look_at(tree)).conflicts == ("a.txt",)


async def test_commits_of_several_refs_come_in_order_with_nothing_for_those_that_are_none(tree: Git) -> None:
    head = run(tree.folder, "rev-parse", "HEAD")
    run(tree.folder, "update-ref", "refs/heads/a-blob", run(tree.folder, "rev-parse", "HEAD:a.txt"), check=False)
    found = await tree.commits_of("refs/heads/main", "refs/heads/missing", "refs/heads/a-blob", "refs/heads/main")
    assert found == (head, "", "", head)


async def test_commits_of_no_repository_are_none(tree: Git, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    elsewhere = Git(folder=tmp_path / "empty", env={**tree.env, "GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert await elsewhere.commits_of("refs/heads/main", "refs/heads/other") == ("", "")
