"""A scripted GitHub: answers what a test told it to, and remembers what it was asked. No state, no rules of its own."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer


class Asked(msgspec.Struct, frozen=True):
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class Reply(msgspec.Struct, frozen=True):
    """What to answer; `cut` closes the connection instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    cut: bool = False


Answering = Callable[[Asked], Reply | Awaitable[Reply]]


class Hub:
    """Answers by `METHOD /path`: the replies of a list one after the other, the last one for ever; 404 for what nobody told."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.in_flight: dict[str, int] = defaultdict(int)
        self.most_in_flight: dict[str, int] = defaultdict(int)
        self.url = ""
        self._replies: dict[str, list[Reply | Answering]] = {}

    def on(self, line: str, *replies: Any) -> None:
        """Answer a request; anything but a `Reply` or a function is the body of a 200."""
        self._replies[line] = [one if isinstance(one, Reply) or callable(one) else Reply(one) for one in replies]

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    def writes(self) -> list[tuple[str, Any]]:
        return [(asked.line, asked.body) for asked in self.asked if asked.method != "GET"]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        path = urlsplit(request.raw_path).path
        body = msgspec.json.decode(content) if content else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, path, dict(request.query), headers, body)
        self.asked.append(asked)
        kind = "read" if asked.method == "GET" else "write"
        self.in_flight[kind] += 1
        self.most_in_flight[kind] = max(self.most_in_flight[kind], self.in_flight[kind])
        try:
            return await self._answer(request, asked)
        finally:
            self.in_flight[kind] -= 1

    async def _answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        waiting = self._replies.get(asked.line, [Reply({"message": "Not Found"}, 404)])
        reply = waiting[0] if len(waiting) == 1 else waiting.pop(0)
        if callable(reply):
            given = reply(asked)
            reply = await given if asyncio.iscoroutine(given) else given  # type: ignore[assignment] # one or the other
        assert isinstance(reply, Reply)
        if reply.cut:
            assert request.transport is not None
            request.transport.abort()
        content = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        return web.Response(status=reply.status, body=b"" if reply.status in {204, 304} else content, headers=reply.headers)


@asynccontextmanager
async def scripted_hub() -> AsyncIterator[Hub]:
    hub = Hub()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hub.handle)
    async with TestServer(application) as server:
        hub.url = str(server.make_url("")).rstrip("/")
        yield hub
