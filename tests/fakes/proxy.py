"""A small HTTP proxy that only tunnels (`CONNECT`), to one place whatever is asked for: names need not resolve."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """What was asked of it, and what it asks for: `password` is `user:word`, "" asks for none."""

    def __init__(self, target_port: int, password: str) -> None:
        self.port = 0
        self.asked: list[str] = []
        self._target_port = target_port
        self._wanted = f"basic {base64.b64encode(password.encode()).decode()}".lower() if password else ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client: refused until it shows the password, then led to the target."""
        try:
            while not await self._lets_through(reader):
                writer.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            return  # a client that left
        finally:
            writer.close()

    async def _lets_through(self, reader: asyncio.StreamReader) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        self.asked.append(head[0].rpartition(" ")[0])
        shown = [line.partition(":")[2].strip().lower() for line in head if line.lower().startswith("proxy-authorization:")]
        return not self._wanted or self._wanted in shown


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


@asynccontextmanager
async def tunnelling(target_port: int, *, password: str = "") -> AsyncIterator[Proxy]:
    """A proxy whose tunnels all lead to that port of this machine."""
    proxy = Proxy(target_port, password)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
