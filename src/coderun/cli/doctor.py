"""`coderun doctor`: looks at everything a play needs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from coderun.app.doctor import Finding


class Output(StrEnum):
    """How findings are shown."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def command(
    directory: Annotated[Path, typer.Option("--directory", "-C", help="Act as if started there.")] = Path(),
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Table for people, json or yaml for programs.")
    ] = Output.TABLE,
) -> None:
    """Check everything a play needs, and say what to do.

    Python, git, the repository and its base branch, coderun.yaml, agent CLIs with their versions and logins, tasks, the state
    folder, the controller, process control. Secrets are named by where they are, never shown. Exit code 0: nothing stands in
    the way; 1: something does.

    Examples:
        coderun doctor

        coderun doctor -o json
    """
    import os

    from coderun.app.doctor import Surroundings, examine, has_errors

    findings = examine(Surroundings(cwd=directory.absolute(), home=Path.home(), environ=os.environ))
    match output:
        case Output.JSON:
            import msgspec

            print(msgspec.json.format(msgspec.json.encode({"checks": findings})).decode())
        case Output.YAML:
            from coderun.model.yaml import dump

            print(dump({"checks": findings}), end="")
        case Output.TABLE:
            _print_table(findings)
    if has_errors(findings):
        raise typer.Exit(1)


def _print_table(findings: "list[Finding]") -> None:
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
        table.add_row(Text(finding.name), Text(finding.state.value, style=colours[finding.state.value]), found)
    Console(highlight=False).print(table)
