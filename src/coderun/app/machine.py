"""What this machine can do: its folders, locks, processes and agent CLIs. `app.doctor` turns it into findings.

Everything is tried, not looked up, and leaves nothing behind. No secret is read further than "it is there".
"""

import ctypes
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.text import printable

_VERSION_TIMEOUT: Final = 10.0
_NAMESPACE_TIMEOUT: Final = 5.0
_OTHERS: Final = 0o077
_PR_GET_CHILD_SUBREAPER: Final = 37  # linux/prctl.h
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")

CLAUDE_VARIABLES: Final = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
"""Variables that log `claude` in, in the order it prefers them; then comes its credentials file."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """The login an agent CLI would use: `source` names the variable or file, never what is in it."""

    source: str
    others: tuple[str, ...] = ()


def find_login(kind: str, *, home: Path, environ: Mapping[str, str]) -> Login | None:
    """The login of an agent CLI that a run would get, None where there is none; `command` needs none and has none."""
    variables: tuple[str, ...]
    match kind:
        case "claude":
            folder = Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude")
            variables, file = CLAUDE_VARIABLES, folder / ".credentials.json"
        case "codex":
            variables, file = ("OPENAI_API_KEY",), Path(environ.get("CODEX_HOME") or home / ".codex") / "auth.json"
        case "opencode":
            data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
            variables, file = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"), data / "opencode" / "auth.json"
        case _:
            return None
    found = [f"${name}" for name in variables if environ.get(name)]
    if _has_content(file):
        found.append(printable(str(file), 200))
    return Login(source=found[0], others=tuple(found[1:])) if found else None


def find_program(program: str, search_path: str) -> str | None:
    """Path of a program on `search_path`, None where it is not there or cannot be started."""
    return shutil.which(program, path=search_path) if program else None


def program_version(program: str, *, cwd: Path, environ: Mapping[str, str]) -> str:
    """What `program --version` says in its first line; "" where it fails or takes longer than 10 s."""
    said = _ask([program, "--version"], cwd=cwd, environ=environ, timeout=_VERSION_TIMEOUT)
    return printable((said or "").strip().partition("\n")[0], 80)


def version_numbers(text: str) -> tuple[int, ...]:
    """The first dotted number in `text` as numbers, `()` where there is none."""
    found = re.search(r"\d{1,6}(?:\.\d{1,6})+", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def existing_parent(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists."""
    return next((path for path in (folder, *folder.parents) if os.access(path, os.X_OK) and path.is_dir()), Path("/"))


def is_open_to_others(folder: Path) -> bool:
    """Whether other users may look into a folder; a folder that is not there is not open."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    return shutil.disk_usage(folder).free


def folder_problem(folder: Path) -> str:
    """What the state folder needs and `folder` (which exists) cannot do, "" where it can do all: write, sync, `flock`, FIFO."""
    try:
        with tempfile.TemporaryDirectory(prefix=".coderun-doctor-", dir=folder) as name:
            probe = Path(name)
            return _lock_problem(probe / "lock") or _fifo_problem(probe / "fifo")
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def is_locked(path: Path) -> bool:
    """Whether some process holds `flock` on a file. The look itself holds a shared lock for an instant."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def has_subreaper() -> bool:
    """Whether a process can adopt what its children leave behind (Linux)."""
    try:
        state = ctypes.c_int()
        return bool(ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(state), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def cgroup_state() -> str:
    """`writable`, `read-only` or `absent`: cgroup v2 as this process finds it."""
    if not (_CGROUPS / "cgroup.controllers").is_file():
        return "absent"
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "read-only"
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return "writable" if os.access(_CGROUPS / own, os.W_OK) else "read-only"


def has_pid_namespaces(*, environ: Mapping[str, str]) -> bool:
    """Whether a process can be started in a PID namespace of its own, without being root."""
    unshare = shutil.which("unshare", path=environ.get("PATH", ""))
    if unshare is None:
        return False
    command = [unshare, "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "true"]
    return _ask(command, cwd=Path("/"), environ=environ, timeout=_NAMESPACE_TIMEOUT) is not None


def _ask(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float) -> str | None:
    """What a program prints; None where it cannot be started, fails or does not end."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _has_content(file: Path) -> bool:
    try:
        return file.is_file() and os.access(file, os.R_OK) and file.stat().st_size > 0
    except OSError:
        return False


def _lock_problem(path: Path) -> str:
    first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(first, b"x")
        os.fsync(first)
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""  # the second was refused, as it must be
    except OSError as error:
        return f"does not support file locks ({error.strerror})"
    finally:
        os.close(first)
        os.close(second)
    return "does not keep file locks apart"


def _fifo_problem(path: Path) -> str:
    try:
        os.mkfifo(path, 0o600)
    except OSError as error:
        return f"does not support FIFOs ({error.strerror})"
    return ""
