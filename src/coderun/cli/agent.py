"""`coderun agent`: what a runtime starts for each run. People have no use for it."""

from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Option("--run", help="The run folder.")],
    workspace: Annotated[str, typer.Option("--workspace", help="The workspace folder.")],
) -> None:
    """Carry out one run (started by the controller)."""
    from coderun.agent.main import main

    raise typer.Exit(main(["--run", run, "--workspace", workspace]))
