"""Which conversation of a CLI belongs to a task, and what it has cost so far: a small file in the workspace."""

from pathlib import Path

import msgspec

from coderun.model.coderun import Shape


class Session(Shape, frozen=True, kw_only=True):
    """A conversation; `total_cost` is what its CLI said it had cost in all, in US dollars."""

    session_id: str = ""
    total_cost: float = 0.0


def session_file(workspace: Path, task_id: int) -> Path:
    """Where the session of a task is written down."""
    return workspace / "sessions" / f"task-{task_id}.json"


def read_session(path: Path) -> Session:
    """The session last written down; an empty one where there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Session)
    except (OSError, msgspec.DecodeError):
        return Session()


def write_session(path: Path, session: Session) -> None:
    """Write it down, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(msgspec.json.encode(session))
    fresh.replace(path)
