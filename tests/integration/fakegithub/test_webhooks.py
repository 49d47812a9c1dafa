"""Webhooks of the fake: signed, logged, sent again with the same guid, and the trouble they can be given."""

import uuid

from tests.integration.fakegithub.desk import REPO, Desk


async def test_an_event_is_signed_and_names_its_installation(desk: Desk) -> None:
    await desk.pull("work")
    await desk.github.settle()
    assert desk.door.names() == ["installation.created", "push", "create", "pull_request.opened"]
    opened = desk.door.got[-1]
    assert str(uuid.UUID(opened.guid)) == opened.guid
    assert opened.body["installation"]["id"] == desk.installation.id
    assert opened.headers["x-github-hook-installation-target-type"] == "integration"
    assert opened.headers["x-github-hook-installation-target-id"] == str(desk.app.id)


async def test_a_failed_delivery_is_found_and_sent_again_with_its_guid(desk: Desk) -> None:
    await desk.github.settle()
    desk.door.status = 500
    desk.github.webhook_fault("drop", event="create")
    await desk.pull("work")
    await desk.github.settle()
    desk.door.status = 200
    app = desk.jwt()
    listed = (await app.get("/app/hook/deliveries?per_page=100")).body
    assert [(one["event"], one["status_code"]) for one in listed] == [
        ("pull_request", 500),
        ("create", 502),
        ("push", 500),
        ("installation", 200),
    ]
    failed = [one["guid"] for one in (await app.get("/app/hook/deliveries?status=failure")).body]
    assert failed == [one["guid"] for one in listed[:3]]
    detail = (await app.get(f"/app/hook/deliveries/{listed[1]['id']}")).body
    assert detail["request"]["payload"]["ref"] == "work"
    assert detail["request"]["headers"]["X-GitHub-Delivery"] == listed[1]["guid"]
    assert (await app.post(f"/app/hook/deliveries/{listed[1]['id']}/attempts")).status == 202
    await desk.github.settle()
    again = (await app.get("/app/hook/deliveries?per_page=1")).body[0]
    assert (again["guid"], again["redelivery"], again["status_code"]) == (listed[1]["guid"], True, 200)
    assert desk.door.got[-1].guid == listed[1]["guid"]


async def test_deliveries_are_paged_by_cursor_and_forgotten_after_days(desk: Desk) -> None:
    await desk.pull("work")
    await desk.github.settle()
    app, seen, place = desk.jwt(), [], "/app/hook/deliveries?per_page=3"
    for _ in range(2):
        reply = await app.get(place)
        seen += [one["event"] for one in reply.body]
        place = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert (seen, place) == (["pull_request", "create", "push", "installation"], "")
    desk.clock.advance(4 * 24 * 3600)
    assert (await desk.jwt().get("/app/hook/deliveries")).body == []


async def test_deliveries_can_vanish_double_and_change_places(desk: Desk) -> None:
    await desk.github.settle()
    desk.github.webhook_fault("vanish", event="create")
    desk.github.webhook_fault("double", event="push")
    await desk.pull("work")
    await desk.github.settle()
    assert desk.door.names()[1:] == ["push", "push", "pull_request.opened"]
    assert desk.door.got[1].guid == desk.door.got[2].guid
    assert "create" not in [one["event"] for one in (await desk.jwt().get("/app/hook/deliveries")).body]
    desk.github.webhook_fault("reorder", event="push")
    await desk.github.people.commit(REPO, "work", "more.txt", "1\n", "ada")
    await desk.github.settle()
    assert desk.door.names()[-2:] == ["pull_request.synchronize", "push"]


async def test_a_late_delivery_comes_all_the_same(desk: Desk) -> None:
    desk.github.webhook_fault("delay", event="push", seconds=0.05)
    await desk.pull("work")
    await desk.github.settle()
    assert set(desk.door.names()) == {"installation.created", "push", "create", "pull_request.opened"}


async def test_held_deliveries_go_in_the_order_they_are_released_in(desk: Desk) -> None:
    await desk.github.settle()
    desk.github.hold_webhooks()
    await desk.pull("work")
    await desk.github.settle()
    assert desk.door.names() == ["installation.created"]
    assert [one.event for one in desk.github.webhooks.waiting] == ["push", "create", "pull_request"]
    desk.github.release_webhooks([2, 1, 0])
    await desk.github.settle()
    assert desk.door.names()[1:] == ["pull_request.opened", "create", "push"]


async def test_a_door_that_is_shut_is_a_failed_delivery(desk: Desk) -> None:
    await desk.github.settle()
    reply = await desk.jwt().ask("PATCH", "/app/hook/config", {"url": "http://127.0.0.1:1/", "secret": "new"})
    assert (reply.body["url"], reply.body["secret"]) == ("http://127.0.0.1:1/", "********")
    await desk.pull("work")
    await desk.github.settle()
    found = (await desk.jwt().get("/app/hook/deliveries?per_page=1")).body[0]
    assert (found["status"], found["status_code"]) == ("failed to connect to host", 502)


async def test_a_hook_of_the_repository_names_no_installation(desk: Desk) -> None:
    desk.github.uninstall(desk.installation)
    await desk.github.settle()
    desk.github.add_repo_hook(REPO, desk.door.url, "hook-secret", ["push"])
    await desk.pull("work")
    await desk.github.settle()
    assert desk.door.names() == ["installation.created", "installation.deleted", "push"]
    assert "installation" not in desk.door.got[-1].body


async def test_a_suspended_installation_gets_no_events(desk: Desk) -> None:
    desk.github.suspend(desk.installation)
    await desk.pull("work")
    await desk.github.settle()
    assert desk.door.names() == ["installation.created", "installation.suspend"]
