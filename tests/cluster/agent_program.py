"""The agent of cluster tests: in its pod it asks the test what to do, and does it. Standard library only.

Its one argument is the address of the test's `Director`. It tells of its start, gets a list of steps as the answer, and ends.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, Final

Step = dict[str, Any]
DIRECTOR: Final = sys.argv[1]
ORDER: Final = json.loads(pathlib.Path(os.environ["CODERUN_ORDER"]).read_text(encoding="utf-8"))
HOLD_SECONDS: Final = 300.0
ACCOUNT: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")


def tell(path: str, document: Any) -> Any:
    """Post a document to the test; its answer."""
    request = urllib.request.Request(f"{DIRECTOR}/{path}", json.dumps(document).encode())  # noqa: S310 - http, by the test
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the same
        return json.loads(answer.read())


def occasion() -> Step:
    """Who this is and what for."""
    return {
        "run": ORDER["coderun"],
        "task": int(os.environ["CODERUN_TASK_ID"]),
        "role": os.environ["CODERUN_ROLE"],
        "iteration": int(os.environ["CODERUN_ITERATION"]),
        "attempt": int(re.findall(r"-([0-9]+)$", ORDER["coderun"])[0]),
        "repository": ORDER["forge"]["repository"],
    }


def git(*words: str) -> None:
    """Run git here."""
    subprocess.run(["git", *words], check=True, stdin=subprocess.DEVNULL)


def write(step: Step) -> None:
    """Add a line to a file."""
    with pathlib.Path(step.get("file", "work.txt")).open("a", encoding="utf-8") as file:
        file.write(f"{os.environ['CODERUN_ROLE']}\n")


def commit(step: Step) -> None:
    """Change a file and commit that."""
    write(step)
    git("add", "--all")
    git("commit", "--quiet", "-m", f"Work on task {os.environ['CODERUN_TASK_ID']}")


def verdict(step: Step) -> None:
    """Say how it went."""
    said = {"verdict": step["verdict"], "summary": "all is well", "comments": []}
    pathlib.Path(os.environ["CODERUN_RESULT"]).write_text(json.dumps(said), encoding="utf-8")


def hold(step: Step) -> None:
    """Wait until the test releases this name."""
    end = time.monotonic() + HOLD_SECONDS
    while not tell("held", step["until"]) and time.monotonic() < end:
        time.sleep(0.2)


def ask_cluster(step: Step) -> None:
    """Ask the API server for everything that a curious agent might, and tell the test what it said."""
    host, port = step["server"]
    token = (ACCOUNT / "token").read_text(encoding="utf-8") if (ACCOUNT / "token").exists() else ""
    answers = {path: _asked(f"https://{host}:{port}{path}", token) for path in step["paths"]}
    tell("asked", {"account": bool(token), "variables": sorted(os.environ), "answers": answers})


def _asked(url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - https, by the test
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - the same
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


DEEDS: Final = {"commit": commit, "write": write, "verdict": verdict, "hold": hold, "ask-cluster": ask_cluster}

if __name__ == "__main__":
    for one in tell("started", occasion()):
        DEEDS[one["do"]](one)
