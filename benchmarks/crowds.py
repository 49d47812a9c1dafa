"""Thousands of plays with their runs, branches and pull requests, made from one that was really played.

Everything goes through the store's and the forge's own classes, except the commits, which `git fast-import` makes in one go.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from benchmarks.worlds import World

from coderun.app.follow import as_controller, follow_plays
from coderun.app.local import LocalSystem, local_forge
from coderun.app.request import PlayRequest, request_plays
from coderun.forge.local import derive, journal, pulls
from coderun.model.coderun import CodeRun
from coderun.model.names import task_branch, task_label
from coderun.model.play import Play, PlayPhase
from coderun.model.pulls import Mergeability, NewPullRequest, PullRequest, ReviewState

BASE = "main"
ObjectT = TypeVar("ObjectT", Play, CodeRun)


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A play that waits for its merge, the same one once it was merged, its runs, and its pull request."""

    parked: Play
    finished: Play
    runs: tuple[CodeRun, ...]
    pull: PullRequest


class Commits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one task: its head, and for a merged one the merge and the base before it ("" else)."""

    task: int
    head: str
    merge: str = ""
    base_before: str = ""


async def play_pattern(made: World) -> Pattern:
    """Play one task up to its merge, and merge it as the person."""
    async with made.opened() as system:
        [submitted] = await request_plays(system, PlayRequest(text="Do it"))
        parked = await _follow(system, submitted.name, until_person=True)
        assert parked.status.stage == "merge", parked.status
        runs = await system.store.find(CodeRun)
        [pull] = await local_forge(system).list_pull_requests()
        await local_forge(system).merge(pull.number, head_sha=pull.head_sha)
        finished = await _follow(system, submitted.name, until_person=False)
        assert finished.status.phase is PlayPhase.SUCCEEDED, finished.status
        return Pattern(parked=parked, finished=finished, runs=tuple(runs), pull=pull)


async def _follow(system: LocalSystem, name: str, *, until_person: bool) -> Play:
    async with as_controller(system):
        [play] = await follow_plays(system, [name], lambda _plays, _now: None, until_person=until_person)
        return play


async def add_plays(made: World, pattern: Pattern, tasks: Sequence[int], *, merged: bool) -> None:
    """Add a play of each task, parked before its merge or finished, and let a controller look at all of them once."""
    async with made.opened() as system:
        for execute in (system.store._database.rows, local_forge(system)._db.execute):
            execute("PRAGMA synchronous = OFF")
        base = await _base(system)
        commits = import_commits(made, local_forge(system).repository, tasks, base, merged=merged)
        tip = await _base(system)
        numbers = add_pulls(system, pattern, commits, base=base, tip=tip)
        await local_forge(system)._reader.pin()
        for one, number in zip(commits, numbers, strict=True):
            await system.store.create(_like(pattern.finished if merged else pattern.parked, pattern, one, number))
            for run in pattern.runs:
                await system.store.create(_like(run, pattern, one, number))
        await look_once(system)


async def _base(system: LocalSystem) -> str:
    await local_forge(system).revision()
    return journal.known_branch(local_forge(system)._db, BASE)


def import_commits(made: World, repository: Path, tasks: Sequence[int], base: str, *, merged: bool) -> list[Commits]:
    """A branch with one commit for each task, off `base`; with `merged` each is merged into the base branch, too.

    The merges leave the base's files as they are: ten thousand trees of ten thousand files would be gigabytes.
    """
    marks = made.folder / "marks"
    stream = "".join(_stream(tasks, base, merged=merged)).encode()
    made.git(repository, "fast-import", "--quiet", f"--export-marks={marks}", stdin=stream)
    shas = {int(mark[1:]): sha for mark, sha in (line.split() for line in marks.read_text().splitlines())}
    found: list[Commits] = []
    for at, task in enumerate(tasks):
        before = found[-1].merge if merged and found else base
        merge = shas[2 * at + 2] if merged else ""
        found.append(Commits(task=task, head=shas[2 * at + 1], merge=merge, base_before=before if merged else ""))
    return found


def _stream(tasks: Sequence[int], base: str, *, merged: bool) -> Iterator[str]:
    before = base
    for at, task in enumerate(tasks):
        head, merge = f":{2 * at + 1}", f":{2 * at + 2}"
        file = f"M 100644 inline .coderun/tasks/task-{task}.json\ndata 3\n{{}}\n\n"
        who = f"committer Rex <rex@coderun.invalid> {1_700_000_000 + task} +0000\ndata 7\nDo it.\n\n"
        yield f"commit refs/heads/{task_branch(task)}\nmark {head}\n{who}from {base}\n{file}"
        if merged:
            yield f"commit refs/heads/{BASE}\nmark {merge}\n{who}from {before}\nmerge {head}\n\n"
            before = merge


def add_pulls(system: LocalSystem, pattern: Pattern, commits: Sequence[Commits], *, base: str, tip: str) -> list[int]:
    """The pull request of each, labelled, approved, and with what follows from its commits; their numbers."""
    db, known, at = local_forge(system)._db, pattern.pull, journal.micros(system.clock())
    numbers = []
    with db.transaction():
        for one in commits:
            branch = task_branch(one.task)
            new = NewPullRequest(title=known.title, body=known.body, head_branch=branch, base_branch=BASE)
            number = pulls.ensure_pull(db, new, author=known.author.login, head_sha=one.head, at=at)
            pulls.set_label(db, number, task_label(one.task), login=known.author.login, at=at)
            for mark in known.labels[1:]:
                pulls.set_label(db, number, mark.name, login=mark.actor.login, at=at)
            for review in known.reviews:
                login, state = review.actor.login, ReviewState.APPROVED
                pulls.insert_review(db, number, state, "", login=login, head_sha=one.head, at=at)
            if one.merge:
                pulls.mark_merged(db, number, base_before=one.base_before, merge_sha=one.merge, login=system.person, at=at)
            numbers.append(number)
    for one, number in zip(commits, numbers, strict=True):
        derived = derive.Derivation(merge_base=base, commits=(one.head,), markers=(one.task,))
        derive.keep_derivation(db, number, one.head, one.base_before or tip, derived)
        if not one.merge:
            derive.keep_mergeability(db, number, one.head, tip, Mergeability.CLEAN)
    derive.settle_finished(db)
    return numbers


def _like(known: ObjectT, pattern: Pattern, commits: Commits, number: int) -> ObjectT:
    """The same object of another task, pull request and head."""
    old = pattern.pull
    text = msgspec.json.encode(known).decode()
    for before, after in (
        (str(pattern.parked.spec.task_id), str(commits.task)),
        (old.head_sha, commits.head),
        (old.head_sha[:8], commits.head[:8]),
        (f'"number":{old.number},', f'"number":{number},'),
        (f"#{old.number} ", f"#{number} "),
        (f"#pull/{old.number}", f"#pull/{number}"),
    ):
        text = text.replace(before, after)
    return msgspec.json.decode(text, type=type(known))


async def look_once(system: LocalSystem) -> None:
    """Run a controller until it has looked at everything."""
    assert system.take_control()
    controller = await system.make_controller()
    running = asyncio.ensure_future(controller.run())
    ready = asyncio.ensure_future(controller.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    while not controller.is_idle:  # noqa: ASYNC110 - seen from outside, as a person would
        await asyncio.sleep(0.01)
    controller.stop()
    await running
    system.lock.release()
