"""Where log lines go: JSON, one a line, into a file; secrets never get this far."""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from coderun.model.text import printable


class Lossy:
    """A text file whose lines may get lost: a full disk must not stop what is logged."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, text: str) -> int:
        """Write what the disk takes."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what is still here, if the disk takes it."""
        with contextlib.suppress(OSError):
            self._file.flush()


def log_to_stderr() -> None:
    """Send warnings of this process to standard error, as lines for people; output stays for programs."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, _for_people],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _for_people(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
    """One line as commands say theirs: `warning: watch failed: … is out of reach (kind CodeRun, namespace default)`."""
    level, event, error = (line.pop(key, "") for key in ("level", "event", "error"))
    rest = ", ".join(f"{key} {value}" for key, value in sorted(line.items()))
    return printable(f"{level}: {event}{f': {error}' if error else ''}{f' ({rest})' if rest else ''}")


def log_nothing() -> None:
    """Say nothing: for a command whose output tells everything that a log line would."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)


def log_to(path: Path) -> None:
    """Send every log line of this process to `path`, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _log_json(cast("TextIO", Lossy(path)), logging.INFO)


def log_to_stdout(level: str) -> None:
    """Send log lines of this process from that level on (`debug`, `info`, `warning`, `error`) to standard output, as JSON."""
    _log_json(sys.stdout, logging.getLevelNamesMapping()[level.upper()])


def _log_json(file: TextIO, level: int) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=False,
    )
