"""Repository ids: one canonical form for slug, https, ssh and path."""

import re
from typing import Final

import msgspec

from coderun.model.errors import ConfigError

_URL = re.compile(r"(?:https?|ssh|git)://(?:[^@/\s]*@)?(?P<host>[^/:\s]+)(?::\d+)?/(?P<path>[^\s]+)", re.IGNORECASE)
_SCP = re.compile(r"(?:[^@/\s]+@)(?P<host>[^/:\s]+):(?P<path>[^\s]+)")
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


def parse_repository(text: str) -> RepositoryId:
    """The canonical id behind a slug (`owner/name`), an https, git or ssh URL, an scp-like address or an absolute path.

    Case, `.git`, trailing slashes and user parts make no difference. A relative path is refused: what it means depends on
    where one stands.

    Raises:
        ConfigError: `text` is none of these.
    """
    raw = text.strip()
    if raw.startswith("file://"):
        raw = raw.removeprefix("file://")
    if raw.startswith("/"):
        return RepositoryId(host=LOCAL_HOST, owner="", name=raw.rstrip("/") or "/")
    found = _URL.fullmatch(raw) or _SCP.fullmatch(raw)
    host, path = (found["host"], found["path"]) if found else (DEFAULT_HOST, raw)
    slug = _SLUG.fullmatch(path.strip("/").removesuffix(".git"))
    if slug is None or slug["name"] in {".", ".."}:
        raise ConfigError(
            f"repository {text!r} is not understood; write owner/name, https://host/owner/name, "
            "git@host:owner/name.git or an absolute path"
        )
    return RepositoryId(host=host.lower(), owner=slug["owner"].lower(), name=slug["name"].lower())
