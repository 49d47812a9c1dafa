"""The HTTP side: finds route and caller, lets faults and limits have their way, answers as GitHub does (ETag, headers)."""

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from tests.fakes.github.auth import Caller, authenticate, permit
from tests.fakes.github.call import Answer, Call, Route, Who
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.faults import Fault, FaultKind, Faults, RateLimits
from tests.fakes.github.git_http import GitHttp
from tests.fakes.github.registration import ManifestPage
from tests.fakes.github.state import Repo
from tests.fakes.github.webhooks import Webhooks
from tests.fakes.github.world import World

MAX_BODY = 32 * 1024 * 1024
_LONG = ("path", "ref", "branch", "basehead")
_GIT = "/{owner}/{repo}/{tail:info/refs|git-upload-pack|git-receive-pack}"


class Entry(dict[str, Any]):
    """A line of the journal: method, path, template, caller, status; request and body where bodies are kept."""


class Server:
    """Answers requests from a table of routes."""

    def __init__(self, world: World, webhooks: Webhooks, routes: list[Route], *, keep: bool) -> None:
        self.faults = Faults()
        self.limits = RateLimits(world.clock)
        self.journal: list[Entry] = []
        self._world = world
        self._webhooks = webhooks
        self._keep = keep
        self._routes = routes

    def application(self) -> web.Application:
        """The aiohttp application: REST at the root and below `/api/v3`, git beside it."""
        application = web.Application(client_max_size=MAX_BODY)
        git = GitHttp(self._world, self.faults)
        application.router.add_get(_GIT, git.handle)
        application.router.add_post(_GIT, git.handle)
        page = ManifestPage(self._world)
        for place in ("/settings/apps/new", "/organizations/{org}/settings/apps/new"):
            application.router.add_post(place, page.handle)
        for route in sorted(self._routes, key=lambda route: -len(route.path.split("/"))):
            for prefix in ("", "/api/v3"):
                place = re.sub(r"\{(\w+)\}", _pattern, route.path)
                application.router.add_route(route.method, prefix + place, self._handler(route))
        application.router.add_route("*", "/{tail:.*}", self._handler(None))
        return application

    def _handler(self, route: Route | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, route)

        return handle

    async def _serve(self, request: web.Request, route: Route | None) -> web.StreamResponse:
        fault = self.faults.take(request.method, request.path)
        if fault is not None and not fault.after and (met := await self._meet(fault, request)) is not None:
            return met
        caller, headers = Caller(), {}
        try:
            caller = authenticate(self._world, request.headers.get("Authorization", ""))
            free = route is not None and route.path == "/rate_limit"
            headers = self.limits.window(caller.name).headers() if free else self._spend(caller)
            answer = await self._answer(request, route, caller)
        except ApiError as error:
            answer = Answer(status=error.status, body=error.body(), headers=error.headers)
        if fault is not None and fault.after and (met := await self._meet(fault, request)) is not None:
            return met
        return await self._respond(request, route, caller, answer, headers)

    def _spend(self, caller: Caller) -> dict[str, str]:
        window = self.limits.window(caller.name)
        if window.remaining == 0:
            raise ApiError(403, f"API rate limit exceeded for {caller.name}.", headers=window.headers())
        window.used += 1
        return window.headers()

    async def _answer(self, request: web.Request, route: Route | None, caller: Caller) -> Answer:
        if route is None:
            raise not_found()
        if route.who is Who.APP and caller.app is None:
            raise ApiError(401, "A JSON web token could not be decoded")
        if route.who is Who.TOKEN and caller.token is None:
            raise ApiError(401, "Requires authentication")
        call = Call(
            world=self._world,
            webhooks=self._webhooks,
            caller=caller,
            params=dict(request.match_info),
            query=dict(request.query),
            path=request.rel_url.raw_path.removeprefix("/api/v3"),
            accept=request.headers.get("Accept", ""),
            data=await _json(request),
            limits=lambda name: self.limits.window(name).body(),
        )
        if "{repo}" in route.path and (moved := self._find(request, route, call)) is not None:
            return moved
        return await route.handler(call)

    def _find(self, request: web.Request, route: Route, call: Call) -> Answer | None:
        """Sets the call's repository, or answers with the place it has moved to."""
        owner, name = call.params["owner"], call.params["repo"]
        call.found = self._world.find_repo(owner, name)
        if call.found is None:
            return _redirect(self._world, request, self._world.moved(owner, name), f"{owner}/{name}")
        if route.who is not Who.APP:
            permit(self._world, call.caller, call.found, route.permission, route.level)
        return None

    async def _meet(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        """What a fault answers; None where the request goes on."""
        match fault.kind:
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
                return None
            case FaultKind.CUT:
                if request.transport is not None:
                    request.transport.close()
                return web.Response(status=500)
            case FaultKind.ERROR:
                self._note(request, None, Caller(), fault.status or 500, None)
                return web.json_response({"message": "Server Error"}, status=fault.status or 500, headers=_usual())
            case FaultKind.PRIMARY_LIMIT:
                return self._limited(request)
            case FaultKind.SECONDARY_LIMIT:
                again = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
                status = fault.status or 403
                self._note(request, None, Caller(), status, None)
                return web.json_response(ApiError(status, text).body(), status=status, headers={**_usual(), **again})

    def _limited(self, request: web.Request) -> web.StreamResponse:
        try:
            caller = authenticate(self._world, request.headers.get("Authorization", ""))
        except ApiError:
            caller = Caller()
        window = self.limits.exhaust(caller.name)
        self._note(request, None, caller, 403, None)
        body = ApiError(403, f"API rate limit exceeded for {caller.name}.").body()
        return web.json_response(body, status=403, headers={**_usual(), **window.headers()})

    async def _respond(
        self, request: web.Request, route: Route | None, caller: Caller, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        data = b"" if answer.body is None else _encode(answer.body)
        headers = {**_usual(), **headers, **answer.headers}
        if request.method == "GET" and answer.status == 200:
            headers["ETag"] = f'W/"{hashlib.sha256(data).hexdigest()}"'
            if headers["ETag"] in request.headers.get("If-None-Match", ""):
                window = self.limits.window(caller.name)
                window.used -= 1
                answer, data = Answer(status=304), b""
                headers |= window.headers()
        self._note(request, route, caller, answer.status, answer.body)
        kind = {"Content-Type": answer.media} if data else {}
        return web.Response(status=answer.status, body=data or None, headers={**headers, **kind})

    def _note(self, request: web.Request, route: Route | None, caller: Caller, status: int, body: Any) -> None:
        entry = Entry(method=request.method, path=request.rel_url.raw_path_qs, status=status, caller=caller.name)
        entry["template"] = None if route is None else route.template
        if self._keep:
            entry["body"] = body
        self.journal.append(entry)


def _pattern(match: re.Match[str]) -> str:
    return f"{{{match[1]}:.+}}" if match[1] in _LONG else f"{{{match[1]}}}"


def _usual() -> dict[str, str]:
    return {"X-GitHub-Request-Id": str(uuid.uuid4()).upper(), "X-GitHub-Media-Type": "github.v3; format=json"}


def _encode(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()


async def _json(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ApiError(400, "Problems parsing JSON") from error


def _redirect(world: World, request: web.Request, repo: Repo | None, old: str) -> Answer:
    if repo is None:
        raise not_found()
    place = world.api + request.rel_url.raw_path_qs.removeprefix("/api/v3").replace(
        f"/repos/{old}", f"/repos/{repo.full_name}", 1
    )
    status = 301 if request.method == "GET" else 307
    body = {"message": "Moved Permanently", "url": place, "documentation_url": "https://docs.github.com/rest"}
    return Answer(status=status, body=body, headers={"Location": place})
