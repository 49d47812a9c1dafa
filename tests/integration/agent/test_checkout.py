"""The checkout of a run on real repositories: what it starts from, and that no work is ever lost on the way."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.agent.conftest import BRANCH, Bench

from coderun.agent.checkout import Checkout, Wanted, check_out
from coderun.agent.clone import clear_stale_locks
from coderun.agent.git import Git, GitFailedError
from coderun.agent.result import RunCancelledError
from coderun.agent.stop import StopCause


async def checked_out(
    bench: Bench,
    *,
    branch: str = BRANCH,
    base: str = "main",
    url: str = "",
    existing: bool = False,
    keep: bool = False,
    ssh: str = "",
) -> Checkout:
    git = bench.runner_git()
    wanted = Wanted(url=url or str(bench.remote), branch=branch, base=base, task_id=1, existing=existing, keep_changes=keep)
    return await check_out(
        Git(folder=git.folder, env={**git.env, "GIT_SSH_COMMAND": ssh}),
        wanted,
        workspace=bench.workspace,
        job="job-1",
        now=bench.clock.now(),
        scratch=bench.folder / "scratch",
        stop=bench.stop,
    )


def commit(bench: Bench, name: str, text: str = "1") -> str:
    """A commit in the worktree, as an agent makes it."""
    (bench.tree / name).write_text(text)
    bench.git(bench.tree, "add", "--all")
    bench.git(bench.tree, "commit", "--quiet", "-m", f"Work on {name}")
    return head(bench)


def head(bench: Bench) -> str:
    return bench.git(bench.tree, "rev-parse", "HEAD")


def branch_of(bench: Bench) -> str:
    return bench.git(bench.tree, "symbolic-ref", "HEAD")


# Where it starts


async def test_a_first_checkout_starts_at_the_base(bench: Bench) -> None:
    made = await checked_out(bench)

    assert (made.start, made.remote_head) == (bench.remote_head("main"), "")
    assert branch_of(bench) == f"refs/heads/{BRANCH}"
    assert (bench.tree / "README.md").read_text() == "hello\n"
    assert (made.saved, made.notes) == ((), ())


@pytest.mark.lesson(15)
async def test_a_branch_that_is_on_the_remote_is_gone_on_with(bench: Bench) -> None:
    theirs = bench.push_file(BRANCH, "theirs.txt", "1", new=True)
    made = await checked_out(bench)

    assert (made.start, made.remote_head, head(bench)) == (theirs, theirs, theirs)


async def test_a_branch_without_own_work_follows_the_base(bench: Bench) -> None:
    await checked_out(bench)
    newer = bench.push_file("main", "base.txt", "1")
    made = await checked_out(bench)

    assert (made.start, head(bench), made.saved) == (newer, newer, ())


async def test_a_branch_that_others_moved_on_is_fast_forwarded(bench: Bench) -> None:
    bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    newer = bench.push_file(BRANCH, "b.txt", "1")
    made = await checked_out(bench, existing=True)

    assert (made.start, head(bench), made.saved) == (newer, newer, ())
    assert (bench.tree / "b.txt").exists()


@pytest.mark.lesson(15)
async def test_unpushed_commits_on_top_of_the_remote_head_are_gone_on_with(bench: Bench) -> None:
    remote = bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    ours = commit(bench, "ours.txt")
    made = await checked_out(bench, existing=True)

    assert (made.start, made.remote_head, head(bench)) == (ours, remote, ours)


async def test_unpushed_commits_of_a_branch_that_was_never_pushed_are_gone_on_with(bench: Bench) -> None:
    await checked_out(bench)
    ours = commit(bench, "ours.txt")
    bench.push_file("main", "base.txt", "1")

    assert (await checked_out(bench)).start == ours


@pytest.mark.lesson(15)
async def test_unpushed_commits_that_the_remote_has_left_behind_are_saved(bench: Bench) -> None:
    bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    ours = commit(bench, "ours.txt")
    newer = bench.push_file(BRANCH, "b.txt", "1")
    made = await checked_out(bench, existing=True)

    assert (made.start, head(bench)) == (newer, newer)
    assert [saved.sha for saved in made.saved] == [ours]
    assert made.notes == (f"commits of an earlier run that the branch has left behind are kept in {made.saved[0].ref}",)
    assert made.saved[0].ref == "refs/coderun/saved/20300102T030405Z-job-1"


async def test_a_branch_the_remote_deleted_after_it_was_pushed_is_begun_anew_from_the_base(bench: Bench) -> None:
    pushed = bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    bench.git(bench.remote, "update-ref", "-d", f"refs/heads/{BRANCH}")
    made = await checked_out(bench)

    assert made.start == bench.remote_head("main")
    assert [saved.sha for saved in made.saved] == [pushed]


async def test_two_tasks_have_two_worktrees_of_one_clone(bench: Bench) -> None:
    await checked_out(bench)
    bench.jobs += 1
    wanted = Wanted(url=str(bench.remote), branch="task-2", base="main", task_id=2)
    now, scratch = bench.clock.now(), bench.folder / "scratch"
    await check_out(bench.runner_git(), wanted, workspace=bench.workspace, job="job-x", now=now, scratch=scratch)

    assert sorted(path.name for path in (bench.workspace / "tasks").iterdir()) == ["task-1", "task-2"]
    assert bench.git(bench.workspace / "repo", "worktree", "list").count("\n") == 2


# Work that lies about


@pytest.mark.lesson(15)
async def test_uncommitted_changes_are_saved_and_the_tree_is_clean(bench: Bench) -> None:
    await checked_out(bench)
    (bench.tree / "README.md").write_text("changed")
    (bench.tree / "deep").mkdir()
    (bench.tree / "deep" / "new.txt").write_text("new")
    made = await checked_out(bench)

    assert made.notes == ("uncommitted changes of an earlier run are kept in refs/coderun/saved/20300102T030405Z-job-1",)
    [saved] = made.saved
    assert bench.saved_text(saved.ref, "README.md") == "changed"
    assert bench.saved_text(saved.ref, "deep/new.txt") == "new"
    assert (bench.tree / "README.md").read_text() == "hello\n"
    assert not (bench.tree / "deep").exists()


async def test_uncommitted_changes_stay_in_place_where_the_session_goes_on(bench: Bench) -> None:
    await checked_out(bench)
    (bench.tree / "README.md").write_text("changed")
    bench.git(bench.tree, "add", "README.md")
    (bench.tree / "new.txt").write_text("new")
    made = await checked_out(bench, keep=True)

    assert len(made.saved) == 1
    assert bench.git(bench.tree, "status", "--porcelain") == "M  README.md\n?? new.txt"


async def test_uncommitted_changes_are_carried_over_to_the_branchs_new_head(bench: Bench) -> None:
    bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    (bench.tree / "new.txt").write_text("new")
    bench.push_file(BRANCH, "b.txt", "1")
    made = await checked_out(bench, keep=True)

    assert made.notes[-1] == "they lie in the worktree again, uncommitted"
    assert bench.git(bench.tree, "status", "--porcelain") == "?? new.txt"
    assert (bench.tree / "b.txt").exists()


async def test_uncommitted_changes_that_do_not_fit_any_more_are_kept_in_their_ref(bench: Bench) -> None:
    bench.push_file(BRANCH, "a.txt", "1", new=True)
    await checked_out(bench)
    (bench.tree / "a.txt").write_text("ours")
    bench.push_file(BRANCH, "a.txt", "theirs")
    made = await checked_out(bench, keep=True)

    assert made.notes[-1] == "they do not fit on the branch's new head, so they are not in the worktree"
    assert bench.saved_text(made.saved[0].ref, "a.txt") == "ours"
    assert (bench.tree / "a.txt").read_text() == "theirs"
    assert bench.git(bench.tree, "status", "--porcelain") == ""


async def test_ignored_files_stay(bench: Bench) -> None:
    bench.push_file("main", ".gitignore", "build/\n")
    await checked_out(bench)
    (bench.tree / "build").mkdir()
    (bench.tree / "build" / "cache").write_text("slow to make")
    (bench.tree / "junk.txt").write_text("1")
    await checked_out(bench)

    assert (bench.tree / "build" / "cache").exists()
    assert not (bench.tree / "junk.txt").exists()


async def test_commits_on_no_branch_are_saved(bench: Bench) -> None:
    await checked_out(bench)
    bench.git(bench.tree, "checkout", "--quiet", "--detach")
    ours = commit(bench, "lonely.txt")
    made = await checked_out(bench)

    assert [saved.sha for saved in made.saved] == [ours]
    assert "that were on no branch are kept in" in made.notes[0]
    assert branch_of(bench) == f"refs/heads/{BRANCH}"


@pytest.mark.parametrize("keep", [False, True])
async def test_a_rebase_left_half_done_is_saved_and_ended(bench: Bench, keep: bool) -> None:
    await checked_out(bench)
    commit(bench, "README.md", "ours")
    bench.push_file("main", "README.md", "theirs")
    bench.git(bench.tree, "fetch", "--quiet", "origin")
    with pytest.raises(AssertionError, match=r"CONFLICT|could not apply"):
        bench.git(bench.tree, "rebase", "origin/main")
    made = await checked_out(bench, keep=keep)

    assert any("uncommitted changes" in note for note in made.notes)
    assert branch_of(bench) == f"refs/heads/{BRANCH}"
    assert "rebase" not in bench.git(bench.tree, "status")
    assert "<<<<<<<" in bench.saved_text(made.saved[-1].ref, "README.md")


async def test_a_merge_left_half_done_stays_where_the_session_goes_on_and_is_saved_otherwise(bench: Bench) -> None:
    await checked_out(bench)
    commit(bench, "README.md", "ours")
    bench.push_file("main", "README.md", "theirs")
    bench.git(bench.tree, "fetch", "--quiet", "origin")
    with pytest.raises(AssertionError):
        bench.git(bench.tree, "merge", "origin/main")
    await checked_out(bench, keep=True)
    assert bench.git(bench.tree, "status", "--porcelain") == "UU README.md"

    made = await checked_out(bench)
    assert bench.git(bench.tree, "status", "--porcelain") == ""
    assert "<<<<<<<" in bench.saved_text(made.saved[-1].ref, "README.md")


async def test_an_unborn_branch_left_by_an_agent_loses_nothing(bench: Bench) -> None:
    await checked_out(bench)
    bench.git(bench.tree, "checkout", "--quiet", "--orphan", "fresh")
    (bench.tree / "new.txt").write_text("new")
    made = await checked_out(bench)

    assert bench.saved_text(made.saved[0].ref, "new.txt") == "new"
    assert branch_of(bench) == f"refs/heads/{BRANCH}"


# Damage


async def test_a_deleted_workspace_is_made_anew(bench: Bench) -> None:
    await checked_out(bench)
    shutil.rmtree(bench.workspace)
    bench.workspace.mkdir()
    made = await checked_out(bench)

    assert made.start == bench.remote_head("main")
    assert (bench.tree / "README.md").exists()


async def test_a_deleted_worktree_is_made_anew_at_its_unpushed_commits(bench: Bench) -> None:
    await checked_out(bench)
    ours = commit(bench, "ours.txt")
    shutil.rmtree(bench.tree)
    made = await checked_out(bench)

    assert made.start == ours
    assert (bench.tree / "ours.txt").exists()


def no_repository(bench: Bench) -> None:
    shutil.rmtree(bench.workspace / "repo")
    (bench.workspace / "repo").write_text("a file")


def no_head(bench: Bench) -> None:
    (bench.workspace / "repo" / "HEAD").write_text("garbage")


def broken_objects(bench: Bench) -> None:
    for path in (bench.workspace / "repo" / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")


def broken_config(bench: Bench) -> None:
    (bench.workspace / "repo" / "config").write_text("[[[")


def missing_objects(bench: Bench) -> None:
    shutil.rmtree(bench.workspace / "repo" / "objects")


@pytest.mark.parametrize("damage", [no_repository, no_head, broken_objects, broken_config, missing_objects])
async def test_a_damaged_clone_is_set_aside_with_its_worktree_and_made_anew(
    bench: Bench, damage: Callable[[Bench], None]
) -> None:
    await checked_out(bench)
    (bench.tree / "work.txt").write_text("work")
    damage(bench)
    made = await checked_out(bench)

    assert made.start == bench.remote_head("main")
    assert (bench.workspace / "repo.broken-1").exists()
    assert (bench.workspace / "tasks" / "task-1.broken-1" / "work.txt").read_text() == "work"
    assert any("set aside as task-1.broken-1" in note for note in made.notes)
    assert not (bench.tree / "work.txt").exists()


async def test_a_damaged_index_costs_nothing(bench: Bench) -> None:
    await checked_out(bench)
    (bench.tree / "work.txt").write_text("work")
    index = Path(bench.git(bench.tree, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    index.write_bytes(b"garbage")
    made = await checked_out(bench)

    assert "index was damaged" in made.notes[0]
    assert bench.saved_text(made.saved[0].ref, "work.txt") == "work"


async def test_a_worktree_that_is_a_link_is_set_aside(bench: Bench) -> None:
    outside = bench.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("1")
    bench.tree.parent.mkdir()
    bench.tree.symlink_to(outside)
    await checked_out(bench)

    assert (outside / "precious").exists()
    assert not bench.tree.is_symlink()
    assert sorted(path.name for path in outside.iterdir()) == ["precious"]


async def test_lock_files_of_a_killed_git_are_cleared(bench: Bench) -> None:
    await checked_out(bench)
    repo = bench.workspace / "repo"
    locks = [
        repo / "config.lock",
        repo / "packed-refs.lock",
        repo / "worktrees" / "task-1" / "index.lock",
        repo / "worktrees" / "task-1" / "HEAD.lock",
        repo / "refs" / "heads" / "feature" / "task-1-implementation.lock",
    ]
    for lock in locks:
        lock.touch()
    await checked_out(bench)

    assert not [lock for lock in locks if lock.exists()]


def test_clearing_locks_of_nothing_does_nothing(tmp_path: Path) -> None:
    assert clear_stale_locks(tmp_path / "nowhere") == []


# What cannot be checked out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": "trunk"}, "has no base branch 'trunk'; its branches are main"),
        ({"existing": True, "branch": "gone"}, "has no branch 'gone' (any more); restore it or close the pull request"),
        ({"branch": "main"}, "an agent cannot work on the base branch 'main' itself"),
        ({"branch": "-rf"}, "'-rf' is no name for a branch"),
        ({"branch": "a\nb"}, "is no name for a branch"),
        ({"branch": "a..b"}, "is no name for a branch"),
        ({"branch": "x.lock"}, "is no name for a branch"),
        ({"url": "/nowhere/at/all.git"}, "'/nowhere/at/all.git' does not appear to be a git repository"),
        ({"url": "ext::sh -c 'touch /tmp/pwned'"}, "transport 'ext' not allowed"),
        ({"url": "--upload-pack=touch /tmp/pwned"}, "strange pathname '--upload-pack=touch /tmp/pwned' blocked"),
    ],
)
async def test_what_cannot_be_checked_out_says_why(bench: Bench, changes: dict[str, object], words: str) -> None:
    with pytest.raises(GitFailedError) as failure:
        await checked_out(bench, **changes)  # type: ignore[arg-type] # rows of one table

    assert failure.value.reason == "GitFailed"
    assert words in str(failure.value)


async def test_an_empty_repository_says_that_it_needs_a_first_commit(bench: Bench) -> None:
    empty = bench.folder / "empty.git"
    bench.git(bench.folder, "init", "--quiet", "--bare", str(empty))
    with pytest.raises(GitFailedError, match="it has no commits yet; push a first commit to it"):
        await checked_out(bench, url=str(empty))


async def test_odd_but_legal_branch_names_work(bench: Bench) -> None:
    name = "task-1-$(id)-'\"ü&;|"
    made = await checked_out(bench, branch=name)

    assert branch_of(bench) == f"refs/heads/{name}"
    assert made.start == bench.remote_head("main")


async def test_a_repository_with_sha256_names_works(bench: Bench) -> None:
    remote, person = bench.folder / "sha256.git", bench.folder / "sha256"
    bench.git(bench.folder, "init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main", str(remote))
    bench.git(bench.folder, "init", "--quiet", "--object-format=sha256", str(person))
    (person / "a.txt").write_text("1")
    bench.git(person, "add", "--all")
    bench.git(person, "commit", "--quiet", "-m", "first")
    bench.git(person, "push", "--quiet", str(remote), "HEAD:refs/heads/main")
    made = await checked_out(bench, url=str(remote))

    assert len(made.start) == 64


async def test_hooks_of_the_clone_do_not_fire_for_the_runner(bench: Bench) -> None:
    await checked_out(bench)
    hooks = bench.workspace / "repo" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-merge", "pre-commit", "reference-transaction", "pre-push"):
        hook = hooks / name
        hook.write_text(f"#!/bin/sh\ntouch {bench.folder}/fired-{name}\n")
        hook.chmod(0o755)
    (bench.tree / "work.txt").write_text("work")
    bench.push_file("main", "new.txt", "1")
    await checked_out(bench)

    assert list(bench.folder.glob("fired-*")) == []


async def test_a_stop_ends_a_fetch_that_hangs(bench: Bench) -> None:
    await checked_out(bench)
    hanging = bench.folder / "hanging"
    hanging.write_text(f"#!/bin/sh\ntouch {bench.folder}/fetching\nexec sleep 600\n")
    hanging.chmod(0o755)
    running = asyncio.ensure_future(checked_out(bench, url="ssh://nowhere/x.git", ssh=str(hanging)))
    while not (bench.folder / "fetching").exists():
        assert not running.done(), running.result()
        await asyncio.sleep(0.02)
    bench.stop.request(StopCause.CANCELLED, "enough")

    with pytest.raises(RunCancelledError, match="enough"):
        await running


# Odd remotes


async def test_a_remote_without_its_whole_history_is_worked_on_as_any_other(bench: Bench) -> None:
    bench.push_file("main", "base.txt", "1")
    cut = bench.folder / "cut.git"
    bench.git(bench.folder, "clone", "--quiet", "--bare", "--depth", "1", bench.remote.as_uri(), str(cut))
    made = await checked_out(bench, url=str(cut))

    assert (made.start, bench.git(bench.tree, "rev-list", "--count", "HEAD")) == (bench.remote_head("main"), "1")
    bench.git(bench.tree, "push", "--quiet", str(cut), f"{commit(bench, 'work.txt')}:refs/heads/{BRANCH}")
    again = await checked_out(bench, url=str(cut))
    assert again.remote_head == head(bench)
