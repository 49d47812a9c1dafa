"""What an adapter is given and what it gives back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from coderun.agent.ports import Places, RunLog, RunProgram
from coderun.agent.program import EndedBy, ProgramEnd
from coderun.agent.result import AgentResult, RunCancelledError, RunFailedError, clean_text, escape_controls, hide_secrets
from coderun.agent.stop import StopSignal
from coderun.model.coderun import Usage
from coderun.plan.order import RunOrder

LAST_LINES: Final = 12
_LAST_LIMIT: Final = 1500


class Commission(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an agent CLI.

    Attributes:
        folder: Its working directory, in the checkout.
        env: Its variables, without the user's login.
        inherited: The runner's own environment, for the login that some CLIs need.
        secrets: Texts that must not reach a log.
        instructions: What it is told, whole.
        system_prompt: What is added to its system prompt.
        result_grace: How many seconds a CLI may live on after it has given its result.
        run_as_root: Whether this process is root: some CLIs refuse to skip permissions then.
    """

    order: RunOrder
    places: Places
    folder: Path
    env: dict[str, str]
    inherited: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    instructions: str = ""
    system_prompt: str = ""
    result_grace: float = 10.0
    run_as_root: bool = False
    run_program: RunProgram
    stop: StopSignal
    log: RunLog


class AgentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent ended.

    Attributes:
        exit_code: None where a signal ended it.
        reason: CamelCase word of what went wrong with the agent itself; "" where it ended on purpose.
        problem: The same for people.
        result: Its own word, None where it gave none.
        session_id: Of its conversation, for going on with it; "" where it has none.
        notes: For people: what else is worth knowing.
    """

    exit_code: int | None = None
    reason: str = ""
    problem: str = ""
    result: AgentResult | None = None
    usage: Usage | None = None
    session_id: str = ""
    notes: tuple[str, ...] = ()


class Transcript:
    """What a program prints, on its way to the log: control characters spelled out, secrets hidden; the last lines are kept."""

    def __init__(self, log: RunLog, secrets: tuple[str, ...]) -> None:
        self._log = log
        self._secrets = secrets
        self._last: list[str] = []

    def take(self, line: str) -> None:
        """Log a line."""
        shown = escape_controls(hide_secrets(line, self._secrets))
        self._log.line(shown)
        if shown.strip():
            self._last = [*self._last[-LAST_LINES + 1 :], shown[:500]]

    @property
    def last_lines(self) -> str:
        """The end of it, for a failure's message."""
        return clean_text("\n".join(self._last), _LAST_LIMIT)


def check_end(end: ProgramEnd, stop: StopSignal) -> None:
    """Raise where the program was stopped with the run, ran out of time or never ran."""
    if stop.requested:
        raise RunCancelledError(stop.reason)
    if end.ended_by is EndedBy.SPAWN_ERROR:
        raise RunFailedError("SpawnFailed", end.message)
    if end.ended_by is EndedBy.TIMEOUT:
        raise RunFailedError("TimedOut", end.message)
