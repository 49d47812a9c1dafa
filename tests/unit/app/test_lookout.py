"""The lookout: what it hints at, how often it looks, and that nothing ends it."""

import asyncio
import itertools

import pytest

from coderun.app.lookout import Lookout
from coderun.model.deliveries import Hint
from coderun.model.errors import ForgeUnavailableError, RefusedError
from coderun.model.play import PlayPhase
from coderun.reconcile.view import PlayBrief

SHOP, TEA = "github.com/acme/shop", "github.com/acme/tea"


def play(task: int, *, repository: str = SHOP, pull: int | None = None, phase: PlayPhase = PlayPhase.RUNNING) -> PlayBrief:
    return PlayBrief(name=f"play-{task}", task_id=task, repository=repository, phase=phase, pull_request=pull)


class World:
    """Forges that say what a test wants, and a clock that goes as far as is slept."""

    def __init__(self, *plays: PlayBrief, until: float = 100.0) -> None:
        self.plays = list(plays)
        self.time = 0.0
        self.until = until
        self.looks: list[tuple[float, str]] = []
        self.hints: list[tuple[float, str, Hint]] = []
        self.says: dict[float, tuple[Hint, ...]] = {}
        self.errors: dict[str, Exception] = {}
        self.asked = ""

    async def of(self, repository_url: str) -> "World":
        self.asked = repository_url
        return self

    async def news(self) -> tuple[Hint, ...]:
        self.looks.append((self.time, self.asked))
        if self.asked in self.errors:
            raise self.errors[self.asked]
        due = [time for time in self.says if time <= self.time]
        return tuple(hint for time in due for hint in self.says.pop(time))

    async def sleep(self, seconds: float) -> None:
        self.time = round(self.time + seconds, 3)
        if self.time > self.until:
            raise asyncio.CancelledError

    async def watch(self) -> None:
        lookout = Lookout(self, lambda: self.plays, fastest=5.0, monotonic=lambda: self.time, sleep=self.sleep)
        with pytest.raises(asyncio.CancelledError):
            await lookout.watch(lambda repository, hint: self.hints.append((self.time, repository, hint)))

    def times(self, repository: str) -> list[float]:
        return [time for time, looked_at in self.looks if looked_at == repository]


async def test_nothing_is_looked_at_while_nobody_waits() -> None:
    world = World()
    await world.watch()
    assert world.looks == []


async def test_it_looks_less_and_less_often_while_nothing_moves_and_at_once_again_when_something_does() -> None:
    world = World(play(1), until=400)
    world.says[200.0] = (Hint(number=7, tasks=frozenset({1})),)
    await world.watch()
    times = world.times(SHOP)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    moved = next(at for at, time in enumerate(times) if time >= 200)
    assert gaps[0] == 7.5
    assert max(gaps[:moved]) == 60.0
    assert gaps[moved] == 5.0
    assert [(hint.number, repository) for _, repository, hint in world.hints] == [(7, SHOP)]


async def test_plays_that_know_their_pull_request_are_looked_at_now_and_then_ten_at_a_time() -> None:
    world = World(*(play(number, pull=number) for number in range(1, 26)), until=130)
    await world.watch()
    seen = [hint.number for _, _, hint in world.hints]
    assert seen[:20] == list(range(1, 21))
    assert set(seen) == set(range(1, 26))


async def test_trouble_with_one_repository_only_makes_that_one_wait() -> None:
    world = World(play(1), play(2, repository=TEA))
    world.errors[SHOP] = ForgeUnavailableError("a limit", retry_after=50.0)
    world.errors[TEA] = RefusedError("not installed")
    await world.watch()
    assert world.times(SHOP) == [0.0, 50.0, 100.0]
    assert len(world.times(TEA)) > 4


def gaps_of(world: World, repository: str = SHOP) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(world.times(repository))]


async def test_where_all_plays_have_ended_it_looks_seldom_and_hints_at_what_is_said_there() -> None:
    world = World(play(1, pull=7, phase=PlayPhase.FAILED), until=4000)
    world.says[2000.0] = (Hint(number=7),)
    await world.watch()
    gaps = gaps_of(world)
    assert (min(gaps), max(gaps)) == (60.0, 300.0)
    assert [hint.number for _, _, hint in world.hints] == [7]  # heard once, and not looked at now and then


async def test_a_play_that_is_taken_up_again_is_looked_at_at_once() -> None:
    world = World(play(1, pull=7, phase=PlayPhase.FAILED), until=3000)
    await world.watch()
    assert gaps_of(world)[-1] == 300.0
    world.looks.clear()
    world.until = 3100

    async def sleep(seconds: float) -> None:
        world.plays = [play(1, pull=7, phase=PlayPhase.RUNNING if world.time >= 3040 else PlayPhase.FAILED)]
        await world.sleep(seconds)

    world.time = 3000.0
    lookout = Lookout(world, lambda: world.plays, fastest=5.0, monotonic=lambda: world.time, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await lookout.watch(lambda _repository, _hint: None)
    [first, roused, *_] = world.times(SHOP)
    assert first == 3000.0
    assert 3040.0 <= roused <= 3050.0


async def test_with_one_open_play_it_looks_as_often_as_ever_and_hints_at_open_ones_alone() -> None:
    world = World(play(1, pull=7, phase=PlayPhase.FAILED), play(2, pull=8), until=400)
    await world.watch()
    assert max(gaps_of(world)) == pytest.approx(60.0)
    assert {hint.number for _, _, hint in world.hints} == {8}
