"""The entry of `coderun agent`: from its arguments to the supervisor.

Reads the clock and the arguments, so that nothing below has to. What is heavy (the work: git, forge, adapters) is loaded only
when it is this process's turn to run the job.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from coderun.agent.stop import Notice, StopSignal
from coderun.agent.supervisor import Perform, Places, Programs, Supervision, supervise
from coderun.model.coderun import RunReport
from coderun.model.errors import ConfigError
from coderun.plan.order import RunOrder
from coderun.runtime.runfolder import RunFolder

_OPTIONS = ("--run", "--workspace")
_IN_A_POD = ["--pod"]


def main(argv: Sequence[str], *, perform: Perform | None = None) -> int:
    """Supervise the run of `--run DIR` in the workspace `--workspace DIR`; the process's exit code.

    0 when the report is written, or when this run is or was somebody else's; 1 when the report could not be written; 2 for
    arguments that make no sense. With `--pod` alone it is the run that is mounted in this pod, as its variables say; then 0 is
    for a run that succeeded, and no other.
    """
    notice = Notice()
    notice.listen()
    if list(argv) == _IN_A_POD:
        return _in_a_pod(notice, perform or _work)
    places = _read(argv)
    if places is None:
        return _refuse(f"it needs {' and '.join(f'{option} DIR' for option in _OPTIONS)}, and got: {list(argv)}")
    run = RunFolder(path=places[0])
    if not run.prepared.is_file():
        return _refuse(f"{run.path} is not a run folder that was prepared: it has no job.json")
    _mark(run)
    supervision = Supervision(
        run=run,
        workspace=places[1],
        perform=perform or _work,
        wake=_wake,
        clock=lambda: datetime.now(UTC),
    )
    return supervise(supervision, notice)


def _in_a_pod(notice: Notice, perform: Perform) -> int:
    from coderun.agent import ending, pod  # noqa: PLC0415 - not needed on one machine, where every millisecond of a start counts
    from coderun.agent.environment import inherited_secrets  # noqa: PLC0415 - the same

    try:
        places = pod.PodPlaces.of(os.environ)
    except ConfigError as error:
        return _refuse(str(error))
    try:
        pod.lay_out(places)
    except (ConfigError, OSError) as error:
        message = f"the run could not be laid out: {error}"
        _refuse(message)
        return pod.tell(ending.failed(ending.INVALID_ORDER, message), places.termination_log)
    _mark(places.run)
    supervision = Supervision(
        run=places.run,
        workspace=places.workspace,
        perform=perform,
        wake=lambda _folder: None,
        clock=lambda: datetime.now(UTC),
        secrets=inherited_secrets(os.environ),
        echo=_say,
    )
    supervise(supervision, notice)
    return pod.hand_back(places)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _read(argv: Sequence[str]) -> tuple[Path, Path] | None:
    # By hand: importing argparse is a tenth of this program's start, and only a runtime writes this command line.
    values = dict(zip(argv[::2], argv[1::2], strict=False))
    if len(argv) != 2 * len(_OPTIONS) or set(values) != set(_OPTIONS):
        return None
    return Path(values["--run"]).resolve(), Path(values["--workspace"]).resolve()


def _refuse(why: str) -> int:
    sys.stderr.write(f"coderun agent (started by coderun itself, for one run) cannot start: {why}\n")
    return 2


def _mark(run: RunFolder) -> None:
    """Mark everything that is started from here as part of this run, also when a person started us by hand."""
    name, _, value = run.marker.partition("=")
    os.environ[name] = value
    os.environ["CODERUN_JOB"] = run.job
    with contextlib.suppress(OSError):
        os.chdir(run.path)


async def _work(order: RunOrder, places: Places, programs: Programs, stop: StopSignal) -> RunReport:
    from coderun.agent.entry import perform  # noqa: PLC0415 - heavy: loaded once the run is known to be ours

    return await perform(order, places, programs, stop)


def _wake(folder: Path) -> None:
    from coderun.store.wake import Waker  # noqa: PLC0415 - needed at the end only

    Waker(folder).wake()
