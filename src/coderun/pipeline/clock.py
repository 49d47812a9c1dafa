"""How long does a pause still last? One rule for all pauses, so that a clock that jumps never makes one endless."""

from datetime import datetime, timedelta


def deadline(since: datetime | None, seconds: float, now: datetime) -> datetime | None:
    """When a pause of `seconds` that began at `since` ends; None when it is over, and where it cannot be told.

    A beginning that lies more than `seconds` in the future is no time to count from (a clock was set back): it is over then.
    Less than that is the ordinary difference between two machines' clocks.
    """
    if since is None:
        return None
    until = since + timedelta(seconds=seconds)
    return until if timedelta(0) < until - now <= timedelta(seconds=2 * seconds) else None
