"""From the agent's worktree to the remote branch: left-over changes committed, the branch set right, pushed without force.

After the agent has ended well and before anything is said on the forge. History that others can see is never rewritten.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from coderun.agent import clone as clones
from coderun.agent.checkout import Checkout, place, unfinished
from coderun.agent.clone import REMOTE_HEADS
from coderun.agent.git import Git
from coderun.agent.look import Look, look_at
from coderun.agent.rescue import save_changes, save_commit
from coderun.agent.result import RunFailedError, clean_text
from coderun.agent.stop import StopSignal
from coderun.model.names import marker_path
from coderun.plan.order import RunOrder


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """Where work is put aside: for which job, when, and a folder for scratch files."""

    job: str
    now: datetime
    scratch: Path


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What the branch is now; `moved` says whether this run's push changed the remote."""

    head: str
    moved: bool
    notes: tuple[str, ...] = ()


async def commit_leftovers(checkout: Checkout, order: RunOrder, shelf: Shelf) -> tuple[str, ...]:
    """Bring what the agent left onto the branch: uncommitted changes, and commits made while off the branch. Notes for people.

    What cannot belong to the branch (commits beside it) is kept in a saved ref instead.

    Raises:
        RunFailedError: `UnfinishedMerge`, where a merge or rebase was left with conflicts.
    """
    tree, branch = checkout.tree, checkout.wanted.branch
    begun, look = await unfinished(tree), await look_at(tree)
    _refuse_unfinished(tree, begun, look)
    if look.branch != branch and not await _extends(tree, branch, look.head):
        return await _return_to_branch(tree, branch, shelf)
    notes = []
    if look.is_dirty or begun:
        await tree.run("add", "--all", "--ignore-errors", "--", ".", accept=(0, 1))
        if begun or not await tree.holds("diff", "--cached", "--quiet"):
            message = f"Commit what {order.agent.name} left uncommitted\n\nTask {order.task_id}, stage {order.stage}.\n"
            await tree.run("commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-F", "-", feed=message.encode())
            notes.append("changes that the agent left uncommitted were committed by the runner")
    if look.branch != branch:
        await tree.run("update-ref", f"refs/heads/{branch}", await tree.commit_of("HEAD"))
        await tree.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        notes.append(f"the agent's commits were made off {branch!r} and have been put on it")
    return tuple(notes)


async def put_aside(checkout: Checkout, order: RunOrder, shelf: Shelf) -> tuple[str, ...]:
    """For an agent that may not push: keep what it left in saved refs, and put the branch where the remote has it.

    What it judged is the commit that others see; its own changes are no part of that.
    """
    tree, branch, head = checkout.tree, checkout.wanted.branch, checkout.remote_head
    why = f"Left by {order.agent.name}, who may not push."
    changes = await save_changes(tree, job=shelf.job, now=shelf.now, scratch=shelf.scratch, why=why)
    saved = [changes] if changes is not None else []
    for commit in dict.fromkeys([await tree.commit_of("HEAD"), await tree.commit_of(f"refs/heads/{branch}")]):
        known = (head, *(one.sha for one in saved))
        if commit and not any([await tree.is_ancestor(commit, one) for one in known]):
            saved.append(await save_commit(tree, commit, job=shelf.job, now=shelf.now))
    await place(tree, branch, head)
    kept = ", ".join(one.ref for one in saved)
    return (f"{order.agent.name} may not push: what it changed is kept in {kept}",) if kept else ()


async def has_work(checkout: Checkout, task_id: int) -> bool:
    """Whether the branch differs from where it left the base by more than the marker file."""
    tree, head = checkout.tree, f"refs/heads/{checkout.wanted.branch}"
    fork = (await tree.run("merge-base", checkout.base, head, accept=(0, 1))).text or checkout.base
    beside = f":(top,exclude,literal){marker_path(task_id)}"
    return not await tree.holds("diff", "--quiet", "--no-ext-diff", "--no-textconv", fork, head, "--", ":(top)", beside)


async def push_branch(checkout: Checkout, shelf: Shelf, *, judges: bool, stop: StopSignal | None = None) -> Pushed:
    """Push the branch, never by force.

    Where others have moved it meanwhile, the commits are rebased onto theirs once and pushed again; not where the stage
    `judges` (label, review): its judgement is of what it has seen.

    Raises:
        RunFailedError: `HeadMoved`, `ForgeRefused` (a hook or a protected branch) or `GitFailed`.
    """
    tree, branch = checkout.tree, checkout.wanted.branch
    head = await tree.commit_of(f"refs/heads/{branch}")
    if head == checkout.remote_head:
        return Pushed(head=head, moved=False)
    notes: list[str] = []
    if checkout.remote_head and not await tree.is_ancestor(checkout.remote_head, head):
        head = await _continue_history(checkout, head, shelf)
        notes.append("the agent had rewritten pushed commits; its final state was put on top of them as one commit")
    refusal = await _push(tree, checkout, head, stop)
    if not refusal:
        return Pushed(head=head, moved=True, notes=tuple(notes))
    theirs = await _their_head(checkout, stop)
    if theirs == head:
        return Pushed(head=head, moved=True, notes=tuple(notes))
    if judges or not theirs:
        raise _head_moved(checkout, theirs, "the stage judged another commit")
    head = await _rebase(checkout, theirs, head, shelf)
    refusal = await _push(tree, checkout, head, stop)
    if refusal:
        raise _head_moved(checkout, theirs, "it moved again while our commits were rebased onto it")
    return Pushed(head=head, moved=True, notes=(*notes, "others had pushed meanwhile; the commits were rebased onto theirs"))


def _refuse_unfinished(tree: Git, begun: str, look: Look) -> None:
    if begun == "rebase" or look.conflicts:
        what = clean_text(", ".join(look.conflicts), 300) or "none named"
        raise RunFailedError(
            "UnfinishedMerge",
            f"the agent left a {begun or 'merge'} unfinished in {tree.folder} (conflicts: {what}); nothing was pushed",
        )


async def _extends(tree: Git, branch: str, head: str) -> bool:
    return bool(head) and await tree.is_ancestor(f"refs/heads/{branch}", head)


async def _return_to_branch(tree: Git, branch: str, shelf: Shelf) -> tuple[str, ...]:
    notes = []
    why = f"Left in the worktree while {branch} was not checked out."
    changes = await save_changes(tree, job=shelf.job, now=shelf.now, scratch=shelf.scratch, why=why)
    head = await tree.commit_of("HEAD")
    if changes:
        notes.append(f"uncommitted changes made off {branch!r} are kept in {changes.ref}")
    elif head and not await tree.is_ancestor(head, f"refs/heads/{branch}"):
        saved = await save_commit(tree, head, job=shelf.job, now=shelf.now)
        notes.append(f"commits made beside {branch!r} are kept in {saved.ref}")
    await place(tree, branch, await tree.commit_of(f"refs/heads/{branch}"))
    return tuple(notes)


async def _push(tree: Git, checkout: Checkout, head: str, stop: StopSignal | None) -> str:
    """Why the branch was not taken because of where it stood; "" when it was taken."""
    ref = f"refs/heads/{checkout.wanted.branch}"
    sent = await tree.run("push", "--porcelain", "--", checkout.wanted.url, f"{ref}:{ref}", stop=stop, accept=())
    if sent.exit_code == 0:
        tracked = f"{REMOTE_HEADS}/{checkout.wanted.branch}"
        await tree.run("update-ref", tracked, head)
        return ""
    refused = [line for line in sent.text.split("\n") if line.startswith("!")]
    said = clean_text(sent.errors or sent.text, 600)
    if any("[rejected]" in line for line in refused):
        return said
    if refused:
        raise RunFailedError("ForgeRefused", f"pushing {checkout.wanted.branch!r} to {checkout.wanted.url} was refused: {said}")
    raise RunFailedError("GitFailed", f"pushing {checkout.wanted.branch!r} to {checkout.wanted.url} failed: {said}")


async def _their_head(checkout: Checkout, stop: StopSignal | None) -> str:
    await clones.fetch(checkout.clone, checkout.wanted.url, stop=stop)
    return await checkout.clone.commit_of(f"{REMOTE_HEADS}/{checkout.wanted.branch}")


async def _continue_history(checkout: Checkout, head: str, shelf: Shelf) -> str:
    tree, ref = checkout.tree, f"refs/heads/{checkout.wanted.branch}"
    await save_commit(tree, head, job=shelf.job, now=shelf.now)
    message = (await tree.run("log", "--max-count=1", "--format=%B", head)).output
    made = await tree.run("commit-tree", f"{head}^{{tree}}", "-p", checkout.remote_head, "-F", "-", feed=message or b"Go on\n")
    await tree.run("update-ref", ref, made.text)
    return made.text


async def _rebase(checkout: Checkout, theirs: str, head: str, shelf: Shelf) -> str:
    tree = checkout.tree
    saved = await save_commit(tree, head, job=shelf.job, now=shelf.now)
    done = await tree.run("rebase", "--quiet", "--no-autostash", theirs, accept=())
    if done.exit_code != 0:
        await tree.run("rebase", "--abort", accept=())
        raise _head_moved(checkout, theirs, f"our commits conflict with it and are kept in {saved.ref}")
    return await tree.commit_of(f"refs/heads/{checkout.wanted.branch}")


def _head_moved(checkout: Checkout, theirs: str, why: str) -> RunFailedError:
    wanted = checkout.wanted
    at = theirs[:12] or "gone"
    return RunFailedError(
        "HeadMoved", f"pushing {wanted.branch!r} to {wanted.url} failed: others moved it meanwhile (it is {at} now); {why}"
    )
