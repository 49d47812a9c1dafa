"""The App's webhook: its address and secret, and the log of its deliveries."""

import json
from typing import Any

from tests.fakes.github.call import Answer, Call, app
from tests.fakes.github.errors import ApiError, not_found
from tests.fakes.github.state import Delivery, Hook, stamp


def _config(hook: Hook) -> dict[str, Any]:
    body = {"content_type": "json", "insecure_ssl": "0", "url": hook.url}
    return {**body, "secret": "********"} if hook.secret else body


async def get_config(call: Call) -> Answer:
    """Where the App's events go; the secret is not told."""
    return Answer(body=_config(call.app.hook))


async def set_config(call: Call) -> Answer:
    """Changes address and secret."""
    hook = call.app.hook
    hook.url = call.fields.get("url", hook.url)
    hook.secret = call.fields.get("secret", hook.secret)
    return Answer(body=_config(hook))


def _item(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "guid": one.guid,
        "delivered_at": stamp(one.delivered_at),
        "redelivery": one.redelivery,
        "duration": one.duration,
        "status": one.status,
        "status_code": one.status_code,
        "event": one.event,
        "action": one.action,
        "installation_id": one.installation_id,
        "repository_id": one.repository_id,
        "throttled_at": None,
    }


async def list_deliveries(call: Call) -> Answer:
    """The log, newest first; paged by cursor: the id of the first entry to show."""
    found = [one for one in call.webhooks.kept(call.app.hook) if _wanted(one, call.query.get("status"))]
    cursor = call.query.get("cursor")
    if cursor is not None:
        if not cursor.isdigit():
            raise ApiError(422, "Validation Failed")
        found = [one for one in found if one.id <= int(cursor)]
    size = call.page_size
    rest = found[size : size + 1]
    headers = call.link({"next": rest[0].id}, "cursor") if rest else {}
    return Answer(body=[_item(one) for one in found[:size]], headers=headers)


def _wanted(one: Delivery, status: str | None) -> bool:
    passed = 200 <= one.status_code < 400
    return status is None or (status == "success") == passed


def _delivery(call: Call) -> Delivery:
    number = call.number("delivery_id")
    for one in call.webhooks.kept(call.app.hook):
        if one.id == number:
            return one
    raise not_found()


async def get_delivery(call: Call) -> Answer:
    """One attempt, with what was sent and what came back."""
    one = _delivery(call)
    request = {"headers": one.headers, "payload": json.loads(one.body)}
    response = {"headers": one.response_headers, "payload": one.response_body}
    return Answer(body={**_item(one), "url": call.app.hook.url, "request": request, "response": response})


async def redeliver(call: Call) -> Answer:
    """Tries again, with the same guid."""
    call.webhooks.redeliver(call.app.hook, _delivery(call))
    return Answer(status=202, body={})


ROUTES = [
    app("GET", "/app/hook/config", get_config),
    app("PATCH", "/app/hook/config", set_config),
    app("GET", "/app/hook/deliveries", list_deliveries),
    app("GET", "/app/hook/deliveries/{delivery_id}", get_delivery),
    app("POST", "/app/hook/deliveries/{delivery_id}/attempts", redeliver),
]
