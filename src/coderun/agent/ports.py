"""What a run is handed: the program runner, its places, the clock and the log.

Only shapes: `coderun agent` puts the real ones in, tests put small ones in.
"""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from coderun.agent.program import OnLine, ProgramEnd
from coderun.agent.stop import StopSignal


class Places(Protocol):
    """Folders and files of one run, all absolute.

    Attributes:
        run: The run folder; `files/` in it holds the rendered files.
        workspace: The workspace's folder.
        home: HOME of the agent, inside the workspace.
        files: Rendered files of this run.
        token: File with the forge token.
        result: Where the agent writes its result.
        task_dir: Where the task files go.
        tmp: For temporary files of this run.
    """

    @property
    def run(self) -> Path: ...  # noqa: D102 - said above, as for the next ones
    @property
    def workspace(self) -> Path: ...  # noqa: D102
    @property
    def home(self) -> Path: ...  # noqa: D102
    @property
    def files(self) -> Path: ...  # noqa: D102
    @property
    def token(self) -> Path: ...  # noqa: D102
    @property
    def result(self) -> Path: ...  # noqa: D102
    @property
    def task_dir(self) -> Path: ...  # noqa: D102
    @property
    def tmp(self) -> Path: ...  # noqa: D102


class RunProgram(Protocol):
    """Runs one program to its end, with all that it started dead afterwards (`agent.program.run_program`)."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: OnLine,
        stop: StopSignal | None = None,
        stdin_text: str | None = None,
        timeout: float | None = None,
        grace: float = 20.0,
    ) -> Awaitable[ProgramEnd]:
        """Run it; never raises for what the program does."""
        ...


class Programs(Protocol):
    """What a run runs programs with, and where it says what happens (`agent.supervisor.Programs`)."""

    @property
    def run(self) -> RunProgram: ...  # noqa: D102
    @property
    def log(self) -> "RunLog": ...  # noqa: D102


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> datetime:
        """The time, with its zone."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that much time go by."""
        ...


class RunLog(Protocol):
    """Where a run writes down what happens."""

    def event(self, name: str, **fields: str | float | bool) -> None:
        """Note something the runner did or found."""
        ...

    def line(self, text: str) -> None:
        """Note a line of the agent's; it carries no control characters any more."""
        ...
