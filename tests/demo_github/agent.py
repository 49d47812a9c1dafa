"""The demo's agents, which can be held: as long as HOLD/{task}-{role} exists, the agent of that task and role waits.

`agent.py HOLD`. Each start is written down in HOLD/starts, so that it shows whether any was started twice.
"""

import os
import runpy
import sys
import time
from importlib import resources
from pathlib import Path

LONGEST = 300.0


def main(folder: Path) -> None:
    """Note the start, wait as long as it is held, then do the work."""
    role, task = os.environ["CODERUN_ROLE"], os.environ["CODERUN_TASK_ID"]
    occasion = f"{task}-{role}-{os.environ['CODERUN_ITERATION']}-{os.environ['CODERUN_ATTEMPT']}"
    with (folder / "starts").open("a", encoding="utf-8") as starts:
        starts.write(f"{occasion}\n")
    hold = folder / f"{task}-{role}"
    until = time.monotonic() + LONGEST
    while hold.exists() and time.monotonic() < until:
        time.sleep(0.05)
    script = resources.files("coderun.app.demo").joinpath("agent.py")
    sys.argv = [str(script)]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
