"""What an agent's settings make it run as, and what is let through."""

import pytest

from coderun.model.adapters import command_words, program_of, settings_problem
from coderun.model.coderun import CliConfig


@pytest.mark.parametrize("command", ["python3 'my agent.py'", ["python3", "my agent.py"], ("python3", "my agent.py")])
def test_a_command_is_a_list_or_one_text_split_as_a_shell_would(command: object) -> None:
    assert command_words(command) == ["python3", "my agent.py"]


@pytest.mark.parametrize(
    ("cli", "program"),
    [
        (CliConfig(cli_type="command", settings={"command": "/opt/agent --fast"}), "/opt/agent"),
        (CliConfig(cli_type="claude", settings={"program": "/opt/claude"}), "/opt/claude"),
        (CliConfig(cli_type="claude"), "claude"),
        (CliConfig(cli_type="codex", settings={"program": "/opt/claude"}), "codex"),
    ],
)
def test_an_agent_runs_as_the_program_its_settings_name(cli: CliConfig, program: str) -> None:
    assert program_of(cli) == program


@pytest.mark.parametrize(
    "cli",
    [
        CliConfig(cli_type="command", settings={"command": "python3 agent.py"}),
        CliConfig(
            cli_type="claude", settings={"permissionMode": "plan", "allowedTools": "Read,Edit", "disallowedTools": ["Bash"]}
        ),
        CliConfig(cli_type="claude", settings={"sandbox": True}),
        CliConfig(cli_type="codex", settings={"program": 3}),
    ],
    ids=["one-text", "claude", "said-to-others", "another-cli"],
)
def test_usable_settings_and_those_of_others_are_no_problem(cli: CliConfig) -> None:
    assert settings_problem(cli) is None
