"""Where log lines go: JSON, one a line, into a file; secrets never get this far."""

import contextlib
import logging
import sys
from pathlib import Path
from typing import TextIO, cast

import structlog


def log_to_stderr() -> None:
    """Send warnings of this process to standard error, as lines for people; output stays for programs."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Lenient:
    """A log file whose troubles (a full disk above all) cost log lines, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(text)
            self._file.flush()

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._file is not None:
                self._file.flush()


def log_to(path: Path) -> None:
    """Send every log line of this process to `path`, as JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lenient(path))),
        cache_logger_on_first_use=False,
    )
