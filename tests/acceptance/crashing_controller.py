"""`coderun play --task 1` that is killed (SIGKILL, by itself) just before or just after its n-th write.

The system is the one that `coderun play` and `coderun up` assemble, with a wrapper around store, forge and runtime that counts
what changes something. Arguments: repository, at which write to die (`none`, `before:7`, `after:7`, or `before:` and the name of
a write as it stands in the list), a file for the list of writes. It ends by itself once the play has ended and nothing of it is
left to do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

from coderun.app.follow import as_controller, follow_plays
from coderun.app.local import LocalSystem, open_local
from coderun.app.request import PlayRequest, request_plays
from coderun.forge.local.forge import LocalForge
from coderun.runtime.process import ProcessRuntime
from coderun.store.sqlite import SqliteStore

STORE: Final = ("create", "update", "update_status", "delete", "put_deliveries", "settle_deliveries", "forget_deliveries")
FORGE: Final = ("add_label", "remove_label", "comment", "review", "merge", "set_checks", "issue_token", "revoke_token")
RUNTIME: Final = ("prepare", "start", "stop", "remove")


class Fault:
    """The n-th write, and on which side of it to die. Every write is noted in the list before it is made."""

    def __init__(self, wanted: str, listing: Path) -> None:
        side, _, self._wanted = wanted.partition(":")
        self._is_before = side == "before"
        self._listing = os.open(listing, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._count = 0

    async def at(self, name: str, deed: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, or die before or after it."""
        self._count += 1
        is_meant = self._wanted in {str(self._count), name}
        os.write(self._listing, f"{name}\n".encode())
        if is_meant and self._is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        done = await deed()
        if is_meant:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


class Watched:
    """Something whose writes are counted; all else goes straight through."""

    def __init__(self, inner: object, what: str, writes: tuple[str, ...], fault: Fault) -> None:
        self._inner = inner
        self._what = what
        self._writes = writes
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._writes:
            return found

        async def counted(*arguments: Any, **named: Any) -> Any:
            of = ", ".join(_name_of(argument) for argument in arguments)
            return await self._fault.at(f"{self._what}.{name}({of})", lambda: found(*arguments, **named))

        return counted


def _name_of(argument: object) -> str:
    """What a write is about, for the list; no times and no commits in it, so that two lists can be compared."""
    metadata = getattr(argument, "metadata", None)
    status = getattr(argument, "status", None)
    if metadata is None:
        return getattr(argument, "job", type(argument).__name__)
    return f"{metadata.name} {getattr(status, 'phase', '')}"


def watch_writes(system: LocalSystem, fault: Fault) -> None:
    """From now on the writes of this system count."""
    system.store = cast("SqliteStore", Watched(system.store, "store", STORE, fault))
    system.forge = cast("LocalForge", Watched(system.forge, "forge", FORGE, fault))
    system.runtime = cast("ProcessRuntime", Watched(system.runtime, "runtime", RUNTIME, fault))


async def play(repository: Path, fault: Fault) -> None:
    """Ask for the play of task 1 and control it to its end."""
    async with open_local(repository, create=True) as system:
        watch_writes(system, fault)
        [asked] = await request_plays(system, PlayRequest(task=1))
        async with as_controller(system) as controlled:
            await follow_plays(system, [asked.name], lambda plays, now: None, until_person=False, control=controlled)
            while controlled.own is not None and not controlled.own.is_idle:
                await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), Fault(sys.argv[2], Path(sys.argv[3]))))
