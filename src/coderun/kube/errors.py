"""What an answer of the API server means: the one place where its refusals become our errors. Pure.

The class tells who must act, as in `model.errors`. A message says what was attempted, on what, and what the server found; where
an object was refused, it names the fields.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from coderun.kube.objects import Status
from coderun.model.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    CoderunError,
    ConfigError,
    NotFoundError,
    RefusedError,
    WriteConflictError,
)
from coderun.model.text import printable

_LONGEST: Final = 1500
_status: Final = msgspec.json.Decoder(Status)


class ExpiredError(ClusterUnavailableError):
    """The resourceVersion or continue token is too old (410): list again."""


class ForbiddenError(RefusedError):
    """The identity we use lacks the right (403)."""


class NotLeadingError(ClusterUnavailableError):
    """A write was not sent, or not awaited: this process is not the leader (any more)."""


def read_status(body: bytes) -> Status:
    """The `Status` in an answer; where a proxy answered with something else, its first words as the message."""
    try:
        return _status.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Status(message=printable(body[:300].decode("utf-8", "replace").strip(), 300))


def translate(attempted: str, code: int, status: Status, headers: Mapping[str, str] | None = None) -> CoderunError:
    """The error that an answer with `code` (400 or above) stands for. `attempted`: "create Job 'x' in namespace 'y'"."""
    found = _found(status) or f"HTTP status {code}"
    text = f"cannot {attempted}: {found}"
    match code:
        case 401:
            return ClusterUnavailableError(f"{text}; the API server does not accept our credentials")
        case 403 if "exceeded quota" in found or "quota" in status.reason.lower():
            return ClusterUnavailableError(f"{text}; the namespace's ResourceQuota allows no more")
        case 403:
            return ForbiddenError(f"{text}; grant it with a Role, or use another identity")
        case 404 if _is_unknown_kind(status):
            return ConfigError(
                f"{text}; the cluster does not serve this kind: `coderun crds | kubectl apply -f -` installs ours"
            )
        case 404:
            return NotFoundError(text)
        case 409 if status.reason == "AlreadyExists":
            return AlreadyExistsError(text)
        case 409:
            return WriteConflictError(text)
        case 410:
            return ExpiredError(text)
        case 429 | 500 | 502 | 503 | 504:
            return ClusterUnavailableError(text, retry_after=_retry_after(status, headers or {}))
        case _:
            return RefusedError(text)


def _is_unknown_kind(status: Status) -> bool:
    return status.details is None or not status.details.name or status.reason != "NotFound"


def _found(status: Status) -> str:
    causes = status.details.causes if status.details is not None else None
    named = [f"{cause.field}: {cause.message}" for cause in causes or () if cause.field and cause.message]
    said = status.message.strip()
    # The message repeats the causes where there are few of them, and cuts them short where they are many.
    missing = [one for one in named if one not in said]
    return printable("; ".join(filter(None, [said, *missing])), _LONGEST)


def _retry_after(status: Status, headers: Mapping[str, str]) -> float | None:
    said = headers.get("Retry-After", "")
    if said.isascii() and said.isdecimal():
        return float(said[:6])
    if status.details is not None and status.details.retry_after_seconds > 0:
        return float(status.details.retry_after_seconds)
    return None
