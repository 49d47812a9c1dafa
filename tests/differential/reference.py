"""npm handlebars in one node process: installed once per version into the user's cache, asked one JSON line at a time.

Run as a program it installs the package and prints the version.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
TIMEOUT = 300


class UnavailableError(Exception):
    """node or npm is absent, or the package cannot be installed; the text is the reason to show."""


def installed() -> Path:
    """The folder whose `node_modules` hold npm handlebars as `package-lock.json` pins it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            msg = f"{program} is not on the PATH"
            raise UnavailableError(msg)
    lock = (HERE / "package-lock.json").read_bytes()
    version = json.loads(lock)["packages"]["node_modules/handlebars"]["version"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coderun"
    folder = cache / f"npm-{version}-{hashlib.sha256(lock).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        msg = f"npm ci failed: {done.stderr.strip()[-500:]}"
        raise UnavailableError(msg)
    (folder / "complete").touch()


class Reference:
    """The node process; closes with its context."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
        self._process = subprocess.Popen(
            ["node", str(HERE / "reference.js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

    def render(self, **request: Any) -> str | None:
        """What handlebars.js makes of a request, None where it raises."""
        text: str | None = self.ask(**request).get("text")
        return text

    def ask(self, **request: Any) -> dict[str, Any]:
        """The whole answer: `text`, or `error` with handlebars.js's message."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


if __name__ == "__main__":
    folder = installed()
    subprocess.run(
        ["node", str(HERE / "reference.js"), "--version"],
        env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        check=True,
    )
    sys.exit(0)
