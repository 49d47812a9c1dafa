"""What the operating system tells of processes, and the few favours asked of it.

The one module that knows `/proc`, `prctl`, pidfds and `ps`. A process is always named by pid *and* start time, so that a pid
that was given to somebody else is never signalled. Where there is no `/proc` (macOS) the same questions go to `ps`, and what
the system cannot do (adopting orphans, dying with the parent) is told by `missing_features`. Nothing here decides which
processes must end.
"""

import asyncio
import ctypes
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import msgspec

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_ON_LINUX = sys.platform.startswith("linux")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process for ever: its pid, and a start time (opaque, only compared) that tells it from a later owner of the pid."""

    pid: int
    start: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the process table; `session` is 0 where the system does not tell."""

    pid: int
    parent: int
    session: int
    uid: int
    start: str
    zombie: bool

    @property
    def process(self) -> Process:
        """The process of this line."""
        return Process(pid=self.pid, start=self.start)


Table = Mapping[int, Entry]


def table() -> Table:
    """All processes that can be seen now, by pid."""
    return table_of_proc() if has_proc() else table_of_ps()


def has_proc() -> bool:
    """Whether this system shows its processes as files."""
    return (_PROC / "self" / "stat").exists()


@functools.cache
def has_pidfd() -> bool:
    """Whether the kernel gives handles of processes; tried, because some sandboxes know the call and forbid it."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def table_of_proc() -> Table:
    """The table as `/proc` tells it; what ends while it is read is left out."""
    pids = (int(folder.name) for folder in _PROC.iterdir() if folder.name.isdecimal())
    return {entry.pid: entry for pid in pids if (entry := _entry_of_proc(pid)) is not None}


def _entry_of_proc(pid: int) -> Entry | None:
    try:
        with (_PROC / str(pid) / "stat").open("rb") as stat:
            uid = os.fstat(stat.fileno()).st_uid
            text = stat.read()
    except OSError:
        return None
    # proc(5): the second field is the command in parentheses and may itself hold spaces and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    state, parent, session, start = fields[0], int(fields[1]), int(fields[3]), fields[19].decode()
    return Entry(pid=pid, parent=parent, session=session, uid=uid, start=start, zombie=state in b"ZX")


def table_of_ps(pid: int | None = None) -> Table:
    """The table as `ps` tells it (any POSIX system); only the line of `pid` where one is given."""
    which = ["-ax"] if pid is None else ["-p", str(pid)]
    lines = _ps([*which, "-o", "pid=,ppid=,uid=,stat=,lstart="])
    entries = (_entry_of_ps(line) for line in lines)
    return {entry.pid: entry for entry in entries if entry is not None}


def _entry_of_ps(line: str) -> Entry | None:
    fields = line.split(None, 4)
    if len(fields) < 5:  # noqa: PLR2004 - the five columns that were asked for
        return None
    pid, parent, uid, stat, start = fields
    zombie = stat.startswith("Z")
    return Entry(pid=int(pid), parent=int(parent), session=0, uid=int(uid), start=start.strip(), zombie=zombie)


def _ps(arguments: list[str]) -> list[str]:
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    done = subprocess.run(["ps", *arguments], capture_output=True, check=False, env=environment, stdin=subprocess.DEVNULL)
    return done.stdout.decode("utf-8", "replace").splitlines()


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None where there is none, or only its zombie."""
    entry = _entry_of_proc(pid) if has_proc() else table_of_ps(pid).get(pid)
    return None if entry is None or entry.zombie else entry.process


def is_alive(process: Process) -> bool:
    """Whether exactly this process is still there (a zombie is not)."""
    return identify(process.pid) == process


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False where it is gone. Raises `PermissionError` where it is not ours to signal."""
    try:
        if has_pidfd():
            return _send_by_pidfd(process, number)
        if not is_alive(process):
            return False
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _send_by_pidfd(process: Process, number: signal.Signals) -> bool:
    handle = os.pidfd_open(process.pid)
    try:
        # The handle is of one process for good; only now does the comparison hold until the signal is sent.
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
    return True


def descendants(pid: int, processes: Table) -> set[int]:
    """Pids of all below `pid`, without itself and without zombies (but with what stands below a zombie)."""
    children: dict[int, list[int]] = {}
    for entry in processes.values():
        children.setdefault(entry.parent, []).append(entry.pid)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = [child for child in children.get(waiting.pop(), []) if child not in found and child != pid]
        found.update(below)
        waiting.extend(below)
    return {one for one in found if not processes[one].zombie}


def marked(marker: str, processes: Table) -> set[int]:
    """Pids of our own user's processes that were started with `marker` (`NAME=value`) in their environment; no zombies."""
    ours = {entry.pid for entry in processes.values() if entry.uid == os.geteuid() and not entry.zombie}
    if has_proc():
        return {pid for pid in ours if _has_in_environ(pid, marker.encode())}
    return ours & marked_of_ps(marker)


def _has_in_environ(pid: int, marker: bytes) -> bool:
    try:
        return marker in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def marked_of_ps(marker: str) -> set[int]:
    """The same where only `ps` tells: pids of those whose command line or environment shows `marker` as a word."""
    rows = (line.split(None, 1) for line in _ps(["axeww", "-o", "pid=,command="]))
    return {int(row[0]) for row in rows if len(row) > 1 and f" {marker} " in f" {row[1]} "}


def within(*, roots: Iterable[int], marker: str, processes: Table) -> set[int]:
    """Pids of all that belongs together: below a root, marked, or below a marked one; a root only where it is marked."""
    found = marked(marker, processes)
    for root in [*roots, *found]:
        found |= descendants(root, processes)
    return found


def become_subreaper() -> bool:
    """From now on orphans among our descendants become our children; False where the system has no such thing."""
    return _ON_LINUX and _prctl()(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def is_subreaper() -> bool:
    """Whether this process adopts its orphaned descendants."""
    answer = ctypes.c_int(0)
    return _ON_LINUX and _prctl()(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer), 0, 0, 0) == 0 and answer.value == 1


def _prctl() -> Callable[[int, int, int, int, int], int]:
    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    function.restype = ctypes.c_int
    return cast("Callable[[int, int, int, int, int], int]", function)


def dying_with_parent() -> Callable[[], None] | None:
    """What a new child must call before `exec` so that it is killed when this process dies; None where there is no such thing.

    The kernel ties this to the *thread* that makes the child (prctl(2)), so make it on the main thread.
    """
    if not _ON_LINUX:
        return None
    prctl, parent = _prctl(), os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)

    return tie


def boot() -> str:
    """Id of this boot of the machine; "" where the system has none."""
    try:
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def missing_features() -> tuple[str, ...]:
    """What this system cannot do for a run, in words for a report or the doctor."""
    if _ON_LINUX and has_proc():
        return ()
    return (
        "orphans are not adopted by the supervisor: a process that leaves its session and clears its environment is not found",
        "agents do not die with a killed supervisor: they are ended when the controller next looks at the run",
    )


async def exit_of(child: int) -> int:
    """Wait for a child of ours, reap it, and give its status as `subprocess` does: exit code, or minus the signal.

    A child that somebody else has reaped counts as 0.
    """
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    if has_pidfd():
        return await _exit_by_pidfd(child, done)
    threading.Thread(target=_reap_for, args=(child, done, asyncio.get_running_loop()), daemon=True).start()
    return await done


async def _exit_by_pidfd(child: int, done: asyncio.Future[int]) -> int:
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(child)
    except ProcessLookupError:
        return _reap(child)
    loop.add_reader(handle, _settle, done, 0)
    try:
        await done
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return _reap(child)


def _reap_for(child: int, done: asyncio.Future[int], loop: asyncio.AbstractEventLoop) -> None:
    status = _reap(child)
    try:
        loop.call_soon_threadsafe(_settle, done, status)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more, and the child is reaped


def _settle(done: asyncio.Future[int], status: int) -> None:
    if not done.done():
        done.set_result(status)


def _reap(child: int) -> int:
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status)
