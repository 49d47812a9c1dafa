"""`coderun play --task 1` that is killed (SIGKILL, by itself) just before or just after its n-th write.

The system is the one that `coderun play` and `coderun up` assemble, with a wrapper around store, forge and runtime that counts
what changes something. Arguments: repository, at which write to die, a file for the list of writes.

`before:7:2` dies before the seventh write of a leg, in the first one from leg 2 on that has so many; a leg begins with the
creation of a run, the first one with the process. `none` never dies: it ends once the play has ended and nothing of it is left
to do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

from tests.acceptance.kit import until_found

from coderun.app.follow import Control, as_controller, follow_plays
from coderun.app.local import LocalSystem, open_local
from coderun.app.local_hosting import LocalHosting
from coderun.app.request import PlayRequest, request_plays
from coderun.forge.local.forge import LocalForge
from coderun.runtime.process import ProcessRuntime
from coderun.store.sqlite import SqliteStore

STORE: Final = ("create", "update", "update_status", "delete", "put_deliveries", "settle_deliveries", "forget_deliveries")
FORGE: Final = ("add_label", "remove_label", "comment", "review", "merge", "set_checks", "issue_token", "revoke_token")
OCCASIONS: Final = [(stage, iteration, 1) for iteration in (1, 2) for stage in ("implementation", "quality", "testing")]
RUNS: Final = [f"play-shop-1-{stage}-{iteration}-{attempt}" for stage, iteration, attempt in OCCASIONS]
LEGS: Final = {f"store.create({name} Pending)": leg for leg, name in enumerate(RUNS)}
RUNTIME: Final = ("prepare", "start", "stop", "remove", "renew_token", "drop_token")


class Fault:
    """At which write of a leg to die, and on which side of it. Every write is noted in the list before it is made."""

    def __init__(self, wanted: str, listing: Path) -> None:
        self._side, point, leg = wanted.split(":") if wanted != "none" else ("", "0", "0")
        self._point, self._first_leg = int(point), int(leg)
        self._listing = os.open(listing, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
        # A later life begins in the midst of a leg in which the one before it has died.
        self._leg = 0 if self._first_leg == 0 else -1
        self._count = 0

    async def at(self, name: str, deed: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, or die before or after it."""
        self._count += 1
        leg = LEGS.get(name, 0)
        if leg:
            self._leg, self._count = leg, 1
        os.write(self._listing, f"{self._leg} {self._count} {name}\n".encode())
        is_meant = self._leg >= self._first_leg and self._count == self._point
        if is_meant and self._side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = await deed()
        if is_meant and self._side == "after":
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
    hosting = system.hosting
    assert isinstance(hosting, LocalHosting)
    hosting.forge = cast("LocalForge", Watched(hosting.forge, "forge", FORGE, fault))
    system.runtime = cast("ProcessRuntime", Watched(system.runtime, "runtime", RUNTIME, fault))


async def play(repository: Path, fault: Fault) -> None:
    """Ask for the play of task 1 and control it to its end."""
    async with open_local(repository, create=True) as system:
        watch_writes(system, fault)
        [asked] = await request_plays(system, PlayRequest(task=1))
        async with as_controller(system) as controlled:
            await follow_plays(system, [asked.name], lambda plays, now: None, until_person=False, control=controlled)
            # The last events of the forge concern nobody any more, but they shall not be left lying about.
            await until_found(lambda: _is_settled(system, controlled), "the rest to be done")


async def _is_settled(system: LocalSystem, control: Control) -> bool:
    busy = control.own is not None and not control.own.is_idle
    return not busy and not await system.store.pending_deliveries()


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), Fault(sys.argv[2], Path(sys.argv[3]))))
