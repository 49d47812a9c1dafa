"""A container as a process of this machine: its output goes to the pod's log, its end becomes a container's end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from coderun.runtime import proc
from coderun.runtime.ending import end_all
from coderun.runtime.proc import Table

LAST_WORDS = 2048


class ContainerProcess:
    """One process in a session of its own. `mark` is a variable that everything it starts may carry, too."""

    def __init__(self, process: asyncio.subprocess.Process, *, mark: str, say: Callable[[bytes], None]) -> None:
        self._process = process
        self._mark = mark
        self._say = say
        self.last_words = b""

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], mark: str, say: Callable[[bytes], None]
    ) -> "ContainerProcess":
        """Start it. Raises `OSError`."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, mark=mark, say=say)

    async def wait(self) -> int:
        """Hand on what it says until it has ended; its exit code, 128 and the signal where one ended it."""
        output = self._process.stdout
        assert output is not None
        while data := await output.read(64 * 1024):
            self.last_words = (self.last_words + data)[-LAST_WORDS:]
            self._say(data)
        code = await self._process.wait()
        await asyncio.to_thread(end_all, self._find, grace=0)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """SIGTERM to the process itself, as a kubelet does."""
        # Not `send_signal`, which may take the exit status away from whoever waits for it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL to everything in it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(end_all, self._find, grace=0)

    async def close(self) -> None:
        """Kill it and wait until nothing of it is left, its pipe included."""
        await self.kill()
        output = self._process.stdout
        assert output is not None
        while await output.read(64 * 1024):
            pass
        await self._process.wait()

    def _find(self, processes: Table) -> set[int]:
        return proc.within(roots=[self._process.pid], marker=self._mark, processes=processes)
