"""Small worlds to measure in: a repository, its state folder below a temporary one, and agents that are scripts."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec

from coderun.app.local import LocalSystem, Surroundings, open_local

SOURCES = Path(__file__).parents[1] / "src"
AGENT = """\
#!/bin/sh
set -e
case $CODERUN_STAGE in
implementation)
    echo "task $CODERUN_TASK_ID, iteration $CODERUN_ITERATION" > "task-$CODERUN_TASK_ID.txt"
    git add .
    git commit --quiet -m "Do task $CODERUN_TASK_ID"
    echo '{"verdict": "done"}' > "$CODERUN_RESULT" ;;
testing) echo '{"verdict": "approve"}' > "$CODERUN_RESULT" ;;
*) echo '{"verdict": "done"}' > "$CODERUN_RESULT" ;;
esac
"""
CONFIG = """\
agents:
{agents}
play: {{autoMerge: {merge}, parallel: 100000}}
{more}
"""
IDENTITY = ("-c", "user.name=Ada Person", "-c", "user.email=ada@example.invalid", "-c", "commit.gpgsign=false")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A folder with a repository in it, and the environment that programs see there."""

    folder: Path
    environment: dict[str, str]

    @property
    def project(self) -> Path:
        """The user's repository."""
        return self.folder / "project"

    @contextlib.asynccontextmanager
    async def opened(self, *, create: bool = True) -> AsyncIterator[LocalSystem]:
        """Its local system, in this process."""
        around = Surroundings(cwd=self.project, home=self.folder / "home", environment=self.environment, command="bench")
        async with open_local(self.project, create=create, around=around) as system:
            yield system

    def git(self, cwd: Path, *arguments: str, stdin: bytes = b"") -> str:
        """Run git as the person; its output."""
        command = ["git", *IDENTITY, *arguments]
        done = subprocess.run(command, cwd=cwd, env=self.environment, input=stdin, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a Python program beside this one."""
        output = self.folder / "programs.log"
        with output.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *argv],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        """What the programs started here have said so far."""
        return (self.folder / "programs.log").read_text("utf-8", "replace")

    @contextlib.contextmanager
    def controller(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`coderun up`, for as long as the block lasts."""
        process = self.start("-m", "coderun.cli.main", "up", "--repo", str(self.project), *words)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def world(*, merge: bool = True, more: str = "", files: dict[str, str] | None = None) -> Iterator[World]:
    """A new world, removed afterwards. `more` is added to its coderun.yaml."""
    with tempfile.TemporaryDirectory(prefix="coderun-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        made = World(folder=folder, environment=_environment(folder))
        agent = folder / "agent.sh"
        agent.write_text(AGENT)
        (folder / "home").mkdir()
        made.project.mkdir()
        command = f"{{cliType: command, settings: {{command: [sh, {agent}]}}}}"
        agents = "\n".join(f"  {name}: {{cli: {command}}}" for name in ("rex", "cleo", "tess"))
        config = CONFIG.format(agents=agents, merge=str(merge).lower(), more=more)
        for path, text in {"coderun.yaml": config, "README.md": "# A project\n", **(files or {})}.items():
            (made.project / path).write_text(text)
        made.git(made.project, "init", "--quiet", "-b", "main")
        made.git(made.project, "add", "-A")
        made.git(made.project, "commit", "--quiet", "-m", "Begin")
        yield made


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, "HOME": str(folder / "home"), "LOGNAME": "ada", "XDG_STATE_HOME": str(folder), "PYTHONPATH": str(SOURCES)}


async def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not come about within {seconds} s")
        await asyncio.sleep(0.005)


class Spans:
    """When processes lived: from just before their start to their end, seen by a thread for each."""

    def __init__(self) -> None:
        self.spans: dict[str, list[float]] = {}

    def begin(self, name: str, pid: int, at: float) -> None:
        """`pid` was started at `at` (`time.time`), and is a child of this process."""
        span = self.spans[name] = [at]
        threading.Thread(target=self._wait, args=(pid, span), daemon=True).start()

    @staticmethod
    def _wait(pid: int, span: list[float]) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        span.append(time.time())

    async def ended(self) -> None:
        """Wait until all have ended."""
        await until(lambda: all(len(span) == 2 for span in self.spans.values()))

    def covered(self) -> float:
        """Seconds in which at least one of them lived."""
        total, reached = 0.0, 0.0
        for begun, ended in sorted((span[0], span[1]) for span in self.spans.values()):
            total += max(0.0, ended - max(begun, reached))
            reached = max(reached, ended)
        return total
