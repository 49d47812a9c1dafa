"""Who the agents are on GitHub, in a cluster: Secrets mounted into the controller's pod, one folder an agent.

```
{folder}/{agent}/app-id  private-key  [client-id]  [webhook-secret]
{folder}/.person/token       a person's token, for agents without an App
```
Files are read again whenever somebody asks, so that a Secret that was replaced counts without a restart. Nothing here speaks to
GitHub, and no secret is part of a `repr` or a message.
"""

import os
import stat
from pathlib import Path
from typing import Final

from coderun.app.github_keys import AppKeys, GitHubCredentials, PersonalAccess
from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost
from coderun.model.names import is_dns_label
from coderun.model.text import printable

_MAX_BYTES: Final = 64 << 10
_PERSON: Final = ".person"


def read_mounted(host: GitHubHost, folder: Path) -> GitHubCredentials:
    """Read what is mounted; nothing at all is an outcome too.

    Raises:
        ConfigError: a file is missing or is not what it should be; says which, and what to do.
    """
    token = folder / _PERSON / "token"
    return GitHubCredentials(
        host=host,
        folder=folder,
        apps={keys.agent: keys for keys in (_read_app(one) for one in _agents(folder))},
        personal=PersonalAccess(token=_line(token), source=_shown(token)) if token.exists() else None,
    )


def watched_files(folder: Path) -> list[Path]:
    """The files that tell by their times when something was replaced."""
    return [file for agent in _agents(folder) for file in (agent / "app-id", agent / "private-key", agent / "webhook-secret")]


def _agents(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and is_dns_label(path.name))
    except OSError as error:
        raise ConfigError(f"{_shown(folder)} cannot be read: {error.strerror}; mount the Secrets of the Apps there") from error


def _read_app(folder: Path) -> AppKeys:
    app_id = _line(folder / "app-id")
    if not app_id.isalnum() or not app_id.isascii():
        raise ConfigError(f"{_shown(folder / 'app-id')}: write the App's number or its client id there")
    pem = _read(folder / "private-key")
    if not pem.lstrip().startswith(b"-----BEGIN "):
        raise ConfigError(f"{_shown(folder / 'private-key')}: is no private key in PEM form; put there what GitHub generated")
    secret = folder / "webhook-secret"
    client_id = folder / "client-id"
    return AppKeys(
        agent=folder.name,
        app_id=app_id,
        pem=pem,
        client_id=_line(client_id) if client_id.exists() else "",
        webhook_secrets=(_line(secret),) if secret.exists() else (),
    )


def _line(path: Path) -> str:
    text = _read(path).decode("utf-8", "replace").strip()
    if not text or not text.isprintable():
        raise ConfigError(f"{_shown(path)}: must hold one line of text")
    return text


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{_shown(path)}: is no regular file")
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{_shown(path)}: is missing; the Secret needs a key for it") from error
    except OSError as error:
        raise ConfigError(f"{_shown(path)}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{_shown(path)}: is larger than {_MAX_BYTES} bytes; no key or token is")
    return content


def _shown(path: Path) -> str:
    return printable(str(path), 200)
