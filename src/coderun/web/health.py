"""What a cluster asks a controller's process: is it alive, is it ready, and its metrics. Tells nothing else."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from coderun.model.errors import ConfigError, UnavailableError
from coderun.model.text import printable

_METRICS_TYPE: Final = "text/plain; version=0.0.4"
_SHUTDOWN_SECONDS: Final = 1.0


@contextlib.asynccontextmanager
async def serve_health(
    host: str, port: int, *, is_ready: Callable[[], bool], metrics: Callable[[], bytes]
) -> AsyncIterator[str]:
    """Serve `/healthz`, `/readyz` and `/metrics` for as long as the block lasts; the URL. Port 0 takes a free one.

    `/healthz` is answered as long as the process's loop turns.

    Raises:
        UnavailableError: the port is taken.
        ConfigError: the address is none of this machine.
    """

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        good = is_ready()
        return web.Response(text="ok\n" if good else "not ready\n", status=200 if good else 503)

    async def measured(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": _METRICS_TYPE})

    application = web.Application()
    application.add_routes([web.get("/healthz", alive), web.get("/readyz", ready), web.get("/metrics", measured)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            where = f"{printable(host, 100)} port {port}"
            if isinstance(error, OSError) and error.strerror and "in use" in error.strerror:
                raise UnavailableError(f"health cannot be served on {where}: another program listens there") from error
            raise ConfigError(f"health cannot be served on {where}: {printable(str(error), 200)}") from error
        bound = runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{name}:{bound[1]}"
    finally:
        await runner.cleanup()
