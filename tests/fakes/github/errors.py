"""What the fake refuses, in GitHub's words. Raised anywhere below a route; the server turns it into the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"


class ApiError(Exception):
    """An answer that is not 2xx; `errors` are the entries of a 422."""

    def __init__(
        self, status: int, message: str, *, errors: Sequence[Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """GitHub's form of an error."""
        body: dict[str, Any] = {"message": self.message, "documentation_url": DOCUMENTATION, "status": str(self.status)}
        return {**body, "errors": list(self.errors)} if self.errors else body


def not_found() -> ApiError:
    """The answer to what is not there, and to what the caller may not know of."""
    return ApiError(404, "Not Found")


def invalid(resource: str, field: str, *, code: str = "invalid", message: str = "") -> ApiError:
    """A 422 about one field."""
    entry = {"resource": resource, "field": field, "code": "custom" if message else code}
    return ApiError(422, "Validation Failed", errors=[{**entry, "message": message} if message else entry])


def bad_credentials(message: str = "Bad credentials") -> ApiError:
    """A 401."""
    return ApiError(401, message)
