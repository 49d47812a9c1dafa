import asyncio
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.contracts.runtime_contract import DEADLINE, NEVER_ENDS, PYTHON, begun, ended, observed, plan, text_of, until
from tests.integration.runtime.conftest import ARGV, ENVIRONMENT, ROOT, MakeRuntime, alive

from coderun.model.coderun import RunPhase, RunReport
from coderun.model.errors import InvalidCodeRunError, UnavailableError
from coderun.plan.order import RunPlan
from coderun.runtime import locks, proc
from coderun.runtime.locks import Holder
from coderun.runtime.proc import Process
from coderun.runtime.process import ProcessRuntime
from coderun.runtime.protocol import JobState
from coderun.runtime.runfolder import StateFolder, workspace_lock

JOB = "coderun-1-api-play-1"

# A child in the same session, one in its own, and a daemon whose parent is gone; the program itself ignores SIGTERM.
FAMILY = (
    *PYTHON,
    """
import os, signal, sys, time
for own_session, orphan in ((False, False), (True, False), (True, True)):
    if os.fork() == 0:
        if own_session:
            os.setsid()
        if orphan and os.fork() != 0:
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(3600)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begun", flush=True)
while True:
    time.sleep(3600)
""",
)
# Leaves a daemon behind that has nothing of its past in its environment and holds none of its pipes.
LEAVES_A_DAEMON = (
    *PYTHON,
    """
import os, sys
if os.fork() == 0:
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    with open("daemon", "w") as file:
        file.write(str(os.getpid()))
    os.execve(sys.executable, [sys.executable, "-S", "-E", "-c", "import time; time.sleep(3600)"], {})
while not os.path.exists("daemon") or not open("daemon").read():
    pass
print("left a daemon")
""",
)
HUNDREDS = (
    *PYTHON,
    """
import os, time
for n in range(300):
    if os.fork() == 0:
        os.setsid()
        time.sleep(3600)
print("begun", flush=True)
time.sleep(3600)
""",
)


class HandClock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def times_run(state: StateFolder, job: str = JOB, workspace: str = "workspace-api-rex") -> int:
    path = state.workspace(workspace) / "ran"
    return path.read_text("utf-8").splitlines().count(job) if path.exists() else 0


async def report_of(runtime: ProcessRuntime, job: str = JOB) -> RunReport:
    seen = await ended(runtime, job)
    assert seen.report is not None, seen
    return seen.report


def supervisor_of(state: StateFolder, job: str = JOB) -> Process:
    holder = locks.read_holder(state.run(job).lock)
    assert holder is not None
    return holder.process


async def run(runtime: ProcessRuntime, order: RunPlan) -> RunReport:
    await runtime.prepare(order)
    await runtime.start(order)
    return await report_of(runtime, order.job)


# Once, and only once


async def test_of_many_supervisors_started_at_once_one_runs_the_job(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    folder = state.run(JOB)
    argv = [*ARGV, "--run", str(folder.path), "--workspace", str(state.workspace("workspace-api-rex"))]
    rivals = [await asyncio.create_subprocess_exec(*argv, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE) for _ in range(5)]
    await asyncio.gather(*(runtime.start(plan()) for _ in range(5)))
    assert (await report_of(runtime)).phase is RunPhase.SUCCEEDED
    said = [await rival.communicate() for rival in rivals]
    assert {rival.returncode for rival in rivals} <= {0, -signal.SIGKILL}
    assert said == [(b"", b"")] * 5
    assert times_run(state) == 1


@pytest.mark.slow
async def test_a_controller_killed_at_any_moment_leaves_a_job_that_is_run_once(tmp_path: Path) -> None:
    async def killed_at(number: int) -> bool:
        state = StateFolder.at(tmp_path / f"state-{number}")
        program = Path(__file__).parent / "crashing_controller.py"
        environment = {**ENVIRONMENT, "DIE_AT": f"{number}:{state.path}"}
        controller = await asyncio.create_subprocess_exec(sys.executable, str(program), str(state.path), JOB, env=environment)
        died = await controller.wait() == -signal.SIGKILL
        successor = ProcessRuntime(state.path, argv=ARGV, environment=ENVIRONMENT)
        report = await run(successor, plan())
        await successor.close()
        assert report.phase is RunPhase.SUCCEEDED, f"killed before step {number}: {report}"
        assert times_run(state) == 1, f"killed before step {number}"
        return died

    number = 1
    while all(await asyncio.gather(*(killed_at(n) for n in range(number, number + 3)))):
        number += 3
    assert number > 15, "the controller writes more than that: the fault points are not found"


async def test_a_supervisor_killed_at_any_moment_runs_its_work_at_most_once(tmp_path: Path) -> None:
    async def killed_at(number: int) -> bool:
        state = StateFolder.at(tmp_path / f"state-{number}")
        mortal = ProcessRuntime(state.path, argv=ARGV, environment={**ENVIRONMENT, "DIE_AT": f"{number}:{state.path}"})
        await mortal.prepare(plan())
        await mortal.start(plan())
        seen = await observed(mortal, JOB, JobState.FINISHED, JobState.LOST, JobState.ABSENT)
        await mortal.close()
        successor = ProcessRuntime(state.path, argv=ARGV, environment=ENVIRONMENT)
        await successor.start(plan())
        last = await ended(successor, JOB)
        await successor.close()
        assert times_run(state) <= 1, f"killed before step {number}"
        # A supervisor whose report is there may take a moment more to leave.
        async with asyncio.timeout(DEADLINE):
            while alive(state.run(JOB)):  # noqa: ASYNC110 - another process, which tells nobody
                await asyncio.sleep(0.02)
        if seen.state is JobState.ABSENT:
            assert last.state is JobState.FINISHED, f"killed before step {number}, started again: {last}"
        else:
            assert last == seen, f"killed before step {number}"
        return seen.state is not JobState.FINISHED

    number = 1
    while any(await asyncio.gather(*(killed_at(n) for n in range(number, number + 3)))):
        number += 3
    assert number > 9, "the supervisor writes more than that: the fault points are not found"


async def test_a_supervisor_that_never_began_leaves_the_job_absent_with_the_reason(state: StateFolder) -> None:
    runtime = ProcessRuntime(state.path, argv=["false"], environment=ENVIRONMENT)
    await runtime.prepare(plan())
    hints = runtime.finished()
    for _ in range(2):
        await runtime.start(plan())
        async with asyncio.timeout(DEADLINE):
            await anext(hints)
        seen = await runtime.observe(JOB)
        assert seen.state is JobState.ABSENT
        assert seen.detail == f"its supervisor ended with exit code 1 before it began; see {state.run(JOB).output}"
    await runtime.close()


async def test_a_supervisor_that_cannot_be_started_is_unavailable(state: StateFolder) -> None:
    runtime = ProcessRuntime(state.path, argv=["/nowhere/coderun"], environment=ENVIRONMENT)
    await runtime.prepare(plan())
    with pytest.raises(UnavailableError, match=f"cannot start run {JOB} with '/nowhere/coderun': .*No such file"):
        await runtime.start(plan())
    with pytest.raises(UnavailableError, match="was not prepared"):
        await runtime.start(plan("coderun-2-api-play-1"))


async def test_a_reused_pid_in_spawned_does_not_pass_for_a_supervisor(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    state.run(JOB).spawned.write_bytes(msgspec.json.encode(Process(pid=os.getpid(), start="long ago")))
    assert (await runtime.observe(JOB)).state is JobState.ABSENT
    me = proc.identify(os.getpid())
    state.run(JOB).spawned.write_bytes(msgspec.json.encode(me))
    assert (await runtime.observe(JOB)).state is JobState.STARTING


# Files


async def test_a_run_folder_is_for_its_user_alone(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan(files={"hooks/pre.sh": "exit 0\n", "settings.json": "{}"}))
    folder = state.run(JOB)
    assert folder.token.read_text("utf-8") == "token-of-this-run"
    assert (folder.files / "hooks" / "pre.sh").read_text("utf-8") == "exit 0\n"
    assert b"token-of-this-run" not in folder.order.read_bytes() + folder.prepared.read_bytes()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder.path, folder.token, folder.order, folder.files)}
    assert modes == {folder.path: 0o700, folder.token: 0o600, folder.order: 0o600, folder.files: 0o700}
    assert sorted(path.name for path in folder.path.iterdir()) == ["files", "job.json", "order.json", "token"]


async def test_a_job_prepared_again_has_what_came_last_until_it_is_started(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan(token="first", files={"old.json": "{}"}))
    await runtime.prepare(plan(token="second", files={"new.json": "{}"}))
    folder = state.run(JOB)
    assert folder.token.read_text("utf-8") == "second"
    assert [path.name for path in folder.files.iterdir()] == ["new.json"]
    await run(runtime, plan(token="second", files={"new.json": "{}"}))
    await runtime.prepare(plan(token="third"))
    assert folder.token.read_text("utf-8") == "second"


async def test_what_an_agent_made_of_its_token_is_no_token(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    token = state.run(JOB).token
    token.write_bytes(b"\xff\xfe")
    assert await runtime.token_of(JOB) == ""
    token.unlink()
    os.mkfifo(token)
    assert await runtime.token_of(JOB) == ""
    token.unlink()
    token.mkdir()
    assert await runtime.token_of(JOB) == ""
    with pytest.raises(UnavailableError, match="cannot remove the token of run"):
        await runtime.drop_token(JOB)


@pytest.mark.parametrize("name", ["../token", "/etc/passwd", "", "a/../../b", "a\0b"])
async def test_a_file_of_a_plan_cannot_lie_elsewhere(runtime: ProcessRuntime, name: str) -> None:
    with pytest.raises(InvalidCodeRunError, match="must lie below the run's folder"):
        await runtime.prepare(plan(files={name: "x"}))


@pytest.mark.parametrize("job", ["../x", "", "A", "a/b"])
async def test_a_job_must_be_a_dns_label(runtime: ProcessRuntime, job: str) -> None:
    with pytest.raises(InvalidCodeRunError, match="cannot be the name of a job"):
        await runtime.observe(job)


async def test_a_state_folder_that_takes_nothing_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    runtime = ProcessRuntime(tmp_path / "state", argv=ARGV, environment=ENVIRONMENT)
    with pytest.raises(UnavailableError, match=f"cannot prepare run {JOB} in .*Not a directory"):
        await runtime.prepare(plan())


async def test_an_order_that_cannot_be_read_is_a_failed_run(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    state.run(JOB).order.write_text('{"job": 7}')
    await runtime.start(plan())
    report = await report_of(runtime)
    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.FAILED, "InvalidOrder")
    assert report.outcome.summary.startswith(f"cannot read the order of this run, {state.run(JOB).order}: ")


async def test_removing_a_run_takes_its_folder_and_temporary_files_but_not_the_workspace(
    runtime: ProcessRuntime, state: StateFolder
) -> None:
    locked_folder = "import os; os.makedirs(os.environ['TMPDIR'] + '/a/b'); os.chmod(os.environ['TMPDIR'] + '/a', 0o500)"
    await run(runtime, plan(command=(*PYTHON, locked_folder)))
    await until(lambda: not locks.is_held(state.run(JOB).lock), what="the supervisor has left")
    assert not state.run(JOB).tmp.is_symlink()
    await runtime.remove(JOB)
    assert not state.run(JOB).path.exists()
    assert (state.workspace("workspace-api-rex") / "home").is_dir()
    assert (await runtime.observe(JOB)).state is JobState.ABSENT


# Loss


async def test_a_killed_supervisor_is_a_lost_job_of_which_nothing_lives_on(
    runtime: ProcessRuntime, successor: MakeRuntime, state: StateFolder
) -> None:
    await begun(runtime, plan(command=FAMILY))
    supervisor = supervisor_of(state)
    assert len(alive(state.run(JOB))) == 5
    proc.send(supervisor, signal.SIGKILL)
    seen = await observed(runtime, JOB, JobState.LOST)
    assert alive(state.run(JOB)) == set()
    assert f"the supervisor (process {supervisor.pid}) was killed, or the disk did not take its report" in seen.detail
    assert "left-over processes ended" in seen.detail
    assert not state.run(JOB).tmp.is_symlink()
    await runtime.start(plan(command=FAMILY))
    assert await successor().observe(JOB) == seen
    assert times_run(state) == 1


async def test_a_restart_of_the_machine_is_told_as_the_reason(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    folder = state.run(JOB)
    folder.lock.touch()
    folder.started.write_bytes(msgspec.json.encode(Holder(job=JOB, pid=os.getpid(), start="1", boot="another boot")))
    seen = await runtime.observe(JOB)
    assert seen.state is JobState.LOST
    assert seen.detail == f"the machine was restarted while the supervisor (process {os.getpid()}) worked"


async def test_a_disk_that_does_not_take_the_report_makes_a_lost_job_that_says_so(
    runtime: ProcessRuntime, state: StateFolder
) -> None:
    await runtime.prepare(plan(command=("full",)))
    await runtime.start(plan())
    seen = await observed(runtime, JOB, JobState.LOST)
    assert seen.detail.endswith("was killed, or the disk did not take its report")
    assert alive(state.run(JOB)) == set()


async def test_a_report_that_cannot_be_read_is_a_lost_job(runtime: ProcessRuntime, state: StateFolder) -> None:
    await run(runtime, plan())
    await until(lambda: not locks.is_held(state.run(JOB).lock), what="the supervisor has left")
    state.run(JOB).report.write_text("{")
    seen = await runtime.observe(JOB)
    assert seen.state is JobState.LOST
    assert seen.detail.startswith(f"its report {state.run(JOB).report} cannot be read: ")


async def test_a_run_folder_deleted_while_it_runs_ends_the_run_which_is_lost(
    runtime: ProcessRuntime, successor: MakeRuntime, state: StateFolder
) -> None:
    await begun(runtime, plan(command=FAMILY, grace=0.2))
    folder = state.run(JOB)
    shutil.rmtree(folder.path)
    other = successor()
    seen = await observed(other, JOB, JobState.LOST)
    assert f"the run folder {folder.path} was deleted while the supervisor" in seen.detail
    await until(lambda: not alive(folder), what="all of the run is dead")
    await other.prepare(plan(command=FAMILY))
    await other.start(plan(command=FAMILY))
    assert (await other.observe(JOB)).state is JobState.LOST
    assert times_run(state) == 1


async def test_a_workspace_deleted_while_a_run_works_in_it_fails_the_run(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    shutil.rmtree(state.workspace("workspace-api-rex"))
    report = await report_of(runtime)
    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.FAILED, "FolderGone")
    assert (
        report.outcome.summary == f"the workspace {state.workspace('workspace-api-rex')} was deleted while the run worked in it"
    )


async def test_a_busy_workspace_fails_the_run_and_names_who_works_there(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    second = await run(runtime, plan("coderun-2-api-play-1"))
    assert (second.phase, second.outcome.terminal_reason) == (RunPhase.FAILED, "WorkspaceBusy")
    assert f"run {JOB} (process {supervisor_of(state).pid}) works there" in second.outcome.summary
    assert times_run(state, "coderun-2-api-play-1") == 0
    await runtime.stop(JOB, reason="enough")
    assert (await report_of(runtime)).phase is RunPhase.CANCELLED
    assert (await run(runtime, plan("coderun-3-api-play-1"))).phase is RunPhase.SUCCEEDED


# Ending


async def test_a_stop_ends_the_whole_family_of_an_agent_that_ignores_it(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=FAMILY, grace=0.3))
    await runtime.stop(JOB, reason="enough")
    report = await report_of(runtime)
    assert alive(state.run(JOB)) <= {supervisor_of(state).pid}
    assert (report.phase, report.outcome.summary) == (RunPhase.CANCELLED, "enough")
    assert report.session_id == "session-1", "what the work reported is kept"


@pytest.mark.lesson(27)
async def test_a_daemon_that_hides_its_past_is_ended_with_the_run(runtime: ProcessRuntime, state: StateFolder) -> None:
    report = await run(runtime, plan(command=LEAVES_A_DAEMON))
    daemon = int((state.workspace("workspace-api-rex") / "daemon").read_text())
    assert proc.identify(daemon) is None
    assert report.phase is RunPhase.SUCCEEDED
    assert "1 process it left behind ended too" in report.outcome.summary


async def test_an_agent_with_hundreds_of_children_is_ended_with_all_of_them(
    runtime: ProcessRuntime, state: StateFolder
) -> None:
    await begun(runtime, plan(command=HUNDREDS, grace=0.2))
    assert len(alive(state.run(JOB))) == 302
    await runtime.stop(JOB, reason="enough")
    assert (await report_of(runtime)).phase is RunPhase.CANCELLED
    assert alive(state.run(JOB)) <= {supervisor_of(state).pid}


async def test_a_second_signal_does_not_cut_short_the_saving_of_work(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=("saves",), grace=5))
    supervisor = supervisor_of(state)
    await runtime.stop(JOB, reason="somebody pushed")
    for _ in range(3):
        proc.send(supervisor, signal.SIGTERM)
        proc.send(supervisor, signal.SIGHUP)
    report = await report_of(runtime)
    assert (report.phase, report.head_sha) == (RunPhase.CANCELLED, "abc123")
    assert (state.workspace("workspace-api-rex") / "saved").read_text("utf-8") == "somebody pushed"


async def test_a_signal_from_elsewhere_cancels_the_run_and_is_named(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    proc.send(supervisor_of(state), signal.SIGTERM)
    report = await report_of(runtime)
    assert (report.phase, report.outcome.summary) == (RunPhase.CANCELLED, "ended by SIGTERM")


async def test_a_stop_file_is_enough_to_stop_a_run(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    state.run(JOB).stop.write_text("by hand\n")
    assert (await report_of(runtime)).outcome.summary == "by hand"


async def test_a_stop_reaches_only_the_very_process_that_holds_the_lock(runtime: ProcessRuntime, state: StateFolder) -> None:
    await runtime.prepare(plan())
    folder = state.run(JOB)
    bystander = await asyncio.create_subprocess_exec(*NEVER_ENDS, stdout=subprocess.DEVNULL)
    holder = Holder(job=JOB, pid=bystander.pid, start="an earlier owner of this pid")
    lock = locks.take(folder.lock, holder)
    assert lock is not None
    folder.started.touch()
    await runtime.stop(JOB, reason="enough")
    assert bystander.returncode is None
    assert proc.identify(bystander.pid) is not None
    assert (await runtime.observe(JOB)).detail == "asked to stop: enough"
    lock.release()
    bystander.kill()
    await bystander.wait()


async def test_a_supervisor_that_does_not_answer_is_killed_after_its_grace(state: StateFolder) -> None:
    clock = HandClock()
    runtime = ProcessRuntime(state.path, argv=ARGV, environment=ENVIRONMENT, clock=clock, stop_margin=10)
    await begun(runtime, plan(command=FAMILY, grace=20))
    proc.send(supervisor_of(state), signal.SIGSTOP)
    await runtime.stop(JOB, reason="enough")
    assert (await runtime.observe(JOB)).state is JobState.RUNNING
    clock.now += 29
    assert (await runtime.observe(JOB)).state is JobState.RUNNING
    clock.now += 2
    seen = await runtime.observe(JOB)
    assert seen.state is JobState.LOST
    assert "did not end in its grace after it was asked to stop (enough) and was killed" in seen.detail
    assert alive(state.run(JOB)) == set()
    await runtime.close()


@pytest.mark.slow
async def test_work_that_ignores_its_end_is_left_behind_and_still_reported(runtime: ProcessRuntime) -> None:
    await runtime.prepare(plan(command=("stubborn",), grace=0.1))
    await runtime.start(plan())
    await observed(runtime, JOB, JobState.RUNNING)
    await runtime.stop(JOB, reason="enough")
    report = await report_of(runtime)
    assert (report.phase, report.outcome.summary) == (RunPhase.CANCELLED, "enough")


@pytest.mark.slow
async def test_work_that_hangs_in_a_program_is_ended_at_its_time_limit(runtime: ProcessRuntime) -> None:
    report = await run(runtime, plan(command=("block", *NEVER_ENDS), timeout=0.5, grace=0.1))
    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.FAILED, "TimedOut")


async def test_an_error_of_the_work_is_reported_and_holds_no_secret(runtime: ProcessRuntime, state: StateFolder) -> None:
    report = await run(runtime, plan(command=("raise",)))
    assert (report.phase, report.outcome.terminal_reason) == (RunPhase.FAILED, "InternalError")
    assert report.outcome.summary == "RuntimeError: the forge said no to [secret]"
    log = await text_of(runtime.logs(JOB))
    assert b"RuntimeError: the forge said no to [secret]" in log
    assert b"token-of-this-run" not in log + state.run(JOB).log.read_bytes()


# Output


async def test_huge_and_binary_output_is_kept_in_bounds(runtime: ProcessRuntime, state: StateFolder) -> None:
    noise = (
        "import os, sys\no = sys.stdout.buffer\no.write(bytes(range(256)) * 4 + b'\\n' + b'x' * 5_000_000 + b'\\n' + b'last')"
    )
    assert (await run(runtime, plan(command=(*PYTHON, noise)))).phase is RunPhase.SUCCEEDED
    log = await text_of(runtime.logs(JOB))
    assert max(len(line) for line in log.splitlines()) < 1024 * 1024 + 100
    assert b"[coderun: the line was cut here]\nlast\n" in log
    for line in state.run(JOB).log.read_bytes().splitlines():
        msgspec.json.decode(line)


# Hints


async def test_a_job_of_an_earlier_controller_is_hinted_at_by_a_wake(runtime: ProcessRuntime, state: StateFolder) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    woken = asyncio.Event()

    async def wakes() -> AsyncIterator[None]:
        await woken.wait()
        yield None

    other = ProcessRuntime(state.path, argv=ARGV, environment=ENVIRONMENT, hints=wakes)
    await other.observe(JOB)
    hints = other.finished()
    await other.stop(JOB, reason="enough")
    await until(state.run(JOB).report.exists, what="the report is there")
    woken.set()
    async with asyncio.timeout(1):
        assert await anext(hints) == JOB
    await other.close()


async def test_a_job_of_an_earlier_controller_is_hinted_at_without_any_wake(
    runtime: ProcessRuntime, successor: MakeRuntime
) -> None:
    await begun(runtime, plan(command=NEVER_ENDS, grace=5))
    other = successor()
    await other.observe(JOB)
    hints = other.finished()
    await other.stop(JOB, reason="enough")
    async with asyncio.timeout(DEADLINE):
        assert await anext(hints) == JOB


async def test_no_zombie_is_left_of_a_job_that_ended(runtime: ProcessRuntime, state: StateFolder) -> None:
    hints = runtime.finished()
    await run(runtime, plan())
    async with asyncio.timeout(DEADLINE):
        await anext(hints)
    assert supervisor_of(state).pid not in proc.table()


async def test_the_workspace_lock_is_free_and_names_nobody_after_a_run(runtime: ProcessRuntime, state: StateFolder) -> None:
    await run(runtime, plan())
    await until(lambda: not locks.is_held(state.run(JOB).lock), what="the supervisor has left")
    path = workspace_lock(state.workspace("workspace-api-rex"))
    assert locks.read_holder(path) is None
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_coderun_agent_says_what_is_wrong_with_its_arguments(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "coderun.agent", "--run", str(tmp_path), "--workspace", str(tmp_path)]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert f"{tmp_path} is not a run folder that was prepared: it has no job.json" in done.stderr
    done = subprocess.run(argv[:-1], env=ENVIRONMENT, capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "cannot start: it needs --run DIR and --workspace DIR, and got: ['--run'," in done.stderr
