"""Serves the webhook door on an address, for as long as a block lasts; whoever has assembled the app hands over the inbox."""

import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from aiohttp import web

from coderun.model.errors import ConfigError, UnavailableError
from coderun.model.text import printable
from coderun.store.protocol import Slot
from coderun.web.door import PATH, Door

_SHUTDOWN_SECONDS = 5.0


@contextlib.asynccontextmanager
async def open_door(
    inbox: Slot, *, host: str, port: int, secrets: Callable[[], Sequence[str]], clock: Callable[[], datetime]
) -> AsyncIterator[str]:
    """The door's URL; port 0 takes a free one. On the way out, deliveries that came in are stored and answered first.

    Raises:
        UnavailableError: the port is taken.
        ConfigError: the address is none of this machine, or not ours to listen on.
    """
    door = Door(inbox, secrets=secrets, clock=clock)
    runner = web.AppRunner(door.application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise _unopened(host, port, error) from error
        bound = runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{name}:{bound[1]}{PATH}"
    finally:
        await runner.cleanup()


def _unopened(host: str, port: int, error: Exception) -> Exception:
    where = f"{printable(host, 100)} port {port}"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return UnavailableError(f"the webhook door cannot be opened on {where}: another program listens there")
    said = printable(str(error), 200)
    return ConfigError(f"the webhook door cannot be opened on {where}: {said}; see `webhook.host` and `webhook.port`")
