"""What every forge must do, whoever implements it. A test module subclasses `ForgeContract` and gives the fixture `place`."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from coderun.forge.protocol import Forge
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

AUTHOR = "rex"
QUALITY = "cleo"
TESTER = "tess"


class ForgePlace(Protocol):
    """A forge with a base branch that has at least one commit, seen by several identities."""

    base_branch: str

    def agent(self, name: str) -> Forge:
        """The forge as the agent of that short name."""
        ...

    def person(self) -> Forge:
        """The forge as a person who may write."""
        ...

    def push(
        self,
        branch: str,
        files: Mapping[str, str],
        *,
        by: str = "",
        start: str = "",
        force: bool = False,
        message: str = "work",
    ) -> str:
        """Commit files on a branch (from the base, or from `start`), push it as an agent ("" = the person); the commit."""
        ...

    def delete_branch(self, branch: str) -> None:
        """Delete a branch as the person."""
        ...

    def base_files(self) -> dict[str, str]:
        """What the base branch holds now."""
        ...


async def open_one(place: ForgePlace, branch: str = "feature/task-7-x", *, by: str = AUTHOR, title: str = "T") -> PullRequest:
    place.push(branch, {"a.txt": "one\n"}, by=by)
    new = NewPullRequest(title=title, body="b", head_branch=branch, base_branch=place.base_branch)
    return await place.agent(by).open_pull_request(new)


async def seen(forge: Forge, number: int) -> PullRequest:
    pull = await forge.get_pull_request(number)
    assert pull is not None
    return pull


def logins(*names: str) -> list[str]:
    return [f"{name}[bot]" for name in names]


class ForgeContract:
    """One clause a test."""

    async def test_an_opened_pull_request_is_read_back_with_its_author_and_head(self, place: ForgePlace) -> None:
        sha = place.push("feature/task-7-x", {"a.txt": "one\n"}, by=AUTHOR)
        new = NewPullRequest(
            title="A title", body="A body", head_branch="feature/task-7-x", base_branch=place.base_branch, labels=("task-7",)
        )
        opened = await place.agent(AUTHOR).open_pull_request(new)
        pull = await seen(place.person(), opened.number)
        assert (pull.title, pull.body, pull.state, pull.head_sha) == ("A title", "A body", PullState.OPEN, sha)
        assert pull.author.login.lower() == "rex[bot]"
        assert pull.author.can_write
        assert [label.name for label in pull.labels] == ["task-7"]
        assert [(push.sha, push.actor.login) for push in pull.pushes] == [(sha, "rex[bot]")]
        assert pull.mergeability is Mergeability.CLEAN

    async def test_a_number_nobody_has_seen_is_none(self, place: ForgePlace) -> None:
        assert await place.person().get_pull_request(4711) is None

    async def test_opening_twice_gives_the_open_one(self, place: ForgePlace) -> None:
        first = await open_one(place)
        again = await open_one(place, title="Another title")
        assert (again.number, again.title) == (first.number, "T")
        assert len(await place.person().list_pull_requests()) == 1

    async def test_a_missing_branch_is_refused(self, place: ForgePlace) -> None:
        new = NewPullRequest(title="T", body="", head_branch="nowhere", base_branch=place.base_branch)
        with pytest.raises(RefusedError, match="nowhere"):
            await place.agent(AUTHOR).open_pull_request(new)

    async def test_a_branch_without_commits_of_its_own_is_refused(self, place: ForgePlace) -> None:
        place.push("empty", {}, by=AUTHOR)
        new = NewPullRequest(title="T", body="", head_branch="empty", base_branch=place.base_branch)
        with pytest.raises(RefusedError, match="no commits"):
            await place.agent(AUTHOR).open_pull_request(new)

    async def test_the_head_moves_with_its_branch_and_each_push_has_its_actor(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        second = place.push(pull.head_branch, {"a.txt": "two\n"}, by=QUALITY)
        third = place.push(pull.head_branch, {"a.txt": "three\n"})
        now = await seen(place.person(), pull.number)
        assert now.head_sha == third
        assert [push.sha for push in now.pushes] == [pull.head_sha, second, third]
        assert [push.actor.login for push in now.pushes][:2] == logins(AUTHOR, QUALITY)
        assert now.pushes[2].actor.login == place.person().login

    async def test_a_label_is_bound_to_actor_and_head_and_set_anew_on_another_head(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        cleo = place.agent(QUALITY)
        await cleo.add_label(pull.number, "ready-for-qa")
        [mark] = (await seen(cleo, pull.number)).labels
        assert (mark.name, mark.actor.login, mark.head_sha) == ("ready-for-qa", "cleo[bot]", pull.head_sha)
        head = place.push(pull.head_branch, {"a.txt": "two\n"}, by=AUTHOR)
        [mark] = (await seen(cleo, pull.number)).labels
        assert mark.head_sha == pull.head_sha
        await cleo.add_label(pull.number, "Ready-For-QA")
        [mark] = (await seen(cleo, pull.number)).labels
        assert mark.head_sha == head

    async def test_a_label_taken_off_is_gone_and_may_be_taken_off_again(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        await place.agent(QUALITY).add_label(pull.number, "ready-for-qa")
        for _ in range(2):
            await place.person().remove_label(pull.number, "READY-for-qa")
        assert (await seen(place.person(), pull.number)).labels == ()

    async def test_a_comment_with_a_marker_is_edited_instead_of_repeated(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        rex = place.agent(AUTHOR)
        await rex.comment(pull.number, "first", marker="association")
        await rex.comment(pull.number, "plain")
        await rex.comment(pull.number, "second", marker="association")
        bodies = [comment.body for comment in await rex.comments(pull.number)]
        assert len(bodies) == 2
        assert bodies[0].startswith("second")
        assert "<!-- coderun:association -->" in bodies[0]
        assert bodies[1] == "plain"

    async def test_a_review_is_bound_to_the_head_it_looked_at(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        tess = place.agent(TESTER)
        review = await tess.review(pull.number, ReviewState.APPROVED, "fine", head_sha=pull.head_sha)
        assert await tess.review(pull.number, ReviewState.APPROVED, "fine", head_sha=pull.head_sha) == review
        [read] = (await seen(tess, pull.number)).reviews
        assert (read.id, read.actor.login, read.state) == (review.id, "tess[bot]", ReviewState.APPROVED)
        assert (read.head_sha, read.body) == (pull.head_sha, "fine")

    async def test_a_review_of_a_head_that_moved_on_is_refused(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        place.push(pull.head_branch, {"a.txt": "two\n"}, by=AUTHOR)
        with pytest.raises(RefusedError, match="by now"):
            await place.agent(TESTER).review(pull.number, ReviewState.APPROVED, "", head_sha=pull.head_sha)

    @pytest.mark.parametrize("state", [ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED])
    async def test_an_author_can_only_comment_on_their_own_pull_request(self, place: ForgePlace, state: ReviewState) -> None:
        pull = await open_one(place)
        rex = place.agent(AUTHOR)
        with pytest.raises(RefusedError, match=r"rex\[bot\] opened pull request"):
            await rex.review(pull.number, state, "", head_sha=pull.head_sha)
        assert (await rex.review(pull.number, ReviewState.COMMENTED, "note", head_sha=pull.head_sha)).body == "note"

    async def test_a_change_of_mind_is_a_new_review(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        tess = place.agent(TESTER)
        for state in (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.APPROVED):
            await tess.review(pull.number, state, "", head_sha=pull.head_sha)
        assert [review.state.value for review in (await seen(tess, pull.number)).reviews] == [
            "approved",
            "changes_requested",
            "approved",
        ]

    async def test_checks_belong_to_a_commit_and_one_of_a_name_is_replaced(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        person = place.person()
        await person.set_checks(pull.head_sha, [Check(name="lint", state=CheckState.PENDING)])
        assert (await seen(person, pull.number)).checks.state is CheckState.PENDING
        await person.set_checks(
            pull.head_sha, [Check(name="lint", state=CheckState.PASSED), Check(name="t", state=CheckState.FAILED)]
        )
        now = await seen(person, pull.number)
        assert {check.name: check.state for check in now.checks.items} == {"lint": CheckState.PASSED, "t": CheckState.FAILED}
        place.push(pull.head_branch, {"a.txt": "two\n"}, by=AUTHOR)
        assert (await seen(person, pull.number)).checks.items == ()

    async def test_an_open_check_can_be_ended_and_what_is_not_open_is_left_alone(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        person = place.person()
        await person.set_checks(
            pull.head_sha, [Check(name="lint", state=CheckState.PENDING), Check(name="t", state=CheckState.PASSED)]
        )
        ends = [Check(name=name, state=CheckState.FAILED, given_up=True) for name in ("lint", "t", "new")]
        for _ in range(2):
            await person.set_checks(pull.head_sha, ends, only_open=True)
        now = await seen(person, pull.number)
        assert {check.name: check.state for check in now.checks.items} == {"lint": CheckState.FAILED, "t": CheckState.PASSED}

    async def test_an_approved_pull_request_is_merged_and_can_be_merged_again(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        await place.agent(TESTER).review(pull.number, ReviewState.APPROVED, "", head_sha=pull.head_sha)
        person = place.person()
        merged = await person.merge(pull.number, head_sha=pull.head_sha)
        assert (merged.state, merged.merged_by) == (PullState.MERGED, person.login)
        assert merged.merge_sha
        assert merged.merged_at is not None
        assert place.base_files()["a.txt"] == "one\n"
        assert (await person.merge(pull.number, head_sha=pull.head_sha)).merge_sha == merged.merge_sha
        assert [p.number for p in await person.list_pull_requests(PullState.MERGED)] == [pull.number]

    async def test_a_squash_puts_all_commits_into_one(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        head = place.push(pull.head_branch, {"b.txt": "b\n"}, by=AUTHOR)
        await place.agent(TESTER).review(pull.number, ReviewState.APPROVED, "", head_sha=head)
        merged = await place.person().merge(pull.number, head_sha=head, method=MergeMethod.SQUASH)
        assert merged.state is PullState.MERGED
        assert merged.merge_sha != head
        assert {"a.txt", "b.txt"} <= place.base_files().keys()

    async def test_a_merge_of_a_head_that_moved_on_is_refused(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        await place.agent(TESTER).review(pull.number, ReviewState.APPROVED, "", head_sha=pull.head_sha)
        place.push(pull.head_branch, {"a.txt": "two\n"}, by=AUTHOR)
        with pytest.raises(RefusedError, match="by now"):
            await place.person().merge(pull.number, head_sha=pull.head_sha)

    async def test_a_merge_without_an_approval_of_this_head_is_refused(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        await place.agent(TESTER).review(pull.number, ReviewState.APPROVED, "", head_sha=pull.head_sha)
        head = place.push(pull.head_branch, {"a.txt": "two\n"}, by=AUTHOR)
        with pytest.raises(RefusedError, match="no approving review"):
            await place.person().merge(pull.number, head_sha=head)

    async def test_a_conflict_is_seen_and_its_merge_refused(self, place: ForgePlace) -> None:
        first = await open_one(place, "one")
        second = await open_one(place, "two")
        place.push("two", {"a.txt": "other\n"}, by=AUTHOR)
        head = (await seen(place.person(), second.number)).head_sha
        for number, sha in ((first.number, first.head_sha), (second.number, head)):
            await place.agent(TESTER).review(number, ReviewState.APPROVED, "", head_sha=sha)
        assert (await seen(place.person(), second.number)).mergeability is Mergeability.CLEAN
        await place.person().merge(first.number, head_sha=first.head_sha)
        assert (await seen(place.person(), second.number)).mergeability is Mergeability.CONFLICT
        with pytest.raises(RefusedError, match=r"a\.txt"):
            await place.person().merge(second.number, head_sha=head)

    async def test_a_closed_pull_request_is_neither_merged_nor_found_open(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        for _ in range(2):
            await place.person().close_pull_request(pull.number)
        assert (await seen(place.person(), pull.number)).state is PullState.CLOSED
        assert await place.person().list_pull_requests(PullState.OPEN) == []
        with pytest.raises(RefusedError, match="closed"):
            await place.person().merge(pull.number, head_sha=pull.head_sha)

    async def test_pull_requests_of_a_task_are_found_by_branch_label_and_marker_file(self, place: ForgePlace) -> None:
        branch = await open_one(place, "feature/task-7-x")
        label = await open_one(place, "by-label")
        await place.agent(AUTHOR).add_label(label.number, "task-7")
        place.push("by-marker", {".coderun/tasks/task-7.json": "{}"}, by=AUTHOR)
        new = NewPullRequest(title="M", body="", head_branch="by-marker", base_branch=place.base_branch)
        marker = await place.agent(AUTHOR).open_pull_request(new)
        other = await open_one(place, "feature/task-8-x")
        found = await place.person().find_pull_requests(7)
        assert [pull.number for pull in found] == [branch.number, label.number, marker.number]
        assert found[2].markers == (7,)
        assert [pull.number for pull in await place.person().find_pull_requests(8)] == [other.number]
        await place.person().close_pull_request(branch.number)
        assert len(await place.person().find_pull_requests(7)) == 3

    async def test_the_diff_shows_what_the_head_adds(self, place: ForgePlace) -> None:
        pull = await open_one(place)
        diff = await place.person().diff(pull.number)
        assert "+one" in diff
        assert "a.txt" in diff

    async def test_texts_of_any_shape_come_back_harmless_and_whole(self, place: ForgePlace) -> None:
        body = "$(touch /tmp/x) `id` \"'\n\x1b[31mred\n" + "x" * 60_000
        place.push("feature/task-9-$(id)'\"`é", {"a.txt": "one\n"}, by=AUTHOR)
        new = NewPullRequest(
            title="ti'tle $(id) é", body=body, head_branch="feature/task-9-$(id)'\"`é", base_branch=place.base_branch
        )
        pull = await place.agent(AUTHOR).open_pull_request(new)
        assert (pull.title, pull.body) == (new.title, body)
        assert [p.number for p in await place.person().find_pull_requests(9)] == [pull.number]

    @pytest.mark.parametrize("label", ["", "  ", "two\nlines", "\x1b[31mred", "x" * 200])
    async def test_a_label_that_is_no_label_is_refused(self, place: ForgePlace, label: str) -> None:
        pull = await open_one(place)
        with pytest.raises(RefusedError, match="label"):
            await place.agent(AUTHOR).add_label(pull.number, label)

    @pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "x.lock", "a\nb", "@{-1}", "HEAD", "--upload-pack=x"])
    async def test_a_branch_name_that_git_would_not_take_is_refused(self, place: ForgePlace, branch: str) -> None:
        new = NewPullRequest(title="T", body="", head_branch=branch, base_branch=place.base_branch)
        with pytest.raises(CoderunError, match="branch"):
            await place.agent(AUTHOR).open_pull_request(new)
