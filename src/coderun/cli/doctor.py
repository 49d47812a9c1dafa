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
    """A table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "error": "bold red"}
    table = Table(box=None, pad_edge=False)
    for title in ("CHECK", "STATE", "FOUND"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        found = Text(finding.found)
        if finding.advice:
            found.append(f"\n→ {finding.advice}", style="bold")
        if finding.link:
            found.append(f"\n  {finding.link}")
        table.add_row(Text(finding.name), Text(finding.state.value, style=colours[finding.state.value]), found)
    Console(highlight=False).print(table)
