"""What the API server says no with: `metav1.Status` bodies as Kubernetes writes them.

Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/ and k8s.io/apimachinery/pkg/api/errors.
"""

import json
from dataclasses import dataclass
from typing import Any

from tests.fakes.apiserver.resources import Resource


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One field that is wrong: `message` begins with the kind of mistake, as in `Invalid value: 0: …`."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def body(self) -> dict[str, str]:
        """The entry of `status.details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def invalid_value(field: str, value: Any, what: str) -> Cause:
    """A value that breaks a rule; objects and lists are named by their type, as the real server does."""
    if isinstance(value, dict | list):
        shown = '"object"' if isinstance(value, dict) else '"array"'
    else:
        shown = json.dumps(value, ensure_ascii=False)
    return Cause(field=field, message=f"Invalid value: {shown}: {what}")


def required(field: str, what: str = "") -> Cause:
    """A value that is missing."""
    return Cause(field=field, message="Required value" + (f": {what}" if what else ""), reason="FieldValueRequired")


def unsupported(field: str, value: Any, known: list[Any]) -> Cause:
    """A value outside its enumeration."""
    listed = ", ".join(json.dumps(one) for one in known)
    text = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
    return Cause(field=field, message=text, reason="FieldValueNotSupported")


def too_long(field: str, limit: int) -> Cause:
    """A text or a map above its limit."""
    return Cause(field=field, message=f"Too long: may not be more than {limit} bytes", reason="FieldValueTooLong")


def forbidden_field(field: str, what: str) -> Cause:
    """A field that may not be set or changed."""
    return Cause(field=field, message=f"Forbidden: {what}", reason="FieldValueForbidden")


class StatusError(Exception):
    """An answer that is a failure."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after
        self.extra = extra or {}

    def body(self) -> dict[str, Any]:
        """The `Status` object."""
        details = dict(self.details)
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.extra),
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": details} if details else {}),
            "code": self.code,
        }


def _details(resource: Resource, name: str) -> dict[str, Any]:
    group = {"group": resource.group} if resource.group else {}
    return {**({"name": name} if name else {}), **group, "kind": resource.plural}


def not_found(resource: Resource, name: str) -> StatusError:
    """No object of that name."""
    return StatusError(404, "NotFound", f'{resource.full} "{name}" not found', details=_details(resource, name))


def no_such_path() -> StatusError:
    """No resource of that path."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> StatusError:
    """The name is taken."""
    return StatusError(409, "AlreadyExists", f'{resource.full} "{name}" already exists', details=_details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> StatusError:
    """Somebody wrote first, or a precondition does not hold."""
    text = f'Operation cannot be fulfilled on {resource.full} "{name}": {why}'
    return StatusError(409, "Conflict", text, details=_details(resource, name))


def apply_conflict(causes: list[Cause]) -> StatusError:
    """Fields that another manager owns."""
    by = ", ".join(sorted({cause.message for cause in causes}))
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {by}: {causes[0].field}"
    else:
        listed = "\n".join(f"- {cause.field}" for cause in causes)
        text = f"Apply failed with {len(causes)} conflicts: {by}:\n{listed}"
    return StatusError(409, "Conflict", text, details={"causes": [cause.body() for cause in causes]})


def invalid(resource: Resource, name: str, causes: list[Cause], *, kind: str = "") -> StatusError:
    """The object breaks rules of its kind."""
    of = kind or resource.kind
    shown = f"{of}.{resource.group}" if resource.group else of
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {**_details(resource, name), "kind": of, "causes": [cause.body() for cause in causes]}
    return StatusError(422, "Invalid", f'{shown} "{name}" is invalid: {text}', details=details)


def bad_request(message: str) -> StatusError:
    """A request that makes no sense."""
    return StatusError(400, "BadRequest", message)


def unsupported_media(kind: str, known: list[str]) -> StatusError:
    """A body of a kind that is not taken here."""
    listed = ", ".join(known)
    text = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return StatusError(415, "UnsupportedMediaType", text + (f" (got {kind!r})" if kind else ""))


def method_not_allowed(resource: Resource | None = None) -> StatusError:
    """A verb that the resource does not know."""
    details = _details(resource, "") if resource else {}
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, details=details)


def unauthorized() -> StatusError:
    """No token, or one that is not known."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource | None, name: str, why: str) -> StatusError:
    """Not allowed to this user, or refused by admission."""
    if resource is None:
        return StatusError(403, "Forbidden", f"forbidden: {why}")
    shown = f'{resource.full} "{name}" is forbidden: {why}' if name else f"{resource.full} is forbidden: {why}"
    return StatusError(403, "Forbidden", shown, details=_details(resource, name))


def expired(message: str, *, token: str = "") -> StatusError:
    """The version asked for is compacted; `token` goes on from an inconsistent list."""
    return StatusError(410, "Expired", message, extra={"continue": token} if token else {})


def too_many(seconds: int) -> StatusError:
    """Priority and fairness has no seat left."""
    text = "The request is throttled, please try again later."
    return StatusError(429, "TooManyRequests", text, retry_after=seconds)


def unavailable(message: str, seconds: int | None = None) -> StatusError:
    """The server cannot answer now."""
    return StatusError(503, "ServiceUnavailable", message, retry_after=seconds)


def internal(message: str) -> StatusError:
    """The server broke."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def too_large(message: str = "Request entity too large: limit is 3145728") -> StatusError:
    """A body above the limit."""
    return StatusError(413, "RequestEntityTooLarge", message)
