"""A run in a pod: the run folder laid out from what is mounted, and the report handed back as the termination message.

Between the entry of `coderun agent` and the supervisor, which does the same as on one machine. The order and the rendered
files come from ConfigMaps, the token from a folder that changes when it is renewed. The run folder lasts no longer than the
pod, so the transcript lies in the workspace.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from coderun.agent import ending
from coderun.agent.result import clean_text
from coderun.kube.bundle import ORDER, unpack
from coderun.kube.manifests import TOKEN_KEY
from coderun.model.coderun import PullRequestRef, RunPhase, RunReport
from coderun.model.errors import ConfigError, InvalidCodeRunError
from coderun.model.names import is_dns_label
from coderun.runtime.runfolder import RunFolder, checked_relative, write_whole

MESSAGE_BYTES: Final = 4096
"""What a kubelet keeps of a termination message."""

TRANSCRIPTS: Final = "transcripts"
KEPT_TRANSCRIPTS: Final = 100
_SUMMARIES: Final = (2048, 1024, 512, 128, 0)


class PodPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are in a pod; each is said by a variable of its container.

    Attributes:
        order: The files of the ConfigMaps.
        token: The folder of the Secret.
        runs: Where the run folder is laid out.
        termination_log: What is written here becomes the container's termination message.
    """

    job: str
    order: Path
    token: Path
    runs: Path
    workspace: Path
    termination_log: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "PodPlaces":
        """Those that the environment names. Raises `ConfigError`."""
        names = ("JOB", "ORDER_FOLDER", "TOKEN_FOLDER", "RUNS_FOLDER", "WORKSPACE", "TERMINATION_LOG")
        missing = [f"CODERUN_{name}" for name in names if not environment.get(f"CODERUN_{name}")]
        if missing:
            raise ConfigError(f"--pod is for the pods that coderun makes: {', '.join(missing)} is not set")
        job, *paths = (environment[f"CODERUN_{name}"] for name in names)
        if not is_dns_label(job):
            raise ConfigError(f"CODERUN_JOB is {job!r}, which is no DNS label")
        order, token, runs, workspace, log = map(Path, paths)
        return cls(job=job, order=order, token=token, runs=runs.resolve(), workspace=workspace.resolve(), termination_log=log)

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return RunFolder(path=self.runs / "runs" / self.job)


def lay_out(places: PodPlaces) -> None:
    """Make the run folder from what is mounted, `job.json` last.

    Raises:
        ConfigError: what is mounted is no run.
        OSError: it cannot be read or written.
    """
    run = places.run
    try:
        files = unpack(_mounted(places.order))
        order = files.pop(ORDER)
        paths = {run.files / checked_relative(name): text for name, text in files.items()}
    except KeyError as error:
        raise ConfigError(f"{places.order} holds no {ORDER}") from error
    except (ValueError, InvalidCodeRunError) as error:
        raise ConfigError(f"what is mounted at {places.order} cannot be used: {error}") from error
    run.files.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, text in paths.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, text, durable=False)
    _link(run.token, places.token / TOKEN_KEY)
    _link(run.log, _transcript(places))
    write_whole(run.order, order, durable=False)
    write_whole(run.prepared, b"{}", durable=False)


def _mounted(folder: Path) -> dict[str, bytes]:
    """The files of a mounted ConfigMap; those whose names begin with two dots are how the kubelet changes them at once."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("..") and path.is_file()}


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _transcript(places: PodPlaces) -> Path:
    """The file of this run's transcript; the oldest ones make room."""
    folder = places.workspace / TRANSCRIPTS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        known = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        for path in known[: max(0, len(known) - KEPT_TRANSCRIPTS + 1)]:
            path.unlink(missing_ok=True)
    return folder / f"{places.job}.jsonl"


def hand_back(places: PodPlaces) -> int:
    """Write the report as the termination message; the exit code of the container: 0 for a success only."""
    try:
        report = msgspec.json.decode(places.run.report.read_bytes(), type=RunReport)
    except (OSError, msgspec.DecodeError) as error:
        report = ending.failed(ending.INTERNAL_ERROR, f"the run left no report that can be read: {error}")
    return tell(report, places.termination_log)


def tell(report: RunReport, termination_log: Path) -> int:
    """Write a report as the termination message; the exit code of the container."""
    termination_log.write_bytes(as_message(report))
    return 0 if report.phase is RunPhase.SUCCEEDED else 1


def as_message(report: RunReport) -> bytes:
    """The report in at most `MESSAGE_BYTES`; its summary is shortened first, then everything but how it ended goes."""
    text = msgspec.json.encode(report)
    for limit in _SUMMARIES:
        if len(text) <= MESSAGE_BYTES:
            return text
        summary = clean_text(report.outcome.summary, limit) if limit else ""
        text = msgspec.json.encode(replace(report, outcome=replace(report.outcome, summary=summary)))
    if len(text) <= MESSAGE_BYTES:
        return text
    pull = PullRequestRef(number=report.pull_request.number) if report.pull_request is not None else None
    outcome = replace(report.outcome, summary="", terminal_reason=report.outcome.terminal_reason[:100])
    return msgspec.json.encode(replace(report, outcome=outcome, pull_request=pull, session_id="", head_sha=""))
