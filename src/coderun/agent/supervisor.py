"""The supervisor of one run: from the claim on the run folder to the report, whatever happens in between.

Between the runtime, which prepared the folder and started this process, and the work (`agent.work`), which knows git, forge and
agent CLIs. It owns the run's locks, its processes, its end and its report. It never decides whether the work was good.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from coderun.agent import ending
from coderun.agent.output import Journal, OutputFile
from coderun.agent.program import OnLine, ProgramEnd, run_program
from coderun.agent.stop import Notice, StopCause, StopSignal
from coderun.model.coderun import RunReport
from coderun.plan.order import RunOrder
from coderun.runtime import locks, proc
from coderun.runtime.ending import end_all
from coderun.runtime.locks import Holder, Lock
from coderun.runtime.proc import Table
from coderun.runtime.runfolder import RunFolder, create_once, make_tmp, remove_tmp, workspace_lock, write_whole

TICK: Final = 1.0
SAVING: Final = 5.0
LAST_GRACE: Final = 2.0
WORKSPACE_WAIT: Final = 5.0
_RESERVE: Final = bytes(64 * 1024)


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Folders and files of one run, all absolute.

    Attributes:
        run: The run folder.
        workspace: The workspace's folder, held by this run.
        home: HOME of the agent, inside the workspace.
        files: Rendered files of this run.
        token: File with the forge token.
        result: Where the agent writes its result.
        task_dir: Where the task files go.
        tmp: For temporary files; removed at the end.
    """

    run: Path
    workspace: Path
    home: Path
    files: Path
    token: Path
    result: Path
    task_dir: Path
    tmp: Path


class RunProgram(Protocol):
    """`agent.program.run_program`, as the work sees it."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: OnLine,
        stop: StopSignal | None = None,
        stdin_text: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the program, ended politely, not of this call
        grace: float = 20.0,
    ) -> ProgramEnd:
        """Run it."""
        ...


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """What the work runs programs with, and where it says what happens."""

    run: RunProgram
    log: Journal


class Perform(Protocol):
    """The work of a run. When `stop` is set it ends its programs, saves what there is and reports, within its grace and 5 s."""

    async def __call__(self, order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
        """Do it."""
        ...


class Supervision(msgspec.Struct, frozen=True, kw_only=True):
    """How to supervise: all that comes from outside.

    Attributes:
        perform: The work.
        wake: Tells the listeners of a state folder's `wake/` that something changed; its failure costs nothing.
        clock: The time, with its zone.
        secrets: Texts beside the token that no log may hold.
        echo: Gets every line of the run's log for programs as it is written.
    """

    run: RunFolder
    workspace: Path
    perform: Perform
    wake: Callable[[Path], None]
    clock: Callable[[], datetime]
    secrets: tuple[str, ...] = ()
    echo: Callable[[bytes], object] | None = None


def supervise(supervision: Supervision, notice: Notice) -> int:
    """Run the job of a run folder unless it was ever run; 0 where its report is written, or where somebody else has it.

    The report is always written unless this process is killed or its disk takes nothing at all.
    """
    run = supervision.run
    claim = _claim(run)
    if claim is None:
        return 0
    return _Supervisor(supervision, claim).run_to_the_end(notice)


def _claim(run: RunFolder) -> Lock | None:
    # Lookers test the lock only once `started` is there, so nobody but another supervisor can be in the way here.
    if run.started.exists():
        return None
    lock = locks.take(run.lock, _me(run))
    if lock is None:
        return None
    if create_once(run.started, msgspec.json.encode(_me(run))):
        return lock
    lock.release()
    return None


def _me(run: RunFolder) -> Holder:
    me = proc.identify(os.getpid())
    return Holder(job=run.job, pid=os.getpid(), start=me.start if me else "", boot=proc.boot())


class _Supervisor:
    def __init__(self, supervision: Supervision, lock: Lock) -> None:
        self._with = supervision
        self._run = supervision.run
        self._lock = lock
        self._workspace_lock: Lock | None = None
        self._adopts = proc.become_subreaper()
        self._zombies: set[int] = set()
        self._journal = self._open_journal()

    def _open_journal(self) -> Journal:
        journal = Journal(
            output=OutputFile(self._run.output),
            log=OutputFile(self._run.log),
            clock=self._with.clock,
            secrets=self._with.secrets,
            echo=self._with.echo,
        )
        journal.hide(self._token())
        return journal

    def _token(self) -> str:
        """The token as it is now: it may be renewed while the run goes on."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self._run.token.read_text("utf-8").strip()
        return ""

    def run_to_the_end(self, notice: Notice) -> int:
        """The whole attempt, up to the report."""
        started = self._with.clock()
        self._journal.event("run started", job=self._run.job, pid=os.getpid())
        # Not asyncio.run: that would wait for threads which may hang in a program that the work did not end.
        loop = asyncio.new_event_loop()
        try:
            report = loop.run_until_complete(self._attempt(notice))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the report is owed whatever went wrong
            report = self._internal_error(error)
        report = ending.with_note(report, self._end_what_is_left())
        loop.close()
        code = self._hand_back(ending.stamped(report, started=started, finished=self._with.clock()))
        if self._workspace_lock is not None and code == 0:
            self._workspace_lock.clear()
        self._tell_listeners()
        return code

    def _internal_error(self, error: BaseException) -> RunReport:
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._journal.line(line)
        return ending.failed(ending.INTERNAL_ERROR, self._journal.redact(f"{type(error).__name__}: {error}"))

    async def _attempt(self, notice: Notice) -> RunReport:
        stop = StopSignal()
        loop = asyncio.get_running_loop()

        def tell(reason: str) -> None:
            loop.call_soon_threadsafe(stop.request, StopCause.CANCELLED, self._reason_of_stop(reason))

        with notice.told_to(tell):
            await asyncio.sleep(0)
            self._look_for_stop(stop)
            return await self._unless_hindered(stop)

    async def _unless_hindered(self, stop: StopSignal) -> RunReport:
        try:
            order = msgspec.json.decode(self._run.order.read_bytes(), type=RunOrder)
        except (OSError, msgspec.DecodeError) as error:
            return ending.failed(ending.INVALID_ORDER, f"cannot read the order of this run, {self._run.order}: {error}")
        with contextlib.suppress(OSError):
            write_whole(self._run.reserve, _RESERVE, durable=False)
        busy = await self._take_workspace(stop)
        if stop.cause is not None:
            return ending.stopped(stop.cause, stop.reason, None)
        if busy:
            return ending.failed(ending.WORKSPACE_BUSY, busy)
        return await self._work(order, stop)

    def _reason_of_stop(self, otherwise: str) -> str:
        try:
            return self._run.stop.read_text("utf-8", "replace").strip() or otherwise
        except OSError:
            return otherwise

    async def _take_workspace(self, stop: StopSignal) -> str:
        """Wait a little for the workspace, because its last run may be on its way out; "" or who has it."""
        self._with.workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = workspace_lock(self._with.workspace)
        deadline = time.monotonic() + WORKSPACE_WAIT
        while not stop.requested:
            self._workspace_lock = locks.take(path, _me(self._run))
            if self._workspace_lock is not None:
                return ""
            if time.monotonic() > deadline:
                holder = locks.read_holder(path)
                who = f"run {holder.job} (process {holder.pid})" if holder else "another process"
                return f"cannot work in workspace {self._with.workspace.name}: {who} works there; try again when it has ended"
            await asyncio.sleep(0.05)
        return ""

    async def _work(self, order: RunOrder, stop: StopSignal) -> RunReport:
        places = self._make_places()
        work = asyncio.ensure_future(self._with.perform(order, places, Programs(run=run_program, log=self._journal), stop))
        watch = asyncio.ensure_future(self._watch(stop))
        limit = asyncio.get_running_loop().call_later(order.limits.timeout, self._time_out, order, stop)
        guard = _Guard(order.limits.timeout + order.limits.grace + SAVING + LAST_GRACE, self._find)
        try:
            return await self._result_of(work, order, stop)
        finally:
            watch.cancel()
            limit.cancel()
            guard.cancel()

    def _time_out(self, order: RunOrder, stop: StopSignal) -> None:
        stop.request(StopCause.TIMED_OUT, f"the run took longer than its time limit of {order.limits.timeout:g} s")

    async def _result_of(self, work: "asyncio.Future[RunReport]", order: RunOrder, stop: StopSignal) -> RunReport:
        asked = asyncio.ensure_future(stop.wait())
        events: set[asyncio.Future[Any]] = {work, asked}
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not work.done():
            self._journal.event("stop asked for", reason=stop.reason)
            guard = _Guard(order.limits.grace + SAVING + LAST_GRACE, self._find)
            await asyncio.wait({work}, timeout=order.limits.grace + SAVING)
            guard.cancel()
        if not work.done():
            self._journal.event("the work did not end in its grace", grace=order.limits.grace)
            work.cancel()
            await asyncio.wait({work}, timeout=LAST_GRACE)
        error = work.exception() if work.done() and not work.cancelled() else None
        report = work.result() if work.done() and not work.cancelled() and error is None else None
        if error is not None and stop.cause is None:
            return self._internal_error(error)
        if stop.cause is not None:
            return ending.stopped(stop.cause, stop.reason, report)
        return report or ending.failed(ending.INTERNAL_ERROR, "the work was cancelled, but nobody had asked for it")

    def _make_places(self) -> Places:
        home = self._with.workspace / "home"
        for folder in (home, self._run.files, self._run.task):
            folder.mkdir(mode=0o700, exist_ok=True)
        return Places(
            run=self._run.path,
            workspace=self._with.workspace,
            home=home,
            files=self._run.files,
            token=self._run.token,
            result=self._run.result,
            task_dir=self._run.task,
            tmp=make_tmp(self._run),
        )

    async def _watch(self, stop: StopSignal) -> None:
        """Once a second: the token, the `stop` file, the folders, and orphans that died."""
        while True:
            await asyncio.sleep(TICK)
            self._journal.hide(self._token())
            with contextlib.suppress(OSError):
                self._look_for_stop(stop)
                self._look_for_folders(stop)
                self._bury_orphans()

    def _look_for_stop(self, stop: StopSignal) -> None:
        if self._run.stop.exists():
            stop.request(StopCause.CANCELLED, self._reason_of_stop("asked to stop"))

    def _look_for_folders(self, stop: StopSignal) -> None:
        if not self._lock.is_of(self._run.lock):
            stop.request(StopCause.FOLDER_GONE, f"the run folder {self._run.path} was deleted while the run went on")
        if self._workspace_lock is not None and not self._workspace_lock.is_of(workspace_lock(self._with.workspace)):
            stop.request(StopCause.FOLDER_GONE, f"the workspace {self._with.workspace} was deleted while the run worked in it")

    def _bury_orphans(self) -> None:
        """Reap adopted orphans. A zombie whose own waiter has not taken it from one tick to the next has no waiter."""
        if not self._adopts or not _has_zombie():
            return
        processes = proc.table()
        zombies = {pid for pid, entry in processes.items() if entry.zombie and entry.parent == os.getpid()}
        for pid in zombies & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._zombies = zombies

    def _find(self, processes: Table) -> set[int]:
        return proc.within(roots=[os.getpid()], marker=self._run.marker, processes=processes) - {os.getpid()}

    def _end_what_is_left(self) -> str:
        """End everything this run started and is still alive; "" or what withstood."""
        if self._find(proc.table()):
            ended = end_all(self._find, grace=LAST_GRACE)
            self._journal.event("left-over processes ended", count=ended.signalled)
            if ended.survivors:
                return f"processes {', '.join(map(str, ended.survivors))} could not be ended"
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        remove_tmp(self._run)
        return ""

    def _hand_back(self, report: RunReport) -> int:
        self._journal.event("run ended", phase=report.phase.value, reason=report.outcome.terminal_reason)
        with contextlib.suppress(OSError):
            self._run.reserve.unlink(missing_ok=True)
        try:
            write_whole(self._run.report, msgspec.json.encode(report))
        except OSError as error:
            with contextlib.suppress(OSError):  # the disk that did not take the report holds this file too
                sys.stderr.write(f"coderun agent: cannot write {self._run.report}: {error}\n")
                sys.stderr.flush()
            return 1
        return 0

    def _tell_listeners(self) -> None:
        try:
            self._with.wake(self._run.state / "wake")
        except Exception as error:  # noqa: BLE001 - listeners also poll; the report is there
            self._journal.event("could not wake the listeners", error=str(error))


def _has_zombie() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


class _Guard:
    """Kills every program of the run after `seconds`, on a thread of its own.

    For the case that the work blocks the loop in a program that does not end: once that is dead the loop goes on, and with it
    the report.
    """

    def __init__(self, seconds: float, find: Callable[[Table], set[int]]) -> None:
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), lambda: end_all(find, grace=0))
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It was not needed."""
        self._timer.cancel()
