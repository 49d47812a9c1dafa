"""A program that does one thing to a forge and kills itself with SIGKILL at the N-th point where the world changes.

Points: before and after each write statement of the forge's database, and before and after each start of a process.
Arguments: folder, what, point, and what the deed needs. Exits 0 where the deed was done before its point came.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

from coderun.forge.local import LocalForge
from coderun.model.pulls import NewPullRequest


class Death:
    """Counts points, and dies at one."""

    def __init__(self, point: int) -> None:
        self._left = point

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in {"c_call", "c_return"}:
            return
        name = getattr(argument, "__name__", "")
        writing = name in {"execute", "executemany"} and frame.f_code.co_name in {"execute", "execute_many"}
        if not writing and name != "fork_exec":
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def open_pull(forge: LocalForge, branch: str) -> None:
    new = NewPullRequest(title="T", body="B", head_branch=branch, base_branch="main", labels=("task-7", "x"))
    await forge.open_pull_request(new)


async def label(forge: LocalForge, number: str) -> None:
    await forge.add_label(int(number), "ready-for-qa")


async def merge(forge: LocalForge, number: str) -> None:
    pull = await forge.get_pull_request(int(number))
    assert pull is not None
    await forge.merge(pull.number, head_sha=pull.head_sha, admin=True)


DEEDS: dict[str, Callable[[LocalForge, str], Awaitable[None]]] = {"open": open_pull, "label": label, "merge": merge}


async def change(folder: Path, what: str, point: int, argument: str) -> None:
    forge = LocalForge.open(folder)
    sys.setprofile(Death(point))
    await DEEDS[what](forge, argument)
    sys.setprofile(None)
    forge.close()


async def make(folder: Path, point: int, source: str) -> None:
    sys.setprofile(Death(point))
    await LocalForge.init(folder, source_repository=Path(source), base_branch="main", hook_python=Path(sys.executable))
    sys.setprofile(None)


if __name__ == "__main__":
    _, folder_, what_, point_, argument_ = sys.argv
    if what_ == "init":
        asyncio.run(make(Path(folder_), int(point_), argument_))
    else:
        asyncio.run(change(Path(folder_), what_, int(point_), argument_))
