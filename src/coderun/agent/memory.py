"""The memory file of a workspace: what an agent keeps from run to run. Outside the repository, never committed."""

from pathlib import Path
from typing import Final

from coderun.agent.regular import read_regular

FILE: Final = "CLAUDE.md"
MEMORY_LIMIT: Final = 256 * 1024


def prepare_memory(workspace: Path, rendered: Path, *, overwrite: bool) -> Path:
    """The memory file, which may not exist; a `rendered` one takes its place where it is missing, or with `overwrite`."""
    memory = workspace / "memory" / FILE
    if rendered.is_file() and (overwrite or not memory.is_file()):
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_name(f"{FILE}.new")
        fresh.write_bytes(rendered.read_bytes())
        fresh.replace(memory)
    return memory


def read_memory(memory: Path) -> str:
    """Its text, at most `MEMORY_LIMIT` bytes of it; "" where there is none or it is no regular file."""
    try:
        return read_regular(memory, MEMORY_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
