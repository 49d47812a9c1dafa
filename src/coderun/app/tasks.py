"""Tasks on disk: finds Task Master's files in a repository and reads them into `model.task`.

It only reads: `tasks.json` is never written here, whatever a task's status becomes. What a task says is untrusted text.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from coderun.app.textfiles import MAX_BYTES, is_missing, nearby, read_anywhere, read_inside, show_path
from coderun.model.errors import ConfigError
from coderun.model.task import Task, task_from_text
from coderun.model.taskmaster import MAX_CHARACTERS, parse_current_tag, parse_tasks
from coderun.model.text import printable

TASK_FILES: Final = (".taskmaster/tasks/tasks.json", ".taskmaster/tasks.json", "tasks.json")
"""Where the list of tasks is looked for, in this order."""

TASK_MASTER: Final = ".taskmaster"
MAX_FILES: Final = 30
MAX_TOTAL_BYTES: Final = 4 << 20
_TEXT_SUFFIXES: Final = (".md", ".markdown", ".txt")


def find_tasks_file(repository: Path) -> Path | None:
    """The list of tasks of a repository: the first of `TASK_FILES` that is there."""
    return next((repository / name for name in TASK_FILES if _is_there(repository / name)), None)


def read_tasks(repository: Path, *, file: str | Path | None = None, tag: str | None = None) -> list[Task]:
    """All tasks of a repository, in the order written, without the files of their docs folders.

    Args:
        repository: Root of the working tree.
        file: The list of tasks, relative to the root (it must be inside), or absolute; None looks for `TASK_FILES`.
        tag: Tag of a tagged list; None takes Task Master's current one, else `master`, else the only one.

    Raises:
        ConfigError: there is no such file, or something in it is wrong (with `file:line`).
    """
    path = _tasks_path(repository, file)
    text = _read_list(repository, path)
    state = _task_master(repository, path) / "state.json"
    current = parse_current_tag(read_inside(repository, state) or "") if state.is_file() and not tag else ""
    return parse_tasks(text, name=show_path(path, repository), tag=tag or "", current_tag=current)


def with_files(repository: Path, task: Task, *, file: str | Path | None = None) -> Task:
    """The task with the texts of its docs folder (`.taskmaster/docs/task-N/`) and the architecture notes beside it.

    Files that are no text are passed over; each is cut at 1 MiB, all together at 4 MiB and 30 files, with a note.

    Raises:
        ConfigError: a file leads outside the repository or cannot be read.
    """
    found = _tasks_path(repository, file) if file else find_tasks_file(repository)
    docs = _task_master(repository, found or repository / TASK_FILES[0]) / "docs"
    files: dict[str, str] = {}
    left = MAX_TOTAL_BYTES
    for path in _doc_files(docs, task.id):
        if len(files) >= MAX_FILES or left <= 0:
            files["NOTE.txt"] = f"More files are in {show_path(docs, repository)}; only these were handed over.\n"
            break
        text = read_inside(repository, path, limit=min(MAX_BYTES, left))
        if text is not None:
            files[printable(path.name, 100)] = text
            left -= len(text)
    return msgspec.structs.replace(task, text=msgspec.structs.replace(task.text, files=files)) if files else task


def task_from_file(path: Path, *, task_id: int) -> Task:
    """A Markdown or text file as a task: as `task_from_text`, read up to 1 MiB.

    Raises:
        ConfigError: it cannot be read, is binary or says nothing.
    """
    text = read_anywhere(path)
    try:
        return task_from_text(text, task_id=task_id)
    except ConfigError as error:
        raise ConfigError(f"{printable(str(path), 200)}: {error}") from error


def task_from_argument(argument: str, *, cwd: Path, task_id: int) -> Task:
    """What a person gave as the task: the path of a Markdown or text file, else a sentence.

    One word that ends like a text file is a path, even where no such file is there. One word that names anything else there is
    refused: no agent is set to work on the sentence "notes/".

    Raises:
        ConfigError: the file cannot be read, it is no text file, or there is no text.
    """
    word = argument.strip()
    looks_like_file = word.lower().endswith(_TEXT_SUFFIXES) and "\n" not in word
    if looks_like_file and (" " not in word or _is_file(cwd / word)):
        return task_from_file(cwd / word, task_id=task_id)
    if len(word.split()) == 1 and os.path.lexists(cwd / word):
        kind = "a folder" if (cwd / word).is_dir() else f"no {' or '.join(_TEXT_SUFFIXES)} file"
        raise ConfigError(
            f"{printable(word, 200)}: is {kind}; name a Markdown file, say the task in a sentence, "
            "or choose from a list of tasks with --task N, --next or --all"
        )
    return task_from_text(argument, task_id=task_id)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # not to be looked at: reading it will say why


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _tasks_path(repository: Path, file: str | Path | None) -> Path:
    if file:
        path = repository / file
        if is_missing(path):
            raise ConfigError(
                f"{show_path(path, repository)}: there is no such file{nearby(path)}; correct tasks.file in coderun.yaml"
            )
        return path
    found = find_tasks_file(repository)
    if found is None:
        raise ConfigError(
            f"no tasks in {printable(str(repository), 200)}: looked for {', '.join(TASK_FILES)}; write one with Task Master, "
            "name the file with tasks.file in coderun.yaml, or give a sentence or a Markdown file as the task"
        )
    return found


def _read_list(repository: Path, path: Path) -> str:
    outside = path.is_absolute() and not path.is_relative_to(repository)
    limit = MAX_CHARACTERS + 1
    text = read_anywhere(path, limit=limit) if outside else read_inside(repository, path, limit=limit)
    if text is None:
        raise ConfigError(f"{show_path(path, repository)}: is a binary file; name the list of tasks, a JSON file")
    return text


def _task_master(repository: Path, tasks_file: Path) -> Path:
    """The `.taskmaster` folder that a list of tasks belongs to."""
    return next((folder for folder in tasks_file.parents if folder.name == TASK_MASTER), repository / TASK_MASTER)


def _doc_files(docs: Path, task_id: int) -> Iterator[Path]:
    folder = docs / f"task-{task_id}"
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_symlink() or path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise ConfigError(f"{printable(str(folder), 200)}: cannot be read: {error.strerror}; check its permissions") from error
    architecture = docs / "architecture.md"
    if architecture.is_symlink() or architecture.is_file():
        yield architecture
