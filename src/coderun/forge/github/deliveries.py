"""GitHub's own log of the webhooks it sent for an App: which never arrived, and what was in them.

Under `forge`, beside `auth`; the client acts as the App itself. GitHub tries a delivery once and keeps the log for a few days.
Bodies are read from the log, so that nothing has to be sent again and no door has to be reachable. Facts: GitHub's page "REST
API endpoints for GitHub App webhooks".
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from coderun.forge.github.client import Client
from coderun.forge.github.shapes import Shape

KEPT_DAYS: Final = 3
PATH: Final = "/app/hook/deliveries"
_FAR_ENOUGH: Final = datetime.min.replace(tzinfo=UTC)


class Attempt(Shape, frozen=True, kw_only=True):
    """One attempt to deliver an event; `guid` is the same for all attempts of one event, `status` is for people."""

    id: int
    guid: str
    event: str = ""
    status: str = ""
    status_code: int = 0
    delivered_at: datetime = _FAR_ENOUGH

    @property
    def has_arrived(self) -> bool:
        """Whether somebody took it in."""
        return 200 <= self.status_code < 400  # noqa: PLR2004 - HTTP


class _Request(Shape, frozen=True, kw_only=True):
    payload: msgspec.Raw = msgspec.Raw()


class _Detail(Shape, frozen=True, kw_only=True):
    request: _Request = _Request()


class DeliveryLog:
    """The log of one App."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def failed_since(self, moment: datetime) -> list[Attempt]:
        """The attempts since then that did not arrive, one for each event, oldest first.

        An event whose later attempt arrived may be among them: who asks knows what has come.

        Raises:
            NotFoundError: the App has no webhook.
        """
        failed: dict[str, Attempt] = {}
        async for page in self._client.pages(PATH, list[Attempt], {"status": "failure"}):
            for attempt in page:
                if attempt.delivered_at >= moment and not attempt.has_arrived:
                    failed.setdefault(attempt.guid, attempt)
            if _is_before(page, moment):
                break
        return sorted(failed.values(), key=lambda attempt: attempt.id)

    async def body(self, attempt: Attempt) -> bytes | None:
        """The body of an attempt as JSON; None where GitHub does not keep it any more."""
        found = await self._client.find(f"{PATH}/{attempt.id}", _Detail)
        return bytes(found.request.payload) or None if found is not None else None


def _is_before(page: Iterable[Attempt], moment: datetime) -> bool:
    return any(attempt.delivered_at < moment for attempt in page)
