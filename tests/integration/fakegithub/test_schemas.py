"""Every body that the fake sends is one that GitHub's official schemas allow: a walk over all endpoints and all events."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from tests.fakes.github.registration import take_manifest
from tests.fakes.github.routes import ROUTES
from tests.integration.fakegithub.desk import REPO, Client, Desk
from tests.integration.fakegithub.schemas.official import Official, UnavailableError, extracted

UNDESCRIBED = frozenset({"POST /graphql", "POST /api/graphql"})
OPERATIONS = sorted({f"{route.method} {route.template}" for route in ROUTES} - UNDESCRIBED)
EVENTS = frozenset(
    {
        "check-run-completed",
        "check-run-created",
        "create",
        "delete",
        "installation-created",
        "installation-deleted",
        "installation-suspend",
        "installation-unsuspend",
        "issue-comment-created",
        "issue-comment-deleted",
        "issue-comment-edited",
        "label-created",
        "merge-group-checks-requested",
        "pull-request-closed",
        "pull-request-converted-to-draft",
        "pull-request-dequeued",
        "pull-request-edited",
        "pull-request-enqueued",
        "pull-request-labeled",
        "pull-request-opened",
        "pull-request-ready-for-review",
        "pull-request-reopened",
        "pull-request-review-dismissed",
        "pull-request-review-requested",
        "pull-request-review-submitted",
        "pull-request-synchronize",
        "pull-request-unlabeled",
        "push",
        "status",
    }
)


@pytest.fixture(scope="session")
def official(leave_out: Callable[[str, str], NoReturn]) -> Official:
    try:
        return Official(extracted(OPERATIONS))
    except UnavailableError as error:
        leave_out("GitHub's schemas", str(error))


async def _apps(desk: Desk) -> None:
    app, number = desk.jwt(), desk.installation.id
    for path in ("/app", "/app/installations", f"/app/installations/{number}", "/app/hook/config"):
        await app.get(path)
    for path in (f"/repos/{REPO}/installation", "/orgs/5dlabs/installation", "/users/5dlabs/installation"):
        await app.get(path)
    await app.post(f"/app/installations/{number}/access_tokens", {"permissions": {"administration": "write"}})
    await app.post(f"/app/installations/{number}/access_tokens", {"repositories": ["demo"]})
    token = (await app.post(f"/app/installations/{number}/access_tokens")).body["token"]
    bot = desk.client.as_(token)
    for path in ("/installation/repositories", "/users/5dlabs-rex%5Bbot%5D", "/users/ada", "/rate_limit"):
        await bot.get(path)
    await desk.person().get("/user")
    await bot.ask("DELETE", "/installation/token")
    await app.ask("PATCH", "/app/hook/config", {"secret": "hook-secret"})
    await desk.github.settle()
    listed = await app.get("/app/hook/deliveries")
    await app.get(f"/app/hook/deliveries/{listed.body[0]['id']}")
    await app.post(f"/app/hook/deliveries/{listed.body[0]['id']}/attempts")
    await desk.client.post(f"/app-manifests/{take_manifest(desk.github.world, {'name': 'Made Here'}, '5dlabs')}/conversions")
    await desk.client.post("/app-manifests/none/conversions")
    desk.github.suspend(desk.installation)
    await app.get(f"/app/installations/{number}")
    desk.github.unsuspend(desk.installation)


async def _code(desk: Desk, bot: Client) -> None:
    root = f"/repos/{REPO}"
    desk.github.protect_branch(REPO, "guarded", contexts=["unit"], approvals=1)
    made = desk.github.add_ruleset(
        REPO,
        [
            {"type": "pull_request", "parameters": _REVIEWS},
            {"type": "required_status_checks", "parameters": _CHECKS},
            {"type": "non_fast_forward"},
        ],
        include=["refs/heads/guarded"],
    )
    head = (await bot.get(f"{root}/commits/main")).body["sha"]
    await bot.post(f"{root}/git/refs", {"ref": "refs/heads/side", "sha": head})
    await bot.post(f"{root}/git/refs", {"ref": "refs/heads/side", "sha": head})
    await desk.github.people.commit(REPO, "guarded", "g.txt", "1\n", "ada")
    written = {"message": "Add", "content": "aGk=", "branch": "side"}
    await bot.ask("PUT", f"{root}/contents/docs/new.txt", written)
    found = (await bot.get(f"{root}/contents/docs/new.txt?ref=side")).body
    await bot.get(f"{root}/git/blobs/{found['sha']}")
    await bot.ask("PUT", f"{root}/contents/docs/new.txt", {**written, "content": "aG8=", "sha": found["sha"]})
    gets = [
        "",
        "/commits",
        "/commits/side",
        "/compare/main...side",
        "/contents",
        "/contents/docs?ref=side",
        "/git/ref/heads/side",
    ]
    gets += ["/git/matching-refs/heads", "/activity", "/branches", "/branches/guarded", "/branches/guarded/protection"]
    gets += ["/branches/guarded/protection/required_status_checks", "/rulesets", f"/rulesets/{made.id}"]
    gets += ["/rules/branches/guarded", "/collaborators/ada/permission", "/branches/main/protection", "/git/ref/heads/none"]
    for path in gets:
        await bot.get(root + path)
    await bot.ask("PATCH", f"{root}/git/refs/heads/side", {"sha": head, "force": True})
    await bot.ask("DELETE", f"{root}/git/refs/heads/side")


_REVIEWS = {
    "required_approving_review_count": 1,
    "dismiss_stale_reviews_on_push": True,
    "require_code_owner_review": False,
    "require_last_push_approval": False,
    "required_review_thread_resolution": False,
}
_CHECKS = {"required_status_checks": [{"context": "unit"}], "strict_required_status_checks_policy": False}


async def _pulls(desk: Desk, bot: Client) -> int:
    root = f"/repos/{REPO}"
    await desk.github.people.commit(REPO, "work", "work.txt", "1\n", "ada")
    made = (await bot.post(f"{root}/pulls", {"title": "x", "head": "work", "base": "main", "body": "b"})).body
    await bot.post(f"{root}/pulls", {"title": "x", "head": "work", "base": "main"})
    one = f"{root}/pulls/{made['number']}"
    await desk.github.people.commit(REPO, "work", "more.txt", "1\n", "ada")
    for path in ("", "", "/files", "/commits", "/requested_reviewers", "/merge"):
        await bot.get(one + path)
    await bot.get(f"{root}/pulls")
    await bot.get(f"{root}/commits/{desk.github.pull(REPO, made['number']).head_sha}/pulls")
    await bot.post(f"{one}/requested_reviewers", {"reviewers": ["ada"]})
    await bot.ask("PATCH", one, {"title": "y", "body": "c"})
    await bot.ask("PATCH", one, {"state": "closed"})
    await bot.ask("PATCH", one, {"state": "open"})
    desk.github.people.set_draft(REPO, made["number"], "ada", draft=True)
    desk.github.people.set_draft(REPO, made["number"], "ada", draft=False)
    await _reviews(desk, bot, one)
    return int(made["number"])


async def _reviews(desk: Desk, bot: Client, one: str) -> None:
    person = desk.person()
    await bot.post(f"{one}/reviews", {"event": "APPROVE"})
    approved = (await person.post(f"{one}/reviews", {"event": "APPROVE"})).body["id"]
    await person.get(f"{one}/reviews/{approved}")
    await person.ask("PUT", f"{one}/reviews/{approved}/dismissals", {"message": "stale"})
    pending = (await person.post(f"{one}/reviews", {"body": "later"})).body["id"]
    await person.get(f"{one}/reviews")
    await person.post(f"{one}/reviews/{pending}/events", {"event": "COMMENT", "body": "now"})
    await person.post(f"{one}/reviews", {"event": "REQUEST_CHANGES", "body": "no"})
    await bot.get(f"{one}/reviews")


async def _issues(bot: Client, number: int) -> None:
    root, one = f"/repos/{REPO}", f"/repos/{REPO}/issues/{number}"
    await bot.post(f"{root}/labels", {"name": "task-7", "color": "00ff00", "description": "of task 7"})
    await bot.post(f"{root}/labels", {"name": "task-7"})
    await bot.ask("PATCH", f"{root}/labels/task-7", {"color": "0000ff"})
    await bot.post(f"{one}/labels", {"labels": ["task-7", "ready-for-qa"]})
    await bot.get(f"{one}/labels")
    await bot.get(f"{root}/labels/task-7")
    await bot.get(f"{root}/labels")
    await bot.get(f"{root}/pulls/{number}")
    await bot.ask("PUT", f"{one}/labels", {"labels": ["other", "task-7"]})
    await bot.ask("DELETE", f"{one}/labels/other")
    await bot.ask("DELETE", f"{one}/labels/other")
    comment = (await bot.post(f"{one}/comments", {"body": "one"})).body["id"]
    await bot.ask("PATCH", f"{root}/issues/comments/{comment}", {"body": "two"})
    await bot.post(f"{root}/issues/comments/{comment}/reactions", {"content": "+1"})
    await bot.post(f"{root}/issues/comments/{comment}/reactions", {"content": "+1"})
    for path in (one, f"{root}/issues", f"{one}/comments", f"{root}/issues/comments/{comment}"):
        await bot.get(path)
    for path in ("events", "timeline"):
        await bot.get(f"{one}/{path}")
    await bot.ask("DELETE", f"{root}/issues/comments/{comment}")
    await bot.ask("DELETE", f"{root}/labels/other")


async def _checks(desk: Desk, bot: Client, number: int) -> None:
    root, head = f"/repos/{REPO}", desk.github.pull(REPO, number).head_sha
    await bot.post(f"{root}/statuses/{head}", {"state": "pending", "context": "unit"})
    await bot.post(f"{root}/statuses/{head}", {"state": "success", "context": "unit", "target_url": "https://ci.example/1"})
    run = (await bot.post(f"{root}/check-runs", {"name": "lint", "head_sha": head, "status": "in_progress"})).body["id"]
    await bot.get(f"{root}/check-runs/{run}")
    output = {"title": "t", "summary": "s"}
    await bot.ask("PATCH", f"{root}/check-runs/{run}", {"conclusion": "success", "output": output})
    for path in ("statuses", "status", "check-runs"):
        await bot.get(f"{root}/commits/{head}/{path}")


async def _merges(desk: Desk, bot: Client, number: int) -> None:
    await bot.ask("PUT", f"/repos/{REPO}/pulls/{number}/merge", {"sha": "0" * 40})
    await desk.github.people.commit(REPO, "queued", "queued.txt", "1\n", "ada")
    queued = await desk.github.people.open_pull(REPO, "ada", title="q", head="queued")
    await desk.github.people.enqueue(REPO, queued.number, "ada")
    await desk.github.people.run_queue(REPO, queued.number, passed=False)
    await bot.ask("PUT", f"/repos/{REPO}/pulls/{number}/merge", {"merge_method": "squash"})
    for path in (f"/pulls/{number}", f"/pulls/{number}/merge", "/pulls?state=all", f"/issues/{number}/events"):
        await bot.get(f"/repos/{REPO}{path}")


async def _walk(desk: Desk) -> None:
    await _apps(desk)
    bot = desk.bot()
    await _code(desk, bot)
    number = await _pulls(desk, bot)
    await _issues(bot, number)
    await _checks(desk, bot, number)
    await _merges(desk, bot, number)
    await desk.client.get(f"/repos/{REPO}")
    await desk.bot(contents="read").post(f"/repos/{REPO}/pulls", {})
    desk.github.uninstall(desk.installation)


def _rest_faults(official: Official, entry: dict[str, Any]) -> list[str]:
    name = f"{entry['method']} {entry['template']} {entry['status']}"
    if not official.describes(name) and entry["status"] >= 400:
        name = "error"  # a refusal that the documents leave out
    assert official.has("rest", name), f"GitHub does not answer so: {name}"
    return [f"{name} ({entry['path']}) at {fault}" for fault in official.faults("rest", name, entry["body"])]


def _event_name(event: str, body: dict[str, Any]) -> str:
    return "-".join([event, *([body["action"]] if "action" in body else [])]).replace("_", "-")


async def test_every_answer_and_every_event_is_valid(desk: Desk, official: Official) -> None:
    await _walk(desk)
    wrong = [fault for entry in desk.github.journal for fault in _rest_faults(official, entry)]
    for event, body in desk.github.webhooks.sent:
        name = _event_name(event, body)
        wrong += [f"{name} at {fault}" for fault in official.faults("webhooks", name, body)]
    await desk.github.settle()
    for got in desk.door.got:
        wrong += [
            f"delivered {got.name} at {fault}"
            for fault in official.faults("webhooks", _event_name(got.event, got.body), got.body)
        ]
    assert wrong == []
    answered = {f"{entry['method']} {entry['template']}" for entry in desk.github.journal if entry["status"] < 300}
    assert sorted(set(OPERATIONS) - answered) == []
    assert {_event_name(event, body) for event, body in desk.github.webhooks.sent} == EVENTS


def test_every_endpoint_of_the_fake_is_one_of_github(official: Official) -> None:
    unknown = [name for name in OPERATIONS if not any(official.has("rest", f"{name} {status}") for status in range(200, 206))]
    assert unknown == []


def test_the_schemas_see_what_is_wrong(official: Official) -> None:
    assert official.faults("rest", "GET /rate_limit 200", {"rate": {}}) != []
    assert official.faults("webhooks", "push", {"ref": "refs/heads/main"}) != []
    assert official.faults("rest", "GET /repos/{owner}/{repo}/pulls/{pull_number}/merge 204", {}) != []
