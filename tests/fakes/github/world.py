"""Everything the fake holds, and how it is found: names without case, ids, tokens. No HTTP, no decisions."""

import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.fakes.github.errors import not_found
from tests.fakes.github.state import Account, App, Installation, IssueEvent, Label, Pull, Repo, Ruleset, Token


class Sender(Protocol):
    """Sends an event to whoever listens."""

    def __call__(self, event: str, body: dict[str, Any], *, repo: Repo | None = None, app: App | None = None) -> None:
        """Builds nothing: the body is whole but for `installation`."""
        ...


def _deaf(event: str, body: dict[str, Any], *, repo: Repo | None = None, app: App | None = None) -> None:
    """Before the server is up nobody listens."""


@dataclass(kw_only=True)
class World:
    """The state of one fake GitHub; `url` is where it answers, `api` where its REST does."""

    folder: Path
    clock: Callable[[], float]
    url: str = ""
    enterprise: bool = False
    accounts: list[Account] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)
    installations: list[Installation] = field(default_factory=list)
    repos: list[Repo] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)
    send: Sender = _deaf
    redirects: dict[str, Repo] = field(default_factory=dict)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ids: Iterable[int] = field(default_factory=lambda: itertools.count(1001))

    @property
    def api(self) -> str:
        """The root of the REST API."""
        return f"{self.url}/api/v3" if self.enterprise else self.url

    def new_id(self) -> int:
        """A number no other thing has."""
        return next(iter(self._ids))

    def new_secret(self, prefix: str) -> str:
        """A token nobody can guess."""
        return prefix + secrets.token_urlsafe(27).replace("-", "x").replace("_", "y")

    def add_account(self, login: str, kind: str = "User") -> Account:
        """A new account, or the one of that login."""
        found = self.find_account(login)
        if found is None:
            found = Account(id=self.new_id(), login=login, kind=kind, created_at=self.clock())
            self.accounts.append(found)
        return found

    def find_account(self, login: str) -> Account | None:
        """The account of a login, without case."""
        return next((account for account in self.accounts if account.login.lower() == login.lower()), None)

    def find_repo(self, owner: str, name: str) -> Repo | None:
        """The repository, without case."""
        wanted = f"{owner}/{name}".lower()
        return next((repo for repo in self.repos if repo.full_name.lower() == wanted), None)

    def named(self, full_name: str) -> Repo:
        """The repository that a test speaks of."""
        found = self.find_repo(*full_name.split("/"))
        assert found is not None, f"the fake has no repository {full_name}"
        return found

    def moved(self, owner: str, name: str) -> Repo | None:
        """The repository that had this name before it was transferred or renamed."""
        return self.redirects.get(f"{owner}/{name}".lower())

    def find_installation(self, app: App, account: Account) -> Installation | None:
        """The App's installation on an account."""
        return next((one for one in self.installations if one.app is app and one.account is account), None)

    def app_of(self, account: Account) -> App | None:
        """The App whose bot an account is."""
        return next((app for app in self.apps if app.bot is account), None)

    def get_pull(self, repo: Repo, number: int) -> Pull:
        """The pull request, or a 404."""
        if (pull := repo.pulls.get(number)) is None:
            raise not_found()
        return pull

    def role(self, repo: Repo, account: Account) -> str:
        """What a person is to a repository: a role's name, `none` where they are nobody."""
        if account is repo.owner:
            return "admin"
        return repo.collaborators.get(account.id, "none" if repo.private else "read")

    def label(self, repo: Repo, name: str, **fields: Any) -> tuple[Label, bool]:
        """The repository's label of that name, without case, and whether it had to be made."""
        for label in repo.labels:
            if label.name.lower() == name.lower():
                return label, False
        label = Label(id=self.new_id(), name=name, **fields)
        repo.labels.append(label)
        return label, True

    def note(self, pull: Pull, kind: str, actor: Account, **fields: Any) -> None:
        """Adds to a pull request's history."""
        event = IssueEvent(id=self.new_id(), kind=kind, actor=actor, created_at=self.clock(), app=self.app_of(actor), **fields)
        pull.events.append(event)
        pull.updated_at = self.clock()

    def rulesets(self, repo: Repo) -> list[Ruleset]:
        """The rulesets that are in force."""
        return [rules for rules in repo.rulesets if rules.enforcement == "active"]
