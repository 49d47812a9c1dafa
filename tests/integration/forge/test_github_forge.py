"""What GitHub does beside the contract of all forges: forks, lost answers, missing rights, labels in the second of a push."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.forge.hub import Asked, Hub, Reply, scripted_hub

from coderun.forge.github.auth import PersonalToken
from coderun.forge.github.client import Client, open_session
from coderun.forge.github.forge import GitHubForge, graphql_url
from coderun.model.errors import ForgeUnavailableError, RefusedError
from coderun.model.pulls import (
    Check,
    CheckState,
    Mergeability,
    MergeMethod,
    NewPullRequest,
    PullState,
    ReviewState,
)
from coderun.model.repository import parse_repository

HEAD, OLD = "b" * 40, "a" * 40
BASE = "/repos/acme/shop"
HOME = {"id": 1, "full_name": "Acme/Shop"}


def pull_body(**more: Any) -> dict[str, Any]:
    body = {
        "number": 5,
        "html_url": "https://github.com/Acme/Shop/pull/5",
        "title": "T",
        "body": None,
        "state": "open",
        "draft": False,
        "user": {"login": "rex[bot]"},
        "head": {"ref": "feature/task-7-x", "sha": HEAD, "repo": HOME, "user": {"login": "Acme"}},
        "base": {"ref": "main", "sha": "0" * 40, "repo": HOME},
        "labels": [],
        "created_at": "2026-05-01T12:00:10Z",
        "updated_at": "2026-05-01T12:00:10Z",
        "merged_at": None,
        "mergeable": True,
    }
    return {**body, **more}


def move(sha: str, second: int, by: str = "rex[bot]") -> dict[str, Any]:
    return {"after": sha, "timestamp": f"2026-05-01T12:00:{second:02d}Z", "actor": {"login": by}}


def labeled(name: str, second: int, by: str = "cleo[bot]") -> dict[str, Any]:
    return {
        "event": "labeled",
        "actor": {"login": by},
        "label": {"name": name},
        "created_at": f"2026-05-01T12:00:{second:02d}Z",
    }


def review_body(state: str, by: str = "pat", sha: str = HEAD) -> dict[str, Any]:
    return {
        "id": 3,
        "user": {"login": by},
        "state": state,
        "commit_id": sha,
        "body": "fine",
        "submitted_at": "2026-05-01T12:01:00Z",
    }


class Place:
    """A repository with one pull request, and the forge as cleo."""

    def __init__(self, hub: Hub, session: Any) -> None:
        self.hub = hub
        self.waits: list[float] = []
        client = Client(session, PersonalToken("t", name="App cleo"), base_url=hub.url, sleep=self.sleep, jitter=lambda: 0.0)
        self.forge = GitHubForge(client, parse_repository("Acme/Shop"), login="cleo[bot]", trusted=["rex[bot]", "cleo[bot]"])
        hub.on(f"GET {BASE}", HOME)
        self.pull(pull_body())
        for path in ("issues/5/events", "pulls/5/reviews", "pulls/5/files", "rules/branches/main", "issues/5/comments"):
            hub.on(f"GET {BASE}/{path}", [])
        hub.on(f"GET {BASE}/activity", [move(HEAD, 9)])
        for sha in (HEAD, OLD):
            hub.on(f"GET {BASE}/commits/{sha}/check-runs", {"check_runs": []})
            hub.on(f"GET {BASE}/commits/{sha}/status", {"statuses": []})
        hub.on(f"GET {BASE}/collaborators/pat/permission", {"permission": "write"})
        hub.on(f"GET {BASE}/collaborators/stranger/permission", {"permission": "read"})

    def pull(self, *bodies: Any) -> None:
        self.hub.on(f"GET {BASE}/pulls/5", *bodies)
        self.hub.on(f"GET {BASE}/pulls", [body for body in bodies if isinstance(body, dict)][-1:])

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with scripted_hub() as hub, open_session() as session:
        yield Place(hub, session)


async def test_mergeability_is_asked_for_again_and_then_unknown(place: Place) -> None:
    computing = pull_body(mergeable=None)
    place.pull(computing, pull_body())
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert (read.mergeability, place.waits) == (Mergeability.CLEAN, [0.1])
    place.pull(computing)
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert (read.mergeability, place.waits) == (Mergeability.UNKNOWN, [0.1, 0.1, 0.4, 1.5])


async def test_a_missing_pull_request_is_told_from_a_repository_out_of_sight(place: Place) -> None:
    assert await place.forge.get_pull_request(6) is None
    assert await place.forge.get_pull_request(0) is None
    place.hub.on(f"GET {BASE}", Reply({"message": "Not Found"}, 404))
    with pytest.raises(
        RefusedError, match=r"App cleo cannot see github\.com/acme/shop: it is gone, was renamed, or is private"
    ):
        await place.forge.get_pull_request(6)


async def test_a_head_that_moves_while_it_is_read_is_read_again(place: Place) -> None:
    old = pull_body(head={**pull_body()["head"], "sha": OLD})
    place.pull(old, pull_body())
    place.hub.on(f"GET {BASE}/activity", [move(HEAD, 30), move(OLD, 9)])
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert read.head_sha == HEAD
    assert [push.sha for push in read.pushes] == [OLD, HEAD]


async def test_part_of_a_pull_request_that_cannot_be_read_fails_the_whole(place: Place) -> None:
    place.hub.on(f"GET {BASE}/pulls/5/reviews", Reply({"message": "secondary rate limit"}, 403))
    with pytest.raises(ForgeUnavailableError, match="secondary rate limit") as refused:
        await place.forge.get_pull_request(5)
    assert refused.value.retry_after == 60


async def test_a_server_without_a_log_of_pushes_binds_labels_to_nothing(place: Place) -> None:
    place.hub.on(f"GET {BASE}/activity", Reply({"message": "Not Found"}, 404))
    place.hub.on(f"GET {BASE}/issues/5/events", [labeled("q", 30)])
    place.pull(pull_body(labels=[{"name": "q"}]))
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert [(mark.actor.login, mark.head_sha) for mark in read.labels] == [("cleo[bot]", "")]
    assert [push.actor.login for push in read.pushes] == ["unknown"]


async def test_people_count_by_their_permission_and_apps_of_the_roster_by_their_login(place: Place) -> None:
    reviews = [review_body("APPROVED", by) for by in ("pat", "stranger", "rex[bot]", "Rex", "other[bot]")]
    place.hub.on(f"GET {BASE}/pulls/5/reviews", reviews)
    for _ in range(2):
        read = await place.forge.get_pull_request(5)
        assert read is not None
        assert {review.actor.login for review in read.reviews if review.actor.can_write} == {"pat", "rex[bot]"}
    assert place.hub.lines.count(f"GET {BASE}/collaborators/pat/permission") == 1


@pytest.mark.parametrize("gone", [True, False])
async def test_a_forks_branch_and_marker_files_stand_for_nothing(place: Place, *, gone: bool) -> None:
    repo = None if gone else {"id": 2, "full_name": "stranger/Shop"}
    place.pull(pull_body(head={"ref": "task-7", "sha": HEAD, "repo": repo, "user": {"login": "stranger"}}))
    place.hub.on(f"GET {BASE}/pulls/5/files", [{"filename": ".coderun/tasks/task-7.json", "status": "added"}])
    assert await place.forge.find_pull_requests(7) == []
    place.pull(pull_body(head={"ref": "task-7", "sha": HEAD, "repo": repo, "user": None}, labels=[{"name": "task-7"}]))
    [found] = await place.forge.find_pull_requests(7)
    assert found.markers == ()


async def test_the_upstream_marker_is_read_from_its_blob_and_removed_ones_are_none(place: Place) -> None:
    head = {**pull_body()["head"], "ref": "x"}
    place.pull(pull_body(head=head))
    files = [
        {"filename": "docs/.taskmaster/current-task.json", "status": "modified", "sha": "c0ffee"},
        {"filename": ".coderun/tasks/task-9.json", "status": "removed", "sha": "1"},
        {"filename": ".coderun/tasks/task-007.json", "status": "added", "sha": "1"},
    ]
    place.hub.on(f"GET {BASE}/pulls/5/files", files)
    place.hub.on(f"GET {BASE}/git/blobs/c0ffee", Reply(b'{"task_id": 8}'))
    assert [found.markers for found in await place.forge.find_pull_requests(8)] == [(8,)]
    assert await place.forge.find_pull_requests(9) == []
    blobs = [asked for asked in place.hub.asked if "blobs" in asked.path]
    assert [asked.headers["accept"] for asked in blobs] == ["application/vnd.github.raw+json"]


async def test_the_second_look_reads_only_what_changed(place: Place) -> None:
    newest = {"message": [pull_body(updated_at="2026-05-01T12:00:50Z")]}

    def page(asked: Asked) -> Reply:
        if asked.query.get("page"):
            return Reply(
                [pull_body(number=1, head={**pull_body()["head"], "ref": "task-8"}, updated_at="2026-05-01T12:00:20Z")]
            )
        link = {"Link": f'<{place.hub.url}{BASE}/pulls?page=2>; rel="next"'}
        older = pull_body(number=2, head={**pull_body()["head"], "ref": "y"}, updated_at="2026-05-01T12:00:30Z")
        return Reply([*newest["message"], older], headers=link)

    place.hub.on(f"GET {BASE}/pulls", page)
    for number in (1, 2):
        place.hub.on(f"GET {BASE}/pulls/{number}", pull_body(number=number))
        for path in (f"issues/{number}/events", f"pulls/{number}/reviews", f"pulls/{number}/files"):
            place.hub.on(f"GET {BASE}/{path}", [])
    lists = f"GET {BASE}/pulls"
    assert [found.number for found in await place.forge.find_pull_requests(8)] == [1]
    assert place.hub.lines.count(lists) == 2
    assert [found.number for found in await place.forge.find_pull_requests(7)] == [5]
    assert place.hub.lines.count(lists) == 3
    newest["message"] = [pull_body(updated_at="2026-05-01T12:00:55Z", labels=[{"name": "task-8"}])]
    assert [found.number for found in await place.forge.find_pull_requests(8)] == [1, 5]


async def test_a_label_that_is_bound_to_us_and_the_head_is_not_set_again(place: Place) -> None:
    place.pull(pull_body(labels=[{"name": "Ready-For-QA"}]))
    place.hub.on(f"GET {BASE}/issues/5/events", [labeled("ready-for-qa", 30)])
    await place.forge.add_label(5, "ready-for-qa")
    assert place.hub.writes() == []


@pytest.mark.parametrize("event", [labeled("q", 30, "pat"), labeled("q", 15)])
async def test_a_label_of_somebody_else_or_another_head_is_set_anew(place: Place, event: dict[str, Any]) -> None:
    place.hub.on(f"GET {BASE}/activity", [move(HEAD, 20), move(OLD, 9)])
    set_one = pull_body(labels=[{"name": "q"}])
    place.pull(set_one)
    place.hub.on(f"GET {BASE}/issues/5/events", [event], [event, labeled("q", 40)])
    place.hub.on(f"DELETE {BASE}/issues/5/labels/q", [])
    place.hub.on(f"POST {BASE}/issues/5/labels", [])
    place.hub.on(f"GET {BASE}/labels/q", {"name": "q"})
    await place.forge.add_label(5, "q")
    assert place.hub.writes() == [
        (f"DELETE {BASE}/issues/5/labels/q", None),
        (f"POST {BASE}/issues/5/labels", {"labels": ["q"]}),
    ]


async def test_a_label_set_in_the_second_of_the_push_is_set_again_a_second_later(place: Place) -> None:
    place.hub.on(f"GET {BASE}/activity", [move(HEAD, 20), move(OLD, 9)])
    there = pull_body(labels=[{"name": "q"}])
    place.pull(pull_body(), there)
    place.hub.on(f"GET {BASE}/issues/5/events", [labeled("q", 20)], [labeled("q", 20)], [labeled("q", 21)])
    place.hub.on(f"DELETE {BASE}/issues/5/labels/q", [])
    place.hub.on(f"POST {BASE}/issues/5/labels", [])
    place.hub.on(f"GET {BASE}/labels/q", {"name": "q"})
    await place.forge.add_label(5, "q")
    assert [line.split()[0] for line, _ in place.hub.writes()] == ["POST", "DELETE", "POST"]
    assert place.waits == [1.05]


async def test_a_label_that_somebody_else_took_off_first_is_off(place: Place) -> None:
    place.pull(pull_body(labels=[{"name": "a/b ?"}]))
    await place.forge.remove_label(5, "A/B ?")
    assert place.hub.writes() == [(f"DELETE {BASE}/issues/5/labels/a%2Fb%20%3F", None)]


async def test_a_pull_request_that_was_opened_meanwhile_is_given_back(place: Place) -> None:
    for branch in ("feature%2Ftask-7-x", "main"):
        place.hub.on(f"GET {BASE}/branches/{branch}", {"name": "x"})
    place.hub.on(f"GET {BASE}/pulls", [], [pull_body()])
    errors = [{"message": "A pull request already exists for Acme:feature/task-7-x."}]
    place.hub.on(f"POST {BASE}/pulls", Reply({"message": "Validation Failed", "errors": errors}, 422))
    new = NewPullRequest(title="T", body="", head_branch="feature/task-7-x", base_branch="main")
    assert (await place.forge.open_pull_request(new)).number == 5
    looked = [asked.query for asked in place.hub.asked if asked.line == f"GET {BASE}/pulls"]
    assert looked[0]["head"] == "Acme:feature/task-7-x"


async def test_a_pull_request_whose_opening_got_no_answer_is_not_opened_twice(place: Place) -> None:
    for branch in ("feature%2Ftask-7-x", "main"):
        place.hub.on(f"GET {BASE}/branches/{branch}", {"name": "x"})
    place.hub.on(f"GET {BASE}/pulls", [], [pull_body()])
    place.hub.on(f"POST {BASE}/pulls", Reply({"message": "x"}, 502))
    new = NewPullRequest(title="T", body="", head_branch="feature/task-7-x", base_branch="main")
    with pytest.raises(ForgeUnavailableError):
        await place.forge.open_pull_request(new)
    assert (await place.forge.open_pull_request(new)).number == 5
    assert [line for line, _ in place.hub.writes()] == [f"POST {BASE}/pulls"]


async def test_a_body_that_github_would_not_take_is_refused(place: Place) -> None:
    with pytest.raises(RefusedError, match="65537 characters long; GitHub takes 65536"):
        await place.forge.comment(5, "x" * 65_537)


async def test_a_marked_comment_that_says_the_same_is_left_alone(place: Place) -> None:
    same = {"id": 9, "user": {"login": "Cleo"}, "body": "hello\r\n\r\n<!-- coderun:status -->"}
    foreign = {**same, "id": 8, "user": {"login": "stranger"}}
    place.hub.on(f"GET {BASE}/issues/5/comments", [foreign, same])
    await place.forge.comment(5, "hello", marker="status")
    assert place.hub.writes() == []
    place.hub.on(f"PATCH {BASE}/issues/comments/9", {})
    await place.forge.comment(5, "bye", marker="status")
    assert place.hub.writes() == [(f"PATCH {BASE}/issues/comments/9", {"body": "bye\n\n<!-- coderun:status -->"})]


async def test_a_wordless_change_request_gets_words_since_github_wants_some(place: Place) -> None:
    place.hub.on(f"POST {BASE}/pulls/5/reviews", review_body("CHANGES_REQUESTED", "cleo[bot]"))
    given = await place.forge.review(5, ReviewState.CHANGES_REQUESTED, "", head_sha=HEAD)
    assert place.hub.writes()[0][1] == {"commit_id": HEAD, "event": "REQUEST_CHANGES", "body": "(no words)"}
    assert (given.state, given.actor.can_write) == (ReviewState.CHANGES_REQUESTED, True)


@pytest.mark.parametrize("state", [ReviewState.DISMISSED, ReviewState.APPROVED])
async def test_a_review_that_cannot_be_is_refused_before_github_is_asked(place: Place, state: ReviewState) -> None:
    place.pull(pull_body(state="closed"))
    with pytest.raises(RefusedError, match=r"cannot be submitted as dismissed|only an open one can be approved"):
        await place.forge.review(5, state, "x", head_sha=HEAD)
    assert place.hub.writes() == []


async def test_a_merge_whose_answer_was_lost_is_found_to_be_done(place: Place) -> None:
    merged = pull_body(state="closed", merged_at="2026-05-01T13:00:00Z", merged_by={"login": "cleo[bot]"}, merge_commit_sha="m")
    place.hub.on(f"GET {BASE}/pulls/5/reviews", [review_body("APPROVED")])
    place.pull(pull_body(), merged)
    place.hub.on(
        f"PUT {BASE}/pulls/5/merge", Reply({"message": "x"}, 502), Reply({"message": "Pull Request is not mergeable"}, 405)
    )
    found = await place.forge.merge(5, head_sha=HEAD, method=MergeMethod.SQUASH)
    assert (found.state, found.merged_by, found.merge_sha) == (PullState.MERGED, "cleo[bot]", "m")
    assert place.hub.writes()[0][1] == {"sha": HEAD, "merge_method": "squash"}


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (405, "At least 1 approving review is required", "GitHub does not merge pull request 5: At least 1 approving"),
        (409, "Head branch was modified", "by now; look at the new head"),
        (403, "Resource not accessible", "GitHub does not merge pull request 5: Resource not accessible"),
    ],
)
async def test_a_merge_that_github_refuses_says_why(place: Place, status: int, said: str, told: str) -> None:
    place.hub.on(f"GET {BASE}/pulls/5/reviews", [review_body("APPROVED")])
    place.hub.on(f"PUT {BASE}/pulls/5/merge", Reply({"message": said}, status))
    with pytest.raises(RefusedError) as refused:
        await place.forge.merge(5, head_sha=HEAD)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "reviews", "told"),
    [
        ({"draft": True}, ["APPROVED"], "is a draft"),
        ({}, ["CHANGES_REQUESTED"], "pat requested changes on the head"),
        ({}, ["APPROVED", "DISMISSED"], "no approving review"),
        ({"state": "closed"}, [], "is closed"),
    ],
)
async def test_a_merge_that_must_not_be_is_not_asked_for(
    place: Place, changed: dict[str, Any], reviews: list[str], told: str
) -> None:
    place.pull(pull_body(**changed))
    place.hub.on(f"GET {BASE}/pulls/5/reviews", [review_body(state) for state in reviews])
    with pytest.raises(RefusedError, match=told):
        await place.forge.merge(5, head_sha=HEAD)
    assert place.hub.writes() == []


async def test_an_app_records_checks_as_its_own_check_runs_and_changes_them(place: Place) -> None:
    foreign = {"id": 1, "name": "lint", "status": "completed", "conclusion": "success", "app": {"id": 2, "slug": "actions"}}
    own = {**foreign, "id": 2, "app": {"id": 3, "slug": "Cleo"}, "output": {"title": "lint", "summary": "ok"}}
    runs = f"GET {BASE}/commits/{HEAD}/check-runs"
    place.hub.on(runs, {"check_runs": [foreign]})
    place.hub.on(f"POST {BASE}/check-runs", {"id": 2})
    await place.forge.set_checks(HEAD, [Check(name="lint", state=CheckState.PENDING)])
    output = {"title": "lint", "summary": ""}
    assert place.hub.writes() == [
        (f"POST {BASE}/check-runs", {"name": "lint", "head_sha": HEAD, "status": "in_progress", "output": output})
    ]
    place.hub.on(runs, {"check_runs": [foreign, own]})
    await place.forge.set_checks(HEAD, [Check(name="lint", state=CheckState.PASSED, summary="ok")])
    assert len(place.hub.writes()) == 1
    place.hub.on(f"PATCH {BASE}/check-runs/2", {})
    await place.forge.set_checks(HEAD, [Check(name="lint", state=CheckState.FAILED, summary="no")])
    line, body = place.hub.writes()[-1]
    assert (line, body["conclusion"]) == (f"PATCH {BASE}/check-runs/2", "failure")


async def test_required_checks_of_the_base_are_expected(place: Place) -> None:
    checks = {"enforcement_level": "everyone", "contexts": ["ci"], "checks": [{"context": "ci", "app_id": None}]}
    place.hub.on(f"GET {BASE}/branches/main", {"name": "main", "protection": {"required_status_checks": checks}})
    place.hub.on(f"GET {BASE}/rules/branches/main", Reply({"message": "Upgrade to see rules"}, 403))
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert (read.checks.expected, read.checks.state) == (("ci",), CheckState.PENDING)


async def test_times_are_githubs(place: Place) -> None:
    read = await place.forge.get_pull_request(5)
    assert read is not None
    assert read.created_at == datetime(2026, 5, 1, 12, 0, 10, tzinfo=UTC)
    assert read.head_since == read.created_at


async def test_a_diff_that_is_too_large_is_refused(place: Place) -> None:
    place.hub.on(f"GET {BASE}/pulls/5", pull_body(), Reply({"message": "Sorry, the diff exceeded the maximum"}, 406))
    with pytest.raises(RefusedError, match="406: Sorry, the diff exceeded the maximum"):
        await place.forge.diff(5)


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_a_missing_label_is_made_in_its_colour_and_set_though_it_cannot_be_made(place: Place, status: int) -> None:
    place.pull(pull_body(), pull_body(labels=[{"name": "task-7"}]))
    place.hub.on(f"GET {BASE}/issues/5/events", [labeled("task-7", 40)])
    place.hub.on(f"GET {BASE}/activity", [move(HEAD, 20), move(OLD, 9)])
    place.hub.on(f"POST {BASE}/labels", Reply({"message": "no"}, status))
    place.hub.on(f"POST {BASE}/issues/5/labels", [])
    await place.forge.add_label(5, "task-7")
    assert place.hub.writes() == [
        (f"POST {BASE}/labels", {"name": "task-7", "color": "f29513"}),
        (f"POST {BASE}/issues/5/labels", {"labels": ["task-7"]}),
    ]


async def test_of_a_repository_with_endless_pull_requests_the_newest_and_all_open_ones_are_known(place: Place) -> None:
    def page(asked: Asked) -> Reply:
        if asked.query["state"] == "open":
            return Reply([pull_body(number=1, updated_at="2020-01-01T00:00:00Z")])
        at = int(asked.query.get("page", "1"))
        link = {"Link": f'<{place.hub.url}{BASE}/pulls?state=all&page={at + 1}>; rel="next"'}
        numbers = range(100_000 - 100 * at, 100_100 - 100 * at)
        pulls = [pull_body(number=number, state="closed", head={**pull_body()["head"], "ref": "x"}) for number in numbers]
        return Reply(pulls, headers=link)

    place.hub.on(f"GET {BASE}/pulls", page)
    assert await place.forge.news() == ()
    assert place.hub.lines.count(f"GET {BASE}/pulls") == 21
    assert await place.forge.merged_tasks("main") == frozenset()


QUEUE_RULE = Reply({"message": "Changes must be made through the merge queue"}, 405)


def queue_event(name: str, second: int) -> dict[str, Any]:
    return {"event": name, "created_at": f"2026-05-01T12:00:{second:02d}Z", "actor": {"login": "x"}}


def queued_place(place: Place, *events: dict[str, Any]) -> None:
    """An approved pull request whose base has a merge queue."""
    place.hub.on(f"GET {BASE}/activity", [move(HEAD, 20), move(OLD, 9)])
    place.pull(pull_body(node_id="PR_5", mergeable=True))
    place.hub.on(f"GET {BASE}/issues/5/events", list(events))
    approved = {"id": 1, "state": "APPROVED", "commit_id": HEAD, "user": {"login": "tess[bot]"}}
    place.hub.on(f"GET {BASE}/pulls/5/reviews", [approved])
    place.hub.on(f"GET {BASE}/collaborators/tess%5Bbot%5D/permission", {"permission": "write"})
    place.hub.on(f"PUT {BASE}/pulls/5/merge", QUEUE_RULE)
    place.hub.on("POST /graphql", {"data": {}})


async def test_a_base_with_a_merge_queue_gets_the_head_once_and_is_not_asked_to_merge_again(place: Place) -> None:
    queued_place(place)
    assert (await place.forge.merge(5, head_sha=HEAD)).state is PullState.OPEN
    [_, (line, body)] = place.hub.writes()
    assert line == "POST /graphql"
    assert body["variables"] == {"pull": "PR_5", "head": HEAD}
    queued_place(place, queue_event("added_to_merge_queue", 30))
    assert (await place.forge.merge(5, head_sha=HEAD)).state is PullState.OPEN
    assert len(place.hub.writes()) == 2


async def test_what_the_queue_threw_out_is_put_there_again_only_after_a_push(place: Place) -> None:
    thrown = (queue_event("added_to_merge_queue", 30), queue_event("removed_from_merge_queue", 31))
    queued_place(place, *thrown)
    with pytest.raises(RefusedError, match="the merge queue of 'main' took pull request 5 off without merging it"):
        await place.forge.merge(5, head_sha=HEAD)
    queued_place(place, *(queue_event(event["event"], 15) for event in thrown))
    await place.forge.merge(5, head_sha=HEAD)
    assert place.hub.writes()[-1][0] == "POST /graphql"


async def test_a_queue_that_does_not_take_it_is_quoted(place: Place) -> None:
    queued_place(place)
    place.hub.on("POST /graphql", {"errors": [{"message": "Pull request is not mergeable"}]})
    with pytest.raises(RefusedError, match="does not put pull request 5 on the merge queue: Pull request is not mergeable"):
        await place.forge.merge(5, head_sha=HEAD)


def test_graphql_is_beside_the_rest_api() -> None:
    assert graphql_url("https://api.github.com") == "https://api.github.com/graphql"
    assert graphql_url("https://ghes.example/api/v3") == "https://ghes.example/api/graphql"


@pytest.mark.parametrize("answer", [{"rate": {}}, Reply({"message": "Rate limiting is not enabled."}, 404)])
async def test_a_credential_is_proven_also_where_no_limits_are(place: Place, answer: Any) -> None:
    place.hub.on("GET /rate_limit", answer)
    await place.forge.prove()
    assert place.hub.lines == ["GET /rate_limit"]


async def test_pull_requests_are_counted_without_being_read(place: Place) -> None:
    place.hub.on(f"GET {BASE}/pulls", [pull_body(number=1), pull_body(number=2, state="closed")])
    assert await place.forge.count_pull_requests() == {PullState.OPEN: 1, PullState.CLOSED: 1, PullState.MERGED: 0}
    assert place.hub.lines == [f"GET {BASE}/pulls"]
