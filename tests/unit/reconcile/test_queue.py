"""The work queue: nothing is lost, nothing is doubled, nobody works twice on one key."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.reconcile.queue import FIRST_BACKOFF, LAST_BACKOFF, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_that_waits_is_not_added_twice() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 1
    queue.done("a")
    assert queue.is_idle


async def test_a_key_that_is_added_while_in_work_runs_again_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"
    queue.done(key)
    assert await queue.get() == "a"


async def test_keys_come_in_the_order_they_were_added() -> None:
    queue: WorkQueue[int] = WorkQueue(Clock())
    for key in (3, 1, 2):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == [3, 1, 2]


async def test_a_worker_that_is_cancelled_as_a_key_comes_ends() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    await asyncio.sleep(0)
    worker.cancel()
    ended, _ = await asyncio.wait({worker}, timeout=5)
    assert ended
    assert worker.cancelled() or worker.result() == "a"


async def test_the_key_of_a_worker_that_is_cancelled_as_it_comes_goes_to_another() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"
    assert first.cancelled()


async def test_a_worker_that_was_cancelled_while_it_waited_is_passed_over() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(second, 5) == "a"


async def test_a_timer_wakes_a_worker_that_waits_also_where_it_was_set_while_none_did() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    queue.add_after("much later", 1000.0)
    queue.add("now")
    waiting = asyncio.create_task(queue.get())
    assert await waiting == "now"
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("again")
    assert await worker == "again"
    queue.add_after("soon", 0.05)
    assert await asyncio.wait_for(queue.get(), 60) == "soon"
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add_after("while they wait", 0.05)
    queue.add_after("later", 0.1)
    assert await asyncio.wait_for(asyncio.gather(*workers), 60) == ["while they wait", "later"]


async def test_a_timer_that_rings_while_nobody_waits_is_heard_by_the_next_who_comes() -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    worker = asyncio.create_task(queue.get())
    queue.add_after("soon", 0.05)
    queue.add_after("later", 0.1)
    await asyncio.sleep(0)
    queue.add("now")
    assert await worker == "now"
    await asyncio.sleep(0.3)
    assert [await asyncio.wait_for(queue.get(), 60) for _ in range(2)] == ["soon", "later"]


async def test_a_timer_rings_when_its_time_has_come() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("late", 10.0)
    queue.add("now")
    assert await queue.get() == "now"
    assert len(queue) == 1
    clock.now = 10.0
    assert await queue.get() == "late"


async def test_an_earlier_appointment_stays_and_a_later_one_is_dropped() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 5.0)
    queue.add_after("a", 50.0)
    queue.add_after("a", 3.0)
    clock.now = 3.0
    assert await queue.get() == "a"
    queue.done("a")
    clock.now = 60.0
    queue.add("end")
    assert await queue.get() == "end"


async def test_an_appointment_that_was_cancelled_does_not_ring_and_a_later_one_does() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 5)
    queue.cancel_timer("a")
    queue.cancel_timer("b")
    queue.add_after("a", 9)
    clock.now = 8
    queue.add("other")
    assert await queue.get() == "other"
    assert len(queue) == 1, "the cancelled one did not ring"
    clock.now = 9
    assert await queue.get() == "a"
    queue.done("a")
    queue.done("other")
    assert queue.is_idle


async def test_nobody_is_woken_for_appointments_that_were_cancelled() -> None:
    looked = 0

    def clock() -> float:
        nonlocal looked
        looked += 1
        return time.monotonic()

    queue: WorkQueue[int] = WorkQueue(clock)
    for key in range(100):
        queue.add_after(key, 0.01 + key / 1000)
        queue.cancel_timer(key)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    before = looked
    await asyncio.sleep(0.3)
    assert looked == before
    queue.add_after(7, 0.01)
    assert await asyncio.wait_for(waiting, 60) == 7


async def test_back_off_doubles_with_each_failure_in_a_row_up_to_a_cap_and_forgets() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    waits = [queue.retry("a") for _ in range(12)]
    assert waits[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert waits[-1] == LAST_BACKOFF
    queue.forget("a")
    assert queue.retry("a") == FIRST_BACKOFF


async def test_who_asks_for_a_longer_wait_gets_it() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    assert queue.retry("a", retry_after=30.0) == 30.0


async def test_a_getter_that_waits_is_woken_by_an_add() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock())
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await getter == "a"


@given(st.lists(st.tuples(st.sampled_from(["add", "get", "done"]), st.integers(0, 3)), max_size=60))
def test_no_key_is_lost_and_none_is_in_work_twice(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, int]]) -> None:
    queue: WorkQueue[int] = WorkQueue(Clock())
    owed: set[int] = set()
    working: set[int] = set()
    for step, key in steps:
        if step == "add":
            queue.add(key)
            owed.add(key)
        elif step == "get" and owed - working:
            got = await asyncio.wait_for(queue.get(), 1.0)
            assert got not in working
            working.add(got)
            owed.discard(got)
        elif step == "done" and key in working:
            working.discard(key)
            queue.done(key)
    for key in list(working):
        queue.done(key)
    while owed:
        got = await asyncio.wait_for(queue.get(), 1.0)
        owed.discard(got)
        queue.done(got)
    assert queue.is_idle


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_worker_ends_even_where_a_key_comes_at_that_moment(turns: int) -> None:
    queue: WorkQueue[str] = WorkQueue(time.monotonic)
    queue.add_after("later", 1000.0)

    async def work() -> None:
        while True:
            queue.done(await queue.get())

    worker = asyncio.ensure_future(work())
    await asyncio.sleep(0.01)
    queue.add("now")
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.cancel()
    ended, _ = await asyncio.wait({worker}, timeout=5)
    assert ended == {worker}
    assert worker.cancelled()


class Notes:
    """Metrics of a queue, as a list."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float]] = []

    def added(self, depth: int) -> None:
        self.said.append(("added", depth))

    def begun(self, depth: int, waited: float) -> None:
        self.said.append(("begun", waited))

    def done(self, seconds: float) -> None:
        self.said.append(("done", seconds))

    def retried(self) -> None:
        self.said.append(("retried", 0))


async def test_how_long_a_key_waited_and_how_long_it_was_worked_on_is_noted() -> None:
    notes, now = Notes(), [10.0]
    queue: WorkQueue[str] = WorkQueue(lambda: now[0], metrics=notes)
    queue.add("a")
    queue.add("a")
    now[0] = 12.0
    assert await queue.get() == "a"
    now[0] = 15.0
    queue.retry("a")
    queue.done("a")
    assert notes.said == [("added", 1), ("begun", 2.0), ("retried", 0), ("done", 3.0)]


async def test_a_key_is_in_the_queue_while_it_is_due_or_in_work() -> None:
    queue: WorkQueue[str] = WorkQueue(lambda: 0.0)
    assert "a" not in queue
    queue.add("a")
    assert "a" in queue
    await queue.get()
    assert "a" in queue
    queue.done("a")
    queue.add_after("a", 5.0)
    assert "a" not in queue
