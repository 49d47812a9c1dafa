"""Programs in the background: their words go to a log, and they die with whoever started them."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.harness.errors import BrokenError

PATIENCE = 180.0
_LAST_WORDS = 1500


class Process:
    """One program. `start` after `stop` runs it again, on the same log."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [str(part) for part in command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} was never started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it at once: nothing that it keeps is worth a polite end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait_for(self, what: str, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds.

        Raises:
            BrokenError: The program ended, or it took too long; with the end of its log.
        """
        end = time.monotonic() + PATIENCE
        while not claim():
            if not self.runs:
                raise BrokenError(f"{self.name} ended before {what}: {self.last_words()}")
            if time.monotonic() > end:
                raise BrokenError(f"no {what} in {PATIENCE:.0f} s from {self.name}: {self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-_LAST_WORDS:] if self.log.exists() else "(it has no log)"


def run(*command: str | Path, stdin: str | None = None, seconds: float = PATIENCE) -> str:
    """What a program printed.

    Raises:
        BrokenError: It failed; with what it said.
    """
    line = [str(part) for part in command]
    done = subprocess.run(line, input=stdin or "", capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-_LAST_WORDS:]
        raise BrokenError(f"`{Path(line[0]).name} {' '.join(line[1:])}` ended with {done.returncode}: {said}")
    return done.stdout
