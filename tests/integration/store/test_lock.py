"""One controller a state folder, and who it is."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import coderun
from coderun.model.errors import StoreUnavailableError
from coderun.store.lock import ControllerLock, Holder

ME = Holder(pid=123, command="coderun up", started_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
PROGRAM = """
import sys
from pathlib import Path
from coderun.store.lock import ControllerLock, Holder
lock = ControllerLock(Path(sys.argv[1]))
print(lock.acquire(Holder(pid=77, command="coderun play")), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that takes the lock if it can, and keeps it until it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(coderun.__file__).parents[1])},
    ) as process:
        yield process
        process.kill()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_free_lock_is_taken_and_says_who_holds_it(tmp_path: Path) -> None:
    lock = ControllerLock(tmp_path / "state" / "controller.lock")
    assert lock.holder() is None
    assert lock.acquire(ME)
    assert lock.is_held()
    assert ControllerLock(tmp_path / "state" / "controller.lock").holder() == ME
    assert str(lock.holder()) == "pid 123, coderun up, since 2026-03-01 12:00:00+00:00"
    lock.release()


def test_a_second_one_does_not_get_it(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    lock = ControllerLock(path)
    assert lock.acquire(ME)
    with another_process(path) as other:
        assert answer(other) == "False"
    assert lock.holder() == ME
    assert not lock.acquire(ME)
    lock.release()


def test_it_is_free_again_after_a_release(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    lock = ControllerLock(path)
    assert lock.acquire(ME)
    lock.release()
    lock.release()
    assert not lock.is_held()
    assert lock.holder() is None
    with another_process(path) as other:
        assert answer(other) == "True"


@pytest.mark.lesson(48)
def test_it_dies_with_its_process_whatever_the_file_still_says(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    lock = ControllerLock(path)
    with another_process(path) as other:
        assert answer(other) == "True"
        assert str(lock.holder()) == "pid 77, coderun play"
        assert not lock.acquire(ME)
    assert '"pid":77' in path.read_text(encoding="utf-8")
    assert lock.holder() is None
    assert lock.acquire(ME)
    assert lock.holder() == ME
    lock.release()


@pytest.mark.parametrize("content", [b"", b"not json", b'{"pid": "x"}', b"\xff" * 100_000])
def test_a_holder_that_has_not_said_its_name_is_still_a_holder(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "controller.lock"
    path.write_bytes(content)
    lock = ControllerLock(path)
    assert lock.holder() is None
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock.holder() == Holder()
        assert str(lock.holder()) == "a process that has not written its name yet"
        assert not lock.acquire(ME)
    assert lock.acquire(ME)
    lock.release()


def test_looking_who_holds_it_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    path.touch()
    taken: list[bool] = []

    def look() -> None:
        while len(taken) < 100:
            ControllerLock(path).holder()

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        while len(taken) < 100:
            lock = ControllerLock(path)
            taken.append(lock.acquire(ME))
            lock.release()
    assert [done.result() for done in looking] == [None, None]
    assert all(taken)


@pytest.mark.lesson(48)
def test_of_many_who_want_it_one_gets_it(tmp_path: Path) -> None:
    locks = [ControllerLock(tmp_path / "controller.lock") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda lock: lock.acquire(ME), locks)) == [False] * 7 + [True]
    for lock in locks:
        lock.release()


def test_a_lock_whose_file_was_deleted_is_known_to_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    lock = ControllerLock(path)
    assert lock.acquire(ME)
    path.unlink()
    assert not lock.is_held()
    other = ControllerLock(path)
    assert other.acquire(ME)
    assert other.is_held()
    lock.release()
    assert other.is_held()
    other.release()


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "controller.lock").mkdir()
    with pytest.raises(StoreUnavailableError, match=r"cannot use the controller's lock .*Is a directory; check"):
        ControllerLock(tmp_path / "controller.lock").acquire(ME)


def test_control_characters_of_a_command_line_do_not_reach_the_terminal() -> None:
    assert str(Holder(pid=1, command="coderun \x1b[31m\n\u202ebad")) == "pid 1, coderun ?[31m??bad"
