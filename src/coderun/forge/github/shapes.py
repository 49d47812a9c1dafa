"""GitHub's REST objects as far as they are read here: unknown fields are passed over, absent ones have a value.

Used by `auth`, `reading` and `forge`; never written back. Every text is untrusted.
"""

from datetime import datetime

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A part of GitHub's answer."""


class User(Shape, frozen=True, kw_only=True):
    """An account: a person, an organisation or an App's bot."""

    login: str = ""


class Person(Shape, frozen=True, kw_only=True):
    """An account with its number: a person or an App's bot."""

    id: int
    login: str


class App(Shape, frozen=True, kw_only=True):
    """A GitHub App."""

    id: int = 0
    slug: str = ""


class Installation(Shape, frozen=True, kw_only=True):
    """Where an App is installed."""

    id: int
    suspended_at: datetime | None = None


class Named(Shape, frozen=True, kw_only=True):
    """Anything that is known by its name; `id` where its number is told."""

    name: str = ""
    id: int = 0


class IssuedToken(Shape, frozen=True, kw_only=True):
    """An installation token; `repository_selection` is `all` or `selected`."""

    token: str
    expires_at: datetime
    repository_selection: str = ""
    repositories: tuple[Named, ...] = ()


class Repository(Shape, frozen=True, kw_only=True):
    """A repository; `full_name` is as its owner spells it."""

    id: int = 0
    full_name: str = ""


class Ref(Shape, frozen=True, kw_only=True):
    """One side of a pull request; `repo` is None where a fork was deleted."""

    ref: str
    sha: str
    repo: Repository | None = None
    user: User | None = None


class Pull(Shape, frozen=True, kw_only=True):
    """A pull request; lists of them lack `merged`, `merged_by` and `mergeable`."""

    number: int
    node_id: str = ""
    head: Ref
    base: Ref
    state: str = "open"
    title: str = ""
    body: str | None = None
    html_url: str = ""
    draft: bool = False
    user: User | None = None
    labels: tuple[Named, ...] = ()
    created_at: datetime
    updated_at: datetime | None = None
    merged_at: datetime | None = None
    merged_by: User | None = None
    merge_commit_sha: str | None = None
    mergeable: bool | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether its head lives in another repository than its base."""
        return self.head.repo is None or self.base.repo is None or self.head.repo.id != self.base.repo.id


class IssueEvent(Shape, frozen=True, kw_only=True):
    """Something that happened to a pull request (`labeled`, `unlabeled`, …)."""

    id: int = 0
    event: str = ""
    actor: User | None = None
    label: Named | None = None
    created_at: datetime | None = None


class Activity(Shape, frozen=True, kw_only=True):
    """A move of a branch: who, from where to where, when."""

    after: str
    timestamp: datetime
    actor: User | None = None


class Review(Shape, frozen=True, kw_only=True):
    """A review; its state is upper case here and lower case in webhooks."""

    id: int
    state: str
    user: User | None = None
    body: str | None = None
    commit_id: str | None = None
    submitted_at: datetime | None = None


class Comment(Shape, frozen=True, kw_only=True):
    """A comment in a conversation."""

    id: int
    user: User | None = None
    body: str | None = None
    created_at: datetime | None = None


class ChangedFile(Shape, frozen=True, kw_only=True):
    """A file that a pull request or a comparison changes; `sha` is its blob's."""

    filename: str
    status: str = ""
    sha: str | None = None


class CheckOutput(Shape, frozen=True, kw_only=True):
    """What a check run tells people."""

    title: str | None = None
    summary: str | None = None


class CheckRun(Shape, frozen=True, kw_only=True):
    """A check run of one commit."""

    id: int = 0
    name: str
    status: str = ""
    conclusion: str | None = None
    output: CheckOutput = CheckOutput()
    app: App | None = None


class CheckRuns(Shape, frozen=True, kw_only=True):
    """A page of check runs."""

    check_runs: tuple[CheckRun, ...] = ()


class Status(Shape, frozen=True, kw_only=True):
    """A commit status; the newest of each context."""

    context: str
    state: str
    description: str | None = None


class CombinedStatus(Shape, frozen=True, kw_only=True):
    """A page of commit statuses."""

    statuses: tuple[Status, ...] = ()


class RequiredCheck(Shape, frozen=True, kw_only=True):
    """A check that a protection asks for; `app_id` and `integration_id` name the only App that may give it."""

    context: str
    app_id: int | None = None
    integration_id: int | None = None


class RequiredChecks(Shape, frozen=True, kw_only=True):
    """The checks that a branch's protection asks for; `enforcement_level` is `off` where they are not enforced."""

    enforcement_level: str = ""
    contexts: tuple[str, ...] = ()
    checks: tuple[RequiredCheck, ...] = ()


class Protection(Shape, frozen=True, kw_only=True):
    """A branch's protection as far as readers see it."""

    required_status_checks: RequiredChecks | None = None


class Branch(Shape, frozen=True, kw_only=True):
    """A branch."""

    name: str
    protection: Protection | None = None


class RuleParameters(Shape, frozen=True, kw_only=True):
    """Parameters of a rule, as far as they name checks."""

    required_status_checks: tuple[RequiredCheck, ...] = ()


class Rule(Shape, frozen=True, kw_only=True):
    """A rule of a ruleset that holds for a branch."""

    type: str = ""
    parameters: RuleParameters | None = None


class Permission(Shape, frozen=True, kw_only=True):
    """What an account may do to a repository: `admin`, `write`, `read`, `none`."""

    permission: str = "none"


class GraphAnswer(Shape, frozen=True, kw_only=True):
    """The answer of GraphQL, as far as it refuses."""

    errors: tuple["GraphError", ...] = ()


class GraphError(Shape, frozen=True, kw_only=True):
    """Why GraphQL refuses."""

    message: str = ""


class Comparison(Shape, frozen=True, kw_only=True):
    """What one commit has that another lacks."""

    files: tuple[ChangedFile, ...] = ()
