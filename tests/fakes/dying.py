"""A process that kills itself with SIGKILL just before the n-th thing it does to a folder: `DIE_AT=n:folder` says so.

What counts are the audit events of Python that change or open something below the folder, and the start of programs. A process
that gets by with fewer lives on.
"""

import os
import signal
import sys

_EVENTS = {"open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.symlink", "os.truncate", "subprocess.Popen"}


def arm() -> None:
    """Die as the environment says, if it does."""
    number, _, folder = os.environ.get("DIE_AT", "").partition(":")
    if not number:
        return
    left = int(number)

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _EVENTS and (event == "subprocess.Popen" or any(folder in str(one) for one in arguments[:2])):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
