"""Between a controller and the API server: passes everything on, and kills the controller after a write, unheard.

The write has happened; who made it never learns of it. So each state that the cluster can be in between two writes is one that
a new controller wakes up in.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP: Final = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "te", "upgrade"}
_NOT_COUNTED: Final = ("/leases", "/events")
"""Writes that come by the clock, and those that are only told."""


class Ferry:
    """Made by `ferry`; `url` is where the API server seems to be."""

    url: str

    def __init__(self, session: aiohttp.ClientSession, upstream: str) -> None:
        self.writes: list[str] = []
        self._session = session
        self._upstream = upstream
        self._last = ""
        self._kill: Callable[[], None] | None = None
        self._crossing: set[asyncio.Task[object]] = set()

    def arm(self, kill: Callable[[], None]) -> None:
        """Call `kill` after the next write."""
        self._kill = kill

    async def cross(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, and its answer back as it comes."""
        task = asyncio.current_task()
        assert task is not None
        self._crossing.add(task)
        try:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                return await self._cross(request)
            raise web.HTTPBadGateway
        finally:
            self._crossing.discard(task)

    async def _cross(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        place = URL(self._upstream + request.raw_path, encoded=True)
        async with self._session.request(request.method, place, headers=headers, data=await request.read()) as answer:
            if request.method != "GET" and answer.ok and not any(part in request.path for part in _NOT_COUNTED):
                self._count(f"{request.method} {request.path}")
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            back = web.StreamResponse(status=answer.status, headers=kept)
            try:
                await back.prepare(request)
                async for chunk in answer.content.iter_any():
                    await back.write(chunk)
            except BaseException:
                # A polite farewell over TLS would outlive the loop.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()
                raise
            return back

    def _count(self, write: str) -> None:
        self.writes.append(write)
        # Each life renews the token of a running run. The next one shall come further than that.
        if "/secrets/" in write and write == self._last:
            return
        if self._kill is not None:
            kill, self._kill, self._last = self._kill, None, write
            kill()
            self.let_go()

    def let_go(self) -> None:
        """Whoever asked for what is under way is dead."""
        for task in self._crossing:
            task.cancel()

    async def close(self) -> None:
        """Nothing crosses any more."""
        self.let_go()
        await asyncio.gather(*self._crossing, return_exceptions=True)


@contextlib.asynccontextmanager
async def ferry(upstream: str, tls: ssl.SSLContext) -> AsyncIterator[Ferry]:
    """A way to the API server at `upstream`."""
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    unlimited = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=unlimited) as session:
        made = Ferry(session, upstream)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", made.cross)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            made.url = f"http://{host}:{port}"
            yield made
        finally:
            await made.close()
            await runner.cleanup()
