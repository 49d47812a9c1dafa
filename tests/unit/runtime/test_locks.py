from pathlib import Path

from coderun.runtime import locks
from coderun.runtime.locks import Holder

ME = Holder(job="coderun-1-api-x-1", pid=1, start="2", boot="3")


def test_a_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locks.is_held(path)
    lock = locks.take(path, ME)
    assert lock is not None
    assert locks.is_held(path)
    assert locks.take(path, Holder(job="other", pid=9, start="9")) is None
    assert locks.read_holder(path) == ME
    lock.release()
    assert not locks.is_held(path)
    assert locks.read_holder(path) == ME, "the text outlives the lock: it tells who was last"


def test_an_orderly_end_takes_the_name_out(tmp_path: Path) -> None:
    lock = locks.take(tmp_path / "lock", ME)
    assert lock is not None
    lock.clear()
    lock.release()
    assert locks.read_holder(tmp_path / "lock") is None


def test_a_lock_whose_file_was_replaced_is_not_the_lock_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = locks.take(path, ME)
    assert lock is not None
    assert lock.is_of(path)
    path.unlink()
    assert not lock.is_of(path)
    second = locks.take(path, ME)
    assert second is not None
    assert not lock.is_of(path)
    lock.release()
    second.release()


def test_a_text_that_names_nobody_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff{")
    assert locks.read_holder(tmp_path / "lock") is None
