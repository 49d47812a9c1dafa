"""The folder of one running cluster. Whoever runs it holds its lock; folders of the dead are swept away by the next one."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.harness.cache import discard

_PREFIX = "coderun-cluster-"


@contextmanager
def claim(name: str = "") -> Iterator[Path]:
    """A folder for one cluster with a short path (unix sockets stand in it), removed at the end."""
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}"))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            discard(folder)


def sweep() -> None:
    """Remove what killed processes left. Their programs died with them, and mounts with those."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # A folder without a lock is one that somebody makes right now.
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(folder)
    for group in _groups_of_the_dead():
        with contextlib.suppress(OSError):
            group.rmdir()


def _groups_of_the_dead() -> Iterator[Path]:
    for root in control_groups():
        for group in root.glob("coderun-*"):
            # Named as the network of its node: while that stands, so does the node.
            if not Path("/sys/class/net", group.name.replace("-", "")).exists():
                yield from (Path(folder) for folder, _, _ in os.walk(group, topdown=False))


def control_groups() -> list[Path]:
    """The roots of the control group hierarchies that are mounted here."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [Path(fields[1]) for fields in map(str.split, lines) if fields[2] in {"cgroup", "cgroup2"}]
