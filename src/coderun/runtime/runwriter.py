"""Writing a run folder from its plan, so that a crash leaves either no prepared job or a whole one.

The runtime calls it before a start. It never starts or looks at a process.
"""

import hashlib
import os
from pathlib import Path

import msgspec

from coderun.plan.order import RunPlan
from coderun.runtime import proc
from coderun.runtime.runfolder import RunFolder, remove_tree, sync_folder, write_whole


class JobCard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`job.json`: what the runtime itself must know of a job later.

    Attributes:
        grace: In seconds.
        boot: Which start of the machine it was written in: rendered files may not have outlived another one.
    """

    job: str
    workspace: str
    grace: float
    labels: dict[str, str] = {}
    digest: str
    boot: str = ""


def write_run(plan: RunPlan, run: RunFolder, workspace: Path, files: dict[Path, bytes]) -> None:
    """Write all that the plan holds, `job.json` last; a job that was started, or is written already as planned, is left alone.

    `files` are absolute paths below the run's `files/`. Raises `OSError`.
    """
    order = msgspec.json.encode(plan.order)
    digest = _digest(order, files, plan.token)
    card = read_card(run)
    boot = proc.boot()
    is_whole = card is not None and card.digest == digest and card.boot == boot and workspace.is_dir()
    if run.started.exists() or is_whole:
        return
    for folder in (run.path.parent, workspace.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (run.path, workspace, workspace / "home"):
        folder.mkdir(mode=0o700, exist_ok=True)
    run.prepared.unlink(missing_ok=True)
    remove_tree(run.files)
    run.files.mkdir(mode=0o700)
    for path, text in files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not each on the disk by itself: after a crash of the machine another `boot` has them all written again.
        write_whole(path, text, durable=False)
    write_whole(run.token, plan.token.encode())
    write_whole(run.order, order)
    new = JobCard(
        job=plan.job,
        workspace=plan.workspace,
        grace=plan.order.limits.grace,
        labels=plan.labels,
        digest=digest,
        boot=boot,
    )
    write_whole(run.prepared, msgspec.json.encode(new))
    sync_folder(run.path.parent)


def _digest(order: bytes, files: dict[Path, bytes], token: str) -> str:
    parts = [order, token.encode(), *(part for path in sorted(files) for part in (os.fsencode(path), files[path]))]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def read_card(run: RunFolder) -> JobCard | None:
    """What `job.json` says; None where the job is not prepared."""
    try:
        return msgspec.json.decode(run.prepared.read_bytes(), type=JobCard)
    except (OSError, msgspec.DecodeError):
        return None
