"""The gate of a leader's writes."""

import asyncio

import pytest

from coderun.kube.errors import NotLeadingError
from coderun.kube.gate import Gate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def write(gate: Gate, until: asyncio.Event) -> str:
    async with gate.writing():
        await until.wait()
        return "written"


@pytest.mark.lesson(29)
async def test_a_gate_is_shut_at_first() -> None:
    gate = Gate(Clock())
    assert not gate.is_open
    with pytest.raises(NotLeadingError, match="nothing was written"):
        await write(gate, asyncio.Event())


async def test_an_open_gate_lets_writes_through_until_its_moment() -> None:
    clock = Clock()
    gate = Gate(clock)
    gate.open_until(105.0)
    done = asyncio.Event()
    done.set()
    assert await write(gate, done) == "written"
    clock.now = 105.0
    with pytest.raises(NotLeadingError, match="nothing was written"):
        await write(gate, done)


async def test_shutting_gives_up_the_writes_under_way() -> None:
    gate = Gate(Clock())
    gate.open_until(105.0)
    writes = [asyncio.ensure_future(write(gate, asyncio.Event())) for _ in range(3)]
    await asyncio.sleep(0)
    gate.shut()
    for each in writes:
        with pytest.raises(NotLeadingError, match="given up"):
            await each


async def test_a_gate_may_be_shut_again_before_a_write_that_was_given_up_has_ended() -> None:
    gate = Gate(Clock())
    gate.open_until(105.0)
    given_up, let_go = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        async with gate.writing():
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()
                await let_go.wait()

    writing = asyncio.ensure_future(slow_to_end())
    await asyncio.sleep(0)
    gate.shut()
    await given_up.wait()
    gate.shut()
    let_go.set()
    with pytest.raises(NotLeadingError, match="given up"):
        await writing


async def test_a_write_that_is_cancelled_by_others_stays_cancelled() -> None:
    gate = Gate(Clock())
    gate.open_until(105.0)
    writing = asyncio.ensure_future(write(gate, asyncio.Event()))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_a_timeout_of_the_write_itself_is_no_loss_of_the_lead() -> None:
    gate = Gate(Clock())
    gate.open_until(105.0)
    with pytest.raises(TimeoutError):
        async with gate.writing():
            raise TimeoutError
