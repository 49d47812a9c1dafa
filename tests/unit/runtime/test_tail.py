import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from coderun.runtime.tail import tail


class Job:
    """Goes on until told to end."""

    def __init__(self) -> None:
        self.goes_on = True

    def __call__(self) -> bool:
        return self.goes_on


async def next_of(chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return await anext(chunks)


async def all_of(chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return b"".join([chunk async for chunk in chunks])


async def test_without_following_it_gives_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\x00\xff" * 100_000)
    assert await all_of(tail(tmp_path / "log", is_going_on=None)) == b"\x00\xff" * 100_000
    assert await all_of(tail(tmp_path / "none", is_going_on=None)) == b""


async def test_following_waits_for_the_file_and_reads_what_was_written_last(tmp_path: Path) -> None:
    job, path = Job(), tmp_path / "log"
    chunks = tail(path, is_going_on=job)
    waiting = asyncio.ensure_future(next_of(chunks))
    await asyncio.sleep(0)
    path.write_bytes(b"one")
    assert await waiting == b"one"
    with path.open("ab") as file:
        file.write(b"two")
    job.goes_on = False
    assert await all_of(chunks) == b"two"


async def test_a_file_put_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    job, path = Job(), tmp_path / "log"
    path.write_bytes(b"old")
    chunks = tail(path, is_going_on=job)
    assert await next_of(chunks) == b"old"
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"new")
    assert await next_of(chunks) == b"new"
    job.goes_on = False
    assert await all_of(chunks) == b""


async def test_a_file_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    job, path = Job(), tmp_path / "log"
    path.write_bytes(b"a long line")
    chunks = tail(path, is_going_on=job)
    assert await next_of(chunks) == b"a long line"
    path.write_bytes(b"short")
    assert await next_of(chunks) == b"short"
    await chunks.aclose()  # type: ignore[attr-defined] # it is a generator; the protocol promises an iterator only


async def test_a_deleted_file_ends_with_the_job(tmp_path: Path) -> None:
    job, path = Job(), tmp_path / "log"
    path.write_bytes(b"before")
    chunks = tail(path, is_going_on=job)
    assert await next_of(chunks) == b"before"
    path.unlink()
    job.goes_on = False
    assert await all_of(chunks) == b""
