"""The runtime: workspaces, files, tokens and jobs. Every call is safe to repeat.

A *job* is one attempt of a CodeRun under a deterministic name. A job is started at most once, ever, whoever asks and however
often; that a start has been asked for is recorded in the CodeRun's status before `start` is called.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

import msgspec

from coderun.model.coderun import RunReport
from coderun.plan.order import RunPlan


class JobState(StrEnum):
    """What is to be seen of a job.

    ABSENT: nothing of it was ever started (its folder may exist). STARTING: asked for, not running yet. RUNNING. FINISHED: it
    left a report. LOST: it ran and is gone without a report; nothing of it is alive any more.
    """

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a job; `detail` says to a person why it waits or how it was lost.

    `again` is when another look is worth it where nothing is hinted, in seconds; None leaves it to who looks. `files` names the
    ConfigMap with the run's files, "" where there is no such thing.
    """

    state: JobState
    report: RunReport | None = None
    detail: str = ""
    again: float | None = None
    files: str = ""


class Runtime(Protocol):
    """Runs jobs."""

    async def prepare(self, plan: RunPlan) -> None:
        """Make workspace, files and token of a run: all that must be there before `start`. Raises `UnavailableError`."""
        ...

    async def start(self, plan: RunPlan) -> None:
        """Start the job, unless it was ever started. Raises `UnavailableError` when it could not be asked for."""
        ...

    async def renew_token(self, job: str, token: str) -> None:
        """Put `token` in the place of a job's token where it is another one; nothing happens where nothing of the job is there.

        What reads the token sees the old one or the new one, never a part. Raises `UnavailableError`.
        """
        ...

    async def token_of(self, job: str) -> str:
        """The token that lies with a job, "" where none does. Raises `UnavailableError`."""
        ...

    async def drop_token(self, job: str) -> None:
        """Take away the token that lies with a job that is over; nothing happens where none does. Raises `UnavailableError`."""
        ...

    async def observe(self, job: str, *, owner: str = "") -> Observation:
        """Look at a job. With `owner` (a CodeRun's uid), one that belonged to another CodeRun of the same name is ABSENT."""
        ...

    async def stop(self, job: str, *, reason: str) -> None:
        """Ask the job to end: it saves its work, reports Cancelled, and is killed with all it started after its grace."""
        ...

    async def remove(self, job: str) -> None:
        """Remove what is left of a finished job (not the workspace). Nothing happens while it runs."""
        ...

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """The job's output so far, and with `follow` what comes until it ends."""
        ...

    def finished(self) -> AsyncIterator[str]:
        """Names of jobs that may have ended, as they end, and perhaps of others that changed: hints only."""
        ...
