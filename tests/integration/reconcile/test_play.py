"""The Play reconciler on a real store: whom else it has looked at."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from tests.contracts.store_contract import SettableClock

from coderun.forge.protocol import Forges
from coderun.model.coderun import CodeRun, CodeRunStatus, RunPhase
from coderun.model.meta import ObjectMeta
from coderun.model.play import Play, PlayPhase, PlaySpec
from coderun.model.roster import Agent, Roster
from coderun.pipeline.definition import Pipeline, Stage
from coderun.reconcile.play import PlayReconciler, PlaySettings
from coderun.reconcile.view import View
from coderun.store.sqlite import SqliteStore

PIPELINE = Pipeline(name="default", stages=(Stage(name="write", role="implementation"),))
ROSTER = Roster(agents={"rex": Agent(name="rex", role="implementation")})


class EmptyForge:
    """A forge without a pull request."""

    async def of(self, _: str) -> Any:
        return self

    async def find_pull_requests(self, _: int) -> list[Any]:
        return []


@contextlib.asynccontextmanager
async def two_plays(folder: Path) -> AsyncIterator[tuple[SqliteStore, PlayReconciler]]:
    """The first holds the one slot, the second waits for it."""
    clock = SettableClock()
    store = SqliteStore.open(folder / "state.db", clock=clock)
    view, settings = View(), PlaySettings(pipelines={"default": PIPELINE}, roster=ROSTER)
    plays = PlayReconciler(store=store, forges=cast("Forges", EmptyForge()), view=view, settings=settings, clock=clock)
    for number in (1, 2):
        await store.create(play(number))
    for number in (1, 2):
        await plays.reconcile(f"play-{number}")
    assert [one.status.phase for one in await store.find(Play)] == [PlayPhase.RUNNING, PlayPhase.PENDING]
    yield store, plays
    await store.close()


def play(number: int) -> Play:
    spec = PlaySpec(task_id=number, repository_url="acme/shop", pipeline="default")
    return Play(metadata=ObjectMeta(name=f"play-{number}"), spec=spec)


async def test_a_play_that_begins_to_wait_for_a_person_has_those_looked_at_that_want_its_slot(tmp_path: Path) -> None:
    async with two_plays(tmp_path) as (store, plays):
        (run,) = await store.find(CodeRun)
        await store.update_status(replace(run, status=CodeRunStatus(phase=RunPhase.CANCELLED, work_completed=True)))
        again = await plays.reconcile("play-1")
        stored = await store.get(Play, "play-1")
        assert stored is not None
        assert stored.status.phase is PlayPhase.WAITING
        assert again.plays == ("play-2",)


@pytest.mark.parametrize("is_made_again", [False, True])
async def test_a_play_whose_end_was_not_seen_has_those_looked_at_that_want_its_slot(
    tmp_path: Path, *, is_made_again: bool
) -> None:
    async with two_plays(tmp_path) as (store, plays):
        first = await store.get(Play, "play-1")
        assert first is not None
        if is_made_again:
            await store.delete(Play, "play-1")
            await store.create(play(1))
        else:
            await store.update_status(replace(first, status=replace(first.status, phase=PlayPhase.SUCCEEDED)))
        again = await plays.reconcile("play-1")
        assert "play-2" in again.plays
        assert again.after is not None
