"""An HTTP server that answers as a test tells it to: for what no proper API server says on purpose."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import yaml
from aiohttp import web

from coderun.kube.client import KubeClient, Target

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OddServer:
    """Answers every request with `handler`; remembers what was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.tokens.append(request.headers.get("Authorization", ""))
        return await self.handler(request)


@contextlib.asynccontextmanager
async def odd_server(handler: Handler) -> AsyncIterator[OddServer]:
    server = OddServer(handler)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def write_kubeconfig(path: Path, url: str, user: dict[str, object] | None = None, namespace: str = "") -> Path:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "contexts": [{"name": "here", "context": context}],
                "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
            }
        )
    )
    return path


@contextlib.asynccontextmanager
async def connected(path: Path, context: str = "") -> AsyncIterator[KubeClient]:
    client = await KubeClient.connect(Target(kubeconfig=str(path), context=context), environ={})
    try:
        yield client
    finally:
        await client.close()
