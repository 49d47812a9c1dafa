"""Tasks: units of work of a repository, and which of them is ready.

Reading `tasks.json` is `model.taskmaster`, finding it and the task folders on disk `app.tasks`; here are only the shapes and
the choice.
"""

import heapq
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from coderun.model.errors import ConfigError
from coderun.model.text import clip, listed, printable, storable

MAX_TITLE: Final = 120
MAX_TEXT: Final = 1 << 20
MAX_CHOSEN: Final = 1000
MAX_SHOWN: Final = 20

_RANGE = re.compile(r"(?P<first>[0-9]{1,9})(?:\s*-\s*(?P<last>[0-9]{1,9}))?")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")


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

    `done` are ids known to be finished beside those whose own status says so. What waits for a task that is neither done nor
    open (deferred, blocked, cancelled) is left out; `waiting_for` tells of it.

    Raises:
        ConfigError: tasks wait for each other, or for one that does not exist; the message names them.
    """
    known = {task.id: task for task in tasks}
    finished = finished_tasks(known.values(), done)
    check_dependencies(known, finished)
    return _in_order([task for task in known.values() if task.status.is_open and task.id not in finished], finished)


def next_task(tasks: Iterable[Task], *, done: frozenset[int] = frozenset()) -> Task | None:
    """The open task that can start now: dependencies done, then priority, then id; None where none can.

    Raises:
        ConfigError: as `order_tasks`.
    """
    ordered = order_tasks(tasks, done=done)
    return ordered[0] if ordered else None


def select_tasks(tasks: Iterable[Task], ids: Iterable[int], *, done: frozenset[int] = frozenset()) -> list[Task]:
    """The tasks somebody asked for by id, in the order they can be worked on. Deferred and blocked ones count as asked for.

    Raises:
        ConfigError: one does not exist, is done, or waits for a task that is neither done nor asked for; and as `order_tasks`.
    """
    known = {task.id: task for task in tasks}
    finished = finished_tasks(known.values(), done)
    wanted = {task_id: find_task(known, task_id) for task_id in ids}
    for task in wanted.values():
        if task.id in finished:
            raise ConfigError(
                f"{_place(task)}task {task.id} is done already; choose another one, or set its status to pending to do it again"
            )
    check_dependencies(known, finished)
    for task in wanted.values():
        missing = [wait for wait in task.dependencies if wait not in finished and wait not in wanted]
        if missing:
            also = ",".join(map(str, sorted({*wanted, *missing})))
            raise ConfigError(
                f"{_place(task)}task {task.id} waits for task {_with_status(missing[0], known)}, which is not done and not "
                f"asked for; add it (--tasks {also}) or set its status to done"
            )
    return _in_order(list(wanted.values()), finished)


def find_task(known: Mapping[int, Task], task_id: int) -> Task:
    """The task of that id.

    Raises:
        ConfigError: there is none; the message says which there are.
    """
    if task_id < 1:
        raise ConfigError(f"there is no task {task_id}: ids start at 1 (known tasks: {_ids(known)})")
    if task_id not in known:
        raise ConfigError(f"there is no task {task_id} (known tasks: {_ids(known)})")
    return known[task_id]


def waiting_for(tasks: Iterable[Task], *, done: frozenset[int] = frozenset()) -> str:
    """Why no task can start, for people: all are done, or what the open ones wait for."""
    known = {task.id: task for task in tasks}
    if not known:
        return "there is no task in the list"
    finished = finished_tasks(known.values(), done)
    waits = {
        task.id: [wait for wait in task.dependencies if wait not in finished]
        for task in known.values()
        if task.status.is_open and task.id not in finished
    }
    if not waits:
        left = [_with_status(task.id, known) for task in known.values() if task.id not in finished]
        return f"no task is open: {listed(left)}" if left else f"all {len(known)} tasks are done"
    rows = [f"task {task} waits for task {_with_status(wait[0], known)}" for task, wait in sorted(waits.items()) if wait]
    return listed(rows, limit=5) if rows else "nothing waits"


def finished_tasks(tasks: Iterable[Task], done: frozenset[int] = frozenset()) -> frozenset[int]:
    """Ids of the tasks others may build on: `done`, and those whose own status says so."""
    return done | {task.id for task in tasks if task.status.is_done}


def parse_task_list(text: str) -> list[int]:
    """The ids behind `1-5,8`: numbers and ranges, each id once, in the order written.

    Raises:
        ConfigError: something else stands there, an id is below 1, a range runs backwards, or there are more than 1000 ids.
    """
    ids: dict[int, None] = {}
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise ConfigError(
                f"task list {printable(text, 60)!r}: {printable(part, 30)!r} is no task; write ids and ranges, like 1-5,8"
            )
        first = int(found["first"])
        last = int(found["last"] or first)
        if first < 1:
            raise ConfigError(f"task list {printable(text, 60)!r}: there is no task {first}; ids start at 1")
        if last < first:
            raise ConfigError(f"task list {printable(text, 60)!r}: range {first}-{last} runs backwards; write {last}-{first}")
        if len(ids) + last - first + 1 > MAX_CHOSEN:
            raise ConfigError(f"task list {printable(text, 60)!r} names more than {MAX_CHOSEN} tasks; name fewer, or use --all")
        ids.update(dict.fromkeys(range(first, last + 1)))
    return list(ids)


def task_from_text(text: str, *, task_id: int) -> Task:
    """A sentence or a Markdown text as a task: its title is the first heading, else the first line that says something.

    The title is one line of at most 120 characters; the text itself is kept whole as the description, up to 1 MiB.

    Raises:
        ConfigError: there is no text.
    """
    line = _title_line(text)
    if not line:
        raise ConfigError("the task has no text; write a sentence that says what shall be done")
    whole = clip(storable(text).strip(), MAX_TEXT)
    title = printable(line, MAX_TITLE)
    return Task(id=task_id, text=TaskText(title=title, description="" if whole == title else whole))


def check_dependencies(known: Mapping[int, Task], finished: frozenset[int] = frozenset()) -> None:
    """Refuse dependencies on tasks that do not exist, and cycles.

    Raises:
        ConfigError: with the place of the first offender.
    """
    for task in known.values():
        for wanted in task.dependencies:
            if wanted == task.id:
                raise ConfigError(f"{_place(task)}task {task.id} depends on itself; remove that dependency")
            if wanted not in known and wanted not in finished:
                raise ConfigError(
                    f"{_place(task)}task {task.id} depends on task {wanted}, which does not exist (known tasks: {_ids(known)})"
                )
    cycle = find_cycle({task.id: task.dependencies for task in known.values()})
    if cycle:
        place = _place(known[cycle[0]])
        path = " → ".join(map(str, cycle if len(cycle) <= MAX_SHOWN else [*cycle[: MAX_SHOWN - 2], "…", cycle[-1]]))
        raise ConfigError(f"{place}tasks wait for each other: {path}; remove one of these dependencies")


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


def _in_order(tasks: list[Task], finished: frozenset[int]) -> list[Task]:
    """`tasks`, each after those of its dependencies that are not finished, else by priority and id."""
    missing = {task.id: set(task.dependencies) - finished for task in tasks}
    waiters: dict[int, list[Task]] = {}
    for task in tasks:
        for wait in missing[task.id]:
            waiters.setdefault(wait, []).append(task)
    ready = [(task.priority, task.id, task) for task in tasks if not missing[task.id]]
    heapq.heapify(ready)
    ordered: list[Task] = []
    while ready:
        *_, chosen = heapq.heappop(ready)
        ordered.append(chosen)
        for task in waiters.get(chosen.id, ()):
            missing[task.id].discard(chosen.id)
            if not missing[task.id]:
                heapq.heappush(ready, (task.priority, task.id, task))
    return ordered


def _title_line(text: str) -> str:
    """The first heading outside front matter and code fences, else the first line with a word in it."""
    first, fence = "", ""
    lines = text.removeprefix("\ufeff").splitlines()
    if lines and lines[0].rstrip() == "---" and "---" in (line.rstrip() for line in lines[1:]):
        lines = lines[1 + next(at for at, line in enumerate(lines[1:], 1) if line.rstrip() == "---") :]
    for line in lines:
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
            continue
        heading = None if fence else _HEADING.match(line)
        if heading and printable(heading[1]):
            return heading[1]
        if not fence and not first and printable(line):
            first = line
    return first or next((line for line in lines if printable(line) and not _FENCE.match(line)), "")


def _with_status(task_id: int, known: Mapping[int, Task]) -> str:
    task = known.get(task_id)
    return f"{task_id} ({task.status.value})" if task else str(task_id)


def _ids(known: Iterable[int]) -> str:
    return listed(sorted(known))


def _place(task: Task) -> str:
    return f"{task.source}: " if task.source else ""
