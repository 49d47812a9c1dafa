"""Where everything of a run lies in the state folder: the file half of the contract between controller, supervisor and agent.

Knows names, and how to write a file whole or not at all; never what the files mean or who is running.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path, PurePosixPath

import msgspec

from coderun.model.errors import InvalidCodeRunError
from coderun.model.names import is_dns_label

TMP_PREFIX = "coderun-"


class RunFolder(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one attempt, `runs/{job}/`."""

    path: Path

    @property
    def job(self) -> str:
        """Name of the job."""
        return self.path.name

    @property
    def state(self) -> Path:
        """The state folder this run is part of."""
        return self.path.parent.parent

    @property
    def order(self) -> Path:
        """What to do (`plan.order.RunOrder`)."""
        return self.path / "order.json"

    @property
    def files(self) -> Path:
        """Rendered files of the plan."""
        return self.path / "files"

    @property
    def token(self) -> Path:
        """The run's forge token, mode 0600."""
        return self.path / "token"

    @property
    def prepared(self) -> Path:
        """`job.json`, written last: it is there when all else is."""
        return self.path / "job.json"

    @property
    def spawned(self) -> Path:
        """Which process the last start made, before it may have locked anything."""
        return self.path / "spawned"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.path / "lock"

    @property
    def started(self) -> Path:
        """Made by the one supervisor that runs this job, ever."""
        return self.path / "started"

    @property
    def stop(self) -> Path:
        """Asks the run to end; its text is the reason."""
        return self.path / "stop"

    @property
    def report(self) -> Path:
        """How it ended (`model.coderun.RunReport`)."""
        return self.path / "report.json"

    @property
    def lost(self) -> Path:
        """How it was lost, once that was found out."""
        return self.path / "lost"

    @property
    def output(self) -> Path:
        """All that the supervisor and the agent said."""
        return self.path / "output.log"

    @property
    def log(self) -> Path:
        """The same as events, one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def result(self) -> Path:
        """What the agent says of its own work."""
        return self.path / "result.json"

    @property
    def task(self) -> Path:
        """Task files for the agent."""
        return self.path / "task"

    @property
    def tmp(self) -> Path:
        """A link to the run's temporary folder, which itself has a short name (unix sockets in it must fit 108 bytes)."""
        return self.path / "tmp"

    @property
    def reserve(self) -> Path:
        """A little disk, given back so that the report can be written on a full one."""
        return self.path / "reserve"

    @property
    def marker(self) -> str:
        """What every process of this run carries in its environment: `CODERUN_RUN=…`."""
        return f"CODERUN_RUN={self.path}"


class StateFolder(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a state folder that runs use."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "StateFolder":
        """The state folder at `path`, by its real name: one folder is one folder, whatever links lead to it."""
        return cls(path=path.resolve())

    @property
    def runs(self) -> Path:
        """Where run folders are."""
        return self.path / "runs"

    @property
    def workspaces(self) -> Path:
        """Where workspaces are."""
        return self.path / "workspaces"

    @property
    def wake(self) -> Path:
        """Where those who listen for changes have their FIFOs."""
        return self.path / "wake"

    def run(self, job: str) -> RunFolder:
        """Folder of a job. Raises `InvalidCodeRunError` for a name that is no DNS label."""
        return RunFolder(path=self.runs / _checked("job", job))

    def workspace(self, name: str) -> Path:
        """Folder of a workspace. Raises `InvalidCodeRunError` for a name that is no DNS label."""
        return self.workspaces / _checked("workspace", name)


def workspace_lock(workspace: Path) -> Path:
    """Held by the supervisor of the run that works in this workspace."""
    return workspace / "lock"


def _checked(what: str, name: str) -> str:
    if not is_dns_label(name):
        raise InvalidCodeRunError(f"{name!r} cannot be the name of a {what}: it is no DNS label (a-z, 0-9 and -, at most 63)")
    return name


def checked_relative(name: str) -> PurePosixPath:
    """A file name of a plan, below the folder it is for. Raises `InvalidCodeRunError` for one that leads elsewhere."""
    path = PurePosixPath(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts:
        raise InvalidCodeRunError(f"a plan's file cannot be named {name!r}: it must lie below the run's folder")
    return path


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file (mode 0600) whole or not at all; with `durable` it is on the disk when this returns."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def create_once(path: Path, data: bytes) -> bool:
    """Make a file that is not there yet, on the disk when this returns; False where somebody was first."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return True


def sync_folder(path: Path) -> None:
    """See to it that names made in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_tmp(run: RunFolder) -> Path:
    """Make the run's temporary folder, with a short name and for its user alone."""
    folder = Path(tempfile.mkdtemp(prefix=TMP_PREFIX))
    run.tmp.unlink(missing_ok=True)
    run.tmp.symlink_to(folder)
    return folder


def remove_tmp(run: RunFolder) -> None:
    """Remove the run's temporary folder, if the link still leads to one that can be a run's."""
    try:
        folder = run.tmp.readlink()
    except OSError:
        return
    if folder.name.startswith(TMP_PREFIX) and not folder.is_symlink():
        remove_tree(folder)
    run.tmp.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a folder with all in it, also where an agent left read-only folders; nothing happens where it is gone."""
    for _ in range(3):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                return
        except PermissionError:
            _open_folders(path)
        else:
            return
    shutil.rmtree(path)


def _open_folders(path: Path) -> None:
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(folder).chmod(stat.S_IRWXU)
