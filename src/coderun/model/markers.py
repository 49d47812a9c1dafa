"""Marker files: how a pull request's own changes say which task it belongs to. Paths and contents are untrusted."""

import re
from typing import Any, Final

import msgspec

MARKER_FOLDER: Final = ".coderun/tasks"
UPSTREAM_MARKER: Final = "docs/.taskmaster/current-task.json"
MAX_MARKER: Final = 64 * 1024
_MARKER_FILE: Final = re.compile(r"\.coderun/tasks/task-([1-9][0-9]{0,8})\.json")
_TASK_TEXT: Final = re.compile(r"[1-9][0-9]{0,8}")


def task_of_marker(path: str) -> int | None:
    """Task id of a marker file's path relative to the root of the repository, None for any other file."""
    found = _MARKER_FILE.fullmatch(path)
    return int(found[1]) if found else None


def task_in_marker(content: bytes) -> int | None:
    """The task id that an upstream marker file names as `task_id` or `taskId`, None where it names none."""
    try:
        parsed: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    value = parsed.get("task_id", parsed.get("taskId"))
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip() if isinstance(value, str) else format(value, "d") if abs(value) < 10**10 else ""
    return int(text) if _TASK_TEXT.fullmatch(text) else None
