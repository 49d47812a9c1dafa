"""Commands in a terminal of their own: the live view, Ctrl-C, and terminals that can do little."""

import asyncio
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.acceptance.kit import Place, task

DEADLINE = 60.0
HOLD = {"quality": [{"do": "hold", "until": "go"}, {"do": "verdict", "verdict": "done"}]}


class Terminal:
    """A command in a pseudo terminal of a given size."""

    def __init__(self, argv: list[str], *, cwd: Path, environment: dict[str, str], rows: int = 30, columns: int = 100) -> None:
        self._handle, inside = pty.openpty()
        ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEAD, *argv],
            cwd=cwd,
            env={"TERM": "xterm-256color", **environment},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        self.text = ""

    def read(self, seconds: float) -> bool:
        """Read what comes within that time; False once nobody writes any more."""
        ready, _, _ = select.select([self._handle], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._handle, 65536)
        except OSError:  # Linux says EIO where the other side has closed
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def until(self, pattern: str) -> None:
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"{pattern!r} did not come:\n{self.text}"
            assert self.read(0.2), f"{pattern!r} did not come before the end:\n{self.text}"

    def type(self, keys: bytes) -> None:
        os.write(self._handle, keys)

    def ended(self) -> int:
        end = time.monotonic() + DEADLINE
        while self.read(0.2):
            assert time.monotonic() < end, self.text
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._handle)


# Makes the terminal the controlling one, so that Ctrl-C is a signal, then becomes the command.
_LEAD = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "world")
    made.init(task(1, "Sell \x1b[31mtea"), task(2, "Sell more"))
    yield made
    asyncio.run(made.clear_up())


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def coderun(place: Place, terminals: list[Terminal], *words: str, rows: int = 30, columns: int = 100, **more: str) -> Terminal:
    argv = [sys.executable, "-m", "coderun.cli.main", *words]
    environment = {**place.environment, "TZ": "UTC", **more}
    terminals.append(Terminal(argv, cwd=place.repository, environment=environment, rows=rows, columns=columns))
    return terminals[-1]


def test_a_play_in_a_terminal_shows_the_live_table_until_it_ends(place: Place, terminals: list[Terminal]) -> None:
    terminal = coderun(place, terminals, "play", "--task", "1")
    assert terminal.ended() == 0, terminal.text
    for part in ("stages", "●", "◐", "implementation", "StagePassed", "task 1: #1 Succeeded after 1 round."):
        assert part in terminal.text
    assert "\x1b[31mtea" not in terminal.text
    assert "\x1b[1A" in terminal.text, "it is redrawn in place"


def test_ctrl_c_says_what_goes_on_and_the_agent_goes_on(place: Place, terminals: list[Terminal]) -> None:
    place.script(HOLD)
    terminal = coderun(place, terminals, "play", "--task", "1")
    terminal.until("cleo works on quality")
    agent = asyncio.run(place.until_ran("quality"))
    terminal.type(b"\x03")
    assert terminal.ended() == 130
    said = " ".join(terminal.text.split())
    assert "stopped watching; agents at work go on. `coderun up` or the same command carries on" in said
    assert "Traceback" not in terminal.text
    os.kill(agent.pid, 0)
    place.release("go")
    again = coderun(place, terminals, "play", "--task", "1")
    assert again.ended() == 0, again.text
    place.assert_ran_once_each()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [("watch", "stopped watching; nothing else has changed"), ("up", "stopped; agents at work go on")],
)
def test_ctrl_c_ends_watching_and_controlling(place: Place, terminals: list[Terminal], words: str, message: str) -> None:
    place.script(HOLD)
    playing = coderun(place, terminals, "play", "--task", "1")
    playing.until("cleo works on quality")
    if words == "up":
        playing.type(b"\x03")
        assert playing.ended() == 130
    terminal = coderun(place, terminals, words)
    terminal.until("cleo works on quality|controller of")
    terminal.type(b"\x03")
    assert terminal.ended() == 130
    assert message in terminal.text
    place.release("go")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "columns"), [({"NO_COLOR": "1"}, 100), ({"TERM": "dumb"}, 100), ({"LANG": "C", "LC_ALL": "C"}, 40)]
)
def test_a_terminal_that_can_do_little_is_enough(
    place: Place, terminals: list[Terminal], environment: dict[str, str], columns: int
) -> None:
    terminal = coderun(place, terminals, "play", "--task", "1", rows=10, columns=columns, **environment)
    assert terminal.ended() == 0, terminal.text
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.text), "no colours"
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in terminal.text
        assert len(re.findall(r"\d\d:\d\d:\d\d  task 1  ", terminal.text)) >= 6
    assert "Succeeded after 1 round" in " ".join(terminal.text.split())


@pytest.mark.slow
def test_lines_of_a_table_end_where_a_narrow_terminal_ends(place: Place, terminals: list[Terminal]) -> None:
    first = coderun(place, terminals, "play", "--all", "--plain")
    assert first.ended() == 0, first.text
    listed = coderun(place, terminals, "get", columns=40)
    assert listed.ended() == 0
    assert [len(line) <= 40 for line in listed.text.splitlines()] == [True] * 3
    watched = coderun(place, terminals, "watch", columns=40)
    assert watched.ended() == 0
    assert "no play is under way" in watched.text


def test_a_second_up_says_who_is_the_controller(place: Place, terminals: list[Terminal]) -> None:
    first = coderun(place, terminals, "up")
    first.until("controller of")
    asyncio.run(place.controller_pid())
    second = coderun(place, terminals, "up")
    assert second.ended() == 6
    assert f"{first.process.pid}" in second.text
    stopping = coderun(place, terminals, "up", "--stop")
    assert stopping.ended() == 0
    assert f"the controller (pid {first.process.pid}, coderun up, since " in stopping.text
    assert first.ended() == 130
    assert "stopped; agents at work go on, and `coderun up` finds them again" in first.text
    again = coderun(place, terminals, "up", "--stop")
    assert again.ended() == 0
    assert "no controller is running" in again.text
