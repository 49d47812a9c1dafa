import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from coderun.runtime import proc
from coderun.runtime.ending import end_all
from coderun.runtime.proc import Table
from coderun.runtime.process import ProcessRuntime
from coderun.runtime.runfolder import RunFolder, StateFolder, remove_tmp

ROOT = Path(__file__).parents[3]
SUPERVISOR = Path(__file__).parent / "scripted_supervisor.py"
ARGV = (sys.executable, str(SUPERVISOR))
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}

MakeRuntime = Callable[[], ProcessRuntime]


def alive(run: RunFolder) -> set[int]:
    """Pids of everything of a run that is alive."""
    return proc.within(roots=[], marker=run.marker, processes=proc.table())


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    state = StateFolder.at(tmp_path / "state")
    yield state

    def of_this_test(processes: Table) -> set[int]:
        return {pid for run in _runs(state) for pid in proc.within(roots=[], marker=run.marker, processes=processes)}

    end_all(of_this_test, grace=0)
    for run in _runs(state):
        remove_tmp(run)


def _runs(state: StateFolder) -> list[RunFolder]:
    return [RunFolder(path=path) for path in state.runs.iterdir()] if state.runs.is_dir() else []


@pytest.fixture
async def successor(state: StateFolder) -> AsyncIterator[MakeRuntime]:
    made: list[ProcessRuntime] = []

    def make() -> ProcessRuntime:
        made.append(ProcessRuntime(state.path, argv=ARGV, environment=ENVIRONMENT))
        return made[-1]

    yield make
    for runtime in made:
        await runtime.close()


@pytest.fixture
def token_of(state: StateFolder) -> Callable[[str], str]:
    """Reads a job's token where its agent reads it."""
    return lambda job: state.run(job).token.read_text(encoding="utf-8")


@pytest.fixture
def runtime(successor: MakeRuntime) -> ProcessRuntime:
    return successor()
