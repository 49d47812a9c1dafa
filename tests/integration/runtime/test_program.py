import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contracts.runtime_contract import NEVER_ENDS, PYTHON, until
from tests.integration.runtime.conftest import ENVIRONMENT

from coderun.agent import oom
from coderun.agent.program import EndedBy, ProgramEnd, run_program
from coderun.agent.stop import StopCause, StopSignal
from coderun.runtime import proc

ENV = {"PATH": "/usr/bin:/bin"}
CHILD_THAT_STAYS = "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(3600)'], start_new_session=True)"


class Heard:
    """What a program said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []

    def __call__(self, stream: str, line: bytes) -> None:
        self.lines.append((stream, line))


async def run(tmp_path: Path, code: str, heard: Heard | None = None, **more: object) -> ProgramEnd:
    return await run_program([*PYTHON, code], cwd=tmp_path, env=ENV, on_line=heard or Heard(), **more)  # type: ignore[arg-type] # each test names real parameters


async def test_a_program_gets_exactly_its_environment_and_a_mark(tmp_path: Path) -> None:
    heard = Heard()
    end = await run(tmp_path, "import os\nfor name in sorted(os.environ): print(name)", heard)
    assert end.succeeded
    assert end.message.startswith(f"{sys.executable!r} ended with exit code 0 after ")
    assert {name for _, name in heard.lines} - {b"LC_CTYPE"} == {b"PATH", b"CODERUN_PROGRAM"}


async def test_both_outputs_are_handed_on_line_by_line(tmp_path: Path) -> None:
    heard = Heard()
    await run(tmp_path, "import sys; print('one\\r\\ntwo'); print('three', end=''); print('four', file=sys.stderr)", heard)
    assert sorted(heard.lines) == [("stderr", b"four"), ("stdout", b"one"), ("stdout", b"three"), ("stdout", b"two")]


async def test_a_program_reads_nothing_or_the_text_it_is_given(tmp_path: Path) -> None:
    heard = Heard()
    await run(tmp_path, "import sys; print(len(sys.stdin.read()))", heard)
    await run(tmp_path, "import sys; print(len(sys.stdin.read()))", heard, stdin_text="ä" * 500_000)
    await run(tmp_path, "print('not read')", heard, stdin_text="x" * 500_000)
    assert heard.lines == [("stdout", b"0"), ("stdout", b"500000"), ("stdout", b"not read")]


@pytest.mark.parametrize(
    ("argv", "folder", "words"),
    [
        (["no-such-agent", "-p"], ".", "cannot start 'no-such-agent': no such program on PATH (/usr/bin:/bin)"),
        (["python3"], "gone", "cannot start 'python3': its working directory '{}/gone' is not there"),
        (["/etc/passwd"], ".", "cannot start '/etc/passwd' in '{}': [Errno 13] Permission denied: '/etc/passwd'"),
        (["echo", "a\0b"], ".", "cannot start 'echo' in '{}': embedded null byte"),
    ],
)
async def test_what_cannot_be_started_says_why(tmp_path: Path, argv: list[str], folder: str, words: str) -> None:
    end = await run_program(argv, cwd=tmp_path / folder, env=ENV, on_line=Heard())
    assert (end.ended_by, end.exit_code, end.signal) == (EndedBy.SPAWN_ERROR, None, None)
    assert end.message == words.format(tmp_path)


async def test_a_signal_that_ends_a_program_is_named(tmp_path: Path) -> None:
    end = await run(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert (end.ended_by, end.exit_code, end.signal) == (EndedBy.EXIT, None, signal.SIGKILL)
    assert "was ended by SIGKILL after" in end.message


@pytest.mark.parametrize(
    ("counter", "before", "after"),
    [
        ("memory.events", "low 0\noom 0\noom_kill 1\n", "low 0\noom 1\noom_kill 2\noom_group_kill 0\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\noom_kill 0\n", "oom_kill_disable 0\noom_kill 1\n"),
    ],
)
async def test_a_program_that_the_kernel_killed_for_want_of_memory_is_told_so(
    tmp_path: Path, counter: str, before: str, after: str
) -> None:
    file = tmp_path / counter
    file.parent.mkdir(exist_ok=True)
    file.write_text(before, "ascii")
    dies = "import os, pathlib, sys\npathlib.Path({file!r}).write_text({text!r})\nos.kill(os.getpid(), 9)"

    def kills() -> int:
        return oom.kills(tmp_path)

    counted = await run(tmp_path, dies.format(file=str(file), text=after), oom_kills=kills)
    assert "was ended by SIGKILL after" in counted.message
    assert counted.message.endswith("ran out of memory and the kernel killed a process of it: raise the memory limit")
    of_another_time = await run(tmp_path, dies.format(file=str(file), text=after), oom_kills=kills)
    assert "memory" not in of_another_time.message


@pytest.mark.parametrize("said", ["", "oom_kill\n", "oom_kill many\n", "oom 3\n"])
def test_a_counter_that_tells_nothing_counts_nothing(tmp_path: Path, said: str) -> None:
    assert oom.kills(tmp_path) == 0
    (tmp_path / "memory.events").write_text(said, "ascii")
    assert oom.kills(tmp_path) == 0


async def test_a_stop_asks_politely_first(tmp_path: Path) -> None:
    heard, stop = Heard(), StopSignal()
    polite = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(7))\nprint('begun', flush=True)\ntime.sleep(3600)"
    running = asyncio.ensure_future(run(tmp_path, polite, heard, stop=stop, grace=30))
    await until(lambda: heard.lines, what="the program has begun")
    stop.request(StopCause.CANCELLED, "enough")
    end = await running
    assert (end.ended_by, end.exit_code) == (EndedBy.STOP, 7)
    assert "ended with exit code 7 after" in end.message
    assert ", asked to stop" in end.message


async def test_a_program_that_shall_stop_already_is_not_started(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.request(StopCause.CANCELLED, "enough")
    end = await run_program(["touch", "made"], cwd=tmp_path, env=ENV, on_line=Heard(), stop=stop)
    assert (end.ended_by, end.message) == (EndedBy.STOP, "'touch' was not started: enough")
    assert not (tmp_path / "made").exists()


@pytest.mark.lesson(13)
async def test_a_program_over_its_time_is_killed_after_its_grace(tmp_path: Path) -> None:
    end = await run(
        tmp_path, "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(3600)", timeout=0.3, grace=0.2
    )
    assert (end.ended_by, end.signal) == (EndedBy.TIMEOUT, signal.SIGKILL)
    assert ", at its time limit" in end.message


@pytest.mark.lesson(27)
async def test_a_background_child_that_holds_the_pipe_does_not_hold_us(tmp_path: Path) -> None:
    heard = Heard()
    end = await run(tmp_path, f"import subprocess, sys\nprint({CHILD_THAT_STAYS}.pid)", heard)
    assert (end.exit_code, end.leftovers) == (0, 1)
    assert "; 1 process it left behind ended too" in end.message
    assert proc.identify(int(heard.lines[0][1])) is None


@pytest.mark.lesson(27)
async def test_a_child_in_a_session_of_its_own_is_ended_on_a_stop(tmp_path: Path) -> None:
    heard, stop = Heard(), StopSignal()
    code = f"import subprocess, sys, time\nprint({CHILD_THAT_STAYS}.pid, flush=True)\ntime.sleep(3600)"
    running = asyncio.ensure_future(run(tmp_path, code, heard, stop=stop, grace=5))
    await until(lambda: heard.lines, what="the child is there")
    stop.request(StopCause.CANCELLED, "enough")
    assert (await running).leftovers == 1
    assert proc.identify(int(heard.lines[0][1])) is None


async def test_nothing_lives_on_when_the_caller_is_cancelled(tmp_path: Path) -> None:
    heard = Heard()
    code = f"import subprocess, sys, time, os\nprint({CHILD_THAT_STAYS}.pid, os.getpid(), flush=True)\ntime.sleep(3600)"
    running = asyncio.ensure_future(run(tmp_path, code, heard))
    await until(lambda: heard.lines, what="the child is there")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [proc.identify(int(pid)) for pid in heard.lines[0][1].split()] == [None, None]


async def test_an_error_of_the_listener_ends_the_program_and_is_raised(tmp_path: Path) -> None:
    def refuse(stream: str, line: bytes) -> None:
        raise LookupError(f"{stream} said {line.decode()}")

    with pytest.raises(LookupError, match="stdout said begun"):
        await run_program(NEVER_ENDS, cwd=tmp_path, env=ENV, on_line=refuse, grace=5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties a child's life to its parent's")
async def test_a_program_dies_with_whoever_runs_it(tmp_path: Path) -> None:
    code = f"""
import asyncio, pathlib, sys
from coderun.agent.program import run_program
heard = lambda stream, line: print("begun", flush=True)
asyncio.run(run_program({NEVER_ENDS!r}, cwd=pathlib.Path("/"), env={{}}, on_line=heard))
"""
    argv = [sys.executable, "-c", code]
    parent = await asyncio.create_subprocess_exec(*argv, env=ENVIRONMENT, stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"begun\n"
    below = {proc.identify(pid) for pid in proc.descendants(parent.pid, proc.table())}
    parent.kill()
    await parent.wait()
    await until(lambda: not any(proc.is_alive(one) for one in below if one), what="the program is dead")
    assert below


async def test_programs_that_run_at_once_do_not_end_each_other(tmp_path: Path) -> None:
    quick = [run(tmp_path, "print('quick')") for _ in range(3)]
    stays = asyncio.ensure_future(run(tmp_path, "import time; time.sleep(1); print('stayed')"))
    assert all(end.succeeded for end in await asyncio.gather(*quick))
    assert (await stays).succeeded
