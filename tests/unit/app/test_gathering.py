"""The event loop that works on what comes in within a moment together."""

import asyncio
import selectors
import socket
from collections.abc import Iterator

import pytest

from coderun.app.gathering import ENOUGH, GATHER_SECONDS, GatheringSelector, gathering_loop

Pair = tuple[socket.socket, socket.socket]


class Watched:
    """A selector with sockets to read from; each sleep of it is noted, and `late` is sent meanwhile."""

    def __init__(self, count: int) -> None:
        self.pairs: list[Pair] = [socket.socketpair() for _ in range(count)]
        self.selector = GatheringSelector()
        self.slept: list[float] = []
        self.late: list[int] = []
        self.selector.sleep = self._sleep
        for number, (ours, _) in enumerate(self.pairs):
            self.selector.register(ours, selectors.EVENT_READ, number)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.send(*self.late)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.pairs[number][1].send(b"x")

    def select(self, timeout: float | None) -> set[int]:
        return {key.data for key, _ in self.selector.select(timeout)}


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched(ENOUGH)
    yield made
    made.selector.close()
    for pair in made.pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize("timeout", [None, 10.0])
def test_what_comes_a_moment_later_is_brought_along(watched: Watched, timeout: float | None) -> None:
    watched.send(2)
    watched.late = [0, 5]
    assert watched.select(timeout) == {0, 2, 5}
    assert watched.slept == [GATHER_SECONDS]


def test_many_at_once_are_enough(watched: Watched) -> None:
    watched.send(*range(ENOUGH))
    assert watched.select(None) == set(range(ENOUGH))
    assert watched.slept == []


@pytest.mark.parametrize("timeout", [0, -1, GATHER_SECONDS])
def test_neither_work_nor_a_timer_that_is_due_is_kept_waiting(watched: Watched, timeout: float) -> None:
    watched.send(1)
    assert watched.select(timeout) == {1}
    assert watched.slept == []


def test_a_timer_that_is_due_meanwhile_comes_at_its_time(watched: Watched) -> None:
    assert watched.select(0.002) == set()
    assert watched.slept == []


def test_a_loop_with_it_is_an_event_loop_as_any() -> None:
    async def talk() -> tuple[bytes, str]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(30):
            reply = asyncio.create_task(reader.readexactly(3))
            await asyncio.sleep(0)
            await asyncio.to_thread(theirs.sendall, b"abc")  # a thread's end wakes it as well
            got = await reply
        writer.close()
        await writer.wait_closed()
        theirs.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        return got, type(asyncio.get_running_loop()).__name__

    with asyncio.Runner(loop_factory=gathering_loop) as runner:
        assert runner.run(talk()) == (b"abc", "_UnixSelectorEventLoop")
