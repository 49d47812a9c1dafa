"""What `cli.settings` say to the adapters of agent CLIs, checked where it is written and not by a run an hour later."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

from coderun.model.coderun import CliConfig, CliType
from coderun.model.text import did_you_mean, printable

PERMISSION_MODES: Final = ("dontAsk", "acceptEdits", "bypassPermissions", "plan")
SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    CliType.CLAUDE: ("program", "permissionMode", "allowedTools", "disallowedTools"),
    CliType.COMMAND: ("command",),
}
_COMMAND_ADVICE: Final = "cli: {cliType: command, settings: {command: [program, argument]}}"


def command_words(command: Any) -> list[str]:
    """The argument list of the `command` adapter: a list of texts, or one text that is split as a shell would, but run by none.

    Raises:
        ValueError: it is neither, or empty; says what was found.
    """
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"the agent's command cannot be split into words ({error})") from error
    if not isinstance(command, list | tuple) or not command or not all(isinstance(word, str) for word in command):
        found = f"a {type(command).__name__}, where a list of texts is needed" if command else "nothing"
        raise ValueError(f"the agent's command is {found}")
    if not command[0] or any("\0" in word for word in command):
        raise ValueError("the agent's command is empty or has a NUL character in it")
    return list(command)


def program_of(cli: CliConfig) -> str:
    """The program an agent with usable settings runs as, by name or path."""
    if cli.cli_type == CliType.COMMAND:
        return command_words(cli.settings.get("command"))[0]
    said = cli.settings.get("program") if cli.cli_type == CliType.CLAUDE else None
    return str(said or cli.cli_type)


def settings_problem(cli: CliConfig) -> tuple[str, str] | None:
    """What is wrong with the settings of an adapter we have: the key ("" for all of them), and what to write; None for nothing.

    A key that looks like none of ours is let through: rosters of other systems say more to CLIs than we read.
    """
    known = SETTINGS.get(cli.cli_type, ())
    for key in cli.settings:
        near = did_you_mean(key, known) if known and key not in known else ""
        if near:
            return key, f"the {cli.cli_type} adapter has no such setting{near} (it has: {', '.join(known)})"
    if cli.cli_type == CliType.COMMAND:
        return _command_problem(cli.settings)
    return _claude_problem(cli.settings) if cli.cli_type == CliType.CLAUDE else None


def _command_problem(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    if "command" not in settings:
        return "", f"cli 'command' runs a program of yours; name it: {_COMMAND_ADVICE}"
    try:
        command_words(settings["command"])
    except ValueError as error:
        return "command", f"{error}; write {_COMMAND_ADVICE}"
    return None


def _claude_problem(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    mode = settings.get("permissionMode")
    if mode and mode not in PERMISSION_MODES:
        near = did_you_mean(str(mode), PERMISSION_MODES)
        return (
            "permissionMode",
            f"{printable(str(mode), 60)!r} is not known{near} (write one of: {', '.join(PERMISSION_MODES)})",
        )
    program = settings.get("program")
    if program is not None and not isinstance(program, str):
        return "program", "expected text; write the name or path of the binary"
    for key in ("allowedTools", "disallowedTools"):
        rules = settings.get(key, [])
        if not isinstance(rules, str) and not (isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)):
            return key, 'expected a list of texts; write [Read, "Bash(make *)"]'
    return None
