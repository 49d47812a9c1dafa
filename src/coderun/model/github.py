"""A GitHub: github.com, a GitHub Enterprise Server, or a company's own github at ghe.com. Where its pages and its API are.

Pure. Says nothing about who may do what there (`forge.github.permissions`), nor who we are (`app.github_keys`).
"""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from coderun.model.errors import ConfigError
from coderun.model.text import printable

PUBLIC_WEB: Final = "https://github.com"
PUBLIC_API: Final = "https://api.github.com"
_PUBLIC_NAMES: Final = frozenset({"github.com", "www.github.com", "api.github.com"})
_HOSTED: Final = ".ghe.com"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NETLOC: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[::1\])(?::[0-9]{1,5})?")


class GitHubHost(msgspec.Struct, frozen=True, kw_only=True):
    """One GitHub.

    Attributes:
        web: Base of its pages and of git, without a slash at its end.
        api: Base of its REST API, without a slash at its end.
    """

    web: str
    api: str

    @property
    def name(self) -> str:
        """Its host, with the port where that is not the usual one: `github.com`."""
        return urlsplit(self.web).netloc

    @property
    def is_hosted(self) -> bool:
        """Whether GitHub itself runs it (github.com, ghe.com)."""
        return self.name == "github.com" or self.name.endswith(_HOSTED)


def github_host(url: str = "") -> GitHubHost:
    """The GitHub at an address, `""` for github.com; the address of its API does as well.

    Raises:
        ConfigError: it is no https address (http only on this machine), or carries credentials.
    """
    given = url.strip()
    if not given:
        return GitHubHost(web=PUBLIC_WEB, api=PUBLIC_API)
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        netloc, host = parts.netloc.lower(), (parts.hostname or "").lower()
    except ValueError as error:
        raise _unusable(url) from error
    plain_http = parts.scheme == "http" and host in _LOOPBACK
    if not _NETLOC.fullmatch(netloc) or not (parts.scheme == "https" or plain_http) or parts.query or parts.fragment:
        raise _unusable(url)
    if netloc in _PUBLIC_NAMES:
        return GitHubHost(web=PUBLIC_WEB, api=PUBLIC_API)
    if host.endswith(_HOSTED):
        name = netloc.removeprefix("api.")
        return GitHubHost(web=f"https://{name}", api=f"https://api.{name}")
    web = f"{parts.scheme}://{netloc}{parts.path.rstrip('/').removesuffix('/api/v3').rstrip('/')}"
    return GitHubHost(web=web, api=f"{web}/api/v3")


def _unusable(url: str) -> ConfigError:
    shown = printable(re.sub(r"//\S*@", "//***@", url), 200)
    return ConfigError(f"{shown!r} is no address of a GitHub; write https://host, without credentials")
