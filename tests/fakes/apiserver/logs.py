"""What containers said: written by the test or its kubelet, read through `pods/NAME/log`."""

import asyncio
from collections.abc import AsyncIterator

LogKey = tuple[str, str, str]


class _Log:
    def __init__(self) -> None:
        self.text = bytearray()
        self.ended = False
        self.grown = asyncio.Event()

    def tell(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()


class PodLogs:
    """Logs by namespace, pod and container."""

    def __init__(self) -> None:
        self._logs: dict[LogKey, _Log] = {}

    def append(self, namespace: str, pod: str, container: str, text: bytes) -> None:
        """A container said something."""
        log = self._logs.setdefault((namespace, pod, container), _Log())
        log.text += text
        log.tell()

    def end(self, namespace: str, pod: str, container: str) -> None:
        """A container has ended: who follows its log reads the end of it."""
        log = self._logs.setdefault((namespace, pod, container), _Log())
        log.ended = True
        log.tell()

    def forget(self, namespace: str, pod: str) -> None:
        """A pod is gone, and its logs with it."""
        for key in [key for key in self._logs if key[:2] == (namespace, pod)]:
            log = self._logs.pop(key)
            log.ended = True
            log.tell()

    def has(self, namespace: str, pod: str, container: str) -> bool:
        """Whether the container ever began."""
        return (namespace, pod, container) in self._logs

    async def read(
        self, key: LogKey, *, follow: bool, tail: int | None = None, limit: int | None = None
    ) -> AsyncIterator[bytes]:
        """The log from its beginning, or its last lines; with `follow` until the container has ended."""
        log = self._logs[key]
        at = _begin(bytes(log.text), tail)
        left = limit
        while True:
            grown = log.grown
            part = bytes(log.text[at:] if left is None else log.text[at : at + left])
            at += len(part)
            left = None if left is None else left - len(part)
            if part:
                yield part
            if log.ended or not follow or left == 0:
                return
            await grown.wait()


def _begin(text: bytes, tail: int | None) -> int:
    if tail is None:
        return 0
    lines = text.splitlines(keepends=True)
    return len(text) - sum(len(line) for line in lines[len(lines) - tail :]) if tail < len(lines) else 0
