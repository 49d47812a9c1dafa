import asyncio

from coderun.agent.stop import StopCause, StopSignal


async def test_the_first_wish_to_stop_stays() -> None:
    stop = StopSignal()
    assert (stop.requested, stop.cause, stop.reason) == (False, None, "")
    stop.request(StopCause.TIMED_OUT, "too long")
    stop.request(StopCause.CANCELLED, "enough")
    assert (stop.requested, stop.cause, stop.reason) == (True, StopCause.TIMED_OUT, "too long")
    async with asyncio.timeout(5):
        await stop.wait()
