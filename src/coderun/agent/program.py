"""Running one program of a run (the agent CLI above all), and ending it with everything it started.

Between the work, which knows what to run, and the operating system. A program gets exactly the environment it is given, plus
one mark by which its own are found again; no shell is ever involved. Nothing here knows what a program prints means.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from coderun.agent import oom
from coderun.agent.output import LineSplitter
from coderun.agent.stop import StopSignal
from coderun.runtime import proc
from coderun.runtime.ending import end_all
from coderun.runtime.proc import Table

LINGER: Final = 1.0
LAST_GRACE: Final = 2.0
_CHUNK: Final = 64 * 1024

_LOOK: Final = 0.1
_OOM: Final = "; its container ran out of memory and the kernel killed a process of it: raise the memory limit"
_MARK: Final = "CODERUN_PROGRAM"

_numbers = itertools.count(1)
_running: set[int] = set()

OnLine = Callable[[str, bytes], None]


class EndedBy(StrEnum):
    """What ended a program."""

    EXIT = "exit"
    STOP = "stop"
    TIMEOUT = "timeout"
    SPAWN_ERROR = "spawn-error"


class ProgramEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended.

    Attributes:
        exit_code: None where it was ended by a signal or never started.
        signal: Number of the signal that ended it.
        duration: Seconds from its start until nothing of it was alive.
        leftovers: How many processes it left behind, which were ended too.
        message: For people.
    """

    exit_code: int | None = None
    signal: int | None = None
    duration: float = 0.0
    ended_by: EndedBy
    leftovers: int = 0
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself, with exit code 0."""
        return self.ended_by is EndedBy.EXIT and self.exit_code == 0


async def run_program(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: OnLine,
    stop: StopSignal | None = None,
    stdin_text: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - a limit of the program, ended politely, not of this call
    grace: float = 20.0,
    oom_kills: Callable[[], int] = oom.kills,
) -> ProgramEnd:
    """Run a program to its end; when this returns nothing it started is alive any more.

    Its output is handed to `on_line("stdout" | "stderr", line)` as it comes, without line ends, overlong lines cut. `stop` and
    `timeout` (seconds) end it: SIGTERM to its process group, and after `grace` seconds SIGKILL to all it started, whatever
    session that is in. What it leaves behind in the background gets a second. Never raises for what the program does; an error
    of `on_line` ends the program and is raised. `oom_kills` counts what the kernel has killed here for want of memory.
    """
    begun, killed_before = time.monotonic(), oom_kills()
    if stop is not None and stop.requested:
        return ProgramEnd(ended_by=EndedBy.STOP, message=f"{argv[0]!r} was not started: {stop.reason}")
    mark = _next_mark()
    try:
        child = _spawn(argv, cwd=cwd, env={**env, **_run_marks(), _MARK: mark}, stdin_text=stdin_text)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return ProgramEnd(ended_by=EndedBy.SPAWN_ERROR, message=_why_not_started(argv, cwd, env, error))
    program = _Program(child, mark=f"{_MARK}={mark}", on_line=on_line)
    try:
        ended_by = await program.first_event(stop, timeout)
        if ended_by is EndedBy.EXIT:
            leftovers = await program.end_leftovers()
        else:
            leftovers = await program.end(grace)
        status = await program.status()
    finally:
        program.close()
    end = _ending(argv[0], status, ended_by=ended_by, leftovers=leftovers, duration=time.monotonic() - begun)
    return end if end.succeeded or oom_kills() <= killed_before else msgspec.structs.replace(end, message=end.message + _OOM)


def _next_mark() -> str:
    me = proc.identify(os.getpid())
    return f"{os.getpid()}-{me.start if me else ''}-{next(_numbers)}".replace(" ", "_")


def _run_marks() -> dict[str, str]:
    return {name: os.environ[name] for name in ("CODERUN_JOB", "CODERUN_RUN") if name in os.environ}


def _spawn(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin_text: str | None) -> subprocess.Popen[bytes]:
    with _stdin_of(stdin_text) as stdin:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=proc.dying_with_parent(),  # noqa: PLW1509 - it makes one system call, prepared before the fork
        )


@contextlib.contextmanager
def _stdin_of(text: str | None) -> Iterator[IO[bytes] | int]:
    if text is None:
        yield subprocess.DEVNULL
        return
    # A file, not a pipe: a program that never reads cannot make us wait.
    with tempfile.TemporaryFile() as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        file.seek(0)
        yield file


def _why_not_started(argv: Sequence[str], cwd: Path, env: Mapping[str, str], error: Exception) -> str:
    name = argv[0] if argv else ""
    if not cwd.is_dir():
        return f"cannot start {name!r}: its working directory {str(cwd)!r} is not there"
    if isinstance(error, FileNotFoundError) and shutil.which(name, path=env.get("PATH", os.defpath)) is None:
        return f"cannot start {name!r}: no such program on PATH ({env.get('PATH', os.defpath)})"
    return f"cannot start {name!r} in {str(cwd)!r}: {error}"


def _ending(name: str, status: int | None, *, ended_by: EndedBy, leftovers: int, duration: float) -> ProgramEnd:
    return ProgramEnd(
        exit_code=status if status is not None and status >= 0 else None,
        signal=-status if status is not None and status < 0 else None,
        duration=duration,
        ended_by=ended_by,
        leftovers=leftovers,
        message=_in_words(name, status, ended_by=ended_by, leftovers=leftovers, duration=duration),
    )


def _in_words(name: str, status: int | None, *, ended_by: EndedBy, leftovers: int, duration: float) -> str:
    if status is None:
        how = "could not be ended"
    elif status < 0:
        how = f"was ended by {_signal_name(-status)}"
    else:
        how = f"ended with exit code {status}"
    why = {EndedBy.STOP: ", asked to stop", EndedBy.TIMEOUT: ", at its time limit"}.get(ended_by, "")
    rest = f"; {leftovers} {'process' if leftovers == 1 else 'processes'} it left behind ended too" if leftovers else ""
    return f"{name!r} {how} after {duration:.1f} s{why}{rest}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Program:
    """A started program: its exit, its pipes, and how to find what it started."""

    def __init__(self, child: subprocess.Popen[bytes], *, mark: str, on_line: OnLine) -> None:
        self._pid = child.pid
        child.returncode = 0  # reaping is ours from here on
        self._mark = mark
        self._exit = asyncio.ensure_future(proc.exit_of(child.pid))
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        streams = (("stdout", child.stdout), ("stderr", child.stderr))
        self._pipes = [_Pipe(file, functools.partial(self._hand_on, on_line, name)) for name, file in streams if file]
        self._adopts = proc.is_subreaper()
        _running.add(self._pid)

    def _hand_on(self, on_line: OnLine, stream: str, line: bytes) -> None:
        if self._broken.done():
            return
        try:
            on_line(stream, line)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised by `status`, once the program has ended
            self._broken.set_exception(error)

    async def first_event(self, stop: StopSignal | None, limit: float | None) -> EndedBy:
        """Wait until it ends or shall end."""
        asked = asyncio.ensure_future(stop.wait() if stop is not None else asyncio.Event().wait())
        try:
            events: set[asyncio.Future[Any]] = {self._exit, self._broken, asked}
            await asyncio.wait(events, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if self._exit.done():
                return EndedBy.EXIT
            return EndedBy.STOP if asked.done() or self._broken.done() else EndedBy.TIMEOUT
        finally:
            asked.cancel()

    async def end(self, grace: float) -> int:
        """End it: its process group politely, after `grace` seconds everything by force. How many were left beside itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGTERM)
        await asyncio.wait({self._exit}, timeout=grace)
        itself = 0 if self._exit.done() else 1
        ended = await asyncio.to_thread(end_all, self._find, grace=LAST_GRACE if self._exit.done() else 0)
        return max(0, ended.signalled - itself)

    async def end_leftovers(self) -> int:
        """After its exit: give what it left behind a moment, then end that too. How many had to be."""
        deadline = time.monotonic() + LINGER
        while time.monotonic() < deadline:
            if self._at_end() and not self._find(proc.table()):
                return 0
            reading = [pipe.end for pipe in self._pipes if not pipe.end.done()]
            await (asyncio.wait(reading, timeout=_LOOK) if reading else asyncio.sleep(_LOOK))
        ended = await asyncio.to_thread(end_all, self._find, grace=LAST_GRACE)
        return ended.signalled

    def _at_end(self) -> bool:
        return all(pipe.end.done() for pipe in self._pipes)

    def _find(self, processes: Table) -> set[int]:
        roots = [] if self._exit.done() else [self._pid]
        found = {*roots, *proc.within(roots=roots, marker=self._mark, processes=processes)}
        if self._adopts and _running == {self._pid}:
            # Orphans come to us, whatever they did to their environment. Our own tools stay in our session.
            ours = os.getsid(0)
            found |= {pid for pid in proc.descendants(os.getpid(), processes) if processes[pid].session != ours}
        return {pid for pid in found if pid in processes and not processes[pid].zombie}

    async def status(self) -> int | None:
        """Read what is left, then give its status; None where even SIGKILL did not end it. Raises as `on_line` did."""
        waiting: set[asyncio.Future[Any]] = {self._exit, *(pipe.end for pipe in self._pipes)}
        await asyncio.wait(waiting, timeout=LINGER)
        if self._broken.done():
            self._broken.result()
        return self._exit.result() if self._exit.done() else None

    def close(self) -> None:
        """Let go of it, and end it where that has not happened (the caller was cancelled, or something failed)."""
        for pipe in self._pipes:
            pipe.close()
        if not self._exit.done():
            end_all(self._find, grace=0)
            self._exit.cancel()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        if self._broken.done() and not self._broken.cancelled():
            self._broken.exception()
        _running.discard(self._pid)


class _Pipe:
    """One output of a program, read as it comes; `end` is done at its end."""

    def __init__(self, file: IO[bytes], on_line: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._file = file
        self._on_line = on_line
        self._lines = LineSplitter()
        self.end: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(file.fileno(), False)
        self._loop.add_reader(file.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for line in self._lines.feed(data):
            self._on_line(line)
        if not data:
            self.close()

    def close(self) -> None:
        """Read no more; what came without a line end counts as a line."""
        if self.end.done():
            return
        self._loop.remove_reader(self._file.fileno())
        self._file.close()
        self.end.set_result(None)
        for line in self._lines.flush():
            self._on_line(line)
