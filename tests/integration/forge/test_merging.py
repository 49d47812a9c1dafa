"""Real merges: commits, authorship, protection, conflicts, and what a moved base means for the others."""

import asyncio

import msgspec
import pytest
from tests.contracts.forge_contract import open_one, seen
from tests.integration.forge.local_place import LocalPlace, git

from coderun.forge.local import BaseState, LocalForge
from coderun.model.errors import CoderunError, RefusedError
from coderun.model.pulls import (
    Check,
    CheckState,
    Mergeability,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    ReviewState,
)


async def set_rules(place: LocalPlace, **changes: object) -> None:
    await place.person().configure(msgspec.structs.replace(place.person().settings, **changes))


async def approve(place: LocalPlace, pull: PullRequest, by: str = "tess") -> None:
    await place.agent(by).review(pull.number, ReviewState.APPROVED, "fine", head_sha=pull.head_sha)


def field(place: LocalPlace, commit: str, form: str) -> str:
    return git(place.bare, "log", "-1", f"--format={form}", commit)


async def test_a_merge_commit_has_both_parents_and_is_the_mergers(place: LocalPlace) -> None:
    pull = await open_one(place, title="Add a thing")
    base = git(place.bare, "rev-parse", "main")
    await approve(place, pull)
    merged = await place.person().merge(pull.number, head_sha=pull.head_sha)
    assert field(place, merged.merge_sha, "%P") == f"{base} {pull.head_sha}"
    assert field(place, merged.merge_sha, "%an <%ae> %cn <%ce>") == "Ada L <ada@example.com> Ada L <ada@example.com>"
    assert field(place, merged.merge_sha, "%B").startswith("Merge pull request #1 from feature/task-7-x\n\nAdd a thing")
    assert git(place.bare, "rev-parse", "main") == merged.merge_sha


async def test_a_squash_is_one_commit_of_its_authors_with_title_number_and_body(place: LocalPlace) -> None:
    clone = place.commit("x", {"a.txt": "1\n"})
    git(clone, "commit", "-q", "--allow-empty", "-m", "2", "--author", "Bea <bea@example.com>")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/x", env=place.environment("rex"))
    new = NewPullRequest(title="Squash me", body="Why: \x1b[31mred\0 text", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    await approve(place, pull)
    base = git(place.bare, "rev-parse", "main")
    merged = await place.person().merge(pull.number, head_sha=pull.head_sha, method=MergeMethod.SQUASH)
    assert field(place, merged.merge_sha, "%P") == base
    assert field(place, merged.merge_sha, "%an/%cn") == "Ada/Ada L"
    message = field(place, merged.merge_sha, "%B")
    assert message.startswith("Squash me (#1)\n\nWhy: ")
    assert "\x1b" not in message
    assert message.rstrip().endswith("Co-authored-by: Bea <bea@example.com>")


async def test_only_the_named_approvers_open_the_gate(place: LocalPlace) -> None:
    await set_rules(place, approvers=("tess[bot]",))
    pull = await open_one(place)
    await approve(place, pull, by="cleo")
    with pytest.raises(RefusedError, match=r"no approving review by tess\[bot\] on its head .* merge with --admin"):
        await place.person().merge(pull.number, head_sha=pull.head_sha)
    await approve(place, pull)
    assert (await place.person().merge(pull.number, head_sha=pull.head_sha)).state is PullState.MERGED


async def test_a_later_change_request_takes_an_approval_back(place: LocalPlace) -> None:
    pull = await open_one(place)
    await approve(place, pull)
    await place.agent("tess").review(pull.number, ReviewState.CHANGES_REQUESTED, "no", head_sha=pull.head_sha)
    await place.agent("tess").review(pull.number, ReviewState.COMMENTED, "well", head_sha=pull.head_sha)
    with pytest.raises(RefusedError, match=r"tess\[bot\] requested changes on the head"):
        await place.person().merge(pull.number, head_sha=pull.head_sha)


async def test_an_agent_merges_only_where_the_setting_allows_it_and_never_as_admin(place: LocalPlace) -> None:
    pull = await open_one(place)
    with pytest.raises(RefusedError, match=r"tess\[bot\] may not merge into 'main'"):
        await place.agent("tess").merge(pull.number, head_sha=pull.head_sha, admin=True)
    await set_rules(place, agents_may_merge=True)
    with pytest.raises(RefusedError, match="no approving review by anybody but its author"):
        await place.agent("tess").merge(pull.number, head_sha=pull.head_sha, admin=True)
    await approve(place, pull)
    merged = await place.agent("tess").merge(pull.number, head_sha=pull.head_sha)
    assert merged.merged_by == "tess[bot]"


async def test_a_person_merges_without_approval_only_when_they_say_so(place: LocalPlace) -> None:
    pull = await open_one(place)
    with pytest.raises(RefusedError, match="no approving review"):
        await place.person().merge(pull.number, head_sha=pull.head_sha)
    assert (await place.person().merge(pull.number, head_sha=pull.head_sha, admin=True)).state is PullState.MERGED


async def test_no_approval_is_needed_where_the_setting_asks_for_none(place: LocalPlace) -> None:
    await set_rules(place, require_approval=False)
    pull = await open_one(place)
    assert (await place.person().merge(pull.number, head_sha=pull.head_sha)).state is PullState.MERGED


async def test_a_merge_by_push_to_the_base_marks_the_pull_request_merged(place: LocalPlace) -> None:
    pull = await open_one(place)
    git(place.clone(), "push", "-q", "origin", f"origin/{pull.head_branch}:refs/heads/main")
    now = await seen(place.person(), pull.number)
    assert (now.state, now.merged_by, now.merge_sha) == (PullState.MERGED, "ada", pull.head_sha)
    assert "+one" in await place.person().diff(pull.number)


async def test_a_branch_reset_to_the_base_is_not_taken_for_merged(place: LocalPlace) -> None:
    pull = await open_one(place)
    place.push(pull.head_branch, {}, by="rex", start="refs/remotes/origin/main", force=True)
    now = await seen(place.person(), pull.number)
    assert now.state is PullState.OPEN
    place.push("main", {"b.txt": "x"})
    assert (await seen(place.person(), pull.number)).state is PullState.OPEN
    with pytest.raises(RefusedError, match="no commits that the base lacks"):
        await place.person().merge(pull.number, head_sha=now.head_sha, admin=True)


async def test_a_stacked_pull_request_follows_its_base(place: LocalPlace) -> None:
    lower = await open_one(place, "lower")
    place.push("upper", {"b.txt": "b"}, by="rex", start=lower.head_sha)
    new = NewPullRequest(title="U", body="", head_branch="upper", base_branch="lower")
    upper = await place.agent("rex").open_pull_request(new)
    await place.person().merge(upper.number, head_sha=upper.head_sha, admin=True)
    now = await seen(place.person(), lower.number)
    assert now.head_sha == git(place.bare, "rev-parse", "lower")
    assert now.pushes[-1].actor.login == "ada"


async def test_two_merges_at_once_both_land_one_after_the_other(place: LocalPlace) -> None:
    pulls = []
    for number in (1, 2, 3):
        place.push(f"b{number}", {f"f{number}.txt": "x"}, by="rex")
        new = NewPullRequest(title="T", body="", head_branch=f"b{number}", base_branch="main")
        pulls.append(await place.agent("rex").open_pull_request(new))
    forges = [place.open() for _ in pulls]
    await asyncio.gather(
        *(forge.merge(pull.number, head_sha=pull.head_sha, admin=True) for forge, pull in zip(forges, pulls, strict=True))
    )
    assert {"f1.txt", "f2.txt", "f3.txt"} <= place.base_files().keys()
    assert [p.state for p in await place.person().list_pull_requests()] == [PullState.MERGED] * 3
    for forge in forges:
        forge.close()


async def test_a_push_while_merging_is_never_merged_unseen(place: LocalPlace) -> None:
    pull = await open_one(place)
    results = await asyncio.gather(
        place.person().merge(pull.number, head_sha=pull.head_sha, admin=True),
        asyncio.to_thread(place.push, pull.head_branch, {"late.txt": "x"}, by="rex"),
        return_exceptions=True,
    )
    assert "late.txt" not in place.base_files()
    now = await seen(place.person(), pull.number)
    if isinstance(results[0], CoderunError):
        assert (now.state, now.head_sha) == (PullState.OPEN, results[1])
    else:
        assert (now.state, now.head_sha) == (PullState.MERGED, pull.head_sha)


async def test_markers_are_what_the_diff_adds_or_changes(place: LocalPlace) -> None:
    place.push("main", {".coderun/tasks/task-1.json": "{}", ".coderun/tasks/task-2.json": "{}"})
    place.push("x", {".coderun/tasks/task-2.json": '{"a": 1}', ".coderun/tasks/task-3.json": "not json"}, by="rex")
    place.push("x", {".coderun/tasks/task-0.json": "", ".coderun/tasks/task-x.json": "", "sub/.coderun/tasks/task-9.json": ""})
    place.push("x", {"docs/.taskmaster/current-task.json": '{"task_id": "4"}'})
    new = NewPullRequest(title="T", body="", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    assert pull.markers == (2, 3, 4)
    place.push("x", {"docs/.taskmaster/current-task.json": '{"taskId": 5, "pad": "' + "x" * 70_000 + '"}'})
    assert (await seen(place.person(), pull.number)).markers == (2, 3)


async def test_markers_follow_when_the_base_takes_a_part_of_the_branch(place: LocalPlace) -> None:
    first = place.push("x", {".coderun/tasks/task-2.json": "{}"}, by="rex")
    place.push("x", {".coderun/tasks/task-3.json": "{}"}, by="rex")
    new = NewPullRequest(title="T", body="", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    assert pull.markers == (2, 3)
    git(place.clone(), "push", "-q", "origin", f"{first}:refs/heads/main")
    assert (await seen(place.person(), pull.number)).markers == (3,)
    assert [p.number for p in await place.person().find_pull_requests(2)] == []


async def test_a_merged_pull_request_keeps_its_markers(place: LocalPlace) -> None:
    place.push("x", {".coderun/tasks/task-6.json": "{}"}, by="rex")
    new = NewPullRequest(title="T", body="", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    await place.person().merge(pull.number, head_sha=pull.head_sha, admin=True, method=MergeMethod.SQUASH)
    [found] = await place.open().find_pull_requests(6)
    assert (found.number, found.markers, found.state) == (pull.number, (6,), PullState.MERGED)
    assert "task-6.json" in await place.person().diff(pull.number)


async def test_a_link_is_no_marker_and_attributes_run_nothing(place: LocalPlace) -> None:
    clone = place.commit("x", {".gitattributes": "* diff=evil filter=evil merge=evil\n", "a.txt": "1\n"})
    folder = clone / ".coderun" / "tasks"
    folder.mkdir(parents=True)
    (folder / "task-8.json").symlink_to("/etc/passwd")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "link")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/x", env=place.environment("rex"))
    new = NewPullRequest(title="T", body="", head_branch="x", base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    assert pull.markers == ()
    assert pull.mergeability is Mergeability.CLEAN


async def test_unrelated_histories_are_refused(place: LocalPlace) -> None:
    clone = place.clone()
    git(clone, "checkout", "-q", "--orphan", "alone")
    git(clone, "commit", "-q", "-m", "other root")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/alone", env=place.environment("rex"))
    with pytest.raises(RefusedError, match="shares no history with 'main'"):
        await place.agent("rex").open_pull_request(NewPullRequest(title="T", body="", head_branch="alone", base_branch="main"))


async def test_expected_checks_come_from_the_settings(place: LocalPlace) -> None:
    pull = await open_one(place)
    assert pull.checks.expected == ()
    assert pull.checks.state is CheckState.PASSED
    await set_rules(place, checks=("lint", "test"))
    assert (await seen(place.person(), pull.number)).checks.state is CheckState.PENDING
    await place.person().set_checks(pull.head_sha, [Check(name=name, state=CheckState.PASSED) for name in ("lint", "test")])
    assert (await seen(place.person(), pull.number)).checks.state is CheckState.PASSED


async def test_the_base_follows_the_users_branch_and_never_touches_their_tree(place: LocalPlace) -> None:
    (place.user / "README.md").write_text("dirty\n")
    (place.user / "untracked").write_text("x")
    git(place.user, "stash", "-q")
    (place.user / "README.md").write_text("dirty again\n")
    before = (git(place.user, "status", "--porcelain"), git(place.user, "stash", "list"), git(place.user, "for-each-ref"))
    git(place.user, "commit", "-q", "--allow-empty", "-m", "theirs")
    sync = await place.person().sync_base(place.user)
    assert (sync.state, sync.forge_sha) == (BaseState.ADVANCED, git(place.user, "rev-parse", "main"))
    assert (await place.person().sync_base(place.user)).state is BaseState.SAME
    assert git(place.bare, "rev-parse", "main") == sync.forge_sha
    assert (git(place.user, "status", "--porcelain"), git(place.user, "stash", "list")) == before[:2]
    assert (place.user / "README.md").read_text() == "dirty again\n"


async def test_a_base_that_is_behind_or_diverged_is_reported_and_left_alone(place: LocalPlace) -> None:
    ours = place.push("main", {"a.txt": "x"})
    sync = await place.person().sync_base(place.user)
    assert (sync.state, sync.forge_sha) == (BaseState.BEHIND, ours)
    git(place.user, "commit", "-q", "--allow-empty", "-m", "theirs")
    assert (await place.init()).state is BaseState.DIVERGED
    assert git(place.bare, "rev-parse", "main") == ours
    assert (await place.person().sync_base(place.user, "nowhere")).state is BaseState.MISSING


async def test_a_base_moved_from_outside_merges_what_it_contains(place: LocalPlace) -> None:
    pull = await open_one(place)
    git(place.user, "pull", "-q", "--no-rebase", str(place.bare), pull.head_branch)
    assert (await place.person().sync_base(place.user)).state is BaseState.ADVANCED
    assert (await seen(place.person(), pull.number)).state is PullState.MERGED


async def test_every_change_is_told_once_it_is_made(place: LocalPlace) -> None:
    pull = await open_one(place)
    told = place.changes
    await place.agent("cleo").add_label(pull.number, "x")
    assert place.changes == told + 1
    await place.agent("cleo").add_label(pull.number, "x")
    await place.person().remove_label(pull.number, "y")
    assert place.changes == told + 1


async def test_a_thousand_open_pull_requests_are_read_quickly(place: LocalPlace) -> None:
    pull = await open_one(place)
    forge: LocalForge = place.person()
    with forge._db.transaction():
        for number in range(2, 1001):
            forge._db.execute(
                "INSERT INTO pull (title, body, author, head_branch, base_branch, head_sha, pinned_sha, state, draft, "
                "branch_task, created_at, head_since) SELECT title, body, author, head_branch || ?, base_branch, head_sha, "
                "pinned_sha, state, draft, ?, created_at, head_since FROM pull WHERE number = 1",
                (str(number), number * 10),
            )
            for table, columns in (
                ("derived", "head_sha, base_sha, merge_base, commits"),
                ("mergeability", "head_sha, base_sha, state"),
            ):
                forge._db.execute(
                    f"INSERT INTO {table} (pull, {columns}) SELECT ?, {columns} FROM {table} WHERE pull = 1",  # noqa: S608 - literals
                    (number,),
                )
    await forge.find_pull_requests(7)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(2, 1001):
        [found] = await forge.find_pull_requests(number * 10)
        assert found.number == number
    assert loop.time() - started < 5
    assert pull.number == 1
