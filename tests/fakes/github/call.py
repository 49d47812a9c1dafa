"""One request on its way through a route, and what a route answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.fakes.github.auth import Caller
from tests.fakes.github.errors import ApiError, invalid, not_found
from tests.fakes.github.state import Account, App, Level, Pull, Repo
from tests.fakes.github.world import World

if TYPE_CHECKING:
    from tests.fakes.github.webhooks import Webhooks

PAGE = 30
MAX_PAGE = 100
_LONGEST = {("IssueComment", "body"): 65536, ("PullRequest", "title"): 256, ("Label", "name"): 50}


@dataclass(kw_only=True)
class Answer:
    """What goes back; a `body` of None sends nothing, a text goes as it is."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json; charset=utf-8"


@dataclass(kw_only=True)
class Call:
    """A request whose caller is known and whose repository has been found."""

    world: World
    webhooks: "Webhooks"
    caller: Caller
    params: Mapping[str, str]
    query: Mapping[str, str]
    path: str
    accept: str
    data: Any
    found: Repo | None = None
    limits: Callable[[str], dict[str, int]]

    @property
    def repo(self) -> Repo:
        """The repository of the path."""
        if self.found is None:
            raise not_found()
        return self.found

    @property
    def app(self) -> App:
        """The App that calls by JWT."""
        if self.caller.app is None:
            raise ApiError(401, "A JSON web token could not be decoded")
        return self.caller.app

    @property
    def account(self) -> Account:
        """The account that acts."""
        return self.caller.acting()

    @property
    def pull(self) -> Pull:
        """The pull request of the path."""
        return self.world.get_pull(self.repo, self.number("pull_number" if "pull_number" in self.params else "issue_number"))

    def number(self, name: str) -> int:
        """A number of the path."""
        text = self.params[name]
        if not text.isdigit():
            raise not_found()
        return int(text)

    @property
    def fields(self) -> dict[str, Any]:
        """The object of the body."""
        if self.data is None:
            return {}
        if not isinstance(self.data, dict):
            raise ApiError(422, "Invalid request.\n\nBody should be a JSON object")
        return self.data

    def text(self, resource: str, name: str) -> str:
        """A text that the body must have."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            raise invalid(resource, name, code="missing_field")
        longest = _LONGEST.get((resource, name))
        if longest is not None and len(value) > longest:
            raise invalid(resource, name, message=f"{name} is too long (maximum is {longest} characters)")
        return value

    async def sha(self, name: str) -> str:
        """The commit of a revision of the path, or of a `ref` in the query."""
        revision = self.params.get(name) or self.query.get(name) or self.repo.default_branch
        sha = await self.repo.git.resolve(revision.removeprefix("heads/"))
        if sha is None:
            raise ApiError(422, f"No commit found for SHA: {revision}")
        return sha

    @property
    def page_size(self) -> int:
        """How many entries a page has."""
        return min(max(1, _number(self.query.get("per_page"), PAGE)), MAX_PAGE)

    def page(self, items: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
        """The page that was asked for, and its `Link`."""
        size = self.page_size
        page = max(1, _number(self.query.get("page"), 1))
        last = max(1, -(-len(items) // size))
        shown = list(items[(page - 1) * size : page * size])
        targets = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        if page == 1:
            del targets["prev"], targets["first"]
        if page >= last:
            del targets["next"], targets["last"]
        return shown, self.link(targets)

    def link(self, targets: Mapping[str, Any], parameter: str = "page") -> dict[str, str]:
        """A `Link` header over pages or cursors."""
        parts = []
        for relation, target in targets.items():
            query = urlencode({**self.query, parameter: target})
            parts.append(f'<{self.world.api}{self.path}?{query}>; rel="{relation}"')
        return {"Link": ", ".join(parts)} if parts else {}

    def listed(self, items: Sequence[Any], render: Callable[[Any], Any], key: str = "") -> Answer:
        """A page of a list; with a key, inside an object that counts the whole."""
        shown, headers = self.page(items)
        rendered = [render(item) for item in shown]
        return Answer(body={"total_count": len(items), key: rendered} if key else rendered, headers=headers)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default


class Who(Enum):
    """Whom a route is for."""

    ANYONE = auto()
    APP = auto()
    TOKEN = auto()


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """An endpoint; `path` is spelled as in GitHub's OpenAPI (else `described` is), `permission` is about its repository."""

    method: str
    path: str
    handler: Handler
    permission: str = "metadata"
    level: Level = Level.READ
    who: Who = Who.ANYONE
    described: str = ""

    @property
    def template(self) -> str:
        """Where GitHub's OpenAPI describes it."""
        return self.described or self.path


def read(path: str, handler: Handler, permission: str = "metadata") -> Route:
    """A GET that a read token may do."""
    return Route(method="GET", path=path, handler=handler, permission=permission)


def write(method: str, path: str, handler: Handler, permission: str) -> Route:
    """A change that a write token may do."""
    return Route(method=method, path=path, handler=handler, permission=permission, level=Level.WRITE)


def app(method: str, path: str, handler: Handler) -> Route:
    """An endpoint for an App's JWT."""
    return Route(method=method, path=path, handler=handler, who=Who.APP)
