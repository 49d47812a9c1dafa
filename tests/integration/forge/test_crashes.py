"""Kill -9 of a process at every point of opening, labelling, merging and making a forge: the next one finds it whole."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.forge_contract import open_one, seen
from tests.integration.forge.local_place import LocalPlace, git

from coderun.model.pulls import NewPullRequest, PullState

MAX_POINTS = 200


def run_until(folder: Path, what: str, point: int, argument: str) -> bool:
    """Let a process do a deed and die at a point of it; whether it was done before."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.integration.forge.dying", str(folder), what, str(point), argument]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode == 0


def die(place: LocalPlace, what: str, argument: str) -> Iterator[int]:
    """Let a process die at point 1, 2, 3 … of a deed, until one survives it; yields after each death."""
    for point in range(1, MAX_POINTS):
        if run_until(place.folder, what, point, argument):
            return
        yield point
    pytest.fail(f"{what} has more than {MAX_POINTS} points")


@pytest.mark.slow
async def test_a_merge_killed_at_any_point_has_happened_once_or_not_at_all(place: LocalPlace) -> None:
    numbers: list[int] = []
    for point in range(1, MAX_POINTS):
        sha = place.push(f"b{point}", {f"f{point}": "x"}, by="rex")
        new = NewPullRequest(title="T", body="", head_branch=f"b{point}", base_branch="main")
        number = (await place.agent("rex").open_pull_request(new)).number
        numbers.append(number)
        survived = run_until(place.folder, "merge", point, str(number))
        forge = place.open()
        now = await seen(forge, number)
        assert (now.state is PullState.MERGED) == (f"f{point}" in place.base_files())
        again = await forge.merge(number, head_sha=sha, admin=True)
        assert (again.state, again.merged_by) == (PullState.MERGED, "ada")
        closed = Counter(e.pull for e in await forge.events_after(0, 10_000) if e.name == "pull_request.closed")
        assert closed[number] == 1
        forge.close()
        if survived:
            break
    merges = git(place.bare, "log", "--merges", "--first-parent", "--format=%s", "main").split("\n")
    assert len(merges) == len(numbers) > 10


async def test_opening_killed_at_any_point_leaves_one_whole_pull_request_in_the_end(place: LocalPlace) -> None:
    sha = place.push("x", {"a.txt": "1"}, by="rex")
    deaths = 0
    for _ in die(place, "open", "x"):
        deaths += 1
        forge = place.open()
        for pull in await forge.list_pull_requests():
            assert [mark.name for mark in pull.labels] == ["task-7", "x"]
            assert [push.sha for push in pull.pushes] == [sha]
        forge.close()
    [pull] = await place.person().list_pull_requests()
    assert git(place.bare, "rev-parse", f"refs/pull/{pull.number}/head") == sha
    events = Counter(event.name for event in await place.person().events_after(0, 1000))
    assert (events["pull_request.opened"], events["pull_request.labeled"]) == (1, 2)
    assert deaths > 5


async def test_a_label_killed_at_any_point_is_set_once(place: LocalPlace) -> None:
    pull = await open_one(place)
    deaths = sum(1 for _ in die(place, "label", str(pull.number)))
    [mark] = (await seen(place.open(), pull.number)).labels
    assert (mark.name, mark.head_sha) == ("ready-for-qa", pull.head_sha)
    events = Counter(event.name for event in await place.person().events_after(0, 1000))
    assert events["pull_request.labeled"] == 1
    assert deaths > 2


@pytest.mark.slow
async def test_making_a_forge_killed_at_any_point_can_be_repeated(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    base = git(place.user, "rev-parse", "main")
    for point in range(1, MAX_POINTS):
        place.folder = tmp_path / f"forge-{point}"
        survived = run_until(place.folder, "init", point, str(place.user))
        await place.init()
        assert git(place.bare, "rev-parse", "main") == base
        forge = place.open()
        assert [(e.name, e.head_sha) for e in await forge.events_after(0, 10)] == [("push", base)]
        forge.close()
        if survived:
            break
    assert point > 20
    place.close()
