"""`tasks.json` as Task Master writes it: text in, tasks out, each with the line it was read from.

Three shapes: tagged (`{"master": {"tasks": […]}}`), `{"tasks": […]}`, and a bare list. Everything in it is untrusted text of
the repository: it is made storable and kept within bounds, never interpreted. Finding the file is `app.tasks`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from coderun.model.errors import ConfigError
from coderun.model.task import MAX_TEXT, MAX_TITLE, PRIORITIES, Task, TaskStatus, TaskText
from coderun.model.text import clip, did_you_mean, listed, printable, storable

DEFAULT_TAG: Final = "master"
MAX_CHARACTERS: Final = 16 << 20
MAX_ID_DIGITS: Final = 9

_BLANKS = re.compile(r"[ \t\n\r]*")
_ID = re.compile(rf"[0-9]{{1,{MAX_ID_DIGITS}}}")
_SUBTASK = re.compile(rf"([0-9]{{1,{MAX_ID_DIGITS}}})\.[0-9.]+")
_STATUS_WORDS: Final = {"canceled": "cancelled", "complete": "completed"}
_DECODER = json.JSONDecoder()
_SHAPES: Final = 'write {"master": {"tasks": […]}}, {"tasks": […]} or a list of tasks'


def parse_tasks(text: str, *, name: str, tag: str = "", current_tag: str = "") -> list[Task]:
    """The tasks of one tag, in the order written. Unknown dependencies and cycles are found by `model.task.order_tasks`.

    Args:
        text: Content of the file.
        name: What messages call the file.
        tag: Asked for by the user.
        current_tag: From Task Master's `state.json`; without either it is `master`, else the only tag there is.

    Raises:
        ConfigError: no JSON, an unknown shape, an unknown tag, or a task that is none; with `name:line`.
    """
    text = text.removeprefix("\ufeff")
    data = _parse(text, name)
    path = _path_to_tasks(data, name, tag, current_tag)
    offset = 0
    for step in path:
        data = data[step]
        offset = dict(_entries(text, _skip(text, offset)))[step]
    reader = _Reader(name)
    lines = _Lines(text)
    for item, (_, at) in zip(data, _entries(text, _skip(text, offset)), strict=True):
        reader.take(item, lines.line_of(at))
    return list(reader.tasks.values())


def mark_done(text: str, ids: frozenset[int], *, name: str, tag: str = "", current_tag: str = "") -> str:
    """`text` with the status of those tasks set to `done`; every other character stays as it is.

    Tasks that are done already, or whose status is not written, are left alone. Raises as `parse_tasks`.
    """
    done = {task.id for task in parse_tasks(text, name=name, tag=tag, current_tag=current_tag) if task.status.is_done}
    plain = text.removeprefix("\ufeff")
    data = _parse(plain, name)
    offset = 0
    for step in _path_to_tasks(data, name, tag, current_tag):
        data = data[step]
        offset = dict(_entries(plain, _skip(plain, offset)))[step]
    spans: list[tuple[int, int]] = []
    for item, (_, at) in zip(data, _entries(plain, _skip(plain, offset)), strict=True):
        task_id = _task_id(item.get("id"), name)
        place = dict(_entries(plain, at)).get("status")
        if task_id in ids and task_id not in done and place is not None:
            spans.append((place, _DECODER.raw_decode(plain, place)[1]))
    for start, end in reversed(spans):
        plain = f'{plain[:start]}"done"{plain[end:]}'
    return text[: len(text) - len(text.removeprefix("\ufeff"))] + plain


def parse_current_tag(text: str) -> str:
    """`currentTag` of Task Master's `state.json`; "" where it does not say, whatever else is wrong with it."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return ""
    tag = data.get("currentTag") if isinstance(data, dict) else None
    return tag if isinstance(tag, str) else ""


def _parse(text: str, name: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{name}: {len(text)} characters are more than the {MAX_CHARACTERS} this file may have; split it")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{name}:{error.lineno}:{error.colno}"
        if text[: error.pos + 8].rpartition("\n")[2].startswith("<<<<<<<"):
            raise ConfigError(f"{place}: not valid JSON: an unresolved merge conflict; resolve it first") from error
        raise ConfigError(f"{place}: not valid JSON: {error.msg}; correct it there") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply to be a list of tasks; {_SHAPES}") from error
    except ValueError as error:
        raise ConfigError(f"{name}: not valid JSON: {printable(str(error), 200)}; correct it") from error


def _path_to_tasks(data: Any, name: str, tag: str, current_tag: str) -> tuple[str, ...]:
    """The keys that lead to the list of tasks."""
    untagged = isinstance(data, list) or (isinstance(data, dict) and isinstance(data.get("tasks"), list))
    if untagged:
        if tag:
            raise ConfigError(f"{name}:1: has no tags, so there is no tag {printable(tag, 60)!r}; leave the tag out")
        return () if isinstance(data, list) else ("tasks",)
    if not isinstance(data, dict):
        raise ConfigError(f"{name}:1: expected tasks, found {_kind(data)}; {_SHAPES}")
    tags = [key for key, value in data.items() if isinstance(value, dict) and isinstance(value.get("tasks"), list)]
    if not tags:
        raise ConfigError(f"{name}:1: expected tasks, found an object with the keys {listed(data)}; {_SHAPES}")
    return (_choose_tag(tags, name, tag, current_tag), "tasks")


def _choose_tag(tags: list[str], name: str, tag: str, current_tag: str) -> str:
    for wanted, said_by in ((tag, "asked for"), (current_tag, "the current tag of Task Master's state.json")):
        if wanted and wanted not in tags:
            near = did_you_mean(wanted, tags)
            raise ConfigError(
                f"{name}: there is no tag {printable(wanted, 60)!r} ({said_by}){near} (tags: {listed(tags)}); "
                "name one with --tag or tasks.tag"
            )
        if wanted:
            return wanted
    if DEFAULT_TAG in tags or len(tags) == 1:
        return DEFAULT_TAG if DEFAULT_TAG in tags else tags[0]
    raise ConfigError(f"{name}: holds the tags {listed(tags)} and none is chosen; name one with --tag or tasks.tag")


class _Lines:
    """Line numbers of ascending offsets, counted once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    def line_of(self, offset: int) -> int:
        """The line, from 1, of an offset that is not before the last one asked for."""
        self.line += self.text.count("\n", self.at, offset)
        self.at = offset
        return self.line


class _Reader:
    """Makes tasks of the items of a list, one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: dict[int, Task] = {}

    def take(self, item: Any, line: int) -> None:
        """Add one task."""
        source = f"{self.name}:{line}"
        if not isinstance(item, dict):
            _refuse(source, f"expected a task, found {_kind(item)}; write an object with id and title")
        task_id = _task_id(item.get("id"), source)
        if task_id in self.tasks:
            _refuse(source, f"task {task_id} is there twice (first at {self.tasks[task_id].source}); give each task its own id")
        about = f"{source}: task {task_id}"
        self.tasks[task_id] = Task(
            id=task_id,
            text=_task_text(item, about),
            status=_status(item.get("status"), about),
            priority=_priority(item.get("priority"), about),
            dependencies=_dependencies(item.get("dependencies"), task_id, about),
            source=source,
        )


def _task_id(value: Any, source: str) -> int:
    if value is None:
        _refuse(source, "the task has no id; write a whole number from 1")
    digits = value.strip() if isinstance(value, str) else str(value) if _is_int(value) else ""
    if not _ID.fullmatch(digits) or int(digits) < 1:
        _refuse(source, f"a task's id is a whole number from 1, found {_shown(value)}")
    return int(digits)


def _task_text(item: Mapping[str, Any], about: str) -> TaskText:
    title = _text(item, "title", about)
    shown = printable(title, MAX_TITLE)
    if not shown:
        _refuse(about, "has no title; write what shall be done in one line")
    description = _text(item, "description", about)
    if shown != title.strip():
        description = clip(f"{title.strip()}\n\n{description}".strip(), MAX_TEXT)
    details = "\n\n".join(filter(None, (_text(item, "details", about), _subtasks(item.get("subtasks"), about))))
    return TaskText(
        title=shown,
        description=description,
        details=clip(details, MAX_TEXT),
        test_strategy=_text(item, "testStrategy", about),
    )


def _text(item: Mapping[str, Any], key: str, about: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse(about, f"{key} must be text, found {_kind(value)}")
    return clip(storable(value), MAX_TEXT)


def _subtasks(value: Any, about: str) -> str:
    """All subtasks as one Markdown section, "" where there are none."""
    if value is None or value == []:
        return ""
    if not isinstance(value, list):
        _refuse(about, f"subtasks must be a list, found {_kind(value)}")
    parts = ["## Subtasks"]
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            _refuse(about, f"subtask {number} must be an object, found {_kind(item)}")
        name = item.get("id") if _is_int(item.get("id")) or isinstance(item.get("id"), str) else number
        of_subtask = f"{about}, subtask {number}"
        status = _status(item.get("status"), of_subtask)
        parts.append(
            f"### {printable(str(name), 20)}. {printable(_text(item, 'title', of_subtask), MAX_TITLE)} ({status.value})"
        )
        parts += filter(None, (_text(item, key, of_subtask) for key in ("description", "details", "testStrategy")))
    return "\n\n".join(parts)


def _status(value: Any, about: str) -> TaskStatus:
    if value is None:
        return TaskStatus.PENDING
    if not isinstance(value, str):
        _refuse(about, f"status must be a word, found {_kind(value)}")
    word = re.sub(r"[\s_-]+", "-", value.strip().lower())
    word = _STATUS_WORDS.get(word, word)
    return TaskStatus(word) if word in set(TaskStatus) else TaskStatus.PENDING


def _priority(value: Any, about: str) -> int:
    if value is None:
        return PRIORITIES["medium"]
    if not isinstance(value, str):
        _refuse(about, f"priority must be one of {listed(PRIORITIES)}, found {_kind(value)}")
    return PRIORITIES.get(value.strip().lower(), PRIORITIES["medium"])


def _dependencies(value: Any, task_id: int, about: str) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(about, f"dependencies must be a list of task ids, found {_kind(value)}")
    wanted = dict.fromkeys(_dependency(entry, about) for entry in value)
    if task_id in wanted:
        _refuse(about, "depends on itself; remove that dependency")
    return tuple(wanted)


def _dependency(value: Any, about: str) -> int:
    """A task id; a subtask (`"3.2"`) stands for its task."""
    text = value.strip() if isinstance(value, str) else str(value) if _is_int(value) else ""
    found = _SUBTASK.fullmatch(text)
    digits = found[1] if found else text
    if not _ID.fullmatch(digits) or int(digits) < 1:
        _refuse(about, f"a dependency is the id of a task, found {_shown(value)}")
    return int(digits)


def _entries(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """Key or index and offset of every value in the object or list that starts at `at`; `text` is known to be valid JSON."""
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    index = 0
    while text[at] not in "}]":
        key: str | int = index
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        yield key, at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def _shown(value: Any) -> str:
    return repr(printable(value, 40)) if isinstance(value, str) else printable(json.dumps(value), 40)


def _refuse(about: str, message: str) -> NoReturn:
    raise ConfigError(f"{about}: {message}")
