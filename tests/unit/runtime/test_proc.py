import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from coderun.runtime import proc
from coderun.runtime.ending import end_all
from coderun.runtime.proc import Entry, Process

SLEEP = [sys.executable, "-S", "-E", "-c", "import time; print('begun', flush=True); time.sleep(3600)"]
MARKER = f"CODERUN_TEST_OF_PROC={os.getpid()}"


def entry(pid: int, parent: int, *, zombie: bool = False) -> Entry:
    return Entry(pid=pid, parent=parent, session=0, uid=0, start="1", zombie=zombie)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    name, _, value = MARKER.partition("=")
    with subprocess.Popen(SLEEP, env={name: value}, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


def test_descendants_are_found_at_any_depth_also_below_a_zombie_and_never_twice() -> None:
    table = {e.pid: e for e in [entry(1, 0), entry(2, 1), entry(3, 2, zombie=True), entry(4, 3), entry(5, 9), entry(0, 0)]}
    assert proc.descendants(1, table) == {2, 4}
    assert proc.descendants(5, table) == set()
    assert proc.descendants(0, table) == {1, 2, 4}


def test_both_tables_tell_the_same_of_a_process(sleeper: subprocess.Popen[bytes]) -> None:
    line, same = proc.table()[sleeper.pid], proc.table_of_ps()[sleeper.pid]
    assert (line.parent, line.uid, line.zombie) == (same.parent, same.uid, same.zombie) == (os.getpid(), os.geteuid(), False)
    assert proc.table_of_ps(sleeper.pid)[sleeper.pid] == same


def test_a_process_is_found_by_the_mark_in_its_environment(sleeper: subprocess.Popen[bytes]) -> None:
    assert proc.marked(MARKER, proc.table()) == {sleeper.pid}
    assert sleeper.pid in proc.marked_of_ps(MARKER)
    assert proc.marked(MARKER + "0", proc.table()) == set()
    assert proc.marked(MARKER[:-1], proc.table()) == set()


def test_a_process_is_signalled_only_while_it_is_the_same(sleeper: subprocess.Popen[bytes]) -> None:
    process = proc.identify(sleeper.pid)
    assert process is not None
    assert not proc.send(Process(pid=sleeper.pid, start="another time"), signal.SIGKILL)
    assert proc.is_alive(process)
    assert proc.send(process, signal.SIGKILL)
    sleeper.wait()
    assert not proc.is_alive(process)
    assert not proc.send(process, signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert proc.identify(child.pid) is None
        assert proc.table()[child.pid].zombie


def test_what_must_end_is_ended_and_counted(sleeper: subprocess.Popen[bytes]) -> None:
    ended = end_all(lambda processes: proc.marked(MARKER, processes), grace=5)
    assert (ended.signalled, ended.survivors) == (1, ())
    assert sleeper.wait() == -signal.SIGTERM


def test_who_looks_for_what_must_end_is_spared() -> None:
    assert end_all(lambda _: {os.getpid()}, grace=0).signalled == 0


async def test_the_exit_of_a_child_is_waited_for_and_reaped() -> None:
    argv = [sys.executable, "-S", "-c", "raise SystemExit(5)"]
    child = os.posix_spawn(sys.executable, argv, {})  # noqa: ASYNC221 - it only starts, and nobody else reaps it
    assert await proc.exit_of(child) == 5
    assert child not in proc.table()
    assert await proc.exit_of(child) == 0


def test_this_system_says_what_it_cannot_do() -> None:
    assert (proc.missing_features() == ()) == (sys.platform.startswith("linux") and proc.has_proc())
