"""Full and read-only disks, damaged files, deleted folders, clocks that jump: a clear error, no loss, no endless loop."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from tests.acceptance.kit import Place, task, until

from coderun.app.controller import Controller
from coderun.app.local import Surroundings, open_local
from coderun.app.request import PlayRequest, request_plays
from coderun.app.together import together
from coderun.model.coderun import RunPhase
from coderun.model.play import PlayPhase

LeaveOut = Callable[[str, str], NoReturn]
HOLD_AND_WORK = [{"do": "hold", "until": "go"}, {"do": "commit"}, {"do": "verdict", "verdict": "done"}]
RECONCILES = 150
"""More passes than a play of three runs ever needs; an endless loop makes thousands a second."""


def mount(*arguments: str) -> bool:
    return os.geteuid() == 0 and subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


def umount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path, leave_out: LeaveOut) -> Iterator[Path]:
    """A file system of its own with room for a small play."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(disk)):
        leave_out("small disks", "only root may mount a file system, where the machine allows it")
    yield disk
    umount(disk)


@contextlib.asynccontextmanager
async def controlled(place: Place, *, clock: Callable[[], datetime] | None = None) -> AsyncIterator[Controller]:
    """The play of task 1 with its controller in this process, whose passes can be counted."""
    around = Surroundings(
        cwd=place.repository,
        home=place.home,
        environment=place.environment,
        command="a test",
        clock=clock or (lambda: datetime.now(UTC)),
    )
    async with open_local(place.repository, create=True, around=around) as system:
        await request_plays(system, PlayRequest(task=1))
        controller = await system.make_controller()
        async with together() as group:
            working = group.create_task(controller.run())
            try:
                yield controller
            finally:
                working.cancel()
        await system.runtime.close()


# -- disks ---------------------------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_stops_nobody_and_the_play_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "world", state_home=small_disk)
    place.init(task(1))
    place.configure(limits={"attempts": 9})
    place.script({"implementation/1/1": HOLD_AND_WORK})
    try:
        await place.coderun("play", "--task", "1", "--detach")
        up = await place.controller_pid()
        await place.until_ran("implementation")
        filler = small_disk / "filler"
        _fill(filler)
        place.release("go")
        log = place.state / "logs" / "up.log"
        await until(lambda: "warning: " in log.read_text(), "a warning", tell=place.tell)
        assert "is tried again" in log.read_text()
        assert await place.controller_pid() == up

        filler.unlink()

        play = await place.until_phase(PlayPhase.SUCCEEDED)
        assert play.status.message == "pull request #1 is merged by ada"
        assert await place.controller_pid() == up
        place.assert_ran_once_each()
        assert "Traceback" not in log.read_text()
    finally:
        await place.clear_up()


async def test_nothing_is_started_on_a_disk_that_is_full_from_the_start(small_disk: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "world", state_home=small_disk)
    place.init(task(1))
    filler = small_disk / "filler"
    _fill(filler)
    try:
        refused = await place.coderun("play", "--task", "1")

        assert refused.code in {2, 5}, refused.said
        assert refused.err.startswith("error: ")
        assert "Traceback" not in refused.err
        assert place.ran() == []
        filler.unlink()
        ended = await place.coderun("play", "--task", "1")
        assert ended.code == 0, ended.said
    finally:
        await place.clear_up()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_a_read_only_state_folder_is_refused_with_a_line(place: Place, leave_out: LeaveOut) -> None:
    state = place.folder / "state"
    state.mkdir()
    if os.geteuid() == 0:
        if not mount("--bind", str(state), str(state)) or not mount("-o", "remount,bind,ro", str(state)):
            leave_out("read-only folders", "root may not mount here, and passes over modes")
    else:
        state.chmod(0o500)
    try:
        refused = await place.coderun("play", "--task", "1")
    finally:
        if os.geteuid() == 0:
            umount(state)
        else:
            state.chmod(0o700)

    assert refused.code == 2, refused.said
    assert refused.err.startswith(f"error: the state folder {place.state} cannot be written: ")
    assert refused.err.endswith("make it writable, or set CODERUN_STATE to another place\n")
    assert place.ran() == []


async def test_a_state_folder_that_becomes_read_only_is_said_and_loses_nothing(place: Place, leave_out: LeaveOut) -> None:
    place.script({"implementation/1/1": HOLD_AND_WORK})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("implementation")
    command.kill()
    state = place.folder / "state"
    if not mount("--bind", str(state), str(state)) or not mount("-o", "remount,bind,ro", str(state)):
        leave_out("read-only folders", "root may not mount here, and passes over modes")
    try:
        refused = [await place.coderun(*words) for words in (("play", "--task", "1"), ("why", "1"), ("abort", "1"))]
    finally:
        umount(state)

    for each in refused:
        assert each.code in {2, 5}, each.said
        assert each.err.startswith("error: ")
        assert "Traceback" not in each.err
    place.release("go")
    ended = await place.coderun("play", "--task", "1")
    assert ended.code == 0, ended.said
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


# -- damage --------------------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_no_database_is_said_and_left_as_it_is(place: Place) -> None:
    place.script({"implementation/1/1": [{"do": "verdict", "verdict": "blocked"}]})
    await place.coderun("play", "--task", "1")
    file = place.state / "state.db"
    file.write_bytes(b"this is no database, " * 1000)
    damaged = file.read_bytes()

    answers = [await place.coderun(*words) for words in (("play", "--task", "1"), ("up",), ("get",), ("retry", "1"))]

    for answer in answers:
        assert answer.code == 1, answer.said
        assert answer.err.startswith("error: ")
        assert str(file) in answer.err
        assert len(answer.err.splitlines()) == 1
    assert file.read_bytes() == damaged


async def test_a_store_that_is_deleted_at_work_ends_the_controller_with_a_line(place: Place) -> None:
    place.script({"implementation/1/1": HOLD_AND_WORK})
    command = place.start("play", "--task", "1", "--plain")
    await place.until_ran("implementation")

    (place.state / "state.db").unlink()

    place.release("go")
    assert await command.ended() == 1, command.said
    assert "Traceback" not in command.said
    assert "was deleted or replaced while it was open" in command.said.splitlines()[-1]


# -- folders that are gone -----------------------------------------------------------------------------------------------------


async def test_a_workspace_that_is_deleted_between_runs_is_made_anew(bare_place: Place) -> None:
    place = bare_place
    place.init(task(1), task(2))
    first = await place.coderun("play", "--task", "1")
    assert first.code == 0, first.said
    shutil.rmtree(place.state / "workspaces")

    second = await place.coderun("play", "--task", "2")

    assert second.code == 0, second.said
    assert [ran.occasion for ran in place.ran()[3:]] == [
        (2, "implementation", 1, 1),
        (2, "quality", 1, 1),
        (2, "testing", 1, 1),
    ]


async def test_a_workspace_that_is_deleted_under_a_run_fails_it_with_the_reason_and_it_is_tried_again(place: Place) -> None:
    place.script({"quality/1/1": [{"do": "hold", "until": "never"}]})
    async with controlled(place) as controller:
        agent = await place.until_ran("quality")

        shutil.rmtree(place.state / "workspaces" / "workspace-shop-cleo")

        await place.until_phase(PlayPhase.SUCCEEDED)
        assert controller.reconciles < RECONCILES
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("quality", 1, 2), ("testing", 1, 1)]
    [failed] = [run for run in await place.runs(await place.play(1)) if run.name == "play-shop-1-quality-1-1"]
    assert failed.status.phase is RunPhase.FAILED
    assert failed.status.result is not None
    assert failed.status.result.terminal_reason == "FolderGone"
    assert failed.status.message.startswith(f"the workspace {place.state / 'workspaces' / 'workspace-shop-cleo'} was deleted")
    assert agent.pid


async def test_a_run_folder_that_is_deleted_under_a_run_loses_it_and_it_is_tried_again(place: Place) -> None:
    place.script({"quality/1/1": [{"do": "hold", "until": "never"}]})
    async with controlled(place) as controller:
        await place.until_ran("quality")

        shutil.rmtree(place.state / "runs" / "coderun-1-shop-play-shop-1-quality-1-1-1", ignore_errors=True)

        await place.until_phase(PlayPhase.SUCCEEDED)
        assert controller.reconciles < RECONCILES
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("quality", 1, 2), ("testing", 1, 1)]
    [failed] = [run for run in await place.runs(await place.play(1)) if run.name == "play-shop-1-quality-1-1"]
    assert failed.status.result is not None
    assert (failed.status.phase, failed.status.result.terminal_reason) == (RunPhase.FAILED, "JobLost")
    assert "was deleted" in failed.status.message


# -- clocks --------------------------------------------------------------------------------------------------------------------


class JumpingClock:
    """Real time, until it is told to jump."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.mark.parametrize("jump", [timedelta(days=3650), timedelta(days=-3650), timedelta(hours=-1)], ids=str)
async def test_a_clock_that_jumps_in_the_midst_of_a_play_changes_nothing(place: Place, jump: timedelta) -> None:
    place.configure(limits={"retryBackoffSeconds": 0.5})
    place.script({"implementation/1/1": [{"do": "hold", "until": "go"}, {"do": "exit", "code": 1}]})
    clock = JumpingClock()
    async with controlled(place, clock=clock) as controller:
        await place.until_ran("implementation")

        clock.ahead = jump

        place.release("go")
        play = await place.until_phase(PlayPhase.SUCCEEDED)
        assert controller.reconciles < RECONCILES
    assert play.status.message == "pull request #1 is merged by ada"
    assert place.occasions() == [("implementation", 1, 1), ("implementation", 1, 2), ("quality", 1, 1), ("testing", 1, 1)]


async def test_a_clock_that_jumps_to_and_fro_all_the_time_changes_nothing(place: Place) -> None:
    start = datetime.now(UTC)
    looks = 0

    def clock() -> datetime:
        nonlocal looks
        looks += 1
        return start + timedelta(days=(-1) ** looks * 400 * (looks % 5))

    async with controlled(place, clock=clock) as controller:
        await place.until_phase(PlayPhase.SUCCEEDED)
        assert controller.reconciles < RECONCILES
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
