import stat
from pathlib import Path

import pytest

from coderun.model.errors import InvalidCodeRunError
from coderun.runtime.runfolder import (
    RunFolder,
    StateFolder,
    checked_relative,
    create_once,
    make_tmp,
    remove_tmp,
    remove_tree,
    write_whole,
)


def test_a_state_folder_has_one_name_whatever_link_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert StateFolder.at(tmp_path / "link").run("job-1").marker == f"CODERUN_RUN={tmp_path.resolve()}/real/runs/job-1"


@pytest.mark.parametrize("name", ["a/b.md", "hooks/pre.sh", "./x"])
def test_a_relative_name_may_lie_in_folders(name: str) -> None:
    assert not checked_relative(name).is_absolute()


@pytest.mark.parametrize("name", ["", ".", "/x", "../x", "a/../../x", "a\0"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidCodeRunError, match="a plan's file cannot be named"):
        checked_relative(name)


def test_a_file_is_written_whole_for_its_user_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"one")
    write_whole(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "x", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    assert create_once(tmp_path / "started", b"me")
    assert not create_once(tmp_path / "started", b"you")
    assert (tmp_path / "started").read_bytes() == b"me"


def test_a_temporary_folder_has_a_short_name_and_goes_with_all_in_it(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    folder = make_tmp(run)
    assert len(str(folder)) < 60
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    (folder / "deep").chmod(0o500)
    remove_tmp(run)
    remove_tmp(run)
    assert not folder.exists()
    assert not run.tmp.is_symlink()


def test_a_link_that_was_turned_elsewhere_is_not_followed(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path / "run")
    run.path.mkdir()
    (tmp_path / "precious").mkdir()
    run.tmp.symlink_to(tmp_path / "precious")
    remove_tmp(run)
    assert (tmp_path / "precious").is_dir()


def test_removing_what_is_gone_is_nothing(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
