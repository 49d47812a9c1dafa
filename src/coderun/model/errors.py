"""The one tree of errors.

```
CoderunError
├── ConfigError            settings, roster, pipeline, task list are wrong → exit 2, file:line and what to write instead
├── NotFoundError          what the caller named does not exist            → exit 4
├── RefusedError           the forge or the store says no, for good        → the caller does something else
├── InvalidObjectError     a stored object is not what its kind says       → condition, no retry
├── InvalidCodeRunError    the spec can never run                          → condition, no retry
├── OwnershipConflictError the object exists and is not ours               → condition, no retry
├── WriteConflictError     somebody wrote first                            → read again, now
├── DeliveryRejectedError  SignatureMismatch · MalformedDelivery · TooLarge
└── UnavailableError       ClusterUnavailable · ForgeUnavailable · StoreUnavailable → retry later
```

The class tells who must act: the caller, the operator, or time. Foreign errors are translated in one place per library and
chained with `from`. A message says what was attempted, on what, what was found and what to do.
"""


class CoderunError(Exception):
    """Anything this program raises on purpose; `str()` is fit to show to a person."""


class ConfigError(CoderunError):
    """Settings, roster, pipeline or task list are wrong; the message carries `file:line` where one is known."""


class NotFoundError(CoderunError):
    """What the caller named does not exist."""


class RefusedError(CoderunError):
    """The other side understood and said no, and will say no again (a protected branch, one's own approval)."""


class InvalidObjectError(CoderunError):
    """A stored object is not what its kind says: somebody wrote it past us. Nothing happens with it until it is mended."""


class InvalidCodeRunError(CoderunError):
    """The spec of a CodeRun can never run as it stands."""


class OwnershipConflictError(CoderunError):
    """An object of the wanted name exists and belongs to somebody else."""


class AlreadyExistsError(CoderunError):
    """An object of this kind and name exists already."""


class WriteConflictError(CoderunError):
    """Somebody wrote the object since it was read: read it again and decide anew."""


class DeliveryRejectedError(CoderunError):
    """A webhook delivery is not taken in; `status` is the HTTP answer."""

    status = 400


class SignatureMismatchError(DeliveryRejectedError):
    """No accepted secret signs this body."""

    status = 401


class MalformedDeliveryError(DeliveryRejectedError):
    """Headers or body are not what a forge sends."""


class TooLargeError(DeliveryRejectedError):
    """The body is larger than a forge sends."""

    status = 413


class UnavailableError(CoderunError):
    """Not now; the same call may succeed later. `retry_after` is in seconds, None where nobody said."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ForgeUnavailableError(UnavailableError):
    """The forge does not answer, or asks us to wait."""


class StoreUnavailableError(UnavailableError):
    """The store cannot take or give anything now (busy, disk full, read-only)."""


class ClusterUnavailableError(UnavailableError):
    """The Kubernetes API does not answer, or asks us to wait."""


class StoreCorruptError(CoderunError):
    """The store's file is damaged; nothing is written to it until a person has looked."""
