"""Help, usage errors and shell completion, for every command there is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main
from typer.testing import CliRunner

from coderun.cli.main import app

GROUP: Any = typer.main.get_command(app)


def commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*above, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))


ALL = dict(commands(GROUP))
WORKING = {words: command for words, command in ALL.items() if not hasattr(command, "commands") and not command.hidden}


def help_of(*words: str, width: int = 100) -> str:
    # Click takes the width of the terminal from COLUMNS.
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("words", [(), *ALL], ids=" ".join)
def test_help_fits_a_hundred_columns(words: tuple[str, ...]) -> None:
    text = help_of(*words)
    assert max(map(len, text.splitlines())) <= 100
    assert "[[" not in text
    assert "..." not in text.partition("Commands:")[2] or words == ("pr",)


@pytest.mark.parametrize("words", WORKING, ids=" ".join)
def test_every_command_has_an_example_on_a_line_of_its_own(words: tuple[str, ...]) -> None:
    lines = [line.strip() for line in help_of(*words, width=50).splitlines()]
    after = lines[lines.index("Examples:") + 1 :]
    examples = after[: after.index("")]
    assert examples
    assert any(example.startswith(f"coderun {' '.join(words)}") for example in examples)
    assert all(example.startswith(("coderun ", "git ")) for example in examples)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_and_argument_is_explained(words: tuple[str, ...]) -> None:
    unexplained = [parameter.name for parameter in ALL[words].params if not getattr(parameter, "help", None)]
    assert unexplained == []


def test_the_agent_command_is_not_listed() -> None:
    listed = [line.split()[0] for line in help_of().partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert listed == [words[0] for words, command in ALL.items() if len(words) == 1 and not command.hidden]
    assert "agent" not in listed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plya"], "No such command 'plya'. Did you mean 'play'?"),
        (["play", "--taks", "3"], "No such option: --taks (Possible options: --task, --tasks)"),
        (["pr", "shwo", "1"], "No such command 'shwo'. Did you mean 'show'?"),
        (["why"], "Missing argument 'PLAY'"),
        (["get", "-o", "xml"], "'--output' / '-o': 'xml' is not one of 'table', 'json', 'yaml', 'name'"),
        (["get", "palys"], "Invalid value for 'WHAT': 'palys' is not one of 'plays', 'runs', 'forge'"),
        (["play", "--parallel", "0"], "greater than or equal to 1"),
        (["frobnicate"], "No such command 'frobnicate'."),
    ],
)
def test_wrong_usage_ends_with_two_and_says_what_was_meant(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "--help" in result.output


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment in which `coderun` is a command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "coderun"
    script.write_text(f"#!{sys.executable}\nfrom coderun.cli.main import main\nmain()\n", encoding="utf-8")
    script.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o default"), ("zsh", "compdef"), ("fish", "complete --command coderun")]
)
def test_the_completion_of_each_shell_can_be_shown(on_path: dict[str, str], shell: str, mark: str) -> None:
    # Without a shell around it to detect, typer takes the name of one.
    told = {**on_path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(["coderun", "--show-completion", shell], env=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert mark in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_the_shell_one_is_in(
    on_path: dict[str, str], tmp_path: Path, shell: str, leave_out: Callable[[str, str], NoReturn]
) -> None:
    program = shutil.which(shell)
    if program is None:
        if shell == "bash":
            leave_out("completion", "bash is not installed")
        told = {**on_path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        argv = ["coderun", "--install-completion", shell]
    else:
        told, argv = {**on_path, "SHELL": program}, [program, "-c", "coderun --install-completion; true"]
    done = subprocess.run(argv, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{shell} completion installed" in done.stdout
    assert [path for path in tmp_path.rglob("*coderun*") if path.is_file() and path.name != "coderun"] or shell == "fish"


@pytest.mark.parametrize(
    ("typed", "offered"), [("pl", ["play"]), ("pr sh", ["show"]), ("get ru", ["runs"]), ("play --ta", ["--task", "--tasks"])]
)
def test_completion_offers_what_fits(on_path: dict[str, str], typed: str, offered: list[str]) -> None:
    words = f"coderun {typed}"
    told = {**on_path, "_CODERUN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(typed.split()))}
    done = subprocess.run(["coderun"], env=told, capture_output=True, text=True, check=False)
    assert done.stdout.split() == offered
