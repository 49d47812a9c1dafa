"""Answers of the API server as errors: the class says who must act, the message what was found."""

import json

import pytest

from coderun.kube.errors import ExpiredError, ForbiddenError, read_status, translate
from coderun.model.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    ConfigError,
    NotFoundError,
    RefusedError,
    WriteConflictError,
)

CREATE = "create CodeRun 'x' in namespace 'team'"


def answer(code: int, reason: str = "", message: str = "", **details: object) -> bytes:
    body: dict[str, object] = {"kind": "Status", "code": code, "reason": reason, "message": message}
    if details:
        body["details"] = details
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (400, answer(400, "BadRequest", "bad"), RefusedError),
        (401, answer(401, "Unauthorized", "Unauthorized"), ClusterUnavailableError),
        (403, answer(403, "Forbidden", "coderuns is forbidden", name="x"), ForbiddenError),
        (403, answer(403, "Forbidden", "exceeded quota: small", name="x"), ClusterUnavailableError),
        (404, answer(404, "NotFound", 'coderuns "x" not found', name="x"), NotFoundError),
        (404, answer(404, "NotFound", "the server could not find the requested resource"), ConfigError),
        (404, b"404 page not found\n", ConfigError),
        (409, answer(409, "AlreadyExists", "exists", name="x"), AlreadyExistsError),
        (409, answer(409, "Conflict", "the object has been modified", name="x"), WriteConflictError),
        (410, answer(410, "Expired", "too old resource version"), ExpiredError),
        (413, answer(413, "RequestEntityTooLarge", "too large"), RefusedError),
        (422, answer(422, "Invalid", "invalid", name="x"), RefusedError),
        (429, answer(429, "TooManyRequests", "slow down"), ClusterUnavailableError),
        (500, b"", ClusterUnavailableError),
        (503, b"<html>\x1b[31mbad gateway</html>", ClusterUnavailableError),
    ],
)
def test_the_class_tells_who_must_act(code: int, body: bytes, expected: type[Exception]) -> None:
    found = translate(CREATE, code, read_status(body))
    assert type(found) is expected
    assert str(found).startswith(f"cannot {CREATE}: ")


def test_a_refused_object_is_told_with_the_fields_that_are_wrong() -> None:
    causes = [
        {"field": "spec.taskId", "message": "Invalid value: 0: should be greater than or equal to 1"},
        {"field": "", "message": "nameless"},
    ]
    found = translate(CREATE, 422, read_status(answer(422, "Invalid", 'CodeRun "x" is invalid', name="x", causes=causes)))
    assert str(found) == (
        "cannot create CodeRun 'x' in namespace 'team': CodeRun \"x\" is invalid; "
        "spec.taskId: Invalid value: 0: should be greater than or equal to 1"
    )


def test_a_field_that_the_message_names_already_is_not_named_twice() -> None:
    causes = [{"field": "spec.taskId", "message": "Required value"}]
    body = answer(422, "Invalid", 'CodeRun "x" is invalid: spec.taskId: Required value', name="x", causes=causes)
    assert str(translate(CREATE, 422, read_status(body))).count("spec.taskId") == 1


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "Sat, 28 Nov 2026 00:00:00 GMT"}, {}, None),
        ({}, {}, None),
    ],
)
def test_how_long_to_wait_is_what_the_server_said(
    headers: dict[str, str], details: dict[str, object], expected: float | None
) -> None:
    found = translate(CREATE, 429, read_status(answer(429, "TooManyRequests", "slow", **details)), headers)
    assert isinstance(found, ClusterUnavailableError)
    assert found.retry_after == expected


def test_what_a_proxy_answers_reaches_nobody_unquoted() -> None:
    found = translate(CREATE, 503, read_status(b"\x1b[31m<html>\x00 gone \xff</html>"))
    assert str(found) == f"cannot {CREATE}: <html>\ufffd gone \ufffd</html>"


def test_without_any_words_the_status_is_told() -> None:
    assert str(translate(CREATE, 502, read_status(b"{}"))) == f"cannot {CREATE}: HTTP status 502"
