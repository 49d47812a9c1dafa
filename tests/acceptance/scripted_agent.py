"""An agent that does what a JSON file says: the program that acceptance tests play with. Standard library only.

In the folder named by its one argument lie `script.json`, which maps an occasion to a list of steps, and `ran`, to which every
start of this program adds a line. An occasion is tried from the most special to the most general:
`2:testing/1/3` (task, role, iteration, attempt), `testing/1/3`, `2:testing/1`, `testing/1`, `2:testing`, `testing`.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

Step = dict[str, Any]
HOLD_SECONDS: Final = 300.0
PLACE = pathlib.Path(sys.argv[1])
ORDER = json.loads(pathlib.Path(os.environ["CODERUN_ORDER"]).read_text(encoding="utf-8"))
TASK, ROLE, ITERATION = os.environ["CODERUN_TASK_ID"], os.environ["CODERUN_ROLE"], os.environ["CODERUN_ITERATION"]
ATTEMPT = re.findall(r"-([0-9]+)$", ORDER["coderun"])[0]
USUAL = {
    "implementation": [{"do": "commit"}, {"do": "verdict", "verdict": "done"}],
    "quality": [{"do": "verdict", "verdict": "done"}],
    "testing": [{"do": "verdict", "verdict": "approve"}],
}


def steps() -> list[Step]:
    script: dict[str, list[Step]] = json.loads((PLACE / "script.json").read_text(encoding="utf-8"))
    special = [f"{ROLE}/{ITERATION}/{ATTEMPT}", f"{ROLE}/{ITERATION}", ROLE]
    names = [name for each in special for name in (f"{TASK}:{each}", each)]
    return next((script[name] for name in names if name in script), USUAL.get(ROLE, [{"do": "verdict", "verdict": "done"}]))


def record() -> None:
    line = f"{ORDER['coderun']} {TASK} {ORDER['stage']} {ITERATION} {ATTEMPT} {os.getpid()}\n"
    file = os.open(PLACE / "ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, stdin=subprocess.DEVNULL)


def write(step: Step) -> None:
    path = pathlib.Path(step.get("file", f"work-{TASK}.txt"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if "text" not in step else "w", encoding="utf-8") as file:
        file.write(step.get("text", f"{ROLE} {ITERATION} {ATTEMPT}\n"))


def commit(step: Step) -> None:
    write(step)
    git("add", "--all")
    git("commit", "--quiet", "-m", step.get("message", f"Work on task {TASK}"))


def verdict(step: Step) -> None:
    said = {"verdict": step["verdict"], "summary": step.get("summary", "all is well"), "comments": step.get("comments", [])}
    pathlib.Path(os.environ["CODERUN_RESULT"]).write_text(json.dumps(said), encoding="utf-8")


def hold(step: Step) -> None:
    """Wait until the file exists; whoever runs the test makes it."""
    end = time.monotonic() + HOLD_SECONDS
    while not (PLACE / step["until"]).exists() and time.monotonic() < end:
        time.sleep(0.02)


def daemon(step: Step) -> None:
    """Leave a process in a session of its own behind, which ignores every polite signal."""
    text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    quiet = subprocess.DEVNULL
    child = subprocess.Popen([sys.executable, "-c", text], start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
    (PLACE / step["pid"]).write_text(str(child.pid), encoding="utf-8")
    child.returncode = 0  # it is left alone on purpose


def stubborn(_step: Step) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def merge(step: Step) -> None:
    """Merge the base as somebody would who was told of a conflict: both sides' lines are kept."""
    subprocess.run(["git", "merge", "--quiet", "--no-edit", f"origin/{ORDER['baseBranch']}"], check=False)
    write(step)
    git("add", "--all")
    git("commit", "--quiet", "--no-edit")


def copy_context(step: Step) -> None:
    """Put what the agent was told beside the script, for the test to read."""
    folder = pathlib.Path(os.environ["CODERUN_TASK_DIR"])
    told: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }
    told["order"] = ORDER
    told["environment"] = dict(os.environ)
    (PLACE / step["to"]).write_text(json.dumps(told), encoding="utf-8")


def copy(step: Step) -> None:
    """Put a file that a variable leads to beside the script."""
    path = pathlib.Path(os.path.expandvars(step["from"]))
    (PLACE / step["to"]).write_text(f"{oct(path.stat().st_mode & 0o777)}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")


DEEDS: dict[str, Callable[[Step], object]] = {
    "commit": commit,
    "write": write,
    "verdict": verdict,
    "say": lambda step: print(step["text"], flush=True),
    "exit": lambda step: sys.exit(step["code"]),
    "die": lambda _step: os.kill(os.getpid(), signal.SIGKILL),
    "hold": hold,
    "daemon": daemon,
    "stubborn": stubborn,
    "merge": merge,
    "tell": copy_context,
    "copy": copy,
    "git": lambda step: git(*step["words"]),
}

if __name__ == "__main__":
    record()
    for one in steps():
        DEEDS[one["do"]](one)
