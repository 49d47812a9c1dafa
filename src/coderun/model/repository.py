"""Repository ids: one canonical form for slug, https, ssh and path."""

import re
from typing import Final

import msgspec

from coderun.model.errors import ConfigError
from coderun.model.names import dns_label

_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
_URL = re.compile(rf"(?:https?|ssh|git)://(?:[^@/\s]*@)?{_HOST}(?::[0-9]+)?/(?P<path>\S+)", re.IGNORECASE)
_SCP = re.compile(rf"[^@/\s]+@{_HOST}:(?P<path>\S+)")
_CANONICAL = re.compile(rf"{_HOST}/(?P<path>[^/\s]+/[^/\s]+)")
_CREDENTIALS = re.compile(r"//\S*@")
_GIT_SUFFIX = re.compile(r"\.git/*\Z", re.IGNORECASE)
_SLUG = re.compile(r"(?P<owner>[A-Za-z0-9][A-Za-z0-9-]*)/(?P<name>[A-Za-z0-9._-]+)")
DEFAULT_HOST: Final = "github.com"
LOCAL_HOST: Final = ""


class RepositoryId(msgspec.Struct, frozen=True, kw_only=True):
    """A repository, in one form: equal ids are one repository.

    Attributes:
        host: Forge host, lower case; empty for a repository that is a folder on this machine.
        owner: Account that owns it, lower case; empty for a local one.
        name: Repository name, lower case; for a local one the absolute path.
    """

    host: str
    owner: str
    name: str

    @property
    def is_local(self) -> bool:
        """Whether this is a folder on this machine."""
        return self.host == LOCAL_HOST

    @property
    def slug(self) -> str:
        """`owner-name`, or the folder's name for a local repository: for names, not for identity."""
        return self.name.rstrip("/").rpartition("/")[2] if self.is_local else f"{self.owner}-{self.name}"

    def __str__(self) -> str:
        """`host/owner/name`, or the path."""
        return self.name if self.is_local else f"{self.host}/{self.owner}/{self.name}"


def default_service(repository_url: str) -> str:
    """The service of what is played in a repository where nobody names one: the repository's name as a DNS label."""
    try:
        name = parse_repository(repository_url).name
    except ConfigError:
        name = repository_url
    return dns_label(name.rstrip("/").rpartition("/")[2])


def canonical(text: str, host: str = DEFAULT_HOST) -> str:
    """The canonical id behind `text`, as text; what is no repository stays as it is, and is equal to itself only."""
    try:
        return str(parse_repository(text, host))
    except ConfigError:
        return text


def host_of(web: str) -> str:
    """The host of the repositories of the forge at that address (a URL without a path). Raises as `parse_repository`."""
    return parse_repository(f"{web}/owner/name").host


def names_a_host(text: str) -> bool:
    """Whether `text` says on which host the repository is; what is only owner/name does not."""
    return any(pattern.fullmatch(text.strip()) for pattern in (_URL, _SCP, _CANONICAL))


def parse_repository(text: str, host: str = DEFAULT_HOST) -> RepositoryId:
    """The canonical id behind a slug (`owner/name`), an https, git or ssh URL, an scp-like address or an absolute path.

    What is only owner/name is on `host`. The text of an id (`host/owner/name`) gives that id again. Case, `.git`, trailing
    slashes and user parts make no difference, nor do the port and, in a path, empty and `.` parts. A relative path is refused:
    what it means depends on where one stands.

    Raises:
        ConfigError: `text` is none of these.
    """
    raw = text.strip()
    path = raw.removeprefix("file://localhost").removeprefix("file://")
    if path.startswith("/"):
        return RepositoryId(host=LOCAL_HOST, owner="", name="/" + "/".join(p for p in path.split("/") if p not in {"", "."}))
    found = _URL.fullmatch(raw) or _SCP.fullmatch(raw) or _CANONICAL.fullmatch(raw)
    of_host, path = (found["host"], found["path"]) if found else (host, raw)
    slug = _SLUG.fullmatch(_GIT_SUFFIX.sub("", path).strip("/"))
    if slug is None or slug["name"] in {".", ".."}:
        shown = _CREDENTIALS.sub("//***@", text)
        raise ConfigError(
            f"repository {shown!r} is not understood; write owner/name, https://host/owner/name, "
            "git@host:owner/name.git or an absolute path"
        )
    return RepositoryId(host=of_host.lower(), owner=slug["owner"].lower(), name=slug["name"].lower())
