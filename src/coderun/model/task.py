"""Tasks: units of work of a repository, and which of them is ready.

Reading `tasks.json` and the task folders from disk is `app.tasks`; here are only the shapes and the choice.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from coderun.model.errors import ConfigError


class TaskText(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What an agent is told of a task. All of it is untrusted text of the repository.

    Attributes:
        files: Further task files by name (`acceptance-criteria.md`, `prompt.md`, `architecture.md`, …), as text.
    """

    title: str
    description: str = ""
    details: str = ""
    test_strategy: str = ""
    files: dict[str, str] = {}


class TaskStatus(StrEnum):
    """Statuses of Task Master; any other word counts as `pending`."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    REVIEW = "review"
    DONE = "done"
    COMPLETED = "completed"
    DEFERRED = "deferred"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"

    @property
    def is_done(self) -> bool:
        """Whether others may build on it."""
        return self in {TaskStatus.DONE, TaskStatus.COMPLETED}

    @property
    def is_open(self) -> bool:
        """Whether somebody should still work on it without being asked to."""
        return self in {TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.REVIEW}


PRIORITIES = {"critical": -1, "high": 0, "medium": 1, "low": 2}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task: id ≥ 1, what it waits for, and its text.

    Attributes:
        priority: 0 high, 1 medium, 2 low (−1 critical): lower goes first.
        source: `file:line` it was read from, "" where it has none.
    """

    id: int
    text: TaskText
    status: TaskStatus = TaskStatus.PENDING
    priority: int = 1
    dependencies: tuple[int, ...] = ()
    source: str = ""


def order_tasks(tasks: Iterable[Task], *, done: frozenset[int] = frozenset()) -> list[Task]:
    """Open tasks in the order they can be worked on: dependencies first, then priority, then id.

    `done` are ids known to be finished beside those whose own status says so.

    Raises:
        ConfigError: tasks wait for each other, or for one that does not exist; the message names them.
    """
    known = {task.id: task for task in tasks}
    finished = done | {task.id for task in known.values() if task.status.is_done}
    check_dependencies(known, finished)
    remaining = {task.id: task for task in known.values() if task.status.is_open and task.id not in finished}
    ordered: list[Task] = []
    settled = set(finished)
    while remaining:
        ready = [task for task in remaining.values() if settled.issuperset(task.dependencies)]
        if not ready:
            break  # what is left waits for a task that is neither done nor open (deferred, blocked, cancelled)
        chosen = min(ready, key=lambda task: (task.priority, task.id))
        ordered.append(chosen)
        settled.add(chosen.id)
        del remaining[chosen.id]
    return ordered


def next_task(tasks: Iterable[Task], *, done: frozenset[int] = frozenset()) -> Task | None:
    """The open task that can start now: dependencies done, then priority, then id; None where none can.

    Raises:
        ConfigError: as `order_tasks`.
    """
    ordered = order_tasks(tasks, done=done)
    return ordered[0] if ordered else None


def check_dependencies(known: Mapping[int, Task], finished: frozenset[int] = frozenset()) -> None:
    """Refuse dependencies on tasks that do not exist, and cycles.

    Raises:
        ConfigError: with the place of the first offender.
    """
    for task in known.values():
        for wanted in task.dependencies:
            if wanted not in known and wanted not in finished:
                raise ConfigError(
                    f"{_place(task)}task {task.id} depends on task {wanted}, which does not exist; "
                    f"known tasks: {', '.join(map(str, sorted(known))) or 'none'}"
                )
    cycle = find_cycle({task.id: task.dependencies for task in known.values()})
    if cycle:
        place = _place(known[cycle[0]])
        raise ConfigError(f"{place}tasks wait for each other: {' → '.join(map(str, cycle))}; remove one of these dependencies")


def find_cycle(graph: Mapping[int, tuple[int, ...]]) -> list[int]:
    """Ids of one cycle, the first repeated at its end; empty where there is none. No recursion: chains may be long."""
    done: set[int] = set()
    for root in sorted(graph):
        path: list[int] = []
        on_path: set[int] = set()
        stack: list[tuple[int, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(node)
                done.add(node)
            elif node in on_path:
                return [*path[path.index(node) :], node]
            elif node not in done and node in graph:
                path.append(node)
                on_path.add(node)
                stack.append((node, True))
                stack.extend((after, False) for after in reversed(graph[node]))
    return []


def _place(task: Task) -> str:
    return f"{task.source}: " if task.source else ""
