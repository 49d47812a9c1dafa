"""The `command` adapter: any program that keeps the documented contract (docs/agents.md).

The argument list comes from the roster; no shell is involved. The program reads its environment and task files, commits, and
writes its result file.
"""

from typing import Any

from coderun.agent.adapters.commission import AgentEnd, Commission, Transcript, check_end
from coderun.agent.program import ProgramEnd
from coderun.agent.result import RunFailedError, read_result
from coderun.model.adapters import command_words


async def run_command(commission: Commission) -> AgentEnd:
    """Run the program to its end. Raises `RunFailedError` (`InvalidCommand`, `SpawnFailed`, `TimedOut`)."""
    limits = commission.order.limits
    transcript = Transcript(commission.log, commission.secrets)
    end = await commission.run_program(
        command_line(commission.order.cli.settings),
        cwd=commission.folder,
        env=commission.env,
        on_line=lambda _stream, line: transcript.take(line.decode("utf-8", "replace")),
        stop=commission.stop,
        timeout=limits.timeout,
        grace=limits.grace,
    )
    check_end(end, commission.stop)
    return _ending(commission, end, transcript)


def command_line(settings: dict[str, Any]) -> list[str]:
    """The argument list of `settings["command"]`: a list of texts, or one text that is split as a shell would, but run by none.

    Raises:
        RunFailedError: `InvalidCommand`, with what to write instead.
    """
    try:
        return command_words(settings.get("command"))
    except ValueError as error:
        raise RunFailedError("InvalidCommand", f'{error}; write a list, as in `command: ["python3", "agent.py"]`') from error


def _ending(commission: Commission, end: ProgramEnd, transcript: Transcript) -> AgentEnd:
    reading = read_result(commission.places.result)
    if end.succeeded:
        reason = "InvalidResult" if reading.problem else ""
        return AgentEnd(exit_code=end.exit_code, reason=reason, problem=reading.problem, result=reading.result)
    last = transcript.last_lines
    problem = f"{end.message}; its last words:\n{last}" if last else f"{end.message}; it said nothing"
    return AgentEnd(exit_code=end.exit_code, reason="AgentFailed", problem=problem, result=reading.result)
