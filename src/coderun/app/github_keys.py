"""Who the agents are on GitHub, kept on this machine: their Apps' ids and private keys, or one person's token.

```
$XDG_CONFIG_HOME/coderun/github/{host}/   (~/.config/coderun/…), mode 0700
    rex.json    {"appId": "…", "slug": "…", "clientId": "…", "webhookSecret": "…"}, mode 0600
    rex.pem     the App's private key as GitHub gave it, mode 0600
```
`coderun github setup` writes them, or a person by hand; the controller and `coderun github check` read them, and nobody else:
no agent gets to see a private key. A pair is written key first, so that a `.json` never stands without its key. Nothing here
speaks to GitHub, and no secret is part of a `repr` or a message.
"""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost
from coderun.model.names import is_dns_label
from coderun.model.text import printable

TOKEN_FILE_VARIABLE: Final = "CODERUN_GITHUB_TOKEN_FILE"  # noqa: S105 - a variable's name
_HOSTED_VARIABLES: Final = ("GH_TOKEN", "GITHUB_TOKEN")
_OWN_VARIABLES: Final = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
_MAX_BYTES: Final = 64 << 10
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


class _File(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What `{agent}.json` holds."""

    app_id: str | int
    slug: str = ""
    client_id: str = ""
    name: str = ""
    url: str = ""
    webhook_secret: str = ""
    old_webhook_secrets: tuple[str, ...] = ()


class AppKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The App of one agent.

    Attributes:
        agent: The agent's short name.
        slug: Name of the App in addresses and logins; "" where it was not written down (`GET /app` tells it).
        name: Name of the App for people.
        url: Its page on GitHub.
        pem: The private key, as text in a PEM envelope.
        webhook_secrets: Secrets that its deliveries may be signed with, the newest first.
    """

    agent: str
    app_id: str
    pem: bytes
    slug: str = ""
    client_id: str = ""
    name: str = ""
    url: str = ""
    webhook_secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AppKeys(agent={self.agent!r}, app_id={self.app_id!r}, slug={self.slug!r})"


class PersonalAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A person's token, and where it is from (`$GH_TOKEN`, a file)."""

    token: str
    source: str

    def __repr__(self) -> str:
        return f"PersonalAccess(source={self.source!r})"


class GitHubCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """All that this machine has for one GitHub.

    Attributes:
        folder: Where the Apps' keys are, or would be.
        apps: By the agent's short name.
        personal: Used for agents that have no App.
    """

    host: GitHubHost
    folder: Path
    apps: Mapping[str, AppKeys] = {}
    personal: PersonalAccess | None = None

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Every secret that a delivery may be signed with."""
        return tuple(dict.fromkeys(secret for keys in self.apps.values() for secret in keys.webhook_secrets))


def keys_folder(host: GitHubHost, *, environ: Mapping[str, str], home: Path) -> Path:
    """Folder of the Apps' keys for one GitHub; it may not exist yet."""
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # the XDG specification asks to ignore relative paths
        base = home / ".config"
    return base / "coderun" / "github" / host.name.replace(":", "_")


def read_credentials(
    host: GitHubHost, *, environ: Mapping[str, str], home: Path, token_file: Path | None = None
) -> GitHubCredentials:
    """Read what there is; nothing at all is an outcome too (`apps` empty, `personal` None).

    The personal token is from `token_file`, else from the file that `$CODERUN_GITHUB_TOKEN_FILE` names, else from `$GH_TOKEN`
    or `$GITHUB_TOKEN`. For a GitHub Enterprise Server these two are `$GH_ENTERPRISE_TOKEN` and `$GITHUB_ENTERPRISE_TOKEN`, as
    for `gh`, so that no token for github.com is sent elsewhere.

    Raises:
        ConfigError: a file cannot be read, can be read by others, or is not what it should be; says which, and what to do.
    """
    folder = keys_folder(host, environ=environ, home=home)
    return GitHubCredentials(
        host=host,
        folder=folder,
        apps={keys.agent: keys for keys in _read_apps(folder)},
        personal=_personal(host, environ, token_file),
    )


def read_app(folder: Path, agent: str) -> AppKeys | None:
    """The App of one agent, None where none is written down. Raises `ConfigError` as `read_credentials`."""
    path = folder / f"{agent}.json"
    if not os.path.lexists(path):
        return None
    _check_folder(folder)
    try:
        found = msgspec.json.decode(_read_secret(path), type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = printable(str(error), 200)
        raise ConfigError(
            f'{_shown(path)}: {said}; write {{"appId": "…"}} there, or let `coderun github setup` do it'
        ) from error
    app_id = str(found.app_id).strip()
    if not app_id.isalnum() or not app_id.isascii():
        raise ConfigError(f"{_shown(path)}: appId is {printable(app_id, 60)!r}; write the App's number or its client id")
    pem = _read_secret(path.with_suffix(".pem"))
    if not pem.lstrip().startswith(b"-----BEGIN "):
        raise ConfigError(
            f"{_shown(path.with_suffix('.pem'))}: is no private key in PEM form; put the file there that GitHub generated"
        )
    secrets = filter(None, (found.webhook_secret, *found.old_webhook_secrets))
    return AppKeys(
        agent=agent,
        app_id=app_id,
        pem=pem,
        slug=found.slug,
        client_id=found.client_id,
        name=found.name,
        url=found.url,
        webhook_secrets=tuple(secrets),
    )


def write_app(folder: Path, keys: AppKeys, *, replace: bool = False) -> Path:
    """Keep an App; where its `.json` is. What is there already stays, unless `replace`.

    Raises:
        ConfigError: there is one already, or the folder cannot be written.
    """
    path, key = folder / f"{keys.agent}.json", folder / f"{keys.agent}.pem"
    there = next((one for one in (path, key) if os.path.lexists(one)), None)
    if there is not None and not replace:
        raise ConfigError(f"{_shown(there)} is there already; move it away, or say that it may be replaced")
    newest, *older = keys.webhook_secrets or ("",)
    file = _File(
        app_id=keys.app_id,
        slug=keys.slug,
        client_id=keys.client_id,
        name=keys.name,
        url=keys.url,
        webhook_secret=newest,
        old_webhook_secrets=tuple(older),
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        _write_secret(key, keys.pem)
        _write_secret(path, msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")
    except OSError as error:
        raise ConfigError(f"the key of {keys.agent} cannot be kept in {_shown(folder)}: {error.strerror}") from error
    return path


def _read_apps(folder: Path) -> Iterator[AppKeys]:
    try:
        names = sorted(path.stem for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{_shown(folder)} cannot be read: {error.strerror}; check its permissions") from error
    for name in names:
        if not is_dns_label(name):
            raise ConfigError(f"{_shown(folder / name)}.json is named after no agent; call it {{agent}}.json, or move it away")
        keys = read_app(folder, name)
        if keys is not None:
            yield keys


def _personal(host: GitHubHost, environ: Mapping[str, str], token_file: Path | None) -> PersonalAccess | None:
    named = environ.get(TOKEN_FILE_VARIABLE, "")
    path = token_file or (Path(named) if named else None)
    if path is not None:
        text = _read_secret(path).decode("utf-8", "replace")
        return PersonalAccess(token=_checked_token(text, _shown(path)), source=_shown(path))
    for variable in _HOSTED_VARIABLES if host.is_hosted else _OWN_VARIABLES:
        text = environ.get(variable, "")
        if text.strip():
            return PersonalAccess(token=_checked_token(text, f"${variable}"), source=f"${variable}")
    return None


def _checked_token(text: str, source: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{source} holds no token; it must be the one line that GitHub showed")
    return token


def _check_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS_WRITE:
        raise ConfigError(f"{_shown(folder)} can be written by other users (mode {mode:04o}); run: chmod 700 {_shown(folder)}")


def _read_secret(path: Path) -> bytes:
    """A small file that nobody else may read; a link is followed, a device or FIFO is not waited for."""
    shown = _shown(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            status = os.fstat(descriptor)
            _check_secret(status, shown)
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{shown}: there is no such file; put it there, or let `coderun github setup` do it") from error
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}; check its owner and permissions") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{shown}: is larger than {_MAX_BYTES} bytes; no key or token is")
    return content


def _check_secret(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{shown}: is no regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        raise ConfigError(f"{shown}: can be read by other users (mode {mode:04o}); run: chmod 600 {shown}")


def _write_secret(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _shown(path: Path) -> str:
    return printable(str(path), 200)
