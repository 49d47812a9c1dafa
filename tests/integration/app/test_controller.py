"""The controller itself, with a real store: what it takes up when it starts."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from tests.contracts.runtime_contract import until
from tests.contracts.store_contract import START, SettableClock
from tests.integration.reconcile.test_coderun import JOB, finished_run, fresh_reconciler

from coderun.app.controller import Controller
from coderun.forge.protocol import Forges
from coderun.model.coderun import CodeRun, PullRequestRef
from coderun.model.deliveries import Delivery
from coderun.model.meta import ObjectMeta
from coderun.model.play import Play, PlayPhase, PlaySpec, PlayStatus
from coderun.model.roster import Roster
from coderun.reconcile.play import PlayReconciler, PlaySettings
from coderun.reconcile.result import NOT_AGAIN, Again
from coderun.reconcile.view import View
from coderun.runtime.process import ProcessRuntime
from coderun.runtime.runfolder import StateFolder
from coderun.store.sqlite import SqliteStore


class Nothing:
    """A forge on which nothing happens and nothing is to be checked."""

    async def take_in(self) -> bool:
        return False

    async def reconcile(self, name: str) -> Again:
        assert name
        return NOT_AGAIN

    async def unchecked(self) -> list[str]:
        return []


async def one_wake(_: float) -> AsyncIterator[None]:
    yield


def no_workspace(_: CodeRun) -> str:
    return ""


@pytest.mark.lesson(7)
async def test_a_run_whose_time_passed_while_nobody_controlled_is_removed_by_the_next_controller(tmp_path: Path) -> None:
    clock, state = SettableClock(), StateFolder.at(tmp_path / "state")
    store = SqliteStore.open(tmp_path / "state.db", clock=clock)
    await finished_run(store, state, kept=timedelta(days=14))
    clock.now = START + timedelta(days=30)
    runtime = ProcessRuntime(state.path, argv=("no-supervisor-is-started-here",), environment={})
    hours = itertools.count(step=3600.0)  # each look at this clock is an hour later, so that every timer rings at once
    forges = cast("Forges", object())  # there is no Play that could ask it
    view, settings = View(), PlaySettings(pipelines={}, roster=Roster(agents={}))
    controller = Controller(
        store=store,
        runtime=runtime,
        plays=PlayReconciler(store=store, forges=forges, view=view, settings=settings, clock=clock),
        runs=fresh_reconciler(store, state, clock),
        view=view,
        source=Nothing(),
        checks=Nothing(),
        wakes=one_wake,
        workspace_of=no_workspace,
        clock=clock,
        monotonic=lambda: next(hours),
        jitter=lambda: 0.5,
    )
    working = asyncio.ensure_future(controller.run())
    await until(lambda: not state.run(JOB).path.exists() or working.done(), what="the run's folder is gone")
    controller.stop()
    await working
    assert not state.run(JOB).path.exists()
    await runtime.close()
    await store.close()


@asynccontextmanager
async def controlled(folder: Path, *plays: tuple[str, str], **more: Any) -> AsyncIterator[tuple[Controller, SqliteStore]]:
    """A controller and its store, with plays (name and repository) that wait for their pipeline, ready to be run."""
    clock, state = SettableClock(), StateFolder.at(folder / "state")
    store = SqliteStore.open(folder / "state.db", clock=clock)
    for name, url in plays:
        await store.create(Play(metadata=ObjectMeta(name=name), spec=PlaySpec(task_id=1, repository_url=url)))
    runtime = ProcessRuntime(state.path, argv=("no-supervisor-is-started-here",), environment={})
    view, settings = View(), PlaySettings(pipelines={}, roster=Roster(agents={}))
    controller = Controller(
        store=store,
        runtime=runtime,
        plays=PlayReconciler(store=store, forges=cast("Forges", object()), view=view, settings=settings, clock=clock),
        runs=fresh_reconciler(store, state, clock),
        view=view,
        source=Nothing(),
        wakes=one_wake,
        workspace_of=no_workspace,
        clock=clock,
        monotonic=time.monotonic,
        jitter=lambda: 0.5,
        **more,
    )
    yield controller, store
    await runtime.close()
    await store.close()


async def run_until_settled(controller: Controller, store: SqliteStore) -> None:
    """Let it work until nothing is pending in the inbox."""
    working = asyncio.ensure_future(controller.run())
    while await store.pending_deliveries(1):
        assert not working.done()
        await asyncio.sleep(0.005)
    controller.stop()
    await working


@pytest.mark.parametrize(
    ("event", "repository", "moves"),
    [
        ("installation.unsuspend", "", {"play-shop-1", "play-other-1"}),
        ("repository.transferred", "github.com/acme/shop", {"play-shop-1"}),
        ("label.created", "github.com/acme/shop", set()),
    ],
)
async def test_an_installation_that_moves_is_found_anew_and_its_plays_are_looked_at(
    tmp_path: Path, event: str, repository: str, moves: set[str]
) -> None:
    moved = list[str]()
    plays = (("play-shop-1", "acme/shop"), ("play-other-1", "acme/other"))
    async with controlled(tmp_path, *plays, moved=lambda: moved.append("forgotten")) as (controller, store):
        await store.put_deliveries([Delivery(id="github-1", event=event, repository=repository, received_at=START, body=b"{}")])
        await run_until_settled(controller, store)
        found = await store.get_delivery("github-1")
    assert found is not None
    assert moved == (["forgotten"] if moves else [])
    assert {name for name in ("play-shop-1", "play-other-1") if name in found.outcome} == moves


@pytest.mark.lesson(11)
async def test_a_storm_of_events_is_no_storm_of_looks(tmp_path: Path) -> None:
    async with controlled(tmp_path, ("play-shop-1", "acme/shop")) as (controller, store):
        body, where = b'{"ref": "refs/heads/task-1"}', "github.com/acme/shop"
        await store.put_deliveries(
            Delivery(id=f"github-{n}", event="push", repository=where, received_at=START, body=body) for n in range(1000)
        )
        await run_until_settled(controller, store)
        assert {found.outcome for found in await store.list_deliveries(limit=1000)} == {"hint for play-shop-1"}
        assert controller.reconciles < 20


class Listening:
    """Who talks on pull requests, and notes of which plays."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def reconcile(self, name: str) -> Again:
        self.heard.append(name)
        return NOT_AGAIN


async def test_a_controller_that_starts_reads_what_was_said_to_plays_that_have_ended_lately(tmp_path: Path) -> None:
    ends = {
        "failed": (PlayPhase.FAILED, timedelta(days=13)),
        "failed-long-ago": (PlayPhase.FAILED, timedelta(days=15)),
        "merged": (PlayPhase.SUCCEEDED, timedelta(minutes=59)),
        "merged-before": (PlayPhase.SUCCEEDED, timedelta(hours=2)),
        "aborted-without-a-pull-request": (PlayPhase.ABORTED, timedelta(0)),
    }
    talk = Listening()
    async with controlled(tmp_path, *((name, "acme/shop") for name in ends), talk=talk) as (controller, store):
        for name, (phase, ago) in ends.items():
            play = await store.get(Play, name)
            assert play is not None
            ref = None if "without" in name else PullRequestRef(number=1)
            seen = play.metadata.generation
            status = PlayStatus(phase=phase, pull_request=ref, finished_at=START - ago, observed_generation=seen)
            await store.update_status(replace(play, status=status))
        working = asyncio.ensure_future(controller.run())
        await until(lambda: working.done() or (controller.ready.is_set() and controller.is_idle), what="nothing left to do")
        controller.stop()
        await working
    assert sorted(talk.heard) == ["failed", "merged"]
