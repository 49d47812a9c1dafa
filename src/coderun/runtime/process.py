"""The runtime of one machine: a job is a folder and a supervisor process (`coderun agent`) that outlives whoever started it.

Between the CodeRun reconciler, which decides, and the supervisor, which runs. All that is known of a job is read from its
folder and locks each time, so that a new controller sees what the old one saw. It never decides whether a job should run, and
never runs an agent itself.
"""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.coderun import RunReport
from coderun.model.errors import UnavailableError
from coderun.plan.order import RunPlan
from coderun.runtime import locks, proc
from coderun.runtime.ending import Ended, end_all
from coderun.runtime.locks import Holder
from coderun.runtime.proc import Process, Table
from coderun.runtime.protocol import JobState, Observation
from coderun.runtime.runfolder import (
    RunFolder,
    StateFolder,
    checked_relative,
    remove_tmp,
    remove_tree,
    workspace_lock,
    write_whole,
)
from coderun.runtime.runwriter import read_card, write_run
from coderun.runtime.tail import tail

POLL: Final = 2.0
STOP_MARGIN: Final = 10.0

Wakes = Callable[[], AsyncIterator[object]]


class ProcessRuntime:
    """Jobs as processes of this machine; implements `runtime.protocol.Runtime`.

    Args:
        state_folder: Where `runs/` and `workspaces/` are.
        argv: Command that starts a supervisor; `--run DIR --workspace DIR` is added.
        environment: The whole environment of supervisors.
        clock: Seconds that only ever go forward (`time.monotonic`).
        hints: Gives a stream of wakes from the state folder; after each, the running jobs are looked at.
        stop_margin: How long after its grace (seconds) a job that was asked to stop is killed with all it started.
    """

    def __init__(
        self,
        state_folder: Path,
        *,
        argv: Sequence[str],
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        hints: Wakes | None = None,
        stop_margin: float = STOP_MARGIN,
    ) -> None:
        self._state = StateFolder.at(state_folder)
        self._argv = tuple(argv)
        self._environment = dict(environment)
        self._clock = clock
        self._hints = hints
        self._stop_margin = stop_margin
        self._children: dict[str, asyncio.Task[None]] = {}
        self._adopted: set[str] = set()
        self._never_began: dict[str, str] = {}
        self._stopping_since: dict[str, float] = {}
        self._listeners: set[asyncio.Queue[str]] = set()
        self._lookouts: list[asyncio.Task[None]] = []

    # Making

    async def prepare(self, plan: RunPlan) -> None:
        """Write the run folder, whole before `job.json` says so, and the workspace's. A job that was started is left alone.

        Raises:
            UnavailableError: the disk did not take it.
            InvalidCodeRunError: a name that can be no file or folder of a run.
        """
        run, workspace = self._state.run(plan.job), self._state.workspace(plan.workspace)
        files = {run.files / checked_relative(name): text.encode() for name, text in plan.files.items()}
        try:
            await asyncio.to_thread(write_run, plan, run, workspace, files)
        except OSError as error:
            raise UnavailableError(f"cannot prepare run {plan.job} in {run.path}: {error}") from error

    async def renew_token(self, job: str, token: str) -> None:
        """Put the token in the run folder where another one is; nothing happens where there is no token.

        Raises:
            UnavailableError: the disk did not take it.
        """
        run = self._state.run(job)
        try:
            if run.token.read_text(encoding="utf-8") != token:
                write_whole(run.token, token.encode())
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"cannot renew the token of run {job} in {run.path}: {error}") from error

    async def token_of(self, job: str) -> str:
        """What the token's file in the run folder holds; an agent may have made anything of it, which is no token then."""
        run = self._state.run(job)
        try:
            return run.token.read_text(encoding="ascii").strip() if run.token.is_file() else ""
        except UnicodeDecodeError:
            return ""
        except OSError as error:
            raise UnavailableError(f"cannot read the token of run {job} in {run.path}: {error}") from error

    async def drop_token(self, job: str) -> None:
        """Remove the token's file from the run folder. Raises `UnavailableError` where the disk does not let it."""
        run = self._state.run(job)
        try:
            run.token.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot remove the token of run {job} in {run.path}: {error}") from error

    async def start(self, plan: RunPlan) -> None:
        """Start the job's supervisor, unless one was ever started that came to its work; which one does, its lock decides.

        Raises:
            UnavailableError: it was not prepared, or the process could not be made.
        """
        run, workspace = self._state.run(plan.job), self._state.workspace(plan.workspace)
        try:
            if run.started.exists() or self._is_coming(run) or self._last_holder(run) is not None:
                return
            if not run.prepared.exists():
                raise UnavailableError(f"cannot start run {plan.job}: {run.path} was not prepared, or has been deleted")
            pid = self._spawn(run, workspace)
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(f"cannot start run {plan.job} with {self._argv[0]!r}: {error}") from error
        self._never_began.pop(plan.job, None)
        self._children[plan.job] = asyncio.create_task(self._watch_child(run, pid), name=f"supervisor of {plan.job}")
        process = proc.identify(pid)
        if process is not None:
            with contextlib.suppress(OSError):
                write_whole(run.spawned, msgspec.json.encode(process), durable=False)

    def _spawn(self, run: RunFolder, workspace: Path) -> int:
        name, _, value = run.marker.partition("=")
        with run.output.open("ab") as output:
            child = subprocess.Popen(
                [*self._argv, "--run", str(run.path), "--workspace", str(workspace)],
                cwd=run.path,
                env={**self._environment, name: value, "CODERUN_JOB": run.job},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # It shall live on without us: nobody waits for it but `_watch_child`.
        child.returncode = 0
        return child.pid

    async def _watch_child(self, run: RunFolder, pid: int) -> None:
        status = await proc.exit_of(pid)
        self._children.pop(run.job, None)
        if not run.started.exists():
            how = f"exit code {status}" if status >= 0 else f"signal {-status}"
            self._never_began[run.job] = f"its supervisor ended with {how} before it began; see {run.output}"
        self._hint(run.job)

    def _is_coming(self, run: RunFolder) -> bool:
        if run.job in self._children:
            return True
        try:
            process = msgspec.json.decode(run.spawned.read_bytes(), type=Process)
        except (OSError, msgspec.DecodeError):
            return False
        return proc.is_alive(process)

    # Looking

    async def observe(self, job: str, *, owner: str = "") -> Observation:  # noqa: ARG002 - run folders know no uid
        """Look at the job. What a dead supervisor left alive is ended before the job is called lost.

        Raises:
            UnavailableError: the folder cannot be read now.
        """
        run = self._state.run(job)
        try:
            seen = self._look(run)
            if seen is None:
                seen = await self._lose(run, await asyncio.to_thread(end_all, _all_of(run), grace=0))
            elif seen.state is JobState.RUNNING and self._is_overdue(run):
                seen = await self._force(run)
        except OSError as error:
            raise UnavailableError(f"cannot look at run {job} in {run.path}: {error}") from error
        if seen.state in {JobState.STARTING, JobState.RUNNING} and job not in self._children:
            self._adopted.add(job)
        return seen

    def _look(self, run: RunFolder) -> Observation | None:
        """What is to be seen; None where the job is lost and may have left processes."""
        coming = self._is_coming(run)
        if run.lost.exists():
            return Observation(state=JobState.LOST, detail=run.lost.read_text("utf-8", "replace"))
        report, damage = _read_report(run)
        if report is not None:
            return Observation(state=JobState.FINISHED, report=report)
        if not run.started.exists():
            return self._look_before_start(run, coming=coming)
        if locks.is_held(run.lock):
            return Observation(state=JobState.RUNNING, detail=_how_it_runs(run))
        # The supervisor may have written it and left since the first look.
        report, damage = _read_report(run)
        if report is None and not damage:
            return None
        return (
            Observation(state=JobState.FINISHED, report=report) if report else Observation(state=JobState.LOST, detail=damage)
        )

    def _look_before_start(self, run: RunFolder, *, coming: bool) -> Observation | None:
        if self._last_holder(run) is not None:
            return None
        if coming:
            return Observation(state=JobState.STARTING, detail="its supervisor is starting")
        return Observation(state=JobState.ABSENT, detail=self._never_began.get(run.job, ""))

    def _last_holder(self, run: RunFolder) -> Holder | None:
        """Who worked on this job, where its run folder tells nothing of it (any more) but the workspace still does."""
        if run.started.exists():
            return None
        card = read_card(run)
        folders = [self._state.workspaces / card.workspace] if card else _folders_in(self._state.workspaces)
        holders = (locks.read_holder(workspace_lock(folder)) for folder in folders)
        return next((holder for holder in holders if holder is not None and holder.job == run.job), None)

    async def _lose(self, run: RunFolder, ended: Ended, why: str = "") -> Observation:
        if ended.survivors:
            pids = ", ".join(map(str, ended.survivors))
            return Observation(
                state=JobState.RUNNING, detail=f"its supervisor is gone; processes {pids} could not be ended yet"
            )
        count = ended.signalled
        left = f"; {count} left-over {'process' if count == 1 else 'processes'} ended" if count else ""
        detail = (why or self._how_lost(run)) + left
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_tmp, run)
            write_whole(run.lost, detail.encode(), durable=False)
        return Observation(state=JobState.LOST, detail=detail)

    def _how_lost(self, run: RunFolder) -> str:
        holder = locks.read_holder(run.started) or self._last_holder(run)
        who = f"the supervisor (process {holder.pid})" if holder else "the supervisor"
        if not run.started.exists():
            return f"the run folder {run.path} was deleted while {who} worked on it"
        if holder is not None and holder.boot != proc.boot():
            return f"the machine was restarted while {who} worked"
        return f"{who} was killed, or the disk did not take its report"

    # Ending

    async def stop(self, job: str, *, reason: str) -> None:
        """Ask the job to end; the first reason stays. A job that was only prepared will end before its agent runs.

        Nothing happens where nothing was prepared. Called again after the grace and a margin, it kills.
        """
        run = self._state.run(job)
        if not run.path.is_dir() or run.report.exists():
            return
        try:
            if not run.stop.exists():
                write_whole(run.stop, reason.encode("utf-8", "replace"))
            if not run.started.exists() or not locks.is_held(run.lock):
                return
            if self._is_overdue(run):
                await self._force(run)
            elif (holder := locks.read_holder(run.lock)) is not None:
                proc.send(holder.process, signal.SIGTERM)
        except OSError as error:
            raise UnavailableError(f"cannot ask run {job} to stop in {run.path}: {error}") from error

    def _is_overdue(self, run: RunFolder) -> bool:
        if not run.stop.exists():
            return False
        since = self._stopping_since.setdefault(run.job, self._clock())
        card = read_card(run)
        return self._clock() - since > (card.grace if card else 0.0) + self._stop_margin

    async def _force(self, run: RunFolder) -> Observation:
        holder = locks.read_holder(run.lock)
        ended = await asyncio.to_thread(end_all, _all_of(run, holder), grace=0)
        seen = self._look(run)
        if seen is not None and seen.state is JobState.FINISHED:
            return seen
        reason = _first_line(run.stop)
        why = f"the supervisor did not end in its grace after it was asked to stop ({reason}) and was killed"
        return await self._lose(run, ended, why)

    async def remove(self, job: str) -> None:
        """Remove the run folder and the run's temporary files; nothing happens while anything of the job is alive."""
        seen = await self.observe(job)
        run = self._state.run(job)
        if seen.state in {JobState.STARTING, JobState.RUNNING} or locks.is_held(run.lock):
            return
        try:
            await asyncio.to_thread(self._remove, run)
        except OSError as error:
            raise UnavailableError(f"cannot remove {run.path}: {error}") from error
        self._forget(job)

    def _remove(self, run: RunFolder) -> None:
        if (card := read_card(run)) is not None:
            _clear_holder(self._state.workspaces / card.workspace, run.job)
        else:
            for folder in _folders_in(self._state.workspaces):
                _clear_holder(folder, run.job)
        if run.path.is_dir():
            remove_tmp(run)
            # `job.json` first: half a folder must not pass for a prepared job.
            run.prepared.unlink(missing_ok=True)
            remove_tree(run.path)

    def _forget(self, job: str) -> None:
        self._adopted.discard(job)
        self._never_began.pop(job, None)
        self._stopping_since.pop(job, None)

    # Following

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What supervisor and agent have said, and with `follow` what they say until the job ends."""
        run = self._state.run(job)
        return tail(run.output, is_going_on=(lambda: self._is_going_on(run)) if follow else None)

    def _is_going_on(self, run: RunFolder) -> bool:
        if not run.started.exists():
            return self._is_coming(run)
        return locks.is_held(run.lock)

    def finished(self) -> AsyncIterator[str]:
        """Names of jobs that may have ended, from now on: own children at once, others by a wake or within two seconds."""
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(listener)
        if not self._lookouts:
            self._lookouts.append(asyncio.create_task(self._poll(), name="poll adopted runs"))
            if self._hints is not None:
                self._lookouts.append(asyncio.create_task(self._heed(self._hints), name="heed wakes"))
        return self._hear(listener)

    async def _hear(self, listener: asyncio.Queue[str]) -> AsyncIterator[str]:
        try:
            while True:
                yield await listener.get()
        finally:
            self._listeners.discard(listener)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            with contextlib.suppress(OSError):
                self._hint_ended(self._adopted)

    async def _heed(self, hints: Wakes) -> None:
        async for _ in hints():
            with contextlib.suppress(OSError):
                self._hint_ended(self._adopted | self._children.keys())

    def _hint_ended(self, jobs: set[str]) -> None:
        for job in sorted(jobs):
            run = self._state.run(job)
            if run.report.exists() or not self._is_going_on(run):
                self._adopted.discard(job)
                self._hint(job)

    def _hint(self, job: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(job)

    async def close(self) -> None:
        """Stop listening. Jobs go on."""
        tasks = [*self._lookouts, *self._children.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lookouts.clear()
        self._children.clear()


def _read_report(run: RunFolder) -> tuple[RunReport | None, str]:
    """The report, or what is wrong with it; neither where there is none."""
    try:
        return msgspec.json.decode(run.report.read_bytes(), type=RunReport), ""
    except FileNotFoundError:
        return None, ""
    except msgspec.DecodeError as error:
        return None, f"its report {run.report} cannot be read: {error}"


def _how_it_runs(run: RunFolder) -> str:
    return f"asked to stop: {_first_line(run.stop)}" if run.stop.exists() else ""


def _first_line(path: Path) -> str:
    try:
        return next(iter(path.read_text("utf-8", "replace").splitlines()), "")
    except OSError:
        return ""


def _all_of(run: RunFolder, holder: Holder | None = None) -> Callable[[Table], set[int]]:
    """Finds all processes of a run: the holder, what is below it, what carries the run's mark, and what is below that."""

    def find(processes: Table) -> set[int]:
        roots = [holder.pid] if holder and holder.pid in processes and processes[holder.pid].process == holder.process else []
        living = {pid for pid in roots if not processes[pid].zombie}
        return living | proc.within(roots=roots, marker=run.marker, processes=processes)

    return find


def _folders_in(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _clear_holder(workspace: Path, job: str) -> None:
    path = workspace_lock(workspace)
    holder = locks.read_holder(path)
    if holder is None or holder.job != job:
        return
    lock = locks.take(path, holder)
    if lock is not None:
        lock.clear()
        lock.release()
