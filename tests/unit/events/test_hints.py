"""What a delivery points at, whichever forge it is from."""

from datetime import UTC, datetime

import msgspec
import pytest

from coderun.events.github import to_delivery as of_github
from coderun.events.hints import hints_of, is_conversation
from coderun.events.local import LocalEvent, event_number
from coderun.events.local import to_delivery as of_local
from coderun.model.deliveries import Delivery, Hint

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def event(name: str, **fields: object) -> Delivery:
    return of_local(msgspec.convert({"id": 7, "at": NOW, "event": name, **fields}, LocalEvent), "/srv/shop")


def test_an_event_of_the_local_forge_is_a_hint() -> None:
    labelled = event("pull_request.labeled", number=3, branch="task-2", head_sha="abc", actor="ada", detail="task-4")
    assert labelled.id == "local-000000000007"
    assert event_number(labelled.id) == 7
    assert event_number(None) == 0
    assert hints_of(labelled) == (Hint(number=3, tasks=frozenset({2, 4}), branch="task-2", head_sha="abc", actor="ada"),)


@pytest.mark.parametrize(
    ("name", "detail", "branch", "remarks"),
    [
        ("pull_request.labeled", "task-7x", "", ("label 'task-7x' is no task label (task-N is one)",)),
        ("push", "task-7x", "x/task-7", ("branch 'x/task-7' is no task branch (task-N-… and feature/task-N-… are)",)),
        ("pull_request_review.submitted", "approved", "", ()),
    ],
)
def test_what_only_looks_like_a_mark_is_remarked_on(name: str, detail: str, branch: str, remarks: tuple[str, ...]) -> None:
    (hint,) = hints_of(event(name, detail=detail, branch=branch))
    assert hint.remarks == remarks


@pytest.mark.parametrize(
    ("name", "told"), [("issue_comment.created", True), ("issue_comment", True), ("pull_request_review_comment.created", False)]
)
def test_a_comment_is_told_from_what_gates_look_at(name: str, *, told: bool) -> None:
    assert is_conversation(event(name)) is told


def test_a_delivery_of_github_is_read_as_one() -> None:
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1-2", "Content-Type": "application/json"}
    assert hints_of(of_github(headers, b'{"ref": "refs/heads/task-3"}', NOW))[0].tasks == frozenset({3})


def test_what_is_kept_in_place_of_a_body_is_what_it_points_at() -> None:
    kept = Delivery(id="github-1", event="push", repository="", received_at=NOW, hints=(Hint(number=5),))
    assert hints_of(kept) == (Hint(number=5),)
    assert hints_of(msgspec.structs.replace(kept, hints=())) == ()


def test_a_damaged_body_or_one_of_a_source_nobody_knows_points_at_nothing() -> None:
    damaged = Delivery(id="local-1", event="push", repository="", received_at=NOW, body=b"{")
    assert hints_of(damaged) == (Hint(),)
    assert hints_of(msgspec.structs.replace(damaged, id="moon-1", body=b"{}")) == ()
