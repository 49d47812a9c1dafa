"""The claude adapter with a program runner that only plays the CLI: command line, session, how its end is understood."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.agent.adapters.test_stream import INIT, result
from tests.unit.agent.test_environment import places
from tests.unit.agent.test_evidence import order

from coderun.agent.adapters.claude import argument_list, choose_session, run_claude, variables
from coderun.agent.adapters.commission import AgentEnd, Commission
from coderun.agent.adapters.session import Session, read_session, session_file, write_session
from coderun.agent.program import EndedBy, OnLine, ProgramEnd
from coderun.agent.result import RunCancelledError, RunFailedError
from coderun.agent.stop import StopCause, StopSignal
from coderun.model.coderun import Budget, CliConfig, Verdict

LOST = "11111111-2222-4333-8444-555555555555"


class Silence:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, name: str, **fields: str | float | bool) -> None: ...

    def line(self, text: str) -> None:
        self.lines.append(text)


class PlayedCli:
    """Runs no program: prints the lines of `acts`, one list a call, and ends as told."""

    def __init__(
        self, *acts: list[Any], exit_code: int = 0, hangs: bool = False, during: Callable[[], None] = lambda: None
    ) -> None:
        self.acts = list(acts)
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self.exit_code = exit_code
        self.hangs = hangs
        self.during = during

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: OnLine,
        stop: StopSignal | None = None,
        stdin_text: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the shape of the real one
        grace: float = 20.0,
    ) -> ProgramEnd:
        self.calls.append((list(argv), dict(env)))
        assert stdin_text is None
        for event in self.acts.pop(0):
            on_line("stdout", event.encode() if isinstance(event, str) else json.dumps(event).encode())
        self.during()
        if self.hangs and stop is not None:
            await stop.wait()
            return ProgramEnd(ended_by=EndedBy.STOP, signal=15, message="'claude' was ended by SIGTERM")
        message = f"'claude' ended with exit code {self.exit_code} after 0.1 s"
        return ProgramEnd(ended_by=EndedBy.EXIT, exit_code=self.exit_code, message=message)


@pytest.fixture
def commission(tmp_path: Path) -> Commission:
    made = places(tmp_path)
    for folder in (made.run, made.workspace, made.home, made.files, made.task_dir, made.tmp):
        folder.mkdir()
    return Commission(
        order=msgspec.structs.replace(order("rex[bot]"), cli=CliConfig(cli_type="claude")),
        places=made,
        folder=tmp_path,
        env={"PATH": "/bin"},
        inherited={"ANTHROPIC_API_KEY": "key-of-the-user", "HOME": str(tmp_path / "user")},
        secrets=("key-of-the-user",),
        instructions="-p do it",
        run_program=PlayedCli(),
        stop=StopSignal(),
        log=Silence(),
        result_grace=0.01,
    )


def changed(commission: Commission, cli: PlayedCli | None = None, **changes: Any) -> Commission:
    altered = msgspec.structs.replace(commission, order=msgspec.structs.replace(commission.order, **changes))
    return msgspec.structs.replace(altered, run_program=cli) if cli else altered


async def ended(commission: Commission, cli: PlayedCli, **changes: Any) -> AgentEnd:
    return await run_claude(changed(commission, cli, **changes))


def transcript(commission: Commission, session: str = LOST) -> None:
    path = commission.places.home / ".claude" / "projects" / "-somewhere" / f"{session}.jsonl"
    path.parent.mkdir(parents=True)
    path.touch()


def value_of(argv: list[str], flag: str) -> str:
    return argv[argv.index(flag) + 1]


# The command line


def test_the_command_line_keeps_the_branchs_and_the_users_settings_out(commission: Commission) -> None:
    argv = argument_list(commission, choose_session(commission, Session()))

    assert argv[:5] == ["claude", "--print", "--output-format", "stream-json", "--verbose"]
    assert value_of(argv, "--setting-sources") == "user"
    assert value_of(argv, "--settings") == str(commission.places.run / "settings.json")
    assert value_of(argv, "--mcp-config") == str(commission.places.run / "mcp.json")
    assert "--strict-mcp-config" in argv
    assert value_of(argv, "--permission-mode") == "dontAsk"
    assert argv[-2:] == ["--", "-p do it"]
    assert "--append-system-prompt" not in argv
    assert "--model" not in argv
    written = json.loads((commission.places.run / "settings.json").read_text())
    assert written["attribution"] == {"commit": "", "pr": ""}
    assert "Bash(git push *)" in written["permissions"]["deny"]


@pytest.mark.lesson(46)
def test_model_budget_system_prompt_and_tools_come_from_the_order(commission: Commission) -> None:
    settings = {
        "program": "/opt/claude",
        "allowedTools": "Read, Edit",
        "disallowedTools": ["Bash"],
        "permissionMode": "acceptEdits",
    }
    told = changed(
        commission,
        cli=None,
        model="opus",
        budget=Budget(max_turns=7, max_usd=1.5),
    )
    told = msgspec.structs.replace(
        told,
        order=msgspec.structs.replace(told.order, cli=CliConfig(cli_type="claude", settings=settings, max_tokens=99)),
        system_prompt="Be kind.",
    )
    argv = argument_list(told, choose_session(told, Session()))

    assert argv[0] == "/opt/claude"
    assert (value_of(argv, "--model"), value_of(argv, "--max-turns"), value_of(argv, "--max-budget-usd")) == (
        "opus",
        "7",
        "1.5",
    )
    assert argv[argv.index("--allowedTools") + 1 : argv.index("--allowedTools") + 3] == ["Read", "Edit"]
    assert value_of(argv, "--disallowedTools") == "Bash"
    assert value_of(argv, "--permission-mode") == "acceptEdits"
    assert value_of(argv, "--append-system-prompt") == "Be kind."
    assert variables(told)["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "99"


@pytest.mark.lesson(35)
@pytest.mark.parametrize(
    ("settings", "as_root", "words"),
    [
        ({"permissionMode": "yolo"}, False, "'yolo' is none the claude adapter knows; write one of dontAsk"),
        ({"permissionMode": "bypassPermissions"}, True, "refuses permissionMode 'bypassPermissions' as root"),
        ({"allowedTools": 7}, False, "cli.settings.allowedTools must be a list of texts, found a int"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_start(
    commission: Commission, settings: dict[str, Any], as_root: bool, words: str
) -> None:
    told = msgspec.structs.replace(changed(commission, None), run_as_root=as_root)
    told = msgspec.structs.replace(
        told, order=msgspec.structs.replace(told.order, cli=CliConfig(cli_type="claude", settings=settings))
    )
    with pytest.raises(RunFailedError, match=r"permissionMode|allowedTools") as failure:
        argument_list(told, choose_session(told, Session()))

    assert failure.value.reason == "InvalidSettings"
    assert words in str(failure.value)


def test_a_sandbox_may_skip_permissions_as_root(commission: Commission) -> None:
    settings = {"permissionMode": "bypassPermissions"}
    told = msgspec.structs.replace(
        commission,
        order=msgspec.structs.replace(commission.order, cli=CliConfig(cli_type="claude", settings=settings)),
        env={"IS_SANDBOX": "1"},
        run_as_root=True,
    )

    assert value_of(argument_list(told, choose_session(told, Session())), "--permission-mode") == "bypassPermissions"


def test_rendered_files_take_the_place_of_the_defaults(commission: Commission) -> None:
    (commission.places.files / "settings.json").write_text("{}")
    argv = argument_list(commission, choose_session(commission, Session()))

    assert value_of(argv, "--settings") == str(commission.places.files / "settings.json")


def test_the_environment_holds_the_login_and_the_order_has_the_last_word(commission: Commission) -> None:
    told = msgspec.structs.replace(commission, env={"PATH": "/bin", "DISABLE_TELEMETRY": "0"})
    built = variables(told)

    assert built["ANTHROPIC_API_KEY"] == "key-of-the-user"
    assert built["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"] == "1"
    assert built["DISABLE_TELEMETRY"] == "0"
    assert "HOME" not in built


def test_a_prompt_with_nul_or_half_characters_can_still_be_passed(commission: Commission) -> None:
    told = msgspec.structs.replace(commission, instructions="a\0b\ud800")

    assert argument_list(told, choose_session(told, Session()))[-1] == "ab?"


# Sessions


def test_a_session_is_gone_on_with_only_where_asked_and_where_its_transcript_is(commission: Commission) -> None:
    asked = changed(commission, continue_session=True, session_id=LOST)
    assert not choose_session(asked, Session()).resume

    transcript(commission)
    assert choose_session(asked, Session()).session_id == LOST
    assert choose_session(asked, Session()).resume
    assert not choose_session(commission, Session(session_id=LOST)).resume
    known = choose_session(changed(commission, continue_session=True), Session(session_id=LOST))
    assert (known.session_id, known.resume) == (LOST, True)


@pytest.mark.parametrize("odd", ["../../etc/passwd", "*", "", "not-a-uuid"])
def test_an_odd_session_id_is_never_looked_up(commission: Commission, odd: str) -> None:
    asked = changed(commission, continue_session=True, session_id=odd)

    assert not choose_session(asked, Session()).resume


async def test_a_lost_session_is_begun_anew_once_with_a_note(commission: Commission) -> None:
    transcript(commission)
    lost = result(is_error=True, errors=["No conversation found with session ID"], result="")
    cli = PlayedCli([lost], [{**INIT, "session_id": "s-2"}, result(session_id="s-2")])
    end = await ended(commission, cli, continue_session=True, session_id=LOST)

    assert (end.reason, end.session_id) == ("", "s-2")
    assert end.notes == (f"session {LOST} could not be resumed; a new one was begun",)
    assert "--resume" in cli.calls[0][0]
    assert "--resume" not in cli.calls[1][0]
    assert cli.calls[1][0].count("--session-id") == 1


async def test_a_resumed_session_costs_only_the_difference(commission: Commission) -> None:
    transcript(commission)
    file = session_file(commission.places.workspace, 1)
    write_session(file, Session(session_id=LOST, total_cost=0.25))
    cli = PlayedCli([{**INIT, "session_id": LOST}, result(session_id=LOST, total_cost_usd=0.35)])
    end = await ended(commission, cli, continue_session=True)

    assert end.usage is not None
    assert end.usage.cost_usd == pytest.approx(0.10)
    assert read_session(file) == Session(session_id=LOST, total_cost=0.35)


async def test_a_killed_run_leaves_its_cost_to_the_next_one(commission: Commission) -> None:
    transcript(commission)
    file = session_file(commission.places.workspace, 1)
    write_session(file, Session(session_id=LOST, total_cost=0.25))
    await ended(commission, PlayedCli([{**INIT, "session_id": LOST}], exit_code=137), continue_session=True)

    assert read_session(file).total_cost == 0.25


def test_a_session_file_that_is_damaged_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("garbage")

    assert read_session(tmp_path / "s.json") == Session()


# How it ended


@pytest.mark.parametrize(
    ("event", "exit_code", "reason", "words"),
    [
        (
            result(is_error=True, terminal_reason="api_error", api_error_status=429, result="slow down"),
            1,
            "ApiError",
            "429: slow down",
        ),
        (result(is_error=True, terminal_reason="max_turns", result=""), 1, "TurnLimit", "max_turns: it gave no reason"),
        (result(is_error=True, terminal_reason="budget_exhausted"), 1, "BudgetExhausted", "budget_exhausted"),
        (
            result(is_error=True, terminal_reason="", subtype="error_during_execution"),
            1,
            "AgentFailed",
            "error_during_execution",
        ),
        (result(), 1, "AgentFailed", "ended with exit code 1"),
        ("Error: Session ID is already in use.", 1, "AgentFailed", "without a result; its last words:\nError: Session ID"),
        ("", 0, "AgentFailed", "without a result; its last words:\nit said nothing"),
    ],
)
async def test_a_bad_end_is_understood(commission: Commission, event: Any, exit_code: int, reason: str, words: str) -> None:
    end = await ended(commission, PlayedCli([event], exit_code=exit_code))

    assert end.reason == reason
    assert words in end.problem


async def test_a_cli_that_lives_on_after_its_result_is_ended_and_that_is_no_failure(commission: Commission) -> None:
    end = await ended(commission, PlayedCli([INIT, result(result="done")], hangs=True))

    assert (end.reason, end.problem) == ("", "")
    assert end.result is not None
    assert end.result.summary == "done"


async def test_a_stopped_run_is_cancelled_even_if_it_gave_a_result(commission: Commission) -> None:
    cli = PlayedCli([INIT, result()], hangs=True, during=lambda: commission.stop.request(StopCause.CANCELLED, "enough"))
    with pytest.raises(RunCancelledError, match="enough"):
        await ended(msgspec.structs.replace(commission, result_grace=60.0), cli)


async def test_the_result_file_goes_before_the_last_message_and_a_broken_one_is_said(commission: Commission) -> None:
    fenced = 'x\n```json\n{"verdict": "approve"}\n```'
    by_text = await ended(commission, PlayedCli([result(result=fenced)]))
    commission.places.result.write_text('{"verdict": "request-changes"}')
    by_file = await ended(commission, PlayedCli([result(result=fenced)]))
    commission.places.result.write_text("garbage")
    rescued = await ended(commission, PlayedCli([result(result=fenced)]))
    broken = await ended(commission, PlayedCli([result(result="approve")]))

    assert by_text.result is not None
    assert by_text.result.verdict is Verdict.APPROVE
    assert by_file.result is not None
    assert by_file.result.verdict is Verdict.REQUEST_CHANGES
    assert rescued.result is not None
    assert rescued.result.verdict is Verdict.APPROVE
    assert (broken.reason, broken.result and broken.result.verdict) == ("InvalidResult", None)


async def test_what_it_says_reaches_the_log_without_secrets_and_control_characters(commission: Commission) -> None:
    log = Silence()
    cli = PlayedCli(["\x1b]0;evil\x07 key-of-the-user", result()])
    await run_claude(msgspec.structs.replace(commission, log=log, run_program=cli))

    assert log.lines[0] == "\\x1b]0;evil\\x07 •••"
