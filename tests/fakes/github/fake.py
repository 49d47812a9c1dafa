"""`FakeGitHub`: a GitHub inside a test, and the controls that stand for its people and its bad days.

    async with FakeGitHub(tmp_path) as github:
        repo = await github.create_repo("5dlabs/demo", source=some_git_folder)
        rex = github.create_app("5DLabs-Rex", permissions={"contents": "write", "pull_requests": "write"})
        github.install(rex, "5dlabs", repos=["demo"])
        rex.private_key   # PEM text, for the App's own JWTs
        github.url        # where REST and git answer; `enterprise=True` puts REST below /api/v3

Every control acts at once; webhooks are delivered by tasks, `await github.settle()` waits for them.
"""

import shutil
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from tests.fakes.github import events
from tests.fakes.github.auth import mint
from tests.fakes.github.faults import Fault, FaultKind, WebhookFault, WebhookFaultKind
from tests.fakes.github.git import Bare
from tests.fakes.github.git_http import install_hook
from tests.fakes.github.people import People
from tests.fakes.github.registration import new_key, register
from tests.fakes.github.routes import ROUTES
from tests.fakes.github.server import Server
from tests.fakes.github.state import Account, App, Hook, Installation, Pull, Repo, Ruleset, Token
from tests.fakes.github.webhooks import Webhooks
from tests.fakes.github.world import World

EVENTS = (
    "check_run",
    "create",
    "delete",
    "issue_comment",
    "label",
    "merge_group",
    "pull_request",
    "pull_request_review",
    "push",
    "status",
)


class MadeApp:
    """An App as its maker has it, private key included."""

    def __init__(self, app: App, private_key: str) -> None:
        self.app = app
        self.id = app.id
        self.slug = app.slug
        self.client_id = app.client_id
        self.login = app.bot.login
        self.private_key = private_key


class FakeGitHub:
    """The server on a free port of the loopback interface (or of `host`), as an asynchronous context manager.

    `clock` gives epoch seconds; `keep` keeps every body that goes out (`journal`, `webhooks.sent`) for tests that look at them;
    with `tls` it speaks https.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        enterprise: bool = False,
        keep: bool = False,
        port: int = 0,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.world = World(folder=folder, clock=clock, enterprise=enterprise)
        self.webhooks = Webhooks(self.world, keep=keep)
        self.server = Server(self.world, self.webhooks, ROUTES, keep=keep)
        self.people = People(self.world)
        self._port = port
        self._host = host
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.server.application(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
        await site.start()
        self.world.url = f"{'https' if self._tls else 'http'}://{self._host}:{self._runner.addresses[0][1]}"
        await self.webhooks.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.webhooks.stop()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where git and pages are."""
        return self.world.url

    @property
    def api_url(self) -> str:
        """The root of the REST API."""
        return self.world.api

    @property
    def journal(self) -> list[Any]:
        """Every REST request so far: method, path, template, caller, status (and body)."""
        return list(self.server.journal)

    # -- people and places

    def add_user(self, login: str) -> Account:
        """A person."""
        return self.world.add_account(login)

    def add_organization(self, login: str) -> Account:
        """An organisation."""
        return self.world.add_account(login, "Organization")

    def personal_token(self, login: str) -> str:
        """A token that may do what the person may."""
        token = Token(value=self.world.new_secret("ghp_"), account=self.add_user(login))
        self.world.tokens[token.value] = token
        return token.value

    def add_collaborator(self, full_name: str, login: str, role: str = "write") -> Account:
        """Gives a person a role: read, triage, write, maintain or admin."""
        account = self.add_user(login)
        self.repo(full_name).collaborators[account.id] = role
        return account

    def repo(self, full_name: str) -> Repo:
        """The repository of that name."""
        return self.world.named(full_name)

    def pull(self, full_name: str, number: int) -> Pull:
        """The pull request, as it stands in the fake's memory."""
        return self.repo(full_name).pulls[number]

    async def create_repo(
        self, full_name: str, *, source: Path | None = None, default_branch: str = "main", private: bool = True
    ) -> Repo:
        """A repository: empty, or with the branches and tags of a git folder."""
        owner, name = full_name.split("/")
        account = self.world.find_account(owner) or self.add_organization(owner)
        return await self._add_repo(account, name, source, default_branch, private=private)

    async def fork(self, full_name: str, login: str) -> Repo:
        """A person's fork of a repository."""
        parent = self.repo(full_name)
        made = await self._add_repo(
            self.add_user(login), parent.name, parent.git.path, parent.default_branch, private=parent.private
        )
        made.fork = True
        return made

    async def _add_repo(self, owner: Account, name: str, source: Path | None, branch: str, *, private: bool) -> Repo:
        now, number = self.world.clock(), self.world.new_id()
        path = self.world.folder / f"{number}.git"
        path.mkdir(parents=True)
        git = Bare(path)
        await git.run("init", "--quiet", "--bare", f"--initial-branch={branch}")
        settings = {"http.receivepack": "true", "uploadpack.allowFilter": "true", "receive.hideRefs": "refs/pull"}
        for key, value in settings.items():
            await git.run("config", key, value)
        if source is not None:
            await git.run("fetch", "--quiet", str(source), "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
        install_hook(path)
        repo = Repo(
            id=number,
            owner=owner,
            name=name,
            git=git,
            default_branch=branch,
            private=private,
            created_at=now,
            pushed_at=now,
        )
        self.world.repos.append(repo)
        return repo

    async def delete_repo(self, full_name: str) -> None:
        """Takes a repository away, its files too; pull requests from it stay, without a head repository."""
        repo = self.repo(full_name)
        self.world.repos.remove(repo)
        for pull in [pull for other in self.world.repos for pull in other.pulls.values()]:
            if pull.head_repo is repo:
                pull.head_repo = None
        shutil.rmtree(repo.git.path)

    def transfer(self, full_name: str, new_name: str) -> None:
        """Moves a repository to another owner or name; the old name redirects."""
        repo = self.repo(full_name)
        owner, repo.name = new_name.split("/")
        repo.owner = self.world.find_account(owner) or self.add_organization(owner)
        self.world.redirects[full_name.lower()] = repo

    # -- Apps

    def create_app(
        self,
        name: str,
        *,
        slug: str | None = None,
        permissions: dict[str, str] | None = None,
        subscribed: Iterable[str] = EVENTS,
        owner: str = "apps",
        webhook_url: str = "",
        webhook_secret: str = "",
    ) -> MadeApp:
        """An App with a new key, not installed anywhere yet."""
        app, key = register(
            self.world,
            self.add_organization(owner),
            name,
            slug=slug or "",
            permissions=dict(permissions or {}),
            events=subscribed,
            url=webhook_url,
            secret=webhook_secret,
        )
        return MadeApp(app, key)

    def replace_key(self, made: MadeApp) -> str:
        """Gives an App another private key (PEM); what is signed with the old one counts no more."""
        made.app.public_key, made.private_key = new_key()
        return made.private_key

    def install(self, made: MadeApp, login: str, *, repos: Iterable[str] | None = None) -> Installation:
        """Installs an App on an account, for all its repositories or the named ones."""
        account = self.world.find_account(login) or self.add_organization(login)
        chosen = None if repos is None else {self.repo(f"{login}/{name}").id for name in repos}
        one = Installation(
            id=self.world.new_id(),
            app=made.app,
            account=account,
            permissions=dict(made.app.permissions),
            repos=chosen,
            created_at=self.world.clock(),
        )
        self.world.installations.append(one)
        events.installation(self.world, "created", one, account)
        return one

    def uninstall(self, one: Installation) -> None:
        """Ends an installation; its tokens are worth nothing from now on."""
        self.world.installations.remove(one)
        events.installation(self.world, "deleted", one, one.account)

    def suspend(self, one: Installation) -> None:
        """Suspends an installation."""
        one.suspended_at = self.world.clock()
        events.installation(self.world, "suspend", one, one.account)

    def unsuspend(self, one: Installation) -> None:
        """Lets a suspended installation go on."""
        one.suspended_at = None
        events.installation(self.world, "unsuspend", one, one.account)

    def installation_token(self, one: Installation, **wanted: Any) -> str:
        """A token without the detour over a JWT; the same rules."""
        return mint(self.world, one, wanted).value

    def expire_tokens(self) -> int:
        """Ends every installation token early; how many there were."""
        ending = [token for token in self.world.tokens.values() if token.expires_at is not None]
        for token in ending:
            token.expires_at = self.world.clock()
        return len(ending)

    # -- rules

    def add_ruleset(
        self,
        full_name: str,
        rules: list[dict[str, Any]],
        *,
        name: str = "rules",
        include: Iterable[str] = ("~DEFAULT_BRANCH",),
        bypass: Iterable[str] = (),
    ) -> Ruleset:
        """A ruleset in force; `bypass` are logins (`slug[bot]` for an App)."""
        return self._add_rules(full_name, rules, name, list(include), set(bypass), classic=False)

    def protect_branch(
        self, full_name: str, branch: str, *, contexts: Iterable[str] = (), approvals: int | None = None, strict: bool = False
    ) -> Ruleset:
        """Classic branch protection: required checks, reviews, no force pushes, no deletion."""
        rules: list[dict[str, Any]] = [{"type": "non_fast_forward"}, {"type": "deletion"}]
        if approvals is not None:
            rules.append({"type": "pull_request", "parameters": {"required_approving_review_count": approvals}})
        if contexts := list(contexts):
            checks = [{"context": context} for context in contexts]
            wanted = {"required_status_checks": checks, "strict_required_status_checks_policy": strict}
            rules.append({"type": "required_status_checks", "parameters": wanted})
        return self._add_rules(full_name, rules, "protection", [f"refs/heads/{branch}"], set(), classic=True)

    def _add_rules(
        self, full_name: str, rules: list[dict[str, Any]], name: str, include: list[str], bypass: set[str], *, classic: bool
    ) -> Ruleset:
        made = Ruleset(
            id=self.world.new_id(),
            name=name,
            rules=rules,
            include=include,
            bypass=bypass,
            classic=classic,
            created_at=self.world.clock(),
        )
        self.repo(full_name).rulesets.append(made)
        return made

    # -- bad days

    def fault(self, kind: FaultKind | str, **more: Any) -> None:
        """Trouble for requests to come: see `Fault`."""
        self.server.faults.waiting.append(Fault(kind=FaultKind(kind), **more))

    def webhook_fault(self, kind: WebhookFaultKind | str, **more: Any) -> None:
        """Trouble for deliveries to come: see `WebhookFault`."""
        self.webhooks.faults.waiting.append(WebhookFault(kind=WebhookFaultKind(kind), **more))

    def hold_webhooks(self) -> None:
        """Keeps deliveries back until `release_webhooks`."""
        self.webhooks.held = True

    def release_webhooks(self, order: list[int] | None = None) -> None:
        """Lets them go, in another order where one is given."""
        self.webhooks.release(order)

    async def settle(self) -> None:
        """Waits until every delivery that is not held has been tried."""
        await self.webhooks.settle()

    def add_repo_hook(self, full_name: str, url: str, secret: str = "", subscribed: Iterable[str] = ("*",)) -> Hook:
        """A webhook of the repository itself, whose payloads have no `installation`."""
        repo = self.repo(full_name)
        hook = Hook(
            id=self.world.new_id(),
            url=url,
            secret=secret,
            events=list(subscribed),
            target="repository",
            target_id=repo.id,
        )
        repo.hooks.append(hook)
        return hook
