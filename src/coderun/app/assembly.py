"""A controller from its parts: the same for one machine and for one namespace of a cluster. Nothing here decides."""

import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

from coderun.app.configuration import Configuration, run_settings
from coderun.app.controller import WORKERS, Controller
from coderun.app.hosting import ForgeParts
from coderun.model.github import github_host
from coderun.model.metrics import ControllerMetrics
from coderun.model.repository import host_of
from coderun.model.roster import Roster
from coderun.pipeline.definition import Pipeline
from coderun.pipeline.facts import Rules
from coderun.plan.plan import workspace_of
from coderun.reconcile.coderun import CodeRunReconciler
from coderun.reconcile.herald import Herald
from coderun.reconcile.play import PlayReconciler, PlaySettings
from coderun.reconcile.talk import TalkReconciler, TalkSettings
from coderun.reconcile.view import View
from coderun.runtime.protocol import Runtime
from coderun.store.protocol import Store

SETTLE_SECONDS: Final = 2.0


def roster_of(configuration: Configuration) -> Roster:
    """The agents, those that `roles` names first."""
    roster, chosen = configuration.roster, configuration.config.roles.values()
    named = [agent for agent in roster.agents.values() if agent.name in chosen]
    rest = [agent for agent in roster.agents.values() if agent not in named]
    return Roster({agent.name: agent for agent in (*named, *rest)})


def forge_host(configuration: Configuration) -> str:
    """Where a repository is of which only owner and name are said."""
    return host_of(github_host(configuration.config.forge.url).web)


def pipelines_of(configuration: Configuration) -> dict[str, Pipeline]:
    """Definitions by name."""
    return {configuration.pipeline.name: configuration.pipeline}


def rules_of(configuration: Configuration) -> Rules:
    """What the configuration says about how plays move on."""
    config = configuration.config
    return Rules(
        attempts=config.limits.attempts,
        backoff=config.limits.retry_backoff_seconds,
        checks_grace=config.checks_grace_seconds,
        settle=SETTLE_SECONDS,
        merge_method=config.play.merge_method,
    )


def assemble(
    configuration: Configuration,
    parts: ForgeParts,
    *,
    store: Store,
    runtime: Runtime,
    view: View,
    parallel: int,
    wakes: Callable[[float], AsyncIterator[None]],
    clock: Callable[[], datetime],
    tell: Callable[[str], None],
    keep_deliveries_days: float | None = None,
    herald: Herald | None = None,
    metrics: ControllerMetrics | None = None,
    workers: int = WORKERS,
) -> Controller:
    """The controller over these parts; `parallel` plays may be under way at once."""
    roster, limits = parts.roster, configuration.config.limits
    plays = PlayReconciler(
        store=store,
        forges=parts.forges,
        view=view,
        settings=PlaySettings(
            pipelines=pipelines_of(configuration), roster=roster, rules=rules_of(configuration), parallel=parallel
        ),
        clock=clock,
        herald=herald,
    )
    runs = CodeRunReconciler(
        store=store,
        runtime=runtime,
        tokens=parts.tokens,
        view=view,
        roster=roster,
        settings=run_settings(configuration, parts.ref, poll=parts.poll),
        clock=clock,
        herald=herald,
    )
    return Controller(
        store=store,
        runtime=runtime,
        plays=plays,
        runs=runs,
        view=view,
        source=parts.source,
        checks=parts.checks,
        tasks=parts.tasks,
        lookout=parts.lookout,
        repair=parts.repair,
        moved=parts.moved,
        talk=_talk(configuration, parts, store, clock),
        keep_deliveries_days=limits.keep_events_days if keep_deliveries_days is None else keep_deliveries_days,
        wakes=wakes,
        workspace_of=lambda run: workspace_of(run, roster),
        clock=clock,
        monotonic=time.monotonic,
        jitter=random.random,
        tell=tell,
        metrics=metrics,
        workers=workers,
    )


def _talk(configuration: Configuration, parts: ForgeParts, store: Store, clock: Callable[[], datetime]) -> TalkReconciler:
    said = configuration.config.pull_requests
    settings = TalkSettings(
        pipelines=pipelines_of(configuration),
        roster=parts.roster,
        commands=said.commands,
        status_comment=said.status_comment and parts.tells,
        check_run=said.check_run and parts.tells,
    )
    return TalkReconciler(store=store, forges=parts.forges, settings=settings, clock=clock, monotonic=time.monotonic)
