"""What the fake remembers: accounts, Apps, repositories, pull requests and what hangs on them. Data only, changed in place."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from tests.fakes.github.git import Bare

NO_SHA = "0" * 40


class Level(IntEnum):
    """How much of a thing a caller may do."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


LEVELS = {"none": Level.NONE, "read": Level.READ, "triage": Level.READ, "write": Level.WRITE, "maintain": Level.WRITE}
LEVELS["admin"] = Level.ADMIN


def stamp(moment: float) -> str:
    """A moment as GitHub writes it: whole seconds, `Z`."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(kw_only=True, eq=False)
class Account:
    """A person, an organisation, or an App's bot."""

    id: int
    login: str
    kind: str = "User"
    created_at: float


@dataclass(kw_only=True, eq=False)
class Delivery:
    """One attempt to deliver an event."""

    id: int
    guid: str
    event: str
    action: str | None
    body: bytes
    headers: dict[str, str]
    delivered_at: float
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    installation_id: int | None = None
    repository_id: int | None = None
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass(kw_only=True, eq=False)
class Hook:
    """Where an App's or a repository's events go."""

    id: int
    url: str = ""
    secret: str = ""
    events: list[str] = field(default_factory=list)
    target: str = "integration"
    target_id: int = 0
    deliveries: deque[Delivery] = field(default_factory=lambda: deque(maxlen=20_000))


@dataclass(kw_only=True, eq=False)
class App:
    """A GitHub App; its private key is with whoever made it."""

    id: int
    slug: str
    name: str
    client_id: str
    owner: Account
    bot: Account
    public_key: Any
    permissions: dict[str, str]
    events: list[str]
    hook: Hook
    created_at: float


@dataclass(kw_only=True, eq=False)
class Installation:
    """An App on an account; `repos` None stands for all of them."""

    id: int
    app: App
    account: Account
    permissions: dict[str, str]
    repos: set[int] | None
    created_at: float
    suspended_at: float | None = None

    def reaches(self, repo: "Repo") -> bool:
        """Whether the repository is part of it."""
        return repo.owner is self.account and (self.repos is None or repo.id in self.repos)


@dataclass(kw_only=True, eq=False)
class Token:
    """What a caller shows; of an installation, or of a person (`installation` None, no end)."""

    value: str
    account: Account
    installation: Installation | None = None
    permissions: dict[str, str] = field(default_factory=dict)
    repos: frozenset[int] | None = None
    expires_at: float | None = None


@dataclass(kw_only=True, eq=False)
class Label:
    """A label of a repository."""

    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(kw_only=True, eq=False)
class Comment:
    """A comment of the conversation."""

    id: int
    author: Account
    body: str
    created_at: float
    updated_at: float
    app: App | None = None
    reactions: list[tuple[Account, str]] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Review:
    """A review; `state` upper case as REST has it."""

    id: int
    author: Account
    state: str
    body: str
    commit_id: str
    submitted_at: float | None


@dataclass(kw_only=True, eq=False)
class IssueEvent:
    """An entry of a pull request's history."""

    id: int
    kind: str
    actor: Account
    created_at: float
    label: Label | None = None
    commit_id: str | None = None
    app: App | None = None


@dataclass(kw_only=True, eq=False)
class Status:
    """A commit status."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: Account
    created_at: float


@dataclass(kw_only=True, eq=False)
class CheckRun:
    """A check run of an App."""

    id: int
    sha: str
    name: str
    app: App
    status: str
    conclusion: str | None
    started_at: float
    completed_at: float | None
    external_id: str = ""
    details_url: str | None = None
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Activity:
    """An entry of the repository's activity: a ref that moved, and who moved it."""

    id: int
    ref: str
    before: str
    after: str
    kind: str
    actor: Account
    created_at: float


@dataclass(kw_only=True, eq=False)
class Ruleset:
    """Rules over branches; `include` and `exclude` are full ref patterns, `~DEFAULT_BRANCH` or `~ALL`."""

    id: int
    name: str
    rules: list[dict[str, Any]]
    include: list[str]
    exclude: list[str] = field(default_factory=list)
    enforcement: str = "active"
    bypass: set[str] = field(default_factory=set)
    classic: bool = False
    created_at: float


@dataclass(kw_only=True, eq=False)
class Pull:
    """A pull request; the numbers of its diff are those of the last look at it."""

    id: int
    number: int
    author: Account
    title: str
    body: str | None
    head_ref: str
    head_repo: "Repo | None"
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool
    created_at: float
    updated_at: float
    state: str = "open"
    closed_at: float | None = None
    merged_at: float | None = None
    merged_by: Account | None = None
    merge_commit_sha: str | None = None
    labels: list[Label] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    events: list[IssueEvent] = field(default_factory=list)
    requested: list[Account] = field(default_factory=list)
    conflicts: bool = False
    computed: bool = False
    behind: bool = False
    commits: int = 0
    additions: int = 0
    deletions: int = 0
    changed_files: int = 0


@dataclass(kw_only=True, eq=False)
class Repo:
    """A repository: the bare git repository, and everything beside it."""

    id: int
    owner: Account
    name: str
    git: Bare
    default_branch: str
    private: bool
    created_at: float
    pushed_at: float
    fork: bool = False
    pulls: dict[int, Pull] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    checks: list[CheckRun] = field(default_factory=list)
    activity: list[Activity] = field(default_factory=list)
    rulesets: list[Ruleset] = field(default_factory=list)
    collaborators: dict[int, str] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"
