"""Ending processes for sure: politely, then by force, again and again until a fresh look finds none.

Given a function that finds what must end; decides nothing about who that is. Blocks, so that loops call it on a thread.
"""

import os
import signal
import time
from collections.abc import Callable

import msgspec

from coderun.runtime import proc
from coderun.runtime.proc import Process, Table

_PAUSE = 0.02

Finder = Callable[[Table], set[int]]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of them: how many were signalled, and which withstood (not ours to signal, or stuck in the kernel)."""

    signalled: int = 0
    survivors: tuple[int, ...] = ()


def end_all(find: Finder, *, grace: float, patience: float = 10.0) -> Ended:
    """End all that `find` finds in the process table, also what is started meanwhile; never this process itself.

    SIGTERM, then up to `grace` seconds for them to go (0: none at all), then SIGKILL until nothing is found, for at most
    `patience` seconds.
    """
    seen: set[Process] = set()
    refused: set[Process] = set()
    if grace > 0:
        polite = _round(find, signal.SIGTERM, seen, refused)
        _wait_for(polite, grace)
    deadline = time.monotonic() + patience
    before: set[Process] = set()
    while (found := _round(find, signal.SIGKILL, seen, refused)) and time.monotonic() < deadline:
        # New ones mean that somebody is forking: look again at once. The same ones are on their way out.
        if found <= before:
            time.sleep(_PAUSE)
        before = found
    return Ended(signalled=len(seen), survivors=tuple(sorted(one.pid for one in {*found, *refused} if proc.is_alive(one))))


def _round(find: Finder, number: signal.Signals, seen: set[Process], refused: set[Process]) -> set[Process]:
    processes = proc.table()
    entries = (processes[pid] for pid in find(processes) if pid in processes and pid != os.getpid())
    found = {entry.process for entry in entries if not entry.zombie} - refused
    for one in found:
        try:
            if proc.send(one, number):
                seen.add(one)
        except PermissionError:
            refused.add(one)
    return found - refused


def _wait_for(processes: set[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(proc.is_alive(one) for one in processes) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
