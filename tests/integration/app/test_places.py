"""Repository, state folder and base branch, with real git."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from coderun.app.places import find_base_branch, find_repository, find_state_folder
from coderun.model.errors import ConfigError

Git = Callable[..., str]
Environ = Mapping[str, str]


def test_the_repository_around_a_folder_is_found(repository: Path, environ: Environ) -> None:
    inside = repository / "a b" / "c"
    inside.mkdir(parents=True)
    assert find_repository(inside, environ=environ) == repository
    assert find_repository(inside, environ={**environ, "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/"}) == repository


def test_a_repository_with_a_strange_name_is_found(tmp_path: Path, git: Git, environ: Environ) -> None:
    folder = tmp_path / "x\ny $(id) 'q'"
    folder.mkdir()
    git(folder, "init", "--quiet")
    assert find_repository(folder, environ=environ) == folder


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take no names that are not UTF-8")
def test_a_folder_whose_name_is_no_text_is_refused_with_what_to_do(tmp_path: Path, git: Git, environ: Environ) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    git(folder, "init", "--quiet")
    with pytest.raises(ConfigError, match=r"caf\ufffd' has bytes in it that are not UTF-8; rename the folder"):
        find_repository(folder, environ=environ)


def test_a_state_folder_whose_name_is_no_text_is_refused_with_what_to_do(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/caf\xe9")
    for environ in ({"CODERUN_STATE": odd}, {"XDG_STATE_HOME": odd}):
        with pytest.raises(ConfigError, match="are not UTF-8; set CODERUN_STATE to another one"):
            find_state_folder(tmp_path, environ=environ, home=tmp_path)


def test_where_there_is_no_repository_it_is_said(tmp_path: Path, repository: Path, git: Git, environ: Environ) -> None:
    git(repository, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    (tmp_path / "plain").mkdir()
    ceiling = {**environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    for folder, message in {
        tmp_path / "plain": "is not in a git repository; go into one, or make one with `git init` and commit first",
        tmp_path / "bare.git": "is a bare repository, without files to work on; clone it",
        repository / ".git" / "refs": "is inside a .git folder; go to the root",
        tmp_path / "absent": "is no folder; name one inside a git repository",
    }.items():
        with pytest.raises(ConfigError) as caught:
            find_repository(folder, environ=ceiling)
        assert message in str(caught.value)
        assert str(folder) in str(caught.value)


def test_without_git_it_is_said_what_to_install(repository: Path) -> None:
    with pytest.raises(ConfigError, match="git is not on the PATH; install git"):
        find_repository(repository, environ={"PATH": str(repository)})


def test_a_damaged_repository_is_reported_in_gits_words(repository: Path, environ: Environ) -> None:
    (repository / ".git" / "config").write_text("[core\n")
    with pytest.raises(ConfigError, match=r"git does not open the repository at .*bad config"):
        find_repository(repository, environ=environ)


def test_the_state_folder_follows_the_environment(repository: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(str(repository).encode()).hexdigest()[:16]
    link = tmp_path / "link"
    link.symlink_to(repository)
    home = tmp_path / "home"
    for environ, folder in [
        ({}, home / ".local/state/coderun" / digest),
        ({"XDG_STATE_HOME": "/xdg"}, Path("/xdg/coderun") / digest),
        ({"XDG_STATE_HOME": "relative"}, home / ".local/state/coderun" / digest),
        ({"XDG_STATE_HOME": "/xdg", "CODERUN_STATE": "/here"}, Path("/here")),
    ]:
        assert find_state_folder(repository, environ=environ, home=home) == folder
        assert find_state_folder(link, environ=environ, home=home) == folder
    with pytest.raises(ConfigError, match="CODERUN_STATE is 'here', a relative path; set it to an absolute one"):
        find_state_folder(repository, environ={"CODERUN_STATE": "here"}, home=home)


def test_the_current_branch_is_the_base_where_nothing_else_says(repository: Path, git: Git, environ: Environ) -> None:
    branch = find_base_branch(repository, environ=environ)
    assert (branch.name, branch.ref, branch.source) == ("main", "refs/heads/main", "the current branch")
    assert branch.commit == git(repository, "rev-parse", "HEAD")


def test_the_remotes_default_branch_goes_before_the_current_one(
    repository: Path, tmp_path: Path, git: Git, environ: Environ
) -> None:
    clone = tmp_path / "clone"
    git(repository, "clone", "--quiet", ".", str(clone))
    git(clone, "checkout", "--quiet", "-b", "feature")
    assert find_base_branch(clone, environ=environ).source == "origin/HEAD"
    git(clone, "branch", "--quiet", "-D", "main")
    branch = find_base_branch(clone, environ=environ)
    assert (branch.name, branch.ref) == ("main", "refs/remotes/origin/main")
    git(clone, "update-ref", "-d", "refs/remotes/origin/main")
    assert find_base_branch(clone, environ=environ).name == "feature"


def test_the_configured_branch_goes_before_all(repository: Path, git: Git, environ: Environ) -> None:
    git(repository, "branch", "release")
    git(repository, "checkout", "--quiet", "--detach")
    assert find_base_branch(repository, configured="release", environ=environ).source == "baseBranch"
    with pytest.raises(
        ConfigError, match=r"there is no base branch 'relase'; did you mean 'release'\? \(branches: main, release\)"
    ):
        find_base_branch(repository, configured="relase", environ=environ)
    with pytest.raises(ConfigError, match="there is no base branch '--all'"):
        find_base_branch(repository, configured="--all", environ=environ)


def test_a_detached_head_says_what_to_do(repository: Path, git: Git, environ: Environ) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    with pytest.raises(ConfigError, match=r"is at a detached HEAD.*; set baseBranch in coderun.yaml, or check out a branch"):
        find_base_branch(repository, environ=environ)


@pytest.mark.parametrize("configured", ["", "main"])
def test_a_branch_without_commits_says_to_commit_first(tmp_path: Path, git: Git, environ: Environ, configured: str) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "fresh")
    with pytest.raises(ConfigError, match=r"branch 'main': .* has no commits yet; commit first"):
        find_base_branch(tmp_path / "fresh", configured=configured, environ=environ)
