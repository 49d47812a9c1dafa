"""Where the real Claude Code binary is, for tests marked `claude`."""

import os
import shutil
from pathlib import Path

import pytest
from tests.tools.fetch_claude import cached_binary


def find_claude() -> str:
    """Its path: CODERUN_TEST_CLAUDE, the cache `tests/tools/fetch_claude.py` fills, or PATH; skips, or fails where required."""
    named = os.environ.get("CODERUN_TEST_CLAUDE", "")
    cached = cached_binary(Path.home())
    found = named or (str(cached) if cached.exists() else "") or shutil.which("claude") or ""
    if found:
        return found
    why = "no Claude Code binary: run `python tests/tools/fetch_claude.py`, or name one in CODERUN_TEST_CLAUDE"
    if os.environ.get("CODERUN_REQUIRE") == "all":
        pytest.fail(why)
    pytest.skip(why)
