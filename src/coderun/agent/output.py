"""What a run says: bytes cut into lines, and the files that keep them.

Both have an upper bound, because what an agent prints is not ours to trust; and what goes into the file for people can do
nothing to their terminals.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from coderun.agent.result import hide_secrets

MAX_LINE = 1024 * 1024
MAX_OUTPUT = 256 * 1024 * 1024
LINE_CUT = b" [coderun: the line was cut here]"
OUTPUT_CUT = b"[coderun: the output was cut here, there was more than %d MiB]\n"


def visible(text: str) -> str:
    """`text` on one line, with all that does not print (control characters, line ends, changes of direction) as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in text)


class LineSplitter:
    """Cuts a stream into lines without their ends; what goes beyond `limit` bytes of a line is dropped and marked."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *complete, rest = data.split(b"\n")
        lines = []
        for part in complete:
            self._keep(part)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def flush(self) -> list[bytes]:
        """The last line, where the stream ended without a line end."""
        return [self._take()] if self._kept or self._overlong else []

    def _keep(self, part: bytes) -> None:
        room = self._limit - len(self._kept)
        self._kept += part[:room]
        self._overlong = self._overlong or len(part) > room

    def _take(self) -> bytes:
        line = bytes(self._kept) + (LINE_CUT if self._overlong else b"")
        self._kept.clear()
        self._overlong = False
        return line.removesuffix(b"\r")


class OutputFile:
    """Appends lines to a file until it holds `limit` bytes, then says so once and passes over the rest.

    A full disk or a deleted file costs output, never the run.
    """

    def __init__(self, path: Path, *, limit: int = MAX_OUTPUT) -> None:
        self._path = path
        self._limit = limit
        self._size: int | None = None

    def line(self, text: bytes) -> None:
        """Append one line."""
        with contextlib.suppress(OSError):
            self._append(text + b"\n")

    def _append(self, text: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            if self._size is None:
                self._size = file.tell()
            if self._size > self._limit:
                return
            self._size += len(text)
            if self._size > self._limit:
                text = OUTPUT_CUT % (self._limit // (1024 * 1024))
            file.write(text)


class Journal:
    """What happened in a run, for people (`output.log`) and for programs (`log.jsonl`: `at`, `event`, then its fields).

    Every text that goes in has the run's secrets taken out. `echo` gets each line of the second kind too, with its end.
    """

    def __init__(
        self,
        *,
        output: OutputFile,
        log: OutputFile,
        clock: Callable[[], datetime],
        secrets: tuple[str, ...] = (),
        echo: Callable[[bytes], object] | None = None,
    ) -> None:
        self._output = output
        self._log = log
        self._clock = clock
        self._secrets = secrets
        self._echo = echo

    def hide(self, secret: str) -> None:
        """From now on `secret` is one, too."""
        if secret and secret not in self._secrets:
            self._secrets = (*self._secrets, secret)

    def redact(self, text: str) -> str:
        """`text` without the run's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return hide_secrets(text, ())

    def event(self, name: str, **fields: str | float | bool) -> None:
        """Note something the runner did or found; `name` is lower case."""
        clean = {key: self.redact(value) if isinstance(value, str) else value for key, value in fields.items()}
        self._write(name, clean)
        details = " ".join(f"{key}={value}" for key, value in clean.items())
        self._output.line(visible(f"coderun: {name} {details}".rstrip()).encode("utf-8", "replace"))

    def line(self, text: str) -> None:
        """Note a line of a program."""
        clean = self.redact(text)
        self._write("output", {"line": clean})
        self._output.line(visible(clean).encode("utf-8", "replace"))

    def _write(self, name: str, fields: dict[str, str | float | bool]) -> None:
        entry = {"at": self._clock(), "event": name, **fields}
        text = msgspec.json.encode(entry).replace(b"\n", b" ")
        self._log.line(text)
        if self._echo is not None:
            with contextlib.suppress(OSError):
                self._echo(text + b"\n")
