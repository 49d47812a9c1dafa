"""Every command of the pages is run, in order, in a world like the reader's; the table says how each ends.

The blocks below one heading are one scenario: a small repository `~/my-project` with a Task Master list, `coderun` and a
stand-in for `claude` on the PATH, HOME and state below a temporary folder. What is tested elsewhere names its test.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.acceptance.kit import DEADLINE, task
from tests.docs.pages import ALL_BLOCKS, ROOT, marked

from coderun.runtime.ending import end_all
from coderun.runtime.proc import Table

NAME = "my-project"
TASKS = [task(1), task(2, dependencies=[1]), task(3, priority="high"), task(4), task(5, dependencies=[3]), task(6), task(8)]


class Step(NamedTuple):
    """A command as the page has it, and how it ends.

    `then` is a play and a pattern that `coderun why` must answer with before the next command is typed. A command of code 130
    goes on until somebody types Ctrl-C, which is done once it has printed the pattern `interrupt`.
    """

    command: str
    code: int = 0
    then: tuple[str, str] | None = None
    interrupt: str = ""


SCENARIOS: dict[tuple[str, str], list[Step]] = {
    ("README.md", "On your own repository"): [
        Step("cd ~/my-project"),
        Step("coderun doctor"),
        Step("coderun init"),
        Step('coderun play "Add a --version flag"', 3),
        Step("coderun pr list"),
        Step("coderun pr show 1"),
        Step("coderun pr diff 1"),
        Step('coderun pr review 1 --request-changes -m "Please keep the old flag working"'),
        Step('coderun play "Add a --version flag"', 3),
        Step("coderun pr merge 1"),
        Step('git pull "$(coderun get forge -o name)" main'),
    ],
    ("README.md", "A list of tasks"): [
        Step("coderun play --task 3", 3),
        Step("coderun play --tasks 1-5,8", 3),
        Step("coderun play --next", 3),
        Step("coderun play --all --auto-merge"),
    ],
    ("README.md", "What goes on, and why"): [
        Step("coderun play --task 3 --detach", then=("3", "cleo works on quality")),
        Step("coderun get"),
        Step("coderun why 3"),
        Step("coderun watch", 130, interrupt="task 3  Running"),
        Step("coderun logs 3 -f", 130, interrupt="session "),
        Step("coderun pause 3"),
        Step("coderun resume 3"),
        Step("coderun cancel 3", then=("3", "coderun retry")),
        Step("coderun retry 3", then=("3", "cleo works on quality")),
        Step("coderun approve 3"),
        Step("coderun abort 3", then=("3", "Aborted")),
        Step("coderun up --stop"),
    ],
    ("docs/events.md", "What came, and why it did or did not move a play"): [
        Step("coderun play --task 3", 3),
        Step("coderun events list"),
        Step("coderun events list --state ignored --since 1h"),
    ],
    ("README.md", "Any program as an agent"): [
        Step('coderun play --task 3 --agent-command "python3 my_agent.py"', 3),
    ],
}
ELSEWHERE = {
    "make demo": "tests/docs/test_make.py::test_a_fresh_clone_plays_the_demo_with_nothing_but_python_git_and_make",
    "make test": "tests/docs/test_make.py::test_make_test_runs_lint_and_every_tier",
    "pipx install .": "tests/wheel/test_wheel.py::test_the_wheel_installed_alone_plays_the_demo_from_an_empty_folder",
    "make demo-github": "tests/acceptance/test_demo_github.py::test_every_trouble_is_made_and_survived",
}
PAGES_OF_THEIR_OWN = {"On GitHub": "docs/github.md", "On a cluster": "docs/kubernetes.md"}
"""Headings of the README whose commands stand on a page of their own, and are run from there."""
HOLDING = {("README.md", "What goes on, and why")}
CHECKED_ELSEWHERE = {
    "docs/github.md": "tests/docs/test_github_page.py",
    "docs/handlebars.md": "tests/docs/test_handlebars_docs.py",
    "docs/kubernetes.md": "tests/cluster/test_kubernetes_page.py",
}


class World:
    """The reader's machine."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.tools = folder / "tools"
        self.repository = self.home / NAME
        self.cwd = self.home
        self._started: list[subprocess.Popen[str]] = []
        for made in (self.repository, self.tools):
            made.mkdir(parents=True)
        example = marked("docs/agents.md", "example: my-agent.py").text
        (self.tools / "agent.py").write_text(example, encoding="utf-8")
        (self.repository / "my_agent.py").write_text(example, encoding="utf-8")
        self._program("coderun", "from coderun.cli.main import main\nmain()\n")
        self._program("claude", (Path(__file__).with_name("shop_claude.py")).read_text(encoding="utf-8"))
        self.environment = {
            "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "LOGNAME": "ada",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "ANTHROPIC_API_KEY": "made-up",
            "XDG_STATE_HOME": str(folder / "state"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(folder),
        }
        (self.home / ".gitconfig").write_text(
            "[user]\nname = Ada\nemail = ada@example.invalid\n[init]\ndefaultBranch = main\n", encoding="utf-8"
        )
        self._make_repository()

    def _program(self, name: str, text: str) -> None:
        path = self.tools / name
        path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        path.chmod(0o755)

    def _make_repository(self) -> None:
        tasks = self.repository / ".taskmaster" / "tasks" / "tasks.json"
        tasks.parent.mkdir(parents=True)
        tasks.write_text(json.dumps({"master": {"tasks": TASKS}}), encoding="utf-8")
        (self.repository / "README.md").write_text("# My project\n", encoding="utf-8")
        for words in ("init --quiet", "add --all", "commit --quiet -m First"):
            subprocess.run(["git", *words.split()], cwd=self.repository, env=self.environment, check=True)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command as a shell of the reader's would, without a terminal."""
        started = subprocess.Popen(
            ["bash", "-c", f"cd {shlex.quote(str(self.cwd))} && {command}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(started)
        return started

    def type(self, step: Step) -> None:
        """Type a command, see how it ends, and wait for what must have happened before the next one."""
        if step.command.startswith("cd "):
            self.cwd = Path(step.command.removeprefix("cd ").replace("~", str(self.home)))
            assert self.cwd.is_dir()
            return
        running = self.start(step.command)
        if step.code == signal.SIGINT + 128:
            said = self._interrupted(running, step.interrupt)
        else:
            said = running.communicate(timeout=5 * DEADLINE)[0]
        assert running.returncode == step.code, f"{step.command}\n{said}"
        if step.then is not None:
            self._wait(*step.then)

    def _interrupted(self, running: subprocess.Popen[str], pattern: str) -> str:
        """Ctrl-C once it has printed the pattern."""
        said = ""
        assert running.stdout is not None
        for line in running.stdout:
            said += line
            if re.search(pattern, line):
                break
        os.killpg(running.pid, signal.SIGINT)
        return said + running.communicate(timeout=DEADLINE)[0]

    def _wait(self, play: str, pattern: str) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            answer = self.start(f"coderun why {play}").communicate(timeout=DEADLINE)[0]
            if re.search(pattern, answer):
                return
            assert time.monotonic() < end, f"waited in vain for {pattern!r}:\n{answer}"

    def clear_up(self) -> None:
        """End whatever was started here, controllers and agents in the background included."""
        mark = os.fsencode(str(self.tools))

        def of_this_world(processes: Table) -> set[int]:
            return {pid for pid in processes if pid != os.getpid() and mark in _environment_of(pid)}

        end_all(of_this_world, grace=0)
        for started in self._started:
            if started.stdout is not None and not started.stdout.closed:
                started.communicate()


def _environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.clear_up()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"{scenario[0]}#{scenario[1]}")
def test_the_commands_below_a_heading_do_what_the_page_says(world: World, scenario: tuple[str, str]) -> None:
    if scenario[1] != "On your own repository":
        world.cwd = world.repository
    if scenario in HOLDING:
        (world.tools / "hold").touch()
    for step in SCENARIOS[scenario]:
        world.type(step)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_why_answers_as_the_readme_shows(world: World) -> None:
    world.cwd = world.repository
    controller = world.start("coderun up")
    assert controller.stdout is not None
    assert controller.stdout.readline().startswith("controller of ")  # before `play` could become the controller in its place
    world.type(Step("coderun play --task 3", 3))
    answer = world.start("coderun why 3").communicate(timeout=DEADLINE)[0]
    assert _without_chance(answer) == _without_chance(marked("README.md", "excerpt: why").text)
    assert controller.poll() is None


def _without_chance(answer: str) -> str:
    """An answer of `why` without times, delivery ids and process ids."""
    text = re.sub(r"\d\d:\d\d:\d\d|\d+(\.\d+)? (s|min) ago|local-\d+", "X", answer)
    return re.sub(r"pid \d+, coderun up, since .*", "pid", text)


def test_no_command_of_a_page_is_left_out() -> None:
    written: dict[tuple[str, str], list[str]] = {}
    for block in ALL_BLOCKS:
        if block.page not in CHECKED_ELSEWHERE and block.heading not in PAGES_OF_THEIR_OWN:
            rest = [command for command in block.commands if command not in ELSEWHERE]
            if rest:
                written.setdefault((block.page, block.heading), []).extend(rest)
    assert written == {scenario: [step.command for step in steps] for scenario, steps in SCENARIOS.items()}


@pytest.mark.parametrize("heading", PAGES_OF_THEIR_OWN)
def test_what_the_readme_shows_of_a_page_is_run_from_there(heading: str) -> None:
    there = [command for block in ALL_BLOCKS if block.page == PAGES_OF_THEIR_OWN[heading] for command in block.commands]
    here = [command for block in ALL_BLOCKS if block.heading == heading for command in block.commands]
    shown = [command for command in here if command not in ELSEWHERE]
    assert shown
    assert [command for command in there if command in shown] == shown


def test_every_command_is_in_a_block_that_says_so() -> None:
    assert [block for block in ALL_BLOCKS if block.commands and block.language != "console"] == []
    assert [block for block in ALL_BLOCKS if block.language == "console" and not block.commands] == []


@pytest.mark.parametrize("command", ELSEWHERE)
def test_a_command_that_is_tested_elsewhere_has_that_test(command: str) -> None:
    file, _, name = ELSEWHERE[command].partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
    assert any(command in block.commands for block in ALL_BLOCKS)
