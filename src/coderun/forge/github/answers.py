"""Answers of GitHub's REST API: what they hold, where the list goes on, and which of our errors a refusal is.

Under `client`, which gets them; the only place where GitHub's refusals become errors of ours. Pure. Texts of an answer may
repeat what somebody else wrote: they pass `printable` before they reach a message.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from coderun.forge.github.limits import limit_wait, retry_after_of
from coderun.model.errors import CoderunError, ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.text import printable

_NEXT: Final = re.compile(r'<([^<>\s]{1,4096})>\s*;[^,<]*?\brel="?next"?')
_MAX_MESSAGE: Final = 300
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500


class GitHubRefusedError(RefusedError):
    """GitHub understood and said no; `status` is the HTTP status and `said` its words, fit to show."""

    def __init__(self, message: str, *, status: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def request_id(self) -> str:
        """What GitHub calls this exchange, for its support."""
        return printable(self.headers.get("x-github-request-id", ""), 80)

    @property
    def date(self) -> datetime | None:
        """GitHub's clock when it answered."""
        try:
            return parsedate_to_datetime(self.headers.get("date", ""))
        except ValueError:
            return None

    @property
    def message(self) -> str:
        """What GitHub says of a refusal, on one line."""
        return printable("; ".join(_said(self.body)), _MAX_MESSAGE)

    @property
    def next_page(self) -> str | None:
        """URL of the next page (RFC 8288), None at the last."""
        found = _NEXT.search(self.headers.get("link", ""))
        return found[1] if found else None


def _said(body: bytes) -> list[str]:
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not isinstance(parsed, dict):
        return []
    errors = parsed.get("errors")
    said = [parsed.get("message"), *(errors if isinstance(errors, list) else [errors])]
    return [text for text in map(_words, said) if text]


def _words(error: object) -> str:
    if isinstance(error, dict):
        parts = (error.get("message"), error.get("field"), error.get("code"))
        return next((part for part in parts[:1] if isinstance(part, str)), "") or " ".join(
            part for part in parts[1:] if isinstance(part, str)
        )
    return error if isinstance(error, str) else ""


def refusal_of(answer: Answer, *, deed: str, identity: str, now: float) -> CoderunError:
    """The error that an answer of status 400 or more stands for; `deed` says what was attempted (`GET /repos/…`)."""
    said = answer.message or "no reason given"
    ending = f"{answer.status}: {said}" + (f" (request {answer.request_id})" if answer.request_id else "")
    wait = limit_wait(answer.status, answer.headers, answer.message, now)
    if wait is not None:
        return ForgeUnavailableError(f"GitHub limits {identity}: {deed} was answered {ending}", retry_after=wait)
    if answer.status >= _SERVER_ERROR:
        asked = retry_after_of(answer.headers, now)
        return ForgeUnavailableError(f"GitHub failed at {deed} for {identity}: {ending}", retry_after=asked)
    if answer.status == _NOT_FOUND:
        return NotFoundError(
            f"GitHub knows nothing at {deed} that {identity} may see: {ending}; "
            "check the name, and that the App is installed there"
        )
    advice = ""
    if answer.status == _UNAUTHORIZED:
        advice = f"; the credential of {identity} is wrong, expired or revoked: give it a new one"
    if answer.status == _FORBIDDEN:
        wanted = printable(answer.headers.get("x-accepted-github-permissions", ""), 120)
        advice = f"; grant {identity} {wanted or 'the permission this needs'}"
    return GitHubRefusedError(
        f"GitHub refused {deed} for {identity}: {ending}{advice}", status=answer.status, said=answer.message
    )


def same_origin(one: str, other: str) -> bool:
    """Whether a token for `one` may be shown to `other`: scheme, host and port are equal."""
    try:
        first, second = urlsplit(one), urlsplit(other)
        ports = first.port == second.port
    except ValueError:
        return False
    return ports and (first.scheme, first.hostname) == (second.scheme, second.hostname)
