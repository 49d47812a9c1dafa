"""The entry of `coderun agent`: from its arguments to the supervisor.

Reads the clock and the arguments, so that nothing below has to. What is heavy (the work: git, forge, adapters) is loaded only
when it is this process's turn to run the job.
"""

import argparse
import contextlib
import importlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from coderun.agent.stop import StopSignal
from coderun.agent.supervisor import Notice, Perform, Places, Programs, Supervision, supervise
from coderun.model.coderun import RunReport
from coderun.plan.order import RunOrder
from coderun.runtime.runfolder import RunFolder


def main(argv: Sequence[str], *, perform: Perform | None = None) -> int:
    """Supervise the run of `--run DIR` in the workspace `--workspace DIR`; the process's exit code.

    0 when the report is written, or when this run is or was somebody else's; 1 when the report could not be written; 2 for
    arguments that make no sense.
    """
    notice = Notice()
    notice.listen()
    arguments = _parser().parse_args(argv)
    run = RunFolder(path=Path(arguments.run).resolve())
    if not run.prepared.is_file():
        _parser().error(f"{run.path} is not a run folder that was prepared: it has no job.json")
    _mark(run)
    supervision = Supervision(
        run=run,
        workspace=Path(arguments.workspace).resolve(),
        perform=perform or _work,
        wake=_wake,
        clock=lambda: datetime.now(UTC),
    )
    return supervise(supervision, notice)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coderun agent", description="Supervise one run. Started by coderun itself.")
    parser.add_argument("--run", required=True, help="the run folder")
    parser.add_argument("--workspace", required=True, help="the workspace folder")
    return parser


def _mark(run: RunFolder) -> None:
    """Mark everything that is started from here as part of this run, also when a person started us by hand."""
    name, _, value = run.marker.partition("=")
    os.environ[name] = value
    os.environ["CODERUN_JOB"] = run.job
    with contextlib.suppress(OSError):
        os.chdir(run.path)


async def _work(order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
    perform = cast("Perform", importlib.import_module("coderun.agent.entry").perform)
    return await perform(order, places, programs, stop)


def _wake(folder: Path) -> None:
    importlib.import_module("coderun.store.wake").Waker(folder).wake()
