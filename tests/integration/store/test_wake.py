"""Wakes from process to process: who hears them, and what they leave behind."""

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.store_contract import DEADLINE

from coderun.model.errors import StoreUnavailableError
from coderun.store import wake
from coderun.store.listener import Listener
from coderun.store.wake import Waker

SCRIPT = str(wake.__file__)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return tmp_path / "wake"


@pytest.fixture
async def listener(folder: Path) -> AsyncIterator[Listener]:
    with Listener(folder) as listener:
        yield listener


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def hook(*arguments: str) -> tuple[int, str]:
    """Run wake.py as a git hook does: its code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", SCRIPT, *arguments, stderr=subprocess.PIPE, env={}
    )
    _, said = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_a_wake_is_heard(folder: Path, listener: Listener) -> None:
    assert Waker(folder).wake() == 1
    assert await listener.wait(DEADLINE)


async def test_a_wake_from_the_script_is_heard_by_every_process(folder: Path) -> None:
    with Listener(folder) as one, Listener(folder) as two:
        assert await hook(str(folder)) == (0, "")
        assert await one.wait(DEADLINE)
        assert await two.wait(DEADLINE)


async def test_a_wake_before_anybody_waits_is_kept(folder: Path, listener: Listener) -> None:
    Waker(folder).wake()
    Waker(folder).wake()
    assert await listener.wait(DEADLINE)


async def test_many_wakes_may_come_as_one(folder: Path, listener: Listener) -> None:
    waker = Waker(folder)
    for _ in range(100):
        waker.wake()
    assert await listener.wait(DEADLINE)
    assert not await listener.wait(0.01)


async def test_no_wake_is_a_timeout(listener: Listener) -> None:
    assert not await listener.wait(0.01)


async def test_every_ear_of_a_process_hears_each_wake(folder: Path, listener: Listener) -> None:
    ears = [listener.ear(), listener.ear()]
    Waker(folder).wake()
    assert [await ear.wait(DEADLINE) for ear in ears] == [True, True]
    assert await listener.wait(DEADLINE)


async def test_a_closed_ear_hears_no_more(folder: Path, listener: Listener) -> None:
    ear = listener.ear()
    ear.close()
    Waker(folder).wake()
    assert await listener.wait(DEADLINE)


async def test_iterating_gives_one_turn_a_wake_until_closed(folder: Path, listener: Listener) -> None:
    turns = 0
    Waker(folder).wake()
    async with asyncio.timeout(DEADLINE):
        async for _ in listener:
            turns += 1
            listener.close()
    assert turns == 1


async def test_one_may_leave_oneself_out(folder: Path, listener: Listener) -> None:
    with Listener(folder) as other:
        assert Waker(folder).wake(ignoring=listener.name) == 1
        assert await other.wait(DEADLINE)
        assert not await listener.wait(0.01)


async def test_a_fifo_full_of_unread_wakes_blocks_nobody(folder: Path, listener: Listener) -> None:
    fifo = os.open(folder / listener.name, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(fifo, b"\0" * 4096):
            pass
    except BlockingIOError:
        pass
    finally:
        os.close(fifo)
    assert Waker(folder).wake() == 1
    assert await listener.wait(DEADLINE)


async def test_closing_ends_waits_and_removes_the_fifo(folder: Path, listener: Listener) -> None:
    waiting = asyncio.ensure_future(listener.wait())
    await asyncio.sleep(0)
    listener.close()
    listener.close()
    async with asyncio.timeout(DEADLINE):
        assert not await waiting
    assert not await listener.wait()
    assert names(folder) == set()


async def test_a_stale_fifo_is_removed_and_other_files_are_left_alone(folder: Path, listener: Listener) -> None:
    os.mkfifo(folder / "1-dead.fifo")
    os.mkfifo(folder / "1-dead.new")
    (folder / "file.fifo").write_text("kept")
    (folder / "link.fifo").symlink_to(folder / "file.fifo")
    (folder / "folder.fifo").mkdir()
    assert Waker(folder).wake() == 1
    assert names(folder) == {listener.name, "1-dead.new", "file.fifo", "link.fifo", "folder.fifo"}
    assert (folder / "file.fifo").read_text() == "kept"


async def test_a_waker_learns_of_listeners_that_come_and_go(folder: Path) -> None:
    waker = Waker(folder)
    assert waker.wake() == 0
    with Listener(folder) as first:
        os.utime(folder, (0, 0))  # so old that the names are remembered
        assert (waker.wake(), waker.wake()) == (1, 1)
        with Listener(folder) as second:
            assert waker.wake() == 2
            assert await second.wait(DEADLINE)
        assert waker.wake() == 1
        assert await first.wait(DEADLINE)
    assert waker.wake() == 0


@pytest.mark.parametrize("where", ["missing", "file"])
async def test_a_folder_that_is_none_has_no_listeners(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    assert Waker(tmp_path / where).wake() == 0
    assert await hook(str(tmp_path / where)) == (0, "")


async def test_the_script_without_a_folder_says_how_to_use_it() -> None:
    assert await hook() == (2, "usage: wake.py FOLDER...\n")


async def test_a_folder_that_cannot_hold_a_fifo_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"cannot listen for changes with the FIFO .*make the folder writable"):
        Listener(tmp_path / "file")


def test_the_script_imports_only_what_loads_in_no_time() -> None:
    imported = set()
    for node in ast.walk(ast.parse(Path(SCRIPT).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        assert not isinstance(node, ast.ImportFrom)
    assert imported <= {"errno", "os", "stat", "sys", "time"}
