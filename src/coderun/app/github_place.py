"""Which GitHub, and which repository there: from the command line, `coderun.yaml`, or where `origin` points. Asks git only."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from coderun.app.places import ask_git
from coderun.model.config import ForgeSettings, ForgeType
from coderun.model.errors import ConfigError
from coderun.model.github import GitHubHost, github_host
from coderun.model.repository import DEFAULT_HOST, RepositoryId, parse_repository


class GitHubPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A repository on a GitHub."""

    host: GitHubHost
    repository: RepositoryId

    @property
    def slug(self) -> str:
        """`owner/name`."""
        return f"{self.repository.owner}/{self.repository.name}"

    @property
    def page(self) -> str:
        """The repository's page."""
        return f"{self.host.web}/{self.slug}"


def find_place(
    folder: Path, settings: ForgeSettings, *, environ: Mapping[str, str], url: str = "", repository: str = ""
) -> GitHubPlace:
    """The repository that `url` and `repository` name, else `coderun.yaml`, else the one that `origin` points to.

    Raises:
        ConfigError: nothing names one, or what does is no repository of a GitHub.
    """
    configured = settings if settings.type is ForgeType.GITHUB else ForgeSettings()
    address = url or configured.url
    named = repository or configured.repository or _origin(folder, environ)
    if not named:
        raise ConfigError(
            "nothing says which repository on GitHub is meant; name it with --repository owner/name, or write "
            "`forge: {type: github, repository: owner/name}` into coderun.yaml"
        )
    found = parse_repository(named)
    if found.is_local:
        raise ConfigError(f"{named} is a folder and no repository on GitHub; name one with --repository owner/name")
    host = github_host(address or _address_of(named, found))
    own = urlsplit(host.web).hostname or DEFAULT_HOST
    if found.host not in {DEFAULT_HOST, own}:
        raise ConfigError(
            f"repository {named} is on {found.host}, but the GitHub that is named is {host.name}; correct one of them"
        )
    return GitHubPlace(host=host, repository=msgspec.structs.replace(found, host=own))


def _address_of(named: str, found: RepositoryId) -> str:
    """Where the GitHub of a repository is that was named by URL; that of an ssh address is taken to speak https."""
    if found.host == DEFAULT_HOST:
        return ""
    parts = urlsplit(named)
    if parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"https://{found.host}"


def _origin(folder: Path, environ: Mapping[str, str]) -> str:
    answer = ask_git(folder, "remote", "get-url", "origin", environ=environ)
    return answer.out.strip() if answer.code == 0 else ""
