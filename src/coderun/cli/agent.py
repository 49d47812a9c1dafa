"""`coderun agent`: what a runtime starts for each run. People have no use for it."""

import os
import sys
from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Option("--run", help="The run folder.")] = "",
    workspace: Annotated[str, typer.Option("--workspace", help="The workspace folder.")] = "",
    pod: Annotated[bool, typer.Option("--pod", help="The run that is mounted in this pod.")] = False,
) -> None:
    """Carry out one run (started by the controller)."""
    from coderun.agent.main import main

    code = main(["--pod"] if pod else ["--run", run, "--workspace", workspace])
    sys.stdout.flush()
    sys.stderr.flush()
    # The report is written: a thread that still hangs somewhere must not keep the run alive.
    os._exit(code)
