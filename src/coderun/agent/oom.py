"""Whether the kernel killed something of this container because it ran out of memory.

Below `program`. Where the kernel kills one process only, the container goes on and no one else tells: the cluster says
`OOMKilled` only where the container's own first process is gone.
"""

from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
"""Where a container sees its own control group."""

_COUNTERS: Final = ("memory.events", "memory/memory.oom_control")


def kills(groups: Path = GROUPS) -> int:
    """How many processes the kernel has killed in this container for want of memory; 0 where nothing tells."""
    for name in _COUNTERS:
        try:
            lines = (groups / name).read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            word, _, number = line.partition(" ")
            if word == "oom_kill" and number.isdecimal():
                return int(number)
    return 0
