"""`tasks.writeBack: true`: what was merged is marked as done in the repository's own list of tasks, by one commit.

Level-triggered: each pass compares the list on the forge's base branch with the plays that succeeded. Only the status of a task
is changed, every other character stays.
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import structlog

from coderun.app.places import Answer, ask_git
from coderun.app.tasks import find_tasks_file
from coderun.app.textfiles import read_inside
from coderun.model.errors import ConfigError, ForgeUnavailableError
from coderun.model.play import Play, PlayPhase
from coderun.model.taskmaster import mark_done, parse_current_tag
from coderun.reconcile.result import NOT_AGAIN, Again
from coderun.store.protocol import ObjectStore

_log = structlog.get_logger(__name__)
_STATE = ".taskmaster/state.json"
_NOBODY = ("-c", "user.name=coderun", "-c", "user.email=coderun@coderun.invalid", "-c", "commit.gpgsign=false")


class TaskWriter:
    """Marks merged tasks as done. Pushes as the person, so that the forge's protection applies."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        repository: Path,
        branch: str,
        file: str,
        tag: str,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._repository = repository
        self._branch = branch
        self._file = file
        self._tag = tag
        self._folder = folder
        self._environment = environment

    async def reconcile(self, name: str) -> Again:
        """One pass. Raises `ForgeUnavailableError` when the base branch moved meanwhile; the pass is repeated then."""
        _ = name
        plays = await self._store.find(Play)
        done = frozenset(play.spec.task_id for play in plays if play.status.phase is PlayPhase.SUCCEEDED)
        if done:
            await asyncio.to_thread(self._write, done)
        return NOT_AGAIN

    def _write(self, done: frozenset[int]) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        clone = self._folder
        self._git(
            clone.parent,
            "clone",
            "--quiet",
            "--depth=1",
            "--no-local",
            "--branch",
            self._branch,
            str(self._repository),
            str(clone),
        )
        try:
            path = clone / self._file if self._file else find_tasks_file(clone)
            text = read_inside(clone, path) if path is not None and path.is_file() else None
            if path is None or text is None:
                return
            state = clone / _STATE
            current = parse_current_tag(read_inside(clone, state) or "") if state.is_file() and not self._tag else ""
            marked = mark_done(text, done, name=str(path.relative_to(clone)), tag=self._tag, current_tag=current)
            if marked != text:
                path.write_text(marked, encoding="utf-8", newline="")
                self._git(clone, *_NOBODY, "commit", "--quiet", "--no-verify", "-am", "Mark merged tasks as done")
                self._git(clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{self._branch}")
                _log.info("tasks marked as done", branch=self._branch)
        except ConfigError as error:
            # A list that cannot be read any more is the repository's business; nothing of ours depends on it.
            _log.warning("the list of tasks cannot be written back", error=str(error))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _git(self, cwd: Path, *arguments: str) -> Answer:
        answer = ask_git(cwd, *arguments, environ=self._environment)
        if answer.code:
            raise ForgeUnavailableError(
                f"writing tasks back: git failed in {cwd}: {answer.error.strip()[:500]}", retry_after=5.0
            )
        return answer
