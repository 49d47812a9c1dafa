"""What GitHub's answers say about its limits."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.forge.github.answers import Answer, same_origin
from coderun.forge.github.etags import EtagCache, Kept
from coderun.forge.github.limits import Budget, Limits, budget_of, limit_wait, retry_after_of

NOW = 1_000_000.0
SPENT = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 90)}
LEFT = {**SPENT, "x-ratelimit-remaining": "10"}
DATE = format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait"),
    [
        (403, SPENT, "API rate limit exceeded for installation", 90),
        (429, SPENT, "", 90),
        (403, {**SPENT, "x-ratelimit-reset": "1"}, "", 1),
        (403, {**SPENT, "x-ratelimit-reset": "99999999"}, "", 3600),
        (403, LEFT, "You have exceeded a secondary rate limit", 60),
        (403, {"retry-after": "17"}, "secondary", 17),
        (403, {"retry-after": DATE}, "", 30),
        (429, {}, "", 60),
        (429, {"retry-after": "soon"}, "", 60),
        (403, LEFT, "Resource not accessible by integration", None),
        (403, {}, "", None),
        (422, SPENT, "rate limit", None),
        (200, SPENT, "", None),
    ],
)
def test_a_limit_is_told_from_a_missing_permission(
    status: int, headers: dict[str, str], message: str, wait: float | None
) -> None:
    assert limit_wait(status, headers, message, NOW) == wait


@pytest.mark.parametrize(
    "headers", [{}, {**SPENT, "x-ratelimit-limit": "many"}, {"x-ratelimit-limit": "1", "x-ratelimit-remaining": "1"}]
)
def test_headers_without_a_budget_give_none(headers: dict[str, str]) -> None:
    assert budget_of(headers) is None


@given(st.text(max_size=40))
def test_any_retry_after_is_a_bounded_wait_or_none(text: str) -> None:
    wait = retry_after_of({"retry-after": text}, NOW)
    assert wait is None or 0 <= wait <= 3600


def test_a_spent_budget_of_another_resource_blocks_nothing() -> None:
    limits = Limits(lambda: NOW)
    limits.see(Budget(resource="search", limit=30, remaining=0, reset=NOW + 60))
    assert limits.blocked_for == 0
    limits.see(Budget(resource="core", limit=30, remaining=0, reset=NOW + 60))
    assert limits.blocked_for == 60


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ('<https://h/x?page=2>; rel="next", <https://h/x?page=9>; rel="last"', "https://h/x?page=2"),
        ('<https://h/x?page=1>; rel="prev", <https://h/x?page=3>; rel="next"', "https://h/x?page=3"),
        ("<https://h/x?page=2>; rel=next", "https://h/x?page=2"),
        ('<https://h/x?page=1>; rel="first"', None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_next_page_is_the_one_so_named(link: str, following: str | None) -> None:
    assert Answer(status=200, headers={"link": link}).next_page == following


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message": 1}', b'{"errors": [[1]]}', b"[" * 100_000])
def test_a_refusal_without_words_has_none(body: bytes) -> None:
    assert Answer(status=422, body=body).message == ""


def test_a_date_that_is_none_is_none() -> None:
    assert Answer(status=401).date is None
    assert Answer(status=401, headers={"date": DATE}).date == datetime.fromtimestamp(NOW + 30, UTC)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a/x", "https://a/y?z", True),
        ("https://a:8443/x", "https://a:8443/", True),
        ("https://a/x", "http://a/x", False),
        ("https://a/x", "https://b/x", False),
        ("https://a/x", "https://a:1/x", False),
        ("https://a/x", "https://a@b/x", False),
        ("https://a/x", "https://a:99999/x", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, *, same: bool) -> None:
    assert same_origin(one, other) is same


def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last() -> None:
    cache = EtagCache(2)
    for url in ("a", "b"):
        cache.put(url, "k", Kept(etag=url, value=url, next_page=None))
    assert cache.get("a", "k") is not None
    cache.put("c", "k", Kept(etag="c", value="c", next_page=None))
    assert [cache.get(url, "k") is not None for url in "abc"] == [True, False, True]
    assert cache.get("a", "other kind") is None
    assert len(cache) == 2
