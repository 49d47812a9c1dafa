"""`coderun doctor`: looks at everything a play needs."""

from typing import TYPE_CHECKING

import typer

from coderun.cli.terminal import Exit, Output, OutputOption, RepoOption, folder_of, say, to_text

if TYPE_CHECKING:
    from coderun.app.doctor import Finding


def command(output: OutputOption = Output.TABLE, repo: RepoOption = "") -> None:
    """Check everything a play needs, and say what to do.

    Python, git, the repository and its base branch, coderun.yaml, agent CLIs with their versions and logins, tasks, the state
    folder, the controller, process control. Secrets are named by where they are, never shown. Exit code 0: nothing stands in
    the way; 1: something does.

    Examples:
        coderun doctor
        coderun doctor -o json
    """
    import os
    from pathlib import Path

    from coderun.app.doctor import Surroundings, examine, has_errors

    findings = examine(Surroundings(cwd=folder_of(repo), home=Path.home(), environ=os.environ))
    if output is Output.TABLE:
        print_findings(findings)
    elif output is Output.NAME:
        for finding in findings:
            say(finding.name)
    else:
        say(to_text({"checks": findings}, output))
    if has_errors(findings):
        raise typer.Exit(Exit.FAILED)


def print_findings(findings: "list[Finding]") -> None:
    """A table for people, with what it comes to as its last line. Links are never broken, so that they can be copied."""
    from rich.console import Console
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "error": "bold red"}
    console = Console(highlight=False)
    names = max([len("CHECK"), *(len(finding.name) for finding in findings)])
    states = max(map(len, colours))
    left = names + states + 4
    room = max(console.width - left, 30) if console.is_terminal else 0
    console.print(Text(f"{'CHECK':{names}}  {'STATE':{states}}  FOUND"), soft_wrap=True)
    for finding in findings:
        first, *rest = _folded(finding.found, room)
        head = Text(f"{finding.name:{names}}  ")
        head.append(f"{finding.state.value:{states}}", style=colours[finding.state.value])
        console.print(head.append(f"  {first}"), soft_wrap=True)
        for line in rest:
            console.print(Text(" " * left + line), soft_wrap=True)
        for line in _folded(f"→ {finding.advice}", room) if finding.advice else ():
            console.print(Text(" " * left).append(line, style="bold"), soft_wrap=True)
        if finding.link:
            # At the beginning of a line, where a terminal that must break it can still give it back whole.
            console.print(Text(finding.link, style="underline"), soft_wrap=True)
    console.print(Text(f"\n{_summary(findings)}", style="bold"), soft_wrap=True)


def _folded(text: str, room: int) -> list[str]:
    """`text` in lines of at most `room` characters, 0 for no limit; words stay whole."""
    import textwrap

    lines = text.splitlines() or [""]
    if not room:
        return lines
    return [
        part for line in lines for part in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
    ]


def _summary(findings: "list[Finding]") -> str:
    """What it all comes to, in a sentence."""
    from coderun.app.doctor import State
    from coderun.model.text import listed

    errors, warnings = ([one.name for one in findings if one.state is state] for state in (State.ERROR, State.WARNING))
    told = f"; {_counted(len(warnings), 'warning')}: {listed(warnings)}" if warnings else ""
    if errors:
        return f"{_counted(len(errors), 'problem')} to mend: {listed(errors)}{told}"
    return f"nothing stands in the way of a play{told}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number > 1 else ''}"
