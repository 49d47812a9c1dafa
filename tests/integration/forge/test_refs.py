"""Reading branches from files, beside what git itself says; and what git takes for a branch name."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.forge.local_place import GIT_ENVIRONMENT, git, make_user_repository

from coderun.forge.local.refs import RefReader
from coderun.forge.texts import is_branch_name
from coderun.model.errors import ForgeUnavailableError

LATER = 10_000_000_000.0


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    user = make_user_repository(tmp_path / "user")
    git(tmp_path, "clone", "-q", "--bare", str(user), "bare.git")
    return tmp_path / "bare.git"


def as_git_says(bare: Path) -> dict[str, str]:
    lines = git(bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").split("\n")
    return dict(line.split(" ") for line in lines)


def test_branches_are_read_as_git_says_through_every_kind_of_change(bare: Path) -> None:
    reader = RefReader(bare)
    first = git(bare, "rev-parse", "main")
    second = git(bare, "commit-tree", "-p", first, "-m", "x", f"{first}^{{tree}}")
    for command in (
        ["branch", "feature/a", first],
        ["branch", "feature/deep/b", first],
        ["pack-refs", "--all", "--prune"],
        ["update-ref", "refs/heads/feature/a", second],
        ["branch", "-D", "feature/deep/b"],
        ["branch", "é'$(x)", second],
        ["tag", "v1", first],
        ["pack-refs", "--all"],
        ["branch", "-D", "é'$(x)"],
    ):
        git(bare, *command)
        assert reader.look().values == as_git_says(bare), command


def test_nothing_is_read_again_while_nothing_changes(bare: Path) -> None:
    reader = RefReader(bare, now=lambda: LATER)
    seen = reader.look()
    assert seen.settled
    assert reader.look() is seen
    git(bare, "branch", "x", "main")
    assert reader.look() is not seen


def test_what_changed_a_moment_ago_is_read_again(bare: Path) -> None:
    changed = max(path.stat().st_mtime for path in (bare / "refs").rglob("*"))
    reader = RefReader(bare, now=lambda: changed)
    seen = reader.look()
    assert not seen.settled
    assert reader.look() is not seen


def test_a_vanished_repository_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ForgeUnavailableError, match="is gone; put it back"):
        RefReader(tmp_path / "nowhere").look()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="ab/.-@{}~^:?*[\\ \t\n'$\"é", max_size=8).map(lambda text: text.replace("@{-", "@{")) | st.text(max_size=6)
)
def test_branch_names_are_judged_as_git_judges_them(name: str) -> None:
    if "\0" in name or name == "HEAD" or any("\ud800" <= c <= "\udfff" for c in name) or "@{" in name:
        return
    command = ["git", "check-ref-format", f"refs/heads/{name}"]
    by_git = subprocess.run(command, env=GIT_ENVIRONMENT, capture_output=True, check=False).returncode == 0
    assert is_branch_name(name) == (by_git and not name.startswith("-") and name != "@")
