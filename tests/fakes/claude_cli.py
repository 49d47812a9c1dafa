"""Where the real Claude Code binary is, for tests marked `claude`."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.tools.fetch_claude import cached_binary


def find_claude(leave_out: Callable[[str, str], NoReturn]) -> str:
    """Its path: CODERUN_TEST_CLAUDE, the cache that fetch_claude fills, or PATH; without one the tier is left out."""
    named = os.environ.get("CODERUN_TEST_CLAUDE", "")
    cached = cached_binary(Path.home())
    found = named or (str(cached) if cached.exists() else "") or shutil.which("claude") or ""
    if not found:
        leave_out(
            "claude", "no Claude Code binary; run `python tests/tools/fetch_claude.py`, or name one in CODERUN_TEST_CLAUDE"
        )
    return found
