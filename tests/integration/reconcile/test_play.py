"""The Play reconciler on a real store: whom else it has looked at."""

from pathlib import Path
from typing import Any, cast

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


async def test_a_play_that_begins_to_wait_for_a_person_has_those_looked_at_that_want_its_slot(tmp_path: Path) -> None:
    clock = SettableClock()
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    view, settings = View(), PlaySettings(pipelines={"default": PIPELINE}, roster=ROSTER)
    plays = PlayReconciler(store=store, forges=cast("Forges", EmptyForge()), view=view, settings=settings, clock=clock)
    for number in (1, 2):
        spec = PlaySpec(task_id=number, repository_url="acme/shop", pipeline="default")
        await store.create(Play(metadata=ObjectMeta(name=f"play-{number}"), spec=spec))
    for number in (1, 2):
        await plays.reconcile(f"play-{number}")
    first, second = await store.find(Play)
    assert (first.status.phase, second.status.phase) == (PlayPhase.RUNNING, PlayPhase.PENDING)
    (run,) = await store.find(CodeRun)
    await store.update_status(replace(run, status=CodeRunStatus(phase=RunPhase.CANCELLED, work_completed=True)))
    again = await plays.reconcile(first.name)
    stored = await store.get(Play, first.name)
    assert stored is not None
    assert stored.status.phase is PlayPhase.WAITING
    assert again.plays == (second.name,)
    await store.close()
