"""Webhooks of GitHub as deliveries and hints."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.events.github import MAX_BODY, hints_of, installation_of, moves_installation, to_delivery
from coderun.model.deliveries import Delivery, DeliveryState, Hint
from coderun.model.errors import MalformedDeliveryError, TooLargeError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
HEADERS = {"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": GUID, "Content-Type": "application/json"}
REPOSITORY = {"id": 1, "full_name": "Acme/Shop", "html_url": "https://github.com/Acme/Shop"}


def pull(
    number: int = 5, ref: str = "x", *, labels: tuple[str, ...] = (), head: int | None = 1, base: int | None = 1
) -> dict[str, Any]:
    def side(name: str, repo: int | None) -> dict[str, Any]:
        return {"ref": name, "sha": "a" * 40, "repo": None if repo is None else {"id": repo}}

    named = [{"name": label, "color": "fff"} for label in labels]
    return {
        "number": number,
        "title": "task-99",
        "body": None,
        "head": side(ref, head),
        "base": side("main", base),
        "labels": named,
    }


def pointed_at(delivery: Delivery) -> list[Hint]:
    """The hints by which plays are found."""
    return [Hint(number=hint.number, tasks=hint.tasks, branch=hint.branch) for hint in hints_of(delivery)]


def deliver(event: str, payload: object, **headers: str) -> Delivery:
    return to_delivery({**HEADERS, "X-GitHub-Event": event, **headers}, msgspec.json.encode(payload), NOW)


def test_a_delivery_keeps_id_event_repository_and_body() -> None:
    body = msgspec.json.encode({"action": "labeled", "repository": REPOSITORY, "pull_request": pull()})
    found = to_delivery(HEADERS, body, NOW)
    assert found == Delivery(
        id=f"github-{GUID}",
        event="pull_request.labeled",
        repository="github.com/acme/shop",
        received_at=NOW,
        body=body,
        state=DeliveryState.PENDING,
    )


def test_header_names_may_have_any_case() -> None:
    shouted = {name.upper(): value for name, value in HEADERS.items()}
    assert to_delivery(shouted, b"{}", NOW) == to_delivery({k.lower(): v for k, v in HEADERS.items()}, b"{}", NOW)


def test_a_repetition_has_the_same_id_whatever_its_case() -> None:
    assert deliver("push", {}, **{"X-GitHub-Delivery": GUID.upper()}).id == deliver("push", {}).id


def test_a_form_is_read_as_its_payload() -> None:
    payload = {"action": "opened", "pull_request": pull(title := 5), "note": "a+b & ü = %41", "number": title}
    text = json.dumps(payload, ensure_ascii=False)
    body = urlencode({"payload": text}).encode()
    found = to_delivery({**HEADERS, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, body, NOW)
    assert json.loads(found.body) == payload
    assert pointed_at(found) == [Hint(number=5, branch="x")]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"X-GitHub-Delivery": ""}, b"{}", "header x-github-delivery of the delivery is missing"),
        ({"X-GitHub-Delivery": "a b"}, b"{}", "header x-github-delivery of the delivery is 'a b'"),
        ({"X-GitHub-Delivery": "x" * 65}, b"{}", "x-github-delivery"),
        ({"X-GitHub-Event": ""}, b"{}", "header x-github-event of the delivery is missing"),
        ({"X-GitHub-Event": "Push\x1b[31m"}, b"{}", "x-github-event"),
        ({"Content-Type": "text/plain"}, b"{}", "content type is 'text/plain'; set the webhook's to application/json"),
        ({"Content-Type": ""}, b"{}", "content type is ''"),
        ({}, b"", "no JSON object"),
        ({}, b"[]", "no JSON object"),
        ({}, b'{"a": ', "no JSON object"),
        ({}, b'{"action": "\xff"', "no JSON object"),
        ({}, b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON object"),
        ({}, b'{"pull_request": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "no JSON object"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"other=1", "no field 'payload'"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"payload=%ff", "form cannot be read"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&" * 20, "form cannot be read"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"payload=%7B", "no JSON object"),
    ],
)
def test_what_github_does_not_send_is_malformed(headers: dict[str, str], body: bytes, reason: str) -> None:
    with pytest.raises(MalformedDeliveryError) as refused:
        to_delivery({**HEADERS, **headers}, body, NOW)
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()
    assert refused.value.status == 400


def test_more_than_github_sends_is_too_large() -> None:
    body = b'{"a":"' + b"x" * (MAX_BODY - 8) + b'"}'
    assert to_delivery(HEADERS, body, NOW).body == body
    with pytest.raises(TooLargeError, match="GitHub sends 26214400 at most") as refused:
        to_delivery(HEADERS, body + b" ", NOW)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("repository", "known"),
    [
        (REPOSITORY, "github.com/acme/shop"),
        ({"full_name": "acme/shop"}, "github.com/acme/shop"),
        ({"html_url": "https://ghe.example.com/Acme/Shop"}, "ghe.example.com/acme/shop"),
        ({"html_url": "$(id)", "full_name": "../../x"}, ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_the_repository_is_in_canonical_form(repository: object, known: str) -> None:
    assert deliver("push", {"repository": repository}).repository == known


def test_an_event_of_unknown_name_and_shape_is_kept_and_points_at_nothing() -> None:
    found = deliver("moon_phase", {"action": ["full"], "pull_request": [1], "issue": 3, "label": {"name": 7}, "ref": None})
    assert found.event == "moon_phase"
    assert hints_of(found) == ()
    assert deliver("ping", {"action": "$(id)"}).event == "ping"


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({"pull_request": pull(ref="feature/task-7-x")}, Hint(number=5, tasks=frozenset({7}), branch="feature/task-7-x")),
        ({"pull_request": pull(ref="task-7")}, Hint(number=5, tasks=frozenset({7}), branch="task-7")),
        ({"pull_request": pull(ref="hotfix/task-45")}, Hint(number=5, branch="hotfix/task-45")),
        (
            {"pull_request": pull(labels=("task-7x", "task-007", "task-0", " task-7", "ready-for-qa"))},
            Hint(number=5, branch="x"),
        ),
        ({"pull_request": pull(labels=("Task-7", "task-8"))}, Hint(number=5, tasks=frozenset({7, 8}), branch="x")),
        ({"pull_request": pull(), "label": {"name": "task-7"}}, Hint(number=5, tasks=frozenset({7}), branch="x")),
        ({"pull_request": pull(), "label": {"name": "$(touch x)"}}, Hint(number=5, branch="x")),
        ({"pull_request": pull(ref="task-7", head=2)}, Hint(number=5)),
        ({"pull_request": pull(ref="task-7", head=None)}, Hint(number=5)),
        ({"pull_request": pull(ref="task-7", base=None)}, Hint(number=5)),
        ({"pull_request": pull(), "review": {"state": "approved"}}, Hint(number=5, branch="x")),
        (
            {
                "issue": {"number": 6, "pull_request": {"url": "u"}, "labels": [{"name": "task-3"}]},
                "comment": {"body": "task-9"},
            },
            Hint(number=6, tasks=frozenset({3})),
        ),
        ({"ref": "refs/heads/feature/task-7-x"}, Hint(tasks=frozenset({7}), branch="feature/task-7-x")),
        ({"check_suite": {"head_branch": "task-4", "pull_requests": []}}, Hint(tasks=frozenset({4}), branch="task-4")),
        ({"check_run": {"check_suite": {"head_branch": "task-4"}}}, Hint(tasks=frozenset({4}), branch="task-4")),
        ({"branches": [{"name": "task-4"}], "sha": "a", "state": "success"}, Hint(tasks=frozenset({4}), branch="task-4")),
    ],
)
def test_an_event_points_at_pull_request_tasks_and_branch(payload: dict[str, Any], hint: Hint) -> None:
    assert pointed_at(deliver("pull_request", payload)) == [hint]


@pytest.mark.parametrize(
    ("payload", "sha"),
    [
        ({"pull_request": pull()}, "a" * 40),
        ({"ref": "refs/heads/x", "after": "b" * 40}, "b" * 40),
        ({"ref": "refs/heads/x", "after": "0" * 40, "deleted": True}, ""),
        ({"ref": "refs/heads/x", "after": "$(id)"}, ""),
        ({"branches": [{"name": "x"}], "sha": "c" * 64}, "c" * 64),
        ({"check_run": {"head_sha": "d" * 40, "check_suite": {"head_branch": "x", "head_sha": "e" * 40}}}, "d" * 40),
        ({"check_suite": {"head_branch": "x", "head_sha": "e" * 40}}, "e" * 40),
    ],
)
def test_an_event_names_its_commit_and_who_caused_it(payload: dict[str, Any], sha: str) -> None:
    (hint,) = hints_of(deliver("push", {**payload, "sender": {"login": "ada"}}))
    assert (hint.head_sha, hint.actor) == (sha, "ada")


@pytest.mark.parametrize(
    ("payload", "remarks"),
    [
        (
            {"pull_request": pull(ref="hotfix/task-45", labels=("task-7x", "qa"))},
            (
                "label 'task-7x' is no task label (task-N is one)",
                "branch 'hotfix/task-45' is no task branch (task-N-… and feature/task-N-… are)",
            ),
        ),
        ({"pull_request": pull(), "label": {"name": "task-007"}}, ("label 'task-007' is no task label (task-N is one)",)),
        (
            {"issue": {"number": 5, "pull_request": {}, "labels": [{"name": "task_7\x1b[31m"}]}},
            ("label 'task_7' is no task label (task-N is one)",),
        ),
        ({"pull_request": pull(ref="task-7", labels=("task-7", "a task"))}, ()),
        ({"pull_request": pull(ref="hotfix/task-45", head=2)}, ()),
    ],
)
def test_what_only_looks_like_a_mark_is_remarked_on(payload: dict[str, Any], remarks: tuple[str, ...]) -> None:
    (hint,) = hints_of(deliver("pull_request", payload))
    assert hint.remarks == remarks


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"issue": {"number": 6, "labels": [{"name": "task-3"}]}},
        {"issue": {"number": 6, "pull_request": None}},
        {"ref": "refs/tags/task-7"},
        {"ref": "task-7", "ref_type": "branch"},
        {"check_suite": {"head_branch": None}},
        {"pull_request": {"number": "five"}},
    ],
)
def test_an_event_that_concerns_no_pull_request_and_no_branch_points_at_nothing(payload: dict[str, Any]) -> None:
    assert hints_of(deliver("issues", payload)) == ()


def test_a_check_points_at_all_its_pull_requests() -> None:
    payload = {
        "check_run": {"pull_requests": [pull(2, "task-2"), pull(1, "y")], "check_suite": {"pull_requests": [pull(3, "z")]}}
    }
    assert [hint.number for hint in hints_of(deliver("check_run", payload))] == [1, 2, 3]


def test_a_status_of_two_branches_is_two_hints() -> None:
    payload = {"branches": [{"name": "task-1"}, {"name": "task-2"}, {"name": "task-1"}]}
    assert [hint.branch for hint in hints_of(deliver("status", payload))] == ["task-1", "task-2"]


@pytest.mark.parametrize(
    ("payload", "installation"), [({"installation": {"id": 9}}, 9), ({}, None), ({"installation": None}, None)]
)
def test_the_installation_may_be_absent(payload: dict[str, Any], installation: int | None) -> None:
    assert installation_of(deliver("push", payload)) == installation


@pytest.mark.parametrize(
    ("event", "action", "moves"),
    [
        ("installation", "suspend", True),
        ("installation_repositories", "removed", True),
        ("repository", "transferred", True),
        ("pull_request", "opened", False),
    ],
)
def test_events_that_move_an_installation_are_known(event: str, action: str, *, moves: bool) -> None:
    assert moves_installation(deliver(event, {"action": action})) is moves


def test_a_stored_body_that_is_damaged_points_at_nothing() -> None:
    damaged = Delivery(id="github-1", event="push", repository="", received_at=NOW, body=b"{")
    assert hints_of(damaged) == ()
    assert installation_of(damaged) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "action",
        "repository",
        "installation",
        "pull_request",
        "issue",
        "label",
        "check_run",
        "check_suite",
        "ref",
        "branches",
        "x",
    ]
)


@given(payload=st.dictionaries(KEYS, JSON, max_size=6))
def test_any_json_object_is_a_delivery_with_hints_or_none(payload: dict[str, Any]) -> None:
    found = deliver("pull_request", payload)
    assert all(isinstance(hint, Hint) for hint in hints_of(found))
    assert installation_of(found) is None or isinstance(installation_of(found), int)


@given(body=st.binary(max_size=60), headers=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3))
def test_any_bytes_are_a_delivery_or_malformed(body: bytes, headers: dict[str, str]) -> None:
    with contextlib.suppress(MalformedDeliveryError):
        assert to_delivery({**headers, **HEADERS}, body, NOW).body == body
