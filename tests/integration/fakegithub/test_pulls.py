"""Pull requests of the fake: opened, reviewed, labelled, merged, and what is refused on the way."""

import pytest
from tests.integration.fakegithub.desk import REPO, Desk

PULLS = f"/repos/{REPO}/pulls"


async def test_a_pull_request_of_the_bot_is_opened_and_found_by_its_head(desk: Desk) -> None:
    await desk.github.people.commit(REPO, "work", "work.txt", "1\n", "ada")
    bot = desk.bot()
    made = await bot.post(PULLS, {"title": "Do it", "head": "work", "base": "main", "body": "why"})
    assert (made.status, made.body["user"]["login"], made.body["mergeable"]) == (201, "5dlabs-rex[bot]", None)
    found = await bot.get(f"{PULLS}?head=5dlabs:work&base=main")
    assert [one["number"] for one in found.body] == [made.body["number"]]
    assert (await bot.get(f"{PULLS}?head=5dlabs:other")).body == []
    assert (await bot.get(f"{PULLS}?state=closed")).body == []


async def test_mergeable_is_null_once_after_each_move(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    seen = [(await bot.get(f"{PULLS}/{number}")).body["mergeable"] for _ in range(2)]
    await desk.github.people.commit(REPO, "work", "more.txt", "1\n", "ada")
    seen += [(await bot.get(f"{PULLS}/{number}")).body["mergeable"] for _ in range(2)]
    assert seen == [None, True, None, True]


async def test_a_second_pull_request_of_one_head_is_refused(desk: Desk) -> None:
    await desk.pull("work")
    reply = await desk.bot().post(PULLS, {"title": "Again", "head": "work", "base": "main"})
    assert (reply.status, reply.message) == (422, "Validation Failed A pull request already exists for 5dlabs:work.")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"head": "nothing", "base": "main"}, "Validation Failed head"),
        ({"head": "work", "base": "nothing"}, "Validation Failed base"),
        ({"head": "main", "base": "main"}, "Validation Failed No commits between main and main"),
        ({"head": "work"}, "Validation Failed base"),
    ],
)
async def test_a_pull_request_that_cannot_be_is_refused(desk: Desk, fields: dict[str, str], message: str) -> None:
    await desk.github.people.commit(REPO, "work", "work.txt", "1\n", "ada")
    reply = await desk.bot().post(PULLS, {"title": "x", **fields})
    assert (reply.status, reply.message) == (422, message)


async def test_nobody_approves_their_own_pull_request(desk: Desk) -> None:
    number = await desk.pull("work", login=desk.app.login)
    bot, path = desk.bot(), f"{PULLS}/{number}/reviews"
    refused = await bot.post(path, {"event": "APPROVE"})
    assert (refused.status, refused.message) == (422, "Unprocessable Entity Can not approve your own pull request")
    assert (await bot.post(path, {"event": "COMMENT", "body": "hm"})).body["state"] == "COMMENTED"


async def test_a_review_is_upper_case_in_rest_and_lower_case_in_the_webhook(desk: Desk) -> None:
    number = await desk.pull("work")
    made = await desk.bot().post(f"{PULLS}/{number}/reviews", {"event": "APPROVE"})
    assert made.body["state"] == "APPROVED"
    assert made.body["commit_id"] == desk.github.pull(REPO, number).head_sha
    await desk.github.settle()
    assert desk.door.got[-1].body["review"]["state"] == "approved"


async def test_a_dismissed_review_counts_no_more(desk: Desk) -> None:
    desk.github.protect_branch(REPO, "main", approvals=1)
    number, bot = await desk.pull("work"), desk.bot()
    review = (await bot.post(f"{PULLS}/{number}/reviews", {"event": "APPROVE"})).body["id"]
    gone = await bot.ask("PUT", f"{PULLS}/{number}/reviews/{review}/dismissals", {"message": "stale"})
    assert gone.body["state"] == "DISMISSED"
    reply = await bot.ask("PUT", f"{PULLS}/{number}/merge", {})
    assert reply.status == 405
    assert "At least 1 approving review is required" in reply.message


@pytest.mark.parametrize(("method", "parents"), [("merge", 2), ("squash", 1), ("rebase", 1)])
async def test_a_merge_moves_the_base(desk: Desk, method: str, parents: int) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    head = desk.github.pull(REPO, number).head_sha
    await desk.github.people.commit(REPO, "main", "between.txt", "1\n", "ada")
    reply = await bot.ask("PUT", f"{PULLS}/{number}/merge", {"sha": head, "merge_method": method})
    assert (reply.status, reply.body["merged"]) == (200, True)
    base = (await bot.get(f"/repos/{REPO}/commits/main")).body
    assert (base["sha"], len(base["parents"])) == (reply.body["sha"], parents)
    names = {one["name"] for one in (await bot.get(f"/repos/{REPO}/contents")).body}
    assert {"work.txt", "between.txt"} <= names
    shown = (await bot.get(f"{PULLS}/{number}")).body
    assert (shown["merged"], shown["state"], shown["merged_by"]["login"]) == (True, "closed", "5dlabs-rex[bot]")
    assert (await bot.get(f"{PULLS}/{number}/merge")).status == 204
    assert desk.github.repo(REPO).activity[-1].kind == "pr_merge"


async def test_a_merge_of_a_head_that_has_moved_is_refused(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    stale = desk.github.pull(REPO, number).head_sha
    await desk.github.people.commit(REPO, "work", "more.txt", "1\n", "ada")
    reply = await bot.ask("PUT", f"{PULLS}/{number}/merge", {"sha": stale})
    assert (reply.status, reply.message) == (409, "Head branch was modified. Review and try the merge again.")


async def test_a_conflict_shows_and_is_not_merged(desk: Desk) -> None:
    await desk.github.people.commit(REPO, "work", "one.txt", "theirs\n", "ada")
    number = (await desk.github.people.open_pull(REPO, "ada", title="x", head="work")).number
    await desk.github.people.commit(REPO, "main", "one.txt", "ours\n", "ada")
    bot = desk.bot()
    shown = [(await bot.get(f"{PULLS}/{number}")).body for _ in range(2)][1]
    assert (shown["mergeable"], shown["mergeable_state"]) == (False, "dirty")
    reply = await bot.ask("PUT", f"{PULLS}/{number}/merge", {})
    assert (reply.status, reply.message) == (405, "Pull Request is not mergeable")


async def test_a_draft_is_merged_only_when_ready(desk: Desk) -> None:
    await desk.github.people.commit(REPO, "work", "work.txt", "1\n", "ada")
    pull = await desk.github.people.open_pull(REPO, "ada", title="x", head="work", draft=True)
    bot = desk.bot()
    assert (await bot.ask("PUT", f"{PULLS}/{pull.number}/merge", {})).message == "Pull Request is still a draft"
    node = (await bot.get(f"{PULLS}/{pull.number}")).body["node_id"]
    query = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }"
    told = await bot.post("/graphql", {"query": query, "variables": {"id": node}})
    assert told.body["data"]["markPullRequestReadyForReview"]["pullRequest"]["isDraft"] is False
    assert (await bot.ask("PUT", f"{PULLS}/{pull.number}/merge", {})).status == 200


async def test_required_checks_block_until_they_are_green(desk: Desk) -> None:
    desk.github.protect_branch(REPO, "main", contexts=["unit", "lint"])
    number, bot = await desk.pull("work"), desk.bot()
    head, path = desk.github.pull(REPO, number).head_sha, f"{PULLS}/{number}"
    required = await bot.get(f"/repos/{REPO}/branches/main/protection/required_status_checks")
    assert required.body["contexts"] == ["unit", "lint"]
    await bot.post(f"/repos/{REPO}/statuses/{head}", {"state": "failure", "context": "unit"})
    refused = await bot.ask("PUT", f"{path}/merge", {})
    assert refused.status == 405
    assert refused.message.splitlines() == [
        'Required status check "unit" is failing.',
        'Required status check "lint" is expected.',
    ]
    assert [(await bot.get(path)).body["mergeable_state"] for _ in range(2)] == ["unknown", "blocked"]
    await bot.post(f"/repos/{REPO}/statuses/{head}", {"state": "success", "context": "unit"})
    run = {"name": "lint", "head_sha": head, "status": "completed", "conclusion": "success"}
    assert (await bot.post(f"/repos/{REPO}/check-runs", run)).status == 201
    assert (await bot.get(f"/repos/{REPO}/commits/work/status")).body["state"] == "success"
    assert (await bot.get(f"/repos/{REPO}/commits/work/check-runs")).body["total_count"] == 1
    assert (await bot.ask("PUT", f"{path}/merge", {})).status == 200


async def test_a_commit_without_statuses_is_pending(desk: Desk) -> None:
    status = (await desk.bot().get(f"/repos/{REPO}/commits/main/status")).body
    assert (status["state"], status["total_count"]) == ("pending", 0)


async def test_a_label_is_made_on_first_use_and_bound_to_its_actor_and_time(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    path = f"/repos/{REPO}/issues/{number}"
    desk.clock.advance(5)
    shown = await bot.post(f"{path}/labels", {"labels": ["ready-for-qa", "Ready-For-QA"]})
    assert [one["name"] for one in shown.body] == ["ready-for-qa"]
    labelled = [one for one in (await bot.get(f"{path}/events")).body if one["event"] == "labeled"]
    assert [(one["actor"]["login"], one["label"]["name"]) for one in labelled] == [("5dlabs-rex[bot]", "ready-for-qa")]
    assert (await bot.ask("DELETE", f"{path}/labels/READY-for-qa")).status == 200
    missing = await bot.ask("DELETE", f"{path}/labels/ready-for-qa")
    assert (missing.status, missing.message) == (404, "Label does not exist")
    await desk.github.settle()
    assert desk.door.names()[-3:] == ["label.created", "pull_request.labeled", "pull_request.unlabeled"]
    again = await bot.post(f"/repos/{REPO}/labels", {"name": "READY-FOR-QA"})
    assert (again.status, again.body["errors"][0]["code"]) == (422, "already_exists")


async def test_a_comment_is_edited_by_its_author_alone(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    mine = (await bot.post(f"/repos/{REPO}/issues/{number}/comments", {"body": "one"})).body
    edited = await bot.ask("PATCH", f"/repos/{REPO}/issues/comments/{mine['id']}", {"body": "two"})
    assert edited.body["body"] == "two"
    theirs = (await desk.person().post(f"/repos/{REPO}/issues/{number}/comments", {"body": "hi"})).body
    refused = await bot.ask("PATCH", f"/repos/{REPO}/issues/comments/{theirs['id']}", {"body": "no"})
    assert refused.status == 403
    assert [one["body"] for one in (await bot.get(f"/repos/{REPO}/issues/{number}/comments")).body] == ["two", "hi"]


async def test_the_diff_comes_by_its_media_type(desk: Desk) -> None:
    number = await desk.pull("work")
    reply = await desk.bot().get(f"{PULLS}/{number}", Accept="application/vnd.github.v3.diff")
    assert reply.body.startswith("diff --git a/work.txt b/work.txt")
    files = (await desk.bot().get(f"{PULLS}/{number}/files")).body
    assert [(one["filename"], one["status"], one["additions"]) for one in files] == [("work.txt", "added", 1)]


async def test_a_base_can_be_changed_and_the_webhook_says_from_what(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    await bot.post(f"/repos/{REPO}/git/refs", {"ref": "refs/heads/release", "sha": desk.github.pull(REPO, number).base_sha})
    reply = await bot.ask("PATCH", f"{PULLS}/{number}", {"base": "release", "title": "Other"})
    assert (reply.body["base"]["ref"], reply.body["title"]) == ("release", "Other")
    await desk.github.settle()
    assert desk.door.got[-1].body["changes"]["base"]["ref"] == {"from": "main"}


async def test_a_merge_queue_is_the_only_way_where_it_is_asked_for(desk: Desk) -> None:
    desk.github.add_ruleset(REPO, [{"type": "merge_queue", "parameters": {}}])
    number = await desk.pull("work")
    reply = await desk.bot().ask("PUT", f"{PULLS}/{number}/merge", {})
    assert (reply.status, reply.message) == (405, "Changes must be made through the merge queue")
    await desk.github.people.enqueue(REPO, number, "ada")
    await desk.github.people.run_queue(REPO, number)
    assert desk.github.pull(REPO, number).merged_at is not None
    await desk.github.settle()
    wanted = {"pull_request.enqueued", "merge_group.checks_requested", "pull_request.closed", "pull_request.dequeued"}
    assert wanted <= set(desk.door.names())


async def test_a_person_has_the_permission_of_their_role(desk: Desk) -> None:
    desk.github.add_collaborator(REPO, "eve", "triage")
    desk.github.add_user("mallory")
    path = f"/repos/{REPO}/collaborators"
    found = [(await desk.bot().get(f"{path}/{login}/permission")).body for login in ("ada", "EVE", "mallory")]
    assert [(one["permission"], one["role_name"]) for one in found] == [
        ("write", "write"),
        ("read", "triage"),
        ("none", "none"),
    ]
    assert (await desk.bot().get(f"{path}/nobody/permission")).status == 404


async def test_the_activity_names_who_pushed(desk: Desk) -> None:
    await desk.pull("work")
    found = (await desk.bot().get(f"/repos/{REPO}/activity?ref=refs/heads/work")).body
    assert [(one["activity_type"], one["actor"]["login"]) for one in found] == [("branch_creation", "ada")]


async def test_files_are_read_and_written(desk: Desk) -> None:
    bot, path = desk.bot(), f"/repos/{REPO}/contents/docs/a%20b.txt"
    made = await bot.ask("PUT", path, {"message": "Add", "content": "aGk=", "branch": "main"})
    assert made.status == 201
    stale = await bot.ask("PUT", path, {"message": "Add", "content": "aG8="})
    assert stale.status == 409
    assert (await bot.get(path)).body["content"].strip() == "aGk="
    assert [one["name"] for one in (await bot.get(f"/repos/{REPO}/contents/docs")).body] == ["a b.txt"]
    assert (await bot.get(f"/repos/{REPO}/contents/nothing")).status == 404
    compared = (await bot.get(f"/repos/{REPO}/compare/main~1...main")).status
    assert compared == 404


async def test_texts_that_are_too_long_are_refused(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    reply = await bot.post(f"/repos/{REPO}/issues/{number}/comments", {"body": "x" * 65537})
    assert (reply.status, reply.message) == (422, "Validation Failed body is too long (maximum is 65536 characters)")


async def test_a_blob_comes_raw(desk: Desk) -> None:
    number, bot = await desk.pull("work"), desk.bot()
    sha = (await bot.get(f"{PULLS}/{number}/files")).body[0]["sha"]
    assert (await bot.get(f"/repos/{REPO}/git/blobs/{sha}", Accept="application/vnd.github.raw+json")).body == "work\n"
    assert (await bot.get(f"/repos/{REPO}/git/blobs/{'0' * 40}")).status == 404


async def test_the_activity_is_paged_by_cursor(desk: Desk) -> None:
    for branch in ("a", "b", "c"):
        await desk.github.people.commit(REPO, branch, "x.txt", "1\n", "ada")
    bot, place, seen = desk.bot(), f"/repos/{REPO}/activity?per_page=2", []
    while place:
        reply = await bot.get(place)
        seen.append([one["ref"] for one in reply.body])
        place = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert seen == [["refs/heads/c", "refs/heads/b"], ["refs/heads/a"]]
