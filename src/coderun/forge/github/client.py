"""The HTTP client of GitHub's REST API, and the only module of this room that knows aiohttp.

Between `auth`, which says what the `Authorization` header is, and `reading` and `forge`, which know the paths. It pages, keeps
ETags, waits for limits, tries again what may be tried again and turns refusals into errors. It never logs a header or a body,
and never shows a credential to another origin than its own. A request that creates something is sent once: whoever makes it
looks first when it is asked again.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
import msgspec
import structlog
from yarl import URL

from coderun.forge.github.answers import Answer, refusal_of, same_origin
from coderun.forge.github.etags import EtagCache, Kept
from coderun.forge.github.limits import Limits, budget_of
from coderun.model.errors import CoderunError, ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.metrics import ForgeMetrics, NoMetrics
from coderun.model.text import printable

T = TypeVar("T")
Session = aiohttp.ClientSession
PUBLIC_API: Final = "https://api.github.com"
PER_PAGE: Final = 100
JSON: Final = "application/vnd.github+json"
_API_VERSION: Final = "2022-11-28"
_PATIENCE: Final = 15.0
_MAX_ATTEMPTS: Final = 5
_MAX_PAGES: Final = 200
_MAX_REDIRECTS: Final = 3
_PORTS: Final = {"http": 80, "https": 443}
_MAX_BODY: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024
_BACK_OFF: Final = 0.5
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
_READS: Final = frozenset({"GET", "HEAD"})
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_NOT_MODIFIED: Final = 304
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500
_log = structlog.get_logger(__name__)


class Credential(Protocol):
    """Whom requests are made as."""

    @property
    def identity(self) -> str:
        """Whom, for logs, metrics and messages."""
        ...

    async def authorization(self) -> str:
        """The value of the `Authorization` header, "" for none."""
        ...

    async def rejected(self, authorization: str, date: datetime | None) -> float | None:
        """GitHub answered 401 to this value, by its clock at `date`: seconds until one more try is worth it, None for never."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request.

    Attributes:
        path: Below the API's base, with every variable part quoted; or an absolute URL of the same origin.
        repeatable: Whether sending it twice does no more than sending it once; the default is known by the method.
        quiet: Statuses that are an ordinary outcome here, so that nobody logs them.
    """

    method: str
    path: str
    params: Mapping[str, str] = {}
    body: Any = None
    accept: str = JSON
    headers: Mapping[str, str] = {}
    repeatable: bool | None = None
    quiet: frozenset[int] = frozenset()

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.method in _READS

    @property
    def may_be_repeated(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        return self.method != "POST" if self.repeatable is None else self.repeatable

    @property
    def deed(self) -> str:
        """What it attempts, for people."""
        return f"{self.method} {printable(self.path.partition('?')[0], 200)}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded page of a list, and where the list goes on."""

    value: Any
    next_page: str | None


class _Lost(Exception):  # noqa: N818 - an outcome between two methods, never seen outside
    """No answer came, or half of one."""


class Client:
    """GitHub's API as one identity.

    Waits that fit into `patience` seconds for one request are waited here; longer ones are `ForgeUnavailableError` with
    `retry_after`. `limits` is shared by all clients of one App. `now` gives seconds since the epoch. `permit` is called before
    anything is sent that changes something, and raises where that may not be.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credential: Credential,
        *,
        base_url: str = PUBLIC_API,
        limits: Limits | None = None,
        metrics: ForgeMetrics | None = None,
        proxy: str | None = None,
        permit: Callable[[], None] | None = None,
        patience: float = _PATIENCE,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._session = session
        self._credential = credential
        self._limits = limits or Limits(now)
        self._metrics = metrics or NoMetrics()
        self._proxy = proxy
        self._permit = permit
        self._patience = patience
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._etags = EtagCache()

    @property
    def identity(self) -> str:
        """Whom requests are made as."""
        return self._credential.identity

    async def pause(self, seconds: float) -> None:
        """Let time pass, on the clock of this client."""
        await self._sleep(seconds)

    def acting_as(self, credential: Credential) -> "Client":
        """The same way to the same GitHub, under the same limits, as another credential of the same App."""
        return Client(
            self._session,
            credential,
            base_url=self.base_url,
            limits=self._limits,
            metrics=self._metrics,
            proxy=self._proxy,
            permit=self._permit,
            patience=self._patience,
            now=self._now,
            sleep=self._sleep,
            jitter=self._jitter,
        )

    # -- reading -----------------------------------------------------------------------------------------------------------

    async def get(self, path: str, kind: type[T], params: Mapping[str, str] = {}) -> T:
        """Read one object; `NotFoundError` where GitHub shows none. An unchanged one is not read again (ETag)."""
        page = await self._page(self._url(path, params), kind)
        value: T = page.value
        return value

    async def find(self, path: str, kind: type[T], params: Mapping[str, str] = {}) -> T | None:
        """Read one object, None where GitHub shows none."""
        try:
            page = await self._page(self._url(path, params), kind, quiet=frozenset({_NOT_FOUND}))
        except NotFoundError:
            return None
        value: T = page.value
        return value

    async def pages(self, path: str, kind: type[T], params: Mapping[str, str] = {}) -> AsyncIterator[T]:
        """The pages of a list, a hundred entries each, until the last or until nobody asks on."""
        url: str | None = self._url(path, {**params, "per_page": str(PER_PAGE)})
        for _ in range(_MAX_PAGES):
            if url is None:
                return
            page = await self._page(url, kind)
            yield page.value
            url = page.next_page
        raise RefusedError(f"GitHub's list at {path!r} has more than {_MAX_PAGES} pages; that is more than is read")

    async def list(self, path: str, kind: type[T], params: Mapping[str, str] = {}) -> list[T]:
        """All entries of a plain list; a page that cannot be read fails the whole."""
        found: list[T] = []
        async for page in self.pages(path, list[kind], params):  # type: ignore[valid-type] # a type at run time
            found += page
        return found

    async def text(self, path: str, *, accept: str) -> bytes:
        """The body of an answer in another media type than JSON."""
        return (await self.send(Request(method="GET", path=path, accept=accept))).body

    async def _page(self, url: str, kind: Any, *, quiet: frozenset[int] = frozenset()) -> Page:
        kept = self._etags.get(url, str(kind))
        headers = {} if kept is None else {"If-None-Match": kept.etag}
        path = url.removeprefix(self.base_url)
        answer = await self.send(Request(method="GET", path=path, headers=headers, quiet=quiet))
        if answer.status == _NOT_MODIFIED and kept is not None:
            return Page(value=kept.value, next_page=kept.next_page)
        value = decode(answer, kind, url)
        etag = answer.headers.get("etag", "")
        if etag:
            self._etags.put(url, str(kind), Kept(etag=etag, value=value, next_page=answer.next_page))
        return Page(value=value, next_page=answer.next_page)

    # -- writing -----------------------------------------------------------------------------------------------------------

    async def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeatable: bool | None = None,
        quiet: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send a request that changes something; an answer of status 400 or more is raised as an error."""
        return await self.send(Request(method=method, path=path, body=body, repeatable=repeatable, quiet=quiet))

    # -- one request -------------------------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Answer:
        """Send until there is an answer that means something.

        Raises:
            NotFoundError: 404.
            RefusedError: every other 4xx that no limit caused, and a 401 that a fresh credential did not cure.
            ForgeUnavailableError: limits, 5xx and lost connections that went on, with `retry_after` where GitHub gave one.
        """
        patience, cured = self._patience, False
        for attempt in itertools.count(1):
            patience -= await self._wait_for_turn(request, patience)
            authorization = await self._credential.authorization()
            answer: Answer | None = None
            error: CoderunError
            pause: float | None
            try:
                answer = given = await self._exchange(request, authorization)
            except _Lost as lost:
                error = ForgeUnavailableError(f"no answer from GitHub to {request.deed}: {lost}")
                error.__cause__ = lost.__cause__
                pause = self._back_off(attempt) if request.may_be_repeated else None
            else:
                if given.status < _BAD_REQUEST:
                    self._limits.calm()
                    return given
                error, pause = self._judge(request, given, attempt)
                if given.status == _UNAUTHORIZED and not cured:
                    pause = await self._credential.rejected(authorization, given.date)
                    cured = True
            again = pause is not None and pause <= patience and attempt < _MAX_ATTEMPTS
            self._report(request, answer, error, again=again)
            if pause is None or not again:
                raise error
            patience -= pause
            await self._sleep(pause)
        raise AssertionError("unreachable")  # pragma: no cover

    def _judge(self, request: Request, answer: Answer, attempt: int) -> tuple[CoderunError, float | None]:
        error = refusal_of(answer, deed=request.deed, identity=self.identity, now=self._now())
        if not isinstance(error, ForgeUnavailableError):
            return error, None
        if answer.status < _SERVER_ERROR:
            # A limit refuses before anything is done, so that even a POST may be sent again.
            error.retry_after = self._limits.strike(error.retry_after or 0.0)
            return error, error.retry_after
        return error, max(self._back_off(attempt), error.retry_after or 0.0) if request.may_be_repeated else None

    def _back_off(self, attempt: int) -> float:
        return float(_BACK_OFF * 2 ** (attempt - 1) * (1 + self._jitter()))

    async def _wait_for_turn(self, request: Request, patience: float) -> float:
        blocked = self._limits.blocked_for
        if blocked > patience:
            raise ForgeUnavailableError(
                f"{request.deed} waits: GitHub's limit for {self.identity} is spent for {blocked:.0f} s", retry_after=blocked
            )
        if blocked > 0:
            await self._sleep(blocked)
        return blocked

    async def _exchange(self, request: Request, authorization: str) -> Answer:
        async with self._limits.turn(is_write=not request.is_read):
            if not request.is_read and (pause := self._limits.write_pause()) > 0:
                await self._sleep(pause)
            url = self._url(request.path, request.params)
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await self._measured(request, url, authorization)
                if answer.status not in _REDIRECTS or not answer.headers.get("location"):
                    return answer
                # A renamed or transferred repository: the same request again, there, if there is still GitHub.
                url = self._own(urljoin(url, answer.headers["location"]))
        raise RefusedError(f"GitHub redirected {request.deed} more than {_MAX_REDIRECTS} times")

    async def _measured(self, request: Request, url: str, authorization: str) -> Answer:
        if self._permit is not None and not request.is_read:
            self._permit()
        begun = time.monotonic()
        status = 0
        try:
            answer = await self._once(request, url, authorization)
            status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # What the refusal of a proxy says of itself may hold the password that was shown to it.
            raise _Lost(self._how_lost(error)) from None if isinstance(error, aiohttp.ClientHttpProxyError) else error
        finally:
            seconds = time.monotonic() - begun
            self._metrics.request(identity=self.identity, method=request.method, status=status, seconds=seconds)
        budget = budget_of(answer.headers)
        if budget is not None:
            self._limits.see(budget)
            self._metrics.budget(
                identity=self.identity, resource=budget.resource, limit=budget.limit, remaining=budget.remaining
            )
        return answer

    def _how_lost(self, error: Exception) -> str:
        parts = urlsplit(self._proxy or "")
        through = f"the proxy {parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}" if self._proxy else ""
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{through} refuses the way there with {error.status} {printable(error.message, 100)}"
        text = printable(str(error), 200) or type(error).__name__
        return f"{text} (by {through})" if through else text

    async def _once(self, request: Request, url: str, authorization: str) -> Answer:
        headers = {
            "Accept": request.accept,
            **({"Authorization": authorization} if authorization else {}),
            "User-Agent": "coderun",
            "X-GitHub-Api-Version": _API_VERSION,
            **request.headers,
        }
        body = None if request.body is None else msgspec.json.encode(request.body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        async with self._session.request(
            request.method,
            URL(url, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=_TIMEOUT,
            proxy=self._proxy,
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > _MAX_BODY:
                    raise RefusedError(f"GitHub's answer to {request.deed} is larger than {_MAX_BODY} bytes; it is not read")
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(status=response.status, headers=names, body=bytes(content))

    def _url(self, path: str, params: Mapping[str, str]) -> str:
        url = path if "://" in path.partition("?")[0] else f"{self.base_url}{path}"
        if params:
            url = f"{url}?{urlencode(params)}"
        return self._own(url)

    def _own(self, url: str) -> str:
        if not same_origin(url, self.base_url):
            raise RefusedError(
                f"GitHub at {self.base_url} pointed to {printable(url, 200)}; "
                f"the credential of {self.identity} is not shown there"
            )
        return url

    def _report(self, request: Request, answer: Answer | None, error: CoderunError, *, again: bool) -> None:
        if answer is not None and answer.status in request.quiet:
            return
        _log.warning(
            "github request failed",
            identity=self.identity,
            deed=request.deed,
            status=0 if answer is None else answer.status,
            request_id="" if answer is None else answer.request_id,
            said=str(error) if answer is None else answer.message,
            again=again,
        )


def decode(answer: Answer, kind: type[T], url: str) -> T:
    """The body as `kind`. Raises `ForgeUnavailableError`: a body we do not understand is half an answer or a proxy's page."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        where = printable(url.partition("?")[0], 200)
        raise ForgeUnavailableError(
            f"the answer of {where} is not what GitHub's API gives: {printable(str(error), 200)}"
        ) from error


async def prove(client: Client) -> None:
    """Ask GitHub for something that costs nothing of any limit, so that a credential which has ended is found out.

    A server that limits nobody has nothing to tell, and says so to those whom it knows.
    """
    with contextlib.suppress(NotFoundError):
        await client.get("/rate_limit", dict)


def open_session() -> aiohttp.ClientSession:
    """A session for any number of clients; it holds the connections and is closed by whoever opened it."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def api_url(host: str) -> str:
    """Base URL of the REST API of a forge host: github.com's own, or that of a GitHub Enterprise Server."""
    return PUBLIC_API if host in {"github.com", ""} else f"https://{host}/api/v3"
