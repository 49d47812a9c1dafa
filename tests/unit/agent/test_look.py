"""What `git status` says of a worktree, read."""

import pytest

from coderun.agent.look import Look, read_status

HEAD = "1" * 40
ON_BRANCH = f"# branch.oid {HEAD}\0# branch.head feature/task-1-implementation\0"


def test_a_clean_worktree_is_on_its_branch_at_its_commit() -> None:
    assert read_status(ON_BRANCH) == Look(head=HEAD, branch="feature/task-1-implementation")


def test_a_worktree_without_a_commit_has_no_head() -> None:
    assert read_status("# branch.oid (initial)\0# branch.head main\0") == Look(branch="main")


def test_a_detached_worktree_is_on_no_branch() -> None:
    assert read_status(f"# branch.oid {HEAD}\0# branch.head (detached)\0") == Look(head=HEAD)


@pytest.mark.parametrize(
    "entry",
    [
        f"1 .M N... 100644 100644 100644 {HEAD} {HEAD} a.py",
        f"1 A. N... 000000 100644 100644 {HEAD} {HEAD} with blank.py",
        "? # branch.head main",
        "? new\nname",
    ],
)
def test_a_change_or_a_new_file_makes_it_dirty_whatever_its_name(entry: str) -> None:
    assert read_status(f"{ON_BRANCH}{entry}\0") == Look(head=HEAD, branch="feature/task-1-implementation", is_dirty=True)


def test_paths_in_conflict_are_told_with_the_blanks_in_them() -> None:
    fields = f"u UU N... 100644 100644 100644 100644 {HEAD} {HEAD} {HEAD}"
    found = read_status(f"{ON_BRANCH}{fields} src/a b.py\0{fields} c.py\0")
    assert found.conflicts == ("src/a b.py", "c.py")
    assert found.is_dirty
