"""Why a container cannot be made yet."""


class NotThereError(Exception):
    """Something the pod needs is missing; `reason` is the word of the Event or of the waiting container."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
