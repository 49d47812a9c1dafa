"""The marker file of a task: what ties a branch to its task whatever its name, added by the runner's first commit.

It is made in git's object store, so a branch in which `.coderun` is a link cannot make the runner write elsewhere.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from coderun.agent.checkout import Checkout
from coderun.agent.git import Git, GitFailedError
from coderun.model.coderun import Shape
from coderun.model.names import marker_path
from coderun.plan.order import RunOrder


class Marker(Shape, frozen=True, kw_only=True):
    """Content of the marker file."""

    task_id: int
    play: str = ""
    service: str
    agent: str
    stage: str
    coderun: str
    created_at: datetime


async def add_marker(checkout: Checkout, order: RunOrder, *, now: datetime, scratch: Path) -> str:
    """Commit the marker file on the branch, unless the diff against the base has it; a note for people, mostly empty.

    Other changes in the worktree and its index stay as they are. Where something else stands in the file's way it is left out:
    label and branch mark the task too.
    """
    tree, path = checkout.tree, marker_path(order.task_id)
    if checkout.start != checkout.base and await changes_marker(tree, checkout.base, path):
        return ""
    marker = Marker(
        task_id=order.task_id,
        play=order.play,
        service=order.service,
        agent=order.agent.name,
        stage=order.stage,
        coderun=order.coderun,
        created_at=now,
    )
    content = msgspec.json.format(msgspec.json.encode(marker), indent=2) + b"\n"
    blob = (await tree.run("hash-object", "-w", "--stdin", feed=content)).text
    try:
        commit = await _commit(tree, blob, path, order, scratch)
    except GitFailedError:
        return f"the marker file {path} was not added: the branch has something else in its place"
    entry = ("--add", "--cacheinfo", f"100644,{blob},{path}")
    await tree.run("update-ref", f"refs/heads/{checkout.wanted.branch}", commit)
    if await tree.holds("update-index", *entry):
        await tree.run("checkout-index", "--quiet", "--force", "--", path, accept=())
    return ""


async def changes_marker(tree: Git, base: str, path: str) -> bool:
    """Whether HEAD's diff against where it left `base` has the file."""
    fork = (await tree.run("merge-base", base, "HEAD", accept=(0, 1))).text or base
    return not await tree.holds("diff", "--quiet", "--no-ext-diff", "--no-textconv", fork, "HEAD", "--", path)


async def _commit(tree: Git, blob: str, path: str, order: RunOrder, scratch: Path) -> str:
    scratch.mkdir(parents=True, exist_ok=True)
    index = scratch / "marker.index"
    own_index = {"GIT_INDEX_FILE": str(index)}
    try:
        await tree.run("read-tree", "HEAD", env=own_index)
        await tree.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=own_index)
        content = (await tree.run("write-tree", env=own_index)).text
    finally:
        index.unlink(missing_ok=True)
    message = f"Mark the branch as work on task {order.task_id}\n"
    return (await tree.run("commit-tree", content, "-p", "HEAD", "-F", "-", feed=message.encode())).text
