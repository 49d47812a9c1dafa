"""The `claude` adapter: Claude Code in print mode, with our settings and none of the checked-out branch's or the user's.

A branch is untrusted: hooks, settings and MCP servers it carries must not run. So only "user" settings are read, from a HOME of
the agent's own, and MCP servers only from our file. What the CLI says of its success is never asked; see `stream`.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec

from coderun.agent.adapters.commission import AgentEnd, Commission, Transcript, check_end
from coderun.agent.adapters.session import Session, read_session, session_file, write_session
from coderun.agent.adapters.stream import Stream, StreamEnd
from coderun.agent.environment import hand_over_credentials, login_variables
from coderun.agent.program import EndedBy, ProgramEnd
from coderun.agent.result import AgentResult, RunFailedError, clean_text, one_line, read_result, result_of_text
from coderun.agent.stop import StopCause, StopSignal
from coderun.agent.taskfiles import INSTRUCTIONS
from coderun.model.adapters import PERMISSION_MODES

ARGUMENT_LIMIT: Final = 100 * 1024
DEFAULT_TOOLS: Final = ("Bash", "Edit", "Write", "NotebookEdit", "Read", "Glob", "Grep", "TodoWrite", "Task")
DEFAULT_DENIED: Final = ("Bash(git push *)",)
_FIXED: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_MAX_RETRIES": "4",
}
_REASONS: Final = {"api_error": "ApiError", "max_turns": "TurnLimit", "budget_exhausted": "BudgetExhausted"}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the CLI: a session of that id, new or resumed."""

    session_id: str
    resume: bool = False


async def run_claude(commission: Commission) -> AgentEnd:
    """Run Claude Code to its end, in the task's session where the order goes on with it and it still exists.

    Raises:
        RunFailedError: `InvalidSettings`, `SpawnFailed`, `TimedOut`.
        RunCancelledError: the run was stopped.
    """
    file = session_file(commission.places.workspace, commission.order.task_id)
    before = read_session(file)
    hand_over_credentials(commission.inherited, commission.places.home)
    call = choose_session(commission, before)
    end, stream, transcript = await _start(commission, call)
    notes: list[str] = []
    if call.resume and stream.end is not None and stream.end.is_unknown_session:
        notes.append(f"session {call.session_id} could not be resumed; a new one was begun")
        call = Call(session_id=_new_session(commission, "again"))
        end, stream, transcript = await _start(commission, call)
    previous = before.total_cost if call.resume and before.session_id == call.session_id else 0.0
    session_id = stream.session_id or call.session_id
    write_session(file, Session(session_id=session_id, total_cost=stream.end.total_cost if stream.end else previous))
    check_end(end, commission.stop)
    notes += _notes(stream)
    return _ending(commission, end, stream, transcript, session_id=session_id, previous=previous, notes=tuple(notes))


def choose_session(commission: Commission, known: Session) -> Call:
    """The session to go on with, where the order says so and its transcript is there; else a new one, named after the job."""
    order = commission.order
    wanted = order.session_id or known.session_id
    if order.continue_session and wanted and has_transcript(commission.places.home, wanted):
        return Call(session_id=wanted, resume=True)
    return Call(session_id=_new_session(commission))


def has_transcript(home: Path, session_id: str) -> bool:
    """Whether the agent's HOME holds the conversation of this id."""
    try:
        plain = str(uuid.UUID(session_id))
    except ValueError:
        return False
    return next((home / ".claude" / "projects").glob(f"*/{plain}.jsonl"), None) is not None


def argument_list(commission: Commission, call: Call) -> list[str]:
    """The whole command line."""
    order, places, settings = commission.order, commission.places, commission.order.cli.settings
    program = settings.get("program") or "claude"
    argv = [str(program), "--print", "--output-format", "stream-json", "--verbose"]
    argv += ["--setting-sources", "user", "--settings", str(_settings_file(commission))]
    argv += ["--mcp-config", str(_mcp_file(commission)), "--strict-mcp-config"]
    argv += ["--permission-mode", _permission_mode(commission)]
    argv += ["--allowedTools", *_words(settings, "allowedTools"), *_own_rules(commission)]
    denied = _words(settings, "disallowedTools")
    argv += ["--disallowedTools", *denied] if denied else []
    argv += ["--add-dir", str(places.task_dir)]
    model = order.model or order.cli.model
    argv += ["--model", model] if model else []
    argv += ["--resume" if call.resume else "--session-id", call.session_id]
    if order.budget is not None:
        argv += ["--max-turns", str(order.budget.max_turns)] if order.budget.max_turns is not None else []
        argv += ["--max-budget-usd", str(order.budget.max_usd)] if order.budget.max_usd is not None else []
    return [*argv, *_system_prompt(commission, resume=call.resume), "--", _prompt(commission)]


def variables(commission: Commission) -> dict[str, str]:
    """The CLI's environment: the agent's, the user's login, and what keeps the CLI to its work."""
    own = {"CLAUDE_CODE_TMPDIR": str(commission.places.tmp)}
    if commission.order.cli.max_tokens is not None:
        own["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(commission.order.cli.max_tokens)
    return {**_FIXED, **own, **login_variables(commission.inherited), **commission.env}


async def _start(commission: Commission, call: Call) -> tuple[ProgramEnd, Stream, Transcript]:
    stream, transcript = Stream(), Transcript(commission.log, commission.secrets)
    async with _own_stop(commission.stop) as stop:
        settle = _Settling(stop, stream, grace=commission.result_grace)

        def on_line(source: str, line: bytes) -> None:
            text = line.decode("utf-8", "replace")
            for shown in stream.take(text) if source == "stdout" else [text]:
                transcript.take(shown)
            settle.look()

        limits = commission.order.limits
        try:
            end = await commission.run_program(
                argument_list(commission, call),
                cwd=commission.folder,
                env=variables(commission),
                on_line=on_line,
                stop=stop,
                timeout=limits.timeout,
                grace=limits.grace,
            )
        finally:
            settle.cancel()
    return end, stream, transcript


@contextlib.asynccontextmanager
async def _own_stop(outer: StopSignal) -> AsyncIterator[StopSignal]:
    """A stop signal for the program alone, set with the run's."""
    inner = StopSignal()

    async def hand_on() -> None:
        await outer.wait()
        inner.request(outer.cause or StopCause.CANCELLED, outer.reason)

    if outer.requested:
        inner.request(outer.cause or StopCause.CANCELLED, outer.reason)
    watching = asyncio.ensure_future(hand_on())
    try:
        yield inner
    finally:
        watching.cancel()


class _Settling:
    """Ends a program that lives on for `grace` seconds after its last result."""

    def __init__(self, stop: StopSignal, stream: Stream, *, grace: float) -> None:
        self._stop = stop
        self._stream = stream
        self._grace = grace
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Start or stop the clock, as the stream says."""
        if not self._stream.is_settled:
            self.cancel()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._grace, self._stop.request, StopCause.CANCELLED, "its result has been given")

    def cancel(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _ending(
    commission: Commission,
    end: ProgramEnd,
    stream: Stream,
    transcript: Transcript,
    *,
    session_id: str,
    previous: float,
    notes: tuple[str, ...],
) -> AgentEnd:
    reading = read_result(commission.places.result)
    result = reading.result or (result_of_text(stream.end.text) if stream.end is not None else None)
    reason, problem = _failure(end, stream.end, transcript)
    if not reason and result is None and reading.problem:
        reason, problem = "InvalidResult", reading.problem
    return AgentEnd(
        exit_code=end.exit_code,
        reason=reason,
        problem=problem,
        result=result or _without_verdict(stream),
        usage=stream.usage(previous),
        session_id=session_id,
        notes=notes,
    )


def _failure(end: ProgramEnd, last: StreamEnd | None, transcript: Transcript) -> tuple[str, str]:
    if last is None:
        said = transcript.last_lines or "it said nothing"
        return "AgentFailed", f"{end.message} without a result; its last words:\n{said}"
    if last.is_error:
        what = last.terminal_reason or last.subtype or "an error"
        status = f" {last.api_status}" if last.api_status is not None else ""
        said = clean_text(last.said, 600) or "it gave no reason"
        return _REASONS.get(last.terminal_reason, "AgentFailed"), f"claude ended with {what}{status}: {said}"
    if end.ended_by is EndedBy.EXIT and end.exit_code != 0:
        return "AgentFailed", f"{end.message}; its last words:\n{transcript.last_lines}"
    return "", ""


def _without_verdict(stream: Stream) -> AgentResult | None:
    said = clean_text(stream.end.text if stream.end else stream.last_text, 2048)
    return AgentResult(summary=said) if said else None


def _notes(stream: Stream) -> list[str]:
    notes = [f"MCP server {one_line(name, 100)} did not start" for name in stream.failed_servers]
    if stream.denials:
        notes.append(f"denied to the agent: {one_line(', '.join(stream.denials), 400)}")
    return notes


def _new_session(commission: Commission, salt: str = "") -> str:
    # A job runs at most once, ever, so its name makes a session id that nobody has used.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"coderun:{commission.places.run}:{commission.order.job}:{salt}"))


def _prompt(commission: Commission) -> str:
    text = _passable(commission.instructions)
    if len(text.encode()) <= ARGUMENT_LIMIT:
        return text
    return f"Read the file {commission.places.task_dir / INSTRUCTIONS} to its end and do what it says."


def _system_prompt(commission: Commission, *, resume: bool) -> list[str]:
    text = _passable(commission.system_prompt)
    if not text.strip():
        return []
    # Without this a resumed session goes on with the system prompt of its first run.
    snapshot = ["--system-prompt-snapshot", "off"] if resume else []
    if len(text.encode()) <= ARGUMENT_LIMIT:
        return [*snapshot, "--append-system-prompt", text]
    file = commission.places.run / "system-prompt.md"
    file.write_text(text, encoding="utf-8")
    return [*snapshot, "--append-system-prompt-file", str(file)]


def _passable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _permission_mode(commission: Commission) -> str:
    mode = str(commission.order.cli.settings.get("permissionMode") or "dontAsk")
    if mode not in PERMISSION_MODES:
        raise RunFailedError(
            "InvalidSettings",
            f"permissionMode {one_line(mode, 60)!r} is none the claude adapter knows; "
            f"write one of {', '.join(PERMISSION_MODES)}",
        )
    if mode == "bypassPermissions" and commission.run_as_root and commission.env.get("IS_SANDBOX") != "1":
        raise RunFailedError(
            "InvalidSettings",
            "Claude Code refuses permissionMode 'bypassPermissions' as root; run coderun as another user, use 'dontAsk', or "
            "set IS_SANDBOX=1 in the agent's env where the machine is a sandbox",
        )
    return mode


def _settings_file(commission: Commission) -> Path:
    default = {
        "permissions": {
            "allow": [] if "allowedTools" in commission.order.cli.settings else list(DEFAULT_TOOLS),
            "deny": list(DEFAULT_DENIED),
        },
        "attribution": {"commit": "", "pr": ""},
    }
    return _rendered_or(commission, "settings.json", default)


def _mcp_file(commission: Commission) -> Path:
    return _rendered_or(commission, "mcp.json", {"mcpServers": {}})


def _rendered_or(commission: Commission, name: str, default: dict[str, Any]) -> Path:
    rendered = commission.places.files / name
    if rendered.is_file():
        return rendered
    own = commission.places.run / name
    own.write_bytes(msgspec.json.format(msgspec.json.encode(default), indent=2))
    return own


def _own_rules(commission: Commission) -> list[str]:
    """What the contract itself needs: to read the task files and to write the result. `//` begins an absolute path."""
    places = commission.places
    return [f"Read(/{places.task_dir}/**)", f"Write(/{places.result})", f"Edit(/{places.result})"]


def _words(settings: dict[str, Any], name: str) -> list[str]:
    value = settings.get(name, [])
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise RunFailedError("InvalidSettings", f"cli.settings.{name} must be a list of texts, found a {type(value).__name__}")
    return [word.strip() for word in words if word.strip()]
