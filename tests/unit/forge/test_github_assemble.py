"""What GitHub says about a pull request, and what gates then look at."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.forge.github import shapes
from coderun.forge.github.assemble import Parts, assemble, head_at, required_of
from coderun.model.marks import marks_of
from coderun.model.pulls import Actor, Check, CheckState, Mergeability, PullRequest, PullState, Push

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def user(login: str) -> shapes.User:
    return shapes.User(login=login)


def pull(**more: Any) -> shapes.Pull:
    home = shapes.Repository(id=1, full_name="Acme/Shop")
    values: dict[str, Any] = {
        "number": 5,
        "head": shapes.Ref(ref="feature/task-7-x", sha="b", repo=home, user=user("Acme")),
        "base": shapes.Ref(ref="main", sha="0", repo=home),
        "user": user("rex[bot]"),
        "created_at": at(10),
    }
    return shapes.Pull(**{**values, **more})


def labeled(name: str, by: str, seconds: float, event: str = "labeled") -> shapes.IssueEvent:
    return shapes.IssueEvent(event=event, actor=user(by), label=shapes.Named(name=name), created_at=at(seconds))


def moved(sha: str, by: str, seconds: float) -> shapes.Activity:
    return shapes.Activity(after=sha, timestamp=at(seconds), actor=user(by))


def made(**parts: Any) -> PullRequest:
    told = Parts(**{"pull": pull(), "activity": (moved("b", "rex[bot]", 5),), **parts})
    return assemble(told, {login: Actor(login=login, can_write=login != "stranger") for login in told.logins})


def test_pushes_begin_with_the_head_it_was_opened_with() -> None:
    activity = (
        moved("b", "pat", 20),
        moved("0" * 40, "pat", 15),
        moved("a", "rex[bot]", 10),
        moved("older", "rex[bot]", 2),
    )
    found = made(activity=activity)
    assert [(push.sha, push.actor.login) for push in found.pushes] == [("a", "rex[bot]"), ("b", "pat")]
    assert found.head_since == at(20)


def test_pushes_of_one_second_stay_in_their_order_and_none_is_lost() -> None:
    in_the_second_of_the_opening = (moved("b", "tess[bot]", 10), moved("a", "cleo[bot]", 10), moved("first", "rex[bot]", 10))
    found = made(activity=(*in_the_second_of_the_opening, moved("older", "rex[bot]", 2)))
    assert [push.sha for push in found.pushes] == ["first", "a", "b"]
    assert found.pushes[-1].sha == found.head_sha
    later = made(activity=(moved("b", "pat", 20), moved("a", "cleo[bot]", 20), moved("first", "rex[bot]", 5)))
    assert [push.sha for push in later.pushes] == ["first", "a", "b"]


def test_a_head_nobody_is_known_to_have_pushed_is_nobodys() -> None:
    found = made(activity=None)
    assert found.pushes == (Push(sha="b", actor=Actor(login="unknown")),)
    assert found.head_since is None
    lagging = made(activity=(moved("a", "rex[bot]", 5),))
    assert lagging.pushes[-1].sha != lagging.head_sha
    assert lagging.head_since is None
    assert made(activity=()).pushes == ()


@pytest.mark.parametrize(("seconds", "head"), [(10, "a"), (19, "a"), (20, "a"), (21, "b"), (30, "b"), (31, "c"), (0, "a")])
def test_a_label_is_bound_to_the_head_before_a_push_of_the_same_second(seconds: float, head: str) -> None:
    activity = (moved("c", "rex[bot]", 30), moved("b", "rex[bot]", 20), moved("a", "rex[bot]", 5))
    labels = (shapes.Named(name="Ready-For-QA"),)
    [mark] = made(pull=pull(labels=labels), events=(labeled("ready-for-qa", "cleo[bot]", seconds),), activity=activity).labels
    assert (mark.name, mark.actor.login, mark.head_sha, mark.at) == ("Ready-For-QA", "cleo[bot]", head, at(seconds))


def test_the_last_event_of_a_label_counts_and_one_that_is_off_is_none() -> None:
    events = (
        labeled("q", "pat", 11),
        labeled("q", "pat", 12, "unlabeled"),
        labeled("q", "cleo[bot]", 13),
        labeled("gone", "pat", 14),
    )
    [mark] = made(pull=pull(labels=(shapes.Named(name="q"),)), events=events).labels
    assert (mark.actor.login, mark.at) == ("cleo[bot]", at(13))


def test_a_label_without_an_event_or_a_log_of_pushes_is_bound_to_nothing() -> None:
    labels = (shapes.Named(name="q"),)
    [mark] = made(pull=pull(labels=labels)).labels
    assert (mark.actor, mark.head_sha) == (Actor(login="unknown"), "")
    [mark] = made(pull=pull(labels=labels), events=(labeled("q", "pat", 11),), activity=None).labels
    assert (mark.actor.login, mark.head_sha) == ("pat", "")


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), max_size=6), st.integers(0, 60))
def test_a_head_at_a_moment_is_never_one_pushed_later(moves: list[tuple[int, str]], moment: int) -> None:
    pushes = [Push(sha=f"{sha}{n}", actor=Actor(login="x"), at=at(when)) for n, (when, sha) in enumerate(sorted(moves))]
    head = head_at(pushes, at(moment))
    assert head in {
        "",
        *(push.sha for n, push in enumerate(pushes) if n == 0 or (push.at is not None and push.at < at(moment))),
    }


def test_reviews_are_read_in_any_case_and_drafts_left_out() -> None:
    reviews = (
        shapes.Review(id=1, state="APPROVED", user=user("tess[bot]"), commit_id="b", body="fine"),
        shapes.Review(id=2, state="PENDING", user=user("pat")),
        shapes.Review(id=3, state="CHANGES_REQUESTED", user=None, commit_id=None),
        shapes.Review(id=4, state="NEW_KIND", user=user("pat")),
    )
    found = made(reviews=reviews).reviews
    assert [(review.id, review.state.value, review.actor.login, review.head_sha) for review in found] == [
        (1, "approved", "tess[bot]", "b"),
        (3, "changes_requested", "ghost", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": "open"}, PullState.OPEN),
        ({"state": "closed"}, PullState.CLOSED),
        ({"state": "closed", "merged_at": at(9), "merge_commit_sha": "m", "merged_by": user("pat")}, PullState.MERGED),
    ],
)
def test_a_merged_one_is_told_from_a_closed_one(fields: dict[str, Any], state: PullState) -> None:
    found = made(pull=pull(**fields))
    assert found.state is state
    assert (found.merge_sha, found.merged_by) == (("m", "pat") if state is PullState.MERGED else ("", ""))


def test_the_test_merge_of_an_open_one_is_no_merge_commit() -> None:
    assert made(pull=pull(merge_commit_sha="t")).merge_sha == ""


@pytest.mark.parametrize(
    ("mergeable", "known"), [(None, Mergeability.UNKNOWN), (True, Mergeability.CLEAN), (False, Mergeability.CONFLICT)]
)
def test_what_github_has_not_computed_is_unknown(mergeable: bool | None, known: Mergeability) -> None:
    assert made(pull=pull(mergeable=mergeable)).mergeability is known


@pytest.mark.parametrize("repo", [None, shapes.Repository(id=2)])
def test_a_forks_branch_stands_for_no_task(repo: shapes.Repository | None) -> None:
    foreign = shapes.Ref(ref="feature/task-7-x", sha="b", repo=repo, user=user("stranger"))
    found = made(pull=pull(head=foreign))
    assert found.head_branch == "stranger:feature/task-7-x"
    assert marks_of(found).tasks == frozenset()
    assert marks_of(made()).tasks == {7}


def run(name: str, conclusion: str | None, app: int = 1) -> shapes.CheckRun:
    status = "in_progress" if conclusion is None else "completed"
    return shapes.CheckRun(name=name, status=status, conclusion=conclusion, app=shapes.App(id=app))


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [
        (None, CheckState.PENDING),
        ("success", CheckState.PASSED),
        ("neutral", CheckState.PASSED),
        ("skipped", CheckState.PASSED),
        *(
            (bad, CheckState.FAILED)
            for bad in ("failure", "cancelled", "timed_out", "action_required", "stale", "unheard_of", "")
        ),
    ],
)
def test_a_check_run_passes_only_by_what_is_known_to_be_good(conclusion: str | None, state: CheckState) -> None:
    assert made(check_runs=(run("ci", conclusion),)).checks.state is state


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("success", CheckState.PASSED),
        ("pending", CheckState.PENDING),
        ("failure", CheckState.FAILED),
        ("error", CheckState.FAILED),
    ],
)
def test_statuses_count_beside_check_runs(said: str, state: CheckState) -> None:
    found = made(statuses=(shapes.Status(context="ci/x", state=said),), check_runs=(run("lint", "success"),))
    assert found.checks.state is state
    assert [check.name for check in found.checks.items] == ["ci/x", "lint"]


def test_no_check_at_all_is_a_state_of_its_own() -> None:
    assert made().checks.state is None


def test_required_checks_decide_and_are_waited_for() -> None:
    required = {"ci": None, "e2e": None}
    assert made(required=required).checks.state is CheckState.PENDING
    some = made(required=required, check_runs=(run("ci", "success"), run("nice", "failure")))
    assert some.checks.state is CheckState.PENDING
    done = made(required=required, check_runs=(run("ci", "success"), run("e2e", "success"), run("nice", "failure")))
    assert done.checks.state is CheckState.PASSED
    assert done.checks.expected == ("ci", "e2e")


def test_of_one_name_the_worst_counts() -> None:
    found = made(
        check_runs=(run("ci", "success"), run("ci", "failure", 2)), statuses=(shapes.Status(context="ci", state="success"),)
    )
    assert [check.state for check in found.checks.items] == [CheckState.FAILED]


def test_a_required_check_counts_from_the_right_app_alone() -> None:
    required = {"ci": 15}
    forged = made(required=required, check_runs=(run("ci", "success", 99),))
    assert forged.checks.state is CheckState.PENDING
    right = made(required=required, check_runs=(run("ci", "success", 99), run("ci", "success", 15)))
    assert right.checks.items == (Check(name="ci", state=CheckState.PASSED, required=True),)
    failed = made(required=required, check_runs=(run("ci", "success", 99), run("ci", "failure", 15)))
    assert failed.checks.state is CheckState.FAILED


def test_required_checks_come_from_protection_and_rulesets() -> None:
    branch = {
        "name": "main",
        "protection": {
            "required_status_checks": {
                "enforcement_level": "non_admins",
                "contexts": ["ci", "old"],
                "checks": [{"context": "ci", "app_id": 15}, {"context": "old", "app_id": -1}],
            }
        },
    }
    checks = {"required_status_checks": [{"context": "e2e", "integration_id": 7}, {"context": "any"}]}
    rules = [
        {"type": "required_status_checks", "parameters": checks},
        {"type": "deletion"},
        {"type": "pull_request", "parameters": {}},
    ]
    wanted = required_of(msgspec.convert(branch, shapes.Branch), msgspec.convert(rules, list[shapes.Rule]))
    assert wanted == {"ci": 15, "old": None, "e2e": 7, "any": None}
    off = {"name": "main", "protection": {"required_status_checks": {"enforcement_level": "off", "contexts": ["ci"]}}}
    assert required_of(msgspec.convert(off, shapes.Branch), []) == {}
    assert required_of(None, []) == {}


def test_summaries_keep_their_end() -> None:
    output = shapes.CheckOutput(title="t", summary="x" * 5000 + "end")
    found = made(check_runs=(shapes.CheckRun(name="ci", status="completed", conclusion="failure", output=output),))
    assert found.checks.items[0].summary.endswith("end")
    assert len(found.checks.items[0].summary) == 4096
