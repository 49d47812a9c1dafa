"""Who the agents are on GitHub, in a pod: Secrets that are mounted one folder an agent, as the chart does it.

```
/etc/coderun/github/
    rex/      app-id  private-key  [client-id]  [webhook-secret]
    .person/  token
```
The keys are those of the existing system's Secrets. The kubelet writes the files and lets the pod's group read them, so their
modes say nothing; a Secret that is changed arrives here, so the folder is read again whenever keys are needed. Nothing here
speaks to GitHub, and no secret is part of a message.
"""

from pathlib import Path
from typing import Final

from coderun.app.github_keys import AppKeys, GitHubCredentials, PersonalAccess
from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost
from coderun.model.names import is_dns_label
from coderun.model.text import printable

PERSON: Final = ".person"
_MAX_BYTES: Final = 64 << 10


def mounted_credentials(host: GitHubHost, folder: Path) -> GitHubCredentials:
    """The Apps and the personal token that are mounted in `folder`; one that is not there has none.

    Raises:
        ConfigError: a Secret lacks a key or holds something else; says which file, and what belongs there.
    """
    try:
        agents = sorted(path.name for path in folder.iterdir() if is_dns_label(path.name) and path.is_dir())
    except FileNotFoundError:
        agents = []
    except OSError as error:
        raise ConfigError(f"{_shown(folder)} cannot be read: {error.strerror}") from error
    apps = {agent: _app(folder / agent, agent) for agent in agents}
    return GitHubCredentials(host=host, folder=folder, apps=apps, personal=_person(folder / PERSON / "token"))


def _app(folder: Path, agent: str) -> AppKeys:
    app_id = _needed(folder / "app-id").strip()
    if not app_id.isalnum() or not app_id.isascii():
        raise ConfigError(
            f"{_shown(folder / 'app-id')} is neither an App's number nor its client id; write one of them into the Secret"
        )
    pem = _needed(folder / "private-key")
    if not pem.lstrip().startswith("-----BEGIN "):
        raise ConfigError(
            f"{_shown(folder / 'private-key')} is no private key in PEM form; put the file there that GitHub generated"
        )
    secret = _read(folder / "webhook-secret").strip()
    return AppKeys(
        agent=agent,
        app_id=app_id,
        pem=pem.encode(),
        client_id=_read(folder / "client-id").strip(),
        webhook_secrets=(secret,) if secret else (),
    )


def _person(path: Path) -> PersonalAccess | None:
    token = _read(path).strip()
    if not token:
        return None
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{_shown(path)} holds no token; it must be the one line that GitHub showed")
    return PersonalAccess(token=token, source=_shown(path))


def _needed(path: Path) -> str:
    text = _read(path)
    if not text.strip():
        raise ConfigError(f"{_shown(path)} is missing or empty; the Secret of this agent's App needs the key {path.name!r}")
    return text


def _read(path: Path) -> str:
    """The text of a small file, "" where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"{_shown(path)} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{_shown(path)} is larger than {_MAX_BYTES} bytes; no key or token is")
    return content.decode("utf-8", "replace")


def _shown(path: Path) -> str:
    return printable(str(path), 200)
