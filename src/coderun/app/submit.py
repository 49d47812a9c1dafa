"""From tasks to Plays: what is created, what exists already, and what cannot start.

Choosing tasks is pure (`choose`); creating the objects is safe to repeat (`submit`).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from coderun.model.coderun import Budget, CliConfig
from coderun.model.errors import AlreadyExistsError, ConfigError, WriteConflictError
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_SERVICE, LABEL_TASK, play_name
from coderun.model.play import Play, PlayPhase, PlaySpec
from coderun.model.repository import parse_repository
from coderun.model.task import Task, find_task, finished_tasks, order_tasks, select_tasks, waiting_for
from coderun.store.protocol import ObjectStore


class PlayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What all Plays of one command share.

    Attributes:
        repository: Canonical repository text (`model.repository`).
        agents: Agent by role where it is not the roster's first.
    """

    repository: str
    service: str
    base_branch: str
    pipeline: str = "play"
    agents: dict[str, str] = {}
    auto_merge: bool = False
    max_iterations: int = 5
    budget: Budget | None = None
    cli_config: CliConfig | None = None
    ignore_dependencies: bool = False

    def name(self, task_id: int) -> str:
        """Name of the Play of a task."""
        return play_name(parse_repository(self.repository).slug, task_id)


class Fate(StrEnum):
    """What became of a task that was asked for."""

    CREATED = "created"
    UNDER_WAY = "under-way"
    DONE = "done"
    STOPPED = "stopped"


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """One task that was asked for, and its Play."""

    task_id: int
    name: str
    fate: Fate
    phase: PlayPhase = PlayPhase.PENDING


def choose(tasks: Sequence[Task], wanted: Sequence[int], *, done: frozenset[int], played: frozenset[int]) -> list[Task]:
    """The tasks of those ids, in the order they can be worked on; those that have a Play already come as they are.

    Raises:
        ConfigError: an id that no task has, or a task that waits for one nobody works on.
    """
    known = {task.id: task for task in tasks}
    again = [find_task(known, task_id) for task_id in wanted if task_id in played]
    fresh = [task_id for task_id in wanted if task_id not in played]
    return [*again, *select_tasks(tasks, fresh, done=done | played)]


def choose_next(tasks: Sequence[Task], *, done: frozenset[int], under_way: frozenset[int]) -> Task:
    """The task to start now: one whose dependencies are done, by priority, then id; those under way are left out.

    Raises:
        ConfigError: there is none, with the reason.
    """
    finished = finished_tasks(tasks, done)
    found = next((task for task in order_tasks(tasks, done=done | under_way) if finished.issuperset(task.dependencies)), None)
    if found is None:
        busy = f"tasks {', '.join(map(str, sorted(under_way)))} are under way; " if under_way else ""
        raise ConfigError(f"no task is ready to start: {busy}{waiting_for(tasks, done=done)}")
    return found


def make_play(task: Task, options: PlayOptions, tasks: Mapping[int, Task], done: frozenset[int]) -> Play:
    """The Play of a task; it waits for those of its dependencies that are not done."""
    waits = (
        ()
        if options.ignore_dependencies
        else tuple(
            needed
            for needed in task.dependencies
            if needed not in done and not (needed in tasks and tasks[needed].status.is_done)
        )
    )
    return Play(
        metadata=ObjectMeta(name=options.name(task.id), labels={LABEL_TASK: str(task.id), LABEL_SERVICE: options.service}),
        spec=PlaySpec(
            task_id=task.id,
            repository_url=options.repository,
            service=options.service,
            pipeline=options.pipeline,
            agents=options.agents,
            base_branch=options.base_branch,
            auto_merge=options.auto_merge,
            max_iterations=options.max_iterations,
            budget=options.budget,
            cli_config=options.cli_config,
            task=task.text,
            depends_on=waits,
            priority=task.priority,
        ),
    )


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for in so many words, and a Play under way shall therefore take over; None is not asked for."""

    auto_merge: bool | None = None
    max_iterations: int | None = None
    cli_config: CliConfig | None = None

    def laid_over(self, spec: PlaySpec) -> PlaySpec:
        """`spec` with what was asked for in place of what it has."""
        return replace(
            spec,
            auto_merge=spec.auto_merge if self.auto_merge is None else self.auto_merge,
            max_iterations=spec.max_iterations if self.max_iterations is None else self.max_iterations,
            cli_config=spec.cli_config if self.cli_config is None else self.cli_config,
        )


async def submit(store: ObjectStore, plays: Iterable[Play], wishes: Wishes) -> list[Submitted]:
    """Create the Plays that are not there. One that is under way takes over the `wishes`, nothing else."""
    return [await _submit_one(store, play, wishes) for play in plays]


async def _submit_one(store: ObjectStore, play: Play, wishes: Wishes) -> Submitted:
    while True:
        try:
            await store.create(play)
        except AlreadyExistsError:
            pass
        else:
            return Submitted(task_id=play.spec.task_id, name=play.name, fate=Fate.CREATED)
        known = await store.get(Play, play.name)
        if known is None:
            continue
        try:
            return await _adopt(store, known, wishes)
        except WriteConflictError:
            continue


async def _adopt(store: ObjectStore, known: Play, wishes: Wishes) -> Submitted:
    phase = known.status.phase
    fate = Fate.UNDER_WAY
    if phase is PlayPhase.SUCCEEDED:
        fate = Fate.DONE
    elif phase.is_finished and known.spec.retries == known.status.retries_seen:
        fate = Fate.STOPPED
    # Also of a play that has stopped: `retry` goes on with what was asked for last.
    spec = wishes.laid_over(known.spec)
    if phase is not PlayPhase.SUCCEEDED and spec != known.spec:
        await store.update(replace(known, spec=spec))
    return Submitted(task_id=known.spec.task_id, name=known.name, fate=fate, phase=phase)
