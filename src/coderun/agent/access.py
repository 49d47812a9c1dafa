"""How git, `gh` and the runner itself get at a repository on GitHub: with what the run's token file holds at that moment.

Between the token file, which the controller renews, and the programs of a run. No token is ever in a URL, an environment, an
argument or a repository's configuration; git's helper reads the file each time, `gh` finds a file that follows it. Nothing here
is used where the forge is on this machine.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it

import msgspec

from coderun.model.errors import ConfigError
from coderun.plan.order import GITHUB, ForgeRef, RunOrder

TOKEN_VARIABLE: Final = "CODERUN_FORGE_TOKEN_FILE"  # noqa: S105 - a variable's name
_HELPER: Final = (
    '!f() { test "$1" = get || exit 0; echo username=x-access-token; '
    f'printf "password=%s\\n" "$(cat "${TOKEN_VARIABLE}")"; }}; f'
)
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_WATCH_SECONDS: Final = 2.0
_PATIENCE: Final = 75.0  # the controller looks at a run every thirty seconds


def git_settings(forge: ForgeRef) -> tuple[str, ...]:
    """Settings, as `name=value`, that let git show the run's token to this GitHub and to nobody else."""
    if forge.kind != GITHUB:
        return ()
    return (f"credential.{forge.web}.helper=", f"credential.{forge.web}.helper={_HELPER}")


def git_variables(forge: ForgeRef, inherited: Mapping[str, str]) -> dict[str, str]:
    """What git must know of this machine's way to the network, out of the runner's environment."""
    if forge.kind != GITHUB:
        return {}
    found = {name: inherited[name] for name in _PROXIES if inherited.get(name)}
    if inherited.get("SSL_CERT_FILE"):
        found["GIT_SSL_CAINFO"] = inherited["SSL_CERT_FILE"]
    return found


def agent_variables(order: RunOrder, *, gh: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What an agent's own git and `gh` find in its environment; no secret is among it."""
    settings = [setting.partition("=") for setting in git_settings(order.forge)]
    if not settings:
        return {}
    counted = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0"}
    for at, (name, _, value) in enumerate(settings):
        counted |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    return {
        **git_variables(order.forge, inherited),
        **counted,
        "GH_CONFIG_DIR": str(gh),
        "GH_HOST": urlsplit(order.forge.web).netloc,
        "GH_PROMPT_DISABLED": "1",
        "GH_NO_UPDATE_NOTIFIER": "1",
    }


def gh_folder(tmp: Path) -> Path:
    """Where `gh` has its configuration in a run, given the run's folder for temporary files."""
    return tmp / "gh"


def write_gh(folder: Path, order: RunOrder, token: str) -> None:
    """Write the configuration of `gh`: it acts as the agent, with this token. For the user alone; whole or not at all."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    login = order.agent.login
    host = {"git_protocol": "https", "user": login, "oauth_token": token, "users": {login: {"oauth_token": token}}}
    # JSON is YAML, and needs no thought about what a login may hold.
    _write_private(folder / "hosts.yml", msgspec.json.encode({urlsplit(order.forge.web).netloc: host}))
    _write_private(folder / "config.yml", msgspec.json.encode({"version": "1", "git_protocol": "https", "prompt": "disabled"}))


def _write_private(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)


async def keep_gh_fresh(
    folder: Path, order: RunOrder, token: Path, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Let `gh`'s configuration follow the token file, until cancelled."""
    written = ""
    while True:
        text = read_token(token)
        if text and text != written:
            with contextlib.suppress(OSError):  # a full disk may have room the next time
                write_gh(folder, order, text)
                written = text
        await sleep(_WATCH_SECONDS)


def read_token(path: Path) -> str:
    """What the token file holds now, "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class TokenFile:
    """The credential (`forge.github.client.Credential`) of a run: whatever its token file holds when it is asked."""

    def __init__(
        self,
        path: Path,
        *,
        identity: str,
        patience: float = _PATIENCE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.identity = identity
        self._path = path
        self._patience = patience
        self._sleep = sleep

    async def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {read_token(self._path)}"

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """GitHub does not take the token: wait for the controller to put another one there, as long as that may take."""
        _ = date
        waited = 0.0
        while waited <= self._patience:
            if await self.authorization() != authorization:
                return 0.0
            await self._sleep(_WATCH_SECONDS)
            waited += _WATCH_SECONDS
        return None


def proxy_for(web: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for an address, None where it is to be reached without one.

    As curl and git read it: lower case goes first, and a proxy without a scheme speaks HTTP.

    Raises:
        ConfigError: what is named is no HTTP proxy.
    """
    parts = urlsplit(web)
    named = {name.lower().removesuffix("_proxy"): (name, environment[name]) for name in _PROXIES if environment.get(name)}
    proxies = {scheme: value for scheme, (_, value) in named.items()}
    if parts.scheme not in proxies or (proxies.get("no") and proxy_bypass_environment(parts.hostname or "", proxies)):
        return None
    name, value = named[parts.scheme]
    proxy = value if "://" in value else f"http://{value}"
    if not _is_http(proxy):
        raise ConfigError(f"${name} names no HTTP proxy; write http://host:port, or unset it")  # it may hold a password
    return proxy


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def proxy_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Passwords of the proxies that the environment names, as they stand there and as they are meant."""
    found: set[str] = set()
    for value in (environment.get(name, "") for name in _PROXIES):
        user, _, _ = value.rpartition("@")
        _, colon, password = user.rpartition("://")[2].partition(":")
        if colon and password:
            found |= {password, unquote(password)}
    return tuple(sorted(found))
