"""The webhook door: verify, parse, store, answer, in this order. What is answered 202 is on the disk.

First on the way of an event. It never looks at what an event means and never starts anything: the inbox tells the controller.
GitHub does not send a delivery again by itself: what is answered 503 is found by the deliveries API or the poll.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog
from aiohttp import web

from coderun.events.github import MAX_BODY, to_delivery
from coderun.events.signature import HEADER, is_signature, verify
from coderun.model.errors import CoderunError, DeliveryRejectedError, SignatureMismatchError, TooLargeError, UnavailableError
from coderun.model.text import printable
from coderun.store.protocol import Slot
from coderun.web.intake import Intake

PATH: Final = "/github/webhook"
_READ_SECONDS: Final = 10.0  # GitHub gives up after ten
_READ_AT_ONCE: Final = 8 * MAX_BODY
_RETRY_AFTER: Final = 30
_QUIET_SECONDS: Final = 1.0  # anybody may post here: who is refused again and again does not fill the log
_log = structlog.get_logger(__name__)


class Door:
    """Takes GitHub's deliveries into an inbox. `secrets` is asked for every delivery, so that they can be replaced."""

    def __init__(self, inbox: Slot, *, secrets: Callable[[], Sequence[str]], clock: Callable[[], datetime]) -> None:
        self._intake = Intake(inbox)
        self._secrets = secrets
        self._clock = clock
        self._held = 0
        self._quiet_until = 0.0
        self._unsaid = 0

    def application(self, path: str = PATH) -> web.Application:
        """The door as an application of its own, at `path`."""
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post(path, self.handle)
        application.on_cleanup.append(self._close)
        return application

    async def _close(self, _: web.Application) -> None:
        await self._intake.close()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one delivery: 202 stored (now or before), 400, 401, 408, 413, or 503 where it could not be stored."""
        try:
            delivery = await self._take_in(request)
        except DeliveryRejectedError as error:
            return self._refuse(request, error.status, str(error))
        except web.RequestPayloadError as error:
            return self._refuse(request, 400, f"the delivery broke off: {printable(str(error), 200)}")
        except TimeoutError:
            return self._refuse(request, 408, f"the delivery did not arrive within {_READ_SECONDS:.0f} s")
        except CoderunError as error:
            _log.error("delivery not stored", delivery=_name(request), error=str(error))
            return _answer(503, "the delivery could not be stored", retry_after=_RETRY_AFTER)
        return _answer(202, f"stored {delivery}")

    async def _take_in(self, request: web.Request) -> str:
        if not is_signature(request.headers.get(HEADER, "")):
            # Nobody's bytes are read for nothing.
            raise SignatureMismatchError("the delivery carries no signature; give the webhook a secret")
        body = await self._body(request)
        verify(body, request.headers[HEADER], self._secrets())
        delivery = to_delivery(request.headers, body, self._clock())
        await self._intake.put(delivery)
        return delivery.id

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > MAX_BODY:
            raise TooLargeError(f"the delivery is {request.content_length} bytes long; GitHub sends {MAX_BODY} at most")
        body = bytearray()
        try:
            async with asyncio.timeout(_READ_SECONDS):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > MAX_BODY:
                        raise TooLargeError(f"the delivery is longer than {MAX_BODY} bytes, the most that GitHub sends")
                    if self._held > _READ_AT_ONCE:
                        raise UnavailableError("too many large deliveries at once")
        finally:
            self._held -= len(body)
        return bytes(body)

    def _refuse(self, request: web.Request, status: int, reason: str) -> web.Response:
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            self._unsaid += 1
        else:
            _log.warning("delivery refused", delivery=_name(request), status=status, reason=reason, unsaid_before=self._unsaid)
            self._quiet_until, self._unsaid = now + _QUIET_SECONDS, 0
        return _answer(status, reason)


def _name(request: web.Request) -> str:
    return printable(request.headers.get("X-GitHub-Delivery", ""), 80)


def _answer(status: int, text: str, *, retry_after: int | None = None) -> web.Response:
    response = web.json_response({"message": text}, status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if status >= 400:  # noqa: PLR2004 - HTTP
        response.force_close()  # what is left of a body that was not read is no next request
    return response
