"""What the webhook door is set up with: where it listens, and the secrets that deliveries may be signed with.

Secrets are read again when their files change, so that one can be replaced while the door is open. Nothing here listens, and no
secret is part of a `repr` or a message.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from coderun.app.github_keys import keys_folder, read_credentials
from coderun.model.config import Config, ForgeType
from coderun.model.errors import ConfigError
from coderun.model.github import github_host
from coderun.model.text import printable

_MAX_BYTES: Final = 64 << 10
_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)
Source = Callable[[], Sequence[str]]
Watched = Callable[[], Iterable[Path]]


class DoorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the door is."""

    host: str
    port: int
    secrets: "Secrets"


class Secrets:
    """The secrets there are now. Looked at again once a second at most, when somebody asks.

    Secrets that cannot be read any more are reported once and those of before stay: a door that is half set up anew must not
    refuse what it took a second ago.
    """

    def __init__(self, read: Source, watched: Watched, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises `ConfigError` where they cannot be read, or there are none."""
        self._read = read
        self._watched = watched
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._seen = self._fingerprint()
        self._known = tuple(read())
        if not self._known:
            raise ConfigError(
                "the webhook door needs a secret that deliveries are signed with; write one into a file and name it with "
                "--webhook-secret-file or `webhook.secretFiles`, or let `coderun github setup` make one"
            )

    def __call__(self) -> Sequence[str]:
        """The secrets, newest first."""
        now = self._monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return self._known
        self._looked_at = now
        seen = self._fingerprint()
        if seen != self._seen:
            self._seen = seen
            self._read_again()
        return self._known

    def _read_again(self) -> None:
        try:
            found = tuple(self._read())
        except ConfigError as error:
            _log.warning("webhook secrets not read again", error=str(error))
            return
        if not found:
            _log.warning("webhook secrets not read again", error="there are none left; those of before stay")
            return
        self._known = found
        _log.info("webhook secrets read again", secrets=len(found))

    def _fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        found = []
        for path in self._watched():
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


def door_settings(
    config: Config,
    *,
    root: Path,
    environ: Mapping[str, str],
    home: Path,
    host: str = "",
    port: int | None = None,
    secret_files: Sequence[Path] = (),
) -> DoorSettings | None:
    """Where the door is to be, None where none is asked for. What is given goes before what `coderun.yaml` says.

    Relative paths of `coderun.yaml` start at `root`. Beside the files, the secrets of the Apps on this machine count, where the
    forge is GitHub.

    Raises:
        ConfigError: no secret, or one that cannot be read.
    """
    said = config.webhook
    wanted = said.port if port is None else port
    if port is None and not said.port:
        return None
    files = tuple(secret_files) or tuple(root / Path(name).expanduser() for name in said.secret_files)
    read, watched = _source(config, files, environ=environ, home=home)
    return DoorSettings(host=host or said.host, port=wanted, secrets=Secrets(read, watched))


def _source(config: Config, files: tuple[Path, ...], *, environ: Mapping[str, str], home: Path) -> tuple[Source, Watched]:
    if config.forge.type is not ForgeType.GITHUB:
        return lambda: [read_secret(path) for path in files], lambda: files
    hub = github_host(config.forge.url)
    folder = keys_folder(hub, environ=environ, home=home)

    def read() -> list[str]:
        of_apps = read_credentials(hub, environ=environ, home=home).webhook_secrets
        return list(dict.fromkeys([*(read_secret(path) for path in files), *of_apps]))

    def watched() -> list[Path]:
        return [*files, folder, *sorted(folder.glob("*.json"))]

    return read, watched


def read_secret(path: Path) -> str:
    """The one secret that a file holds, without the line end after it. Raises `ConfigError`."""
    shown = printable(str(path), 200)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"the webhook secret {shown} is no regular file")
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the webhook secret {shown} cannot be read: {error.strerror}") from error
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the webhook secret {shown} is no text; write the secret as GitHub has it") from error
    if not secret or len(content) > _MAX_BYTES or "\n" in secret:
        raise ConfigError(f"the webhook secret {shown} must hold one line; a file holds one secret, name one file for each")
    return secret
