"""Disks that are full, read-only, damaged or gone: a clear error, nothing acknowledged is lost, and no endless loop."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from tests.contracts.store_contract import DEADLINE, SettableClock, in_stage, play

from coderun.model.errors import StoreCorruptError, StoreUnavailableError
from coderun.model.play import Play, PlayStatus
from coderun.store.sqlite import SqliteStore


def open_store(path: Path) -> SqliteStore:
    return SqliteStore.open(path, clock=SettableClock())


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path, leave_out: Callable[[str, str], NoReturn]) -> Iterator[Path]:
    """A file system of one MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(disk)):
        leave_out("small disks", "only root may mount a file system, where the machine allows it")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def read_only(tmp_path: Path, leave_out: Callable[[str, str], NoReturn]) -> Iterator[tuple[Path, Path]]:
    """A folder, and a path by which it is read-only: a read-only mount for root, who passes over modes, else its own mode."""
    folder = tmp_path / "folder"
    folder.mkdir()
    view = tmp_path / "view"
    view.mkdir()
    if os.geteuid() != 0:
        yield folder, folder
        folder.chmod(0o700)
        return
    if not mount("--bind", str(folder), str(view)) or not mount("-o", "remount,bind,ro", str(view)):
        leave_out("read-only folders", "root may not mount here, and passes over modes")
    yield folder, view
    subprocess.run(["umount", "-l", str(view)], check=True)


def make_read_only(folder: Path) -> None:
    if os.geteuid() != 0:
        for path in folder.iterdir():
            path.chmod(0o400)
        folder.chmod(0o500)


def intact(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def fill(store: SqliteStore) -> tuple[list[str], str]:
    """Create plays until the disk is full: the acknowledged names, and the error."""
    acknowledged = []
    for number in range(1000):
        try:
            acknowledged.append((await store.create(play(f"play-{number}", title="x" * 8000))).name)
        except StoreUnavailableError as error:
            return acknowledged, str(error)
    pytest.fail("the disk never filled up")


async def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path) -> None:
    store = open_store(small_disk / "state.db")
    acknowledged, error = await fill(store)
    assert acknowledged
    assert "its disk or quota is full" in error
    assert "free some space" in error
    assert {found.name for found in await store.find(Play)} == set(acknowledged)
    await store.close()
    assert intact(small_disk / "state.db")


async def test_the_store_goes_on_when_a_full_disk_has_space_again(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 400_000)
    store = open_store(small_disk / "state.db")
    acknowledged, _ = await fill(store)
    (small_disk / "ballast").unlink()
    await store.create(play("after"))
    assert {found.name for found in await store.find(Play)} == {*acknowledged, "after"}
    await store.close()


async def test_a_file_at_its_limit_is_said_and_loses_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    store._database.rows("PRAGMA max_page_count = 60")
    acknowledged, error = await fill(store)
    assert acknowledged
    assert "SQLITE_FULL" in error
    assert {found.name for found in await store.find(Play)} == set(acknowledged)
    store._database.rows("PRAGMA max_page_count = 100000")
    await store.create(play("after"))
    await store.close()
    assert intact(tmp_path / "state.db")


async def test_opening_a_store_in_a_read_only_folder_says_what_to_do(read_only: tuple[Path, Path]) -> None:
    folder, view = read_only
    store = open_store(folder / "state.db")
    await store.create(play())
    await store.close()
    make_read_only(folder)

    async def write() -> None:
        reader = open_store(view / "state.db")
        try:
            await reader.create(play("another"))
        finally:
            await reader.close()

    with pytest.raises(StoreUnavailableError, match=r"state\.db.*(read-only|writable)"):
        await write()


async def test_a_file_that_may_no_longer_be_written_is_said_and_reading_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    made = await store.create(play())
    store._database.rows("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailableError, match=r"state\.db: the file or its folder is read-only .* make both writable"):
        await store.update_status(in_stage(made, "testing"))
    assert await store.get(Play, made.name) == made
    store._database.rows("PRAGMA query_only = OFF")
    await store.update_status(in_stage(made, "testing"))
    await store.close()


async def test_a_damaged_page_is_said_and_nothing_is_written_after(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path)
    await store.create(play())
    [(page,)] = store._database.rows("SELECT rootpage FROM sqlite_master WHERE name = 'specs'")
    await store.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xee" * 4096)
    damaged = path.read_bytes()
    store = open_store(path)
    with pytest.raises(StoreCorruptError, match=r"state\.db is damaged \(SQLite says SQLITE_CORRUPT"):
        await store.get(Play, "play-demo-1")
    with pytest.raises(StoreCorruptError, match="nothing more is written to it; stop coderun, keep a copy of the folder"):
        await store.delete(Play, "play-demo-1")
    await store.close()
    assert path.read_bytes() == damaged


async def test_a_deleted_file_is_said_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path)
    made = await store.create(play())
    watch = store.watch()
    path.unlink()
    with pytest.raises(StoreCorruptError, match="was deleted or replaced while it was open"):
        await store.update_status(in_stage(made, "testing"))
    with pytest.raises(StoreCorruptError, match="stop every coderun of this repository"):
        await store.create(play("another"))
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StoreCorruptError, match="was deleted or replaced"):
            await anext(watch)
        assert await anext(watch, None) is None
    await store.close()
    assert not path.exists()


async def test_a_replaced_file_is_not_mistaken_for_the_open_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_store(path)
    await store.create(play())
    fresh = open_store(tmp_path / "fresh.db")
    await fresh.close()
    (tmp_path / "fresh.db").rename(path)
    with pytest.raises(StoreCorruptError, match="was deleted or replaced"):
        await store.create(play("another"))
    await store.close()


async def test_one_object_that_does_not_decode_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    reported: list[tuple[str, str, str]] = []
    writer = open_store(path)
    for name in ("a", "b", "c"):
        await writer.create(play(name, labels={"x": "1"}))
    writer._database.rows("UPDATE objects SET status = ? WHERE name = 'b'", (b'{"phase":"Dancing"}',))
    store = SqliteStore.open(
        path,
        clock=SettableClock(),
        on_broken=lambda kind, name, error: reported.append((kind, name, str(error))),
    )
    for labels in ({}, {"x": "1"}):
        assert [found.name for found in await store.find(Play, labels=labels)] == ["a", "c"]
    [(kind, name, error)] = reported
    assert (kind, name) == ("Play", "b")
    assert "cannot read Play 'b': its stored status" in error
    with pytest.raises(StoreCorruptError, match="cannot read Play 'b'"):
        await store.get(Play, "b")
    healthy = await store.get(Play, "a")
    assert healthy is not None
    await store.update_status(in_stage(healthy, "testing"))
    await store.delete(Play, "b")
    assert [found.name for found in await store.find(Play)] == ["a", "c"]
    await store.close()
    await writer.close()


async def test_a_lock_held_by_others_is_waited_for_without_blocking_the_loop(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    made = await store.create(play())
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(store.update_status(in_stage(made, "testing")))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not writing.done()
        assert await store.get(Play, made.name) == made
        other.execute("COMMIT")
        async with asyncio.timeout(DEADLINE):
            assert (await writing).status.stage == "testing"
    await store.close()


async def test_a_lock_that_is_never_let_go_is_said_with_when_to_try_again(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", clock=SettableClock(), patience=0.05)
    made = await store.create(play())
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="is busy: another process is writing") as raised:
            await store.update_status(in_stage(made, "testing"))
        assert raised.value.retry_after == 1.0
        other.execute("ROLLBACK")
    await store.update_status(in_stage(made, "testing"))
    await store.close()


async def test_a_failed_transaction_leaves_no_part_behind(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    made = await store.create(play())
    store._database.rows("CREATE TEMP TRIGGER no BEFORE INSERT ON main.labels BEGIN SELECT RAISE(ABORT, 'no'); END")
    changed = msgspec.structs.replace(
        made,
        metadata=msgspec.structs.replace(made.metadata, labels={"x": "1"}),
        spec=msgspec.structs.replace(made.spec, priority=0),
    )
    with pytest.raises(StoreCorruptError, match="not as this coderun made it"):
        await store.update(changed)
    await store.close()
    again = open_store(tmp_path / "state.db")
    assert await again.get(Play, made.name) == made
    assert (await again.update_status(msgspec.structs.replace(made, status=PlayStatus(stage="x")))).status.stage == "x"
    await again.close()
