"""What people do to plays and runs: each is one write of a spec, and nothing else."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.unit.app.shop import HEAD, NOW, PULL, make_play, make_run

from coderun.app.steer import cancel_run, change_play, find_play, find_run
from coderun.model.coderun import CodeRun, CodeRunSpec
from coderun.model.errors import NotFoundError, RefusedError
from coderun.model.meta import ObjectMeta
from coderun.model.names import LABEL_PLAY, LABEL_TASK
from coderun.model.play import Approval, Play, PlayPhase, PlayRun, PlaySpec
from coderun.pipeline.wishes import aborting, approval_of, approving, pausing, resuming, retrying
from coderun.store.sqlite import SqliteStore

OPEN = [PlayPhase.PENDING, PlayPhase.RUNNING, PlayPhase.WAITING]
ENDED = [PlayPhase.SUCCEEDED, PlayPhase.FAILED, PlayPhase.ABORTED]
APPROVE = approving("ada", NOW)


@pytest.mark.parametrize("phase", OPEN)
@pytest.mark.parametrize(
    ("change", "field", "value"),
    [(pausing, "paused", True), (resuming, "paused", False), (aborting, "abort_requested", True), (retrying, "retries", 1)],
)
def test_an_open_play_takes_every_wish(phase: PlayPhase, change: Callable[[Play], PlaySpec], field: str, value: object) -> None:
    play = make_play(phase=phase)
    assert change(play) == replace(play.spec, **{field: value})


@pytest.mark.parametrize("phase", ENDED)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pausing, "cannot be paused"),
        (resuming, "cannot be resumed; `coderun retry` goes on with one that failed or was aborted"),
        (aborting, "cannot be aborted"),
        (APPROVE, "cannot be approved"),
    ],
)
def test_a_finished_play_takes_none(phase: PlayPhase, change: Callable[[Play], PlaySpec], message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        change(make_play(phase=phase))
    assert str(refused.value) == f"play play-shop-1 has ended ({phase.value}) and {message}"


@pytest.mark.parametrize("phase", [PlayPhase.FAILED, PlayPhase.ABORTED])
def test_a_play_that_ended_badly_is_retried_and_no_longer_aborted(phase: PlayPhase) -> None:
    play = make_play(phase=phase, retries_seen=2)
    aborted = replace(play, spec=replace(play.spec, abort_requested=True, retries=2))
    spec = retrying(aborted)
    assert (spec.retries, spec.abort_requested) == (3, False)


def test_a_retry_nobody_has_acted_on_yet_is_not_counted_twice() -> None:
    play = make_play(phase=PlayPhase.FAILED)
    once = retrying(play)
    assert retrying(replace(play, spec=once)) == once


def test_a_play_that_succeeded_has_nothing_to_retry() -> None:
    with pytest.raises(RefusedError, match=r"play play-shop-1 has succeeded; there is nothing to retry"):
        retrying(make_play(phase=PlayPhase.SUCCEEDED))


async def test_pausing_writes_one_spec_and_pausing_again_writes_nothing(store: SqliteStore) -> None:
    await store.create(make_play())
    paused = await change_play(store, "play-shop-1", pausing)
    again = await change_play(store, "1", pausing)
    assert (paused.spec.paused, paused.metadata.generation) == (True, 2)
    assert again.metadata.resource_version == paused.metadata.resource_version
    resumed = await change_play(store, "1", resuming)
    assert (resumed.spec.paused, resumed.metadata.generation) == (False, 3)


async def test_pausing_a_finished_play_writes_nothing(store: SqliteStore) -> None:
    made = await store.create(make_play(phase=PlayPhase.SUCCEEDED))
    with pytest.raises(RefusedError, match="cannot be paused"):
        await change_play(store, "1", pausing)
    assert await store.get(Play, made.name) == made


async def test_somebody_who_wrote_first_is_not_overwritten(store: SqliteStore) -> None:
    await store.create(make_play())
    writes = 0

    def pausing_late(play: Play) -> PlaySpec:
        nonlocal writes
        writes += 1
        if writes == 1:
            return replace(pausing(play), priority=99)
        return pausing(play)

    class Racing:
        """The store, with somebody else who writes between the first read and the first write."""

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def update(self, changed: Play) -> Play:
            if writes == 1:
                known = await store.get(Play, changed.name)
                assert known is not None
                await store.update(replace(known, spec=replace(known.spec, auto_merge=True)))
            return await store.update(changed)

    changed = await change_play(Racing(), "1", pausing_late)  # type: ignore[arg-type] # __getattr__ stands for the rest
    assert (changed.spec.paused, changed.spec.auto_merge, changed.spec.priority, writes) == (True, True, 1, 2)


async def test_approving_twice_is_one_approval_of_this_stage_head_and_iteration(store: SqliteStore) -> None:
    await store.create(make_play(stage="testing", iteration=2, pull_request=PULL))
    once = await change_play(store, "1", APPROVE)
    twice = await change_play(store, "1", approving("bob", NOW))
    given = Approval(stage="testing", head_sha=HEAD, by="ada", at=NOW, iteration=2)
    assert (once.spec.approvals, twice.spec.approvals) == ((given,), (given,))
    assert approval_of(twice) == given


@pytest.mark.parametrize(
    "moved",
    [
        make_play(stage="merge", iteration=2, pull_request=PULL),
        make_play(stage="testing", iteration=3, pull_request=PULL),
        make_play(stage="testing", iteration=2, pull_request=replace(PULL, head_sha="b" * 40)),
    ],
    ids=["stage", "iteration", "head"],
)
def test_an_approval_counts_where_it_was_given_and_nowhere_else(moved: Play) -> None:
    first = APPROVE(make_play(stage="testing", iteration=2, pull_request=PULL))
    later = replace(moved, spec=first)
    assert approval_of(later) is None
    assert len(APPROVE(later).approvals) == 2


def test_a_stage_without_a_commit_can_be_approved_too() -> None:
    spec = APPROVE(make_play(stage="implementation"))
    assert [(a.stage, a.head_sha, a.by) for a in spec.approvals] == [("implementation", "", "ada")]


def test_a_play_that_has_not_started_has_no_gate_to_approve() -> None:
    with pytest.raises(RefusedError, match=r"play play-shop-1 has not started; `coderun why play-shop-1` says"):
        APPROVE(make_play(phase=PlayPhase.PENDING))


def test_a_play_that_is_being_aborted_is_not_approved_until_that_is_taken_back() -> None:
    play = make_play(stage="testing", pull_request=PULL)
    aborted = replace(play, spec=aborting(play))
    with pytest.raises(RefusedError, match=r"play-shop-1 is being aborted; `coderun retry play-shop-1` takes that back"):
        APPROVE(aborted)
    assert len(APPROVE(replace(play, spec=retrying(aborted))).approvals) == 1


@pytest.mark.parametrize("wanted", ["play-shop-12", "12", "012"])
async def test_a_play_is_found_by_name_and_by_the_number_of_its_task(store: SqliteStore, wanted: str) -> None:
    for task in (1, 12):
        await store.create(make_play(task))
    assert (await find_play(store, wanted)).name == "play-shop-12"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("play-shpo-1", "there is no play 'play-shpo-1'; did you mean 'play-shop-1'?; known plays: play-shop-1"),
        ("7", "there is no play '7'; known plays: play-shop-1"),
        ("\x1b[31m\nx", "there is no play 'x'; known plays: play-shop-1"),
        ("", "there is no play ''; known plays: play-shop-1"),
    ],
)
async def test_an_unknown_play_is_answered_with_those_there_are(store: SqliteStore, wanted: str, message: str) -> None:
    await store.create(make_play())
    with pytest.raises(NotFoundError) as missing:
        await find_play(store, wanted)
    assert str(missing.value) == message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {LABEL_PLAY: "play-shop-1"},
            "run-x is a run of play play-shop-1: `coderun why play-shop-1` and the like take that name",
        ),
        ({}, "run-x is a run that no play made: `coderun get runs run-x` says how it stands, "),
    ],
)
async def test_a_run_where_a_play_is_asked_for_is_told_apart(store: SqliteStore, labels: dict[str, str], message: str) -> None:
    meta = ObjectMeta(name="run-x", labels=labels)
    await store.create(CodeRun(metadata=meta, spec=CodeRunSpec(task_id=1, service="shop", repository_url="shop")))
    with pytest.raises(NotFoundError) as missing:
        await find_play(store, "run-x")
    assert str(missing.value).startswith(message)


async def test_where_no_play_was_made_the_answer_says_how_to_make_one(store: SqliteStore) -> None:
    with pytest.raises(NotFoundError) as missing:
        await find_play(store, "3")
    assert str(missing.value) == "there is no play '3'; none was made yet; `coderun play --task N` makes one"


async def test_of_many_plays_a_few_are_named(store: SqliteStore) -> None:
    for task in range(1, 31):
        await store.create(make_play(task))
    with pytest.raises(NotFoundError, match=r"play-shop-1, .*, and 20 more$"):
        await find_play(store, "nothing-like-it")


async def test_a_task_with_two_plays_asks_for_a_name(store: SqliteStore) -> None:
    await store.create(make_play(3))
    await store.create(replace(make_play(3, name="play-other-3"), metadata=replace(make_play(3).metadata, name="play-other-3")))
    assert (await store.find(Play, labels={LABEL_TASK: "3"}))[0].name == "play-other-3"
    with pytest.raises(NotFoundError, match=r"task 3 has several plays; name one of them: play-other-3, play-shop-3"):
        await find_play(store, "3")


async def test_a_run_is_found_by_its_name_or_as_the_newest_of_its_play(store: SqliteStore) -> None:
    runs = tuple(PlayRun(name=f"play-shop-1-quality-1-{n}", stage="quality", iteration=1, attempt=n) for n in (1, 2))
    await store.create(make_play(runs=runs))
    for run in runs:
        await store.create(make_run(run.name))
    assert [(await find_run(store, wanted)).name for wanted in ("1", "play-shop-1", runs[0].name)] == [
        runs[1].name,
        runs[1].name,
        runs[0].name,
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            "play-shop-1-qualty-1-1",
            r"there is no run or play 'play-shop-1-qualty-1-1'; did you mean 'play-shop-1-quality-1-1'\?",
        ),
        ("2", r"play play-shop-2 has no run yet; `coderun why play-shop-2` says what it waits for"),
        ("3", r"run play-shop-3-quality-1-1 of play play-shop-3 is gone"),
    ],
)
async def test_a_run_that_is_not_there_says_why(store: SqliteStore, wanted: str, message: str) -> None:
    await store.create(make_run("play-shop-1-quality-1-1"))
    await store.create(make_play(2))
    gone = PlayRun(name="play-shop-3-quality-1-1", stage="quality", iteration=1, attempt=1)
    await store.create(make_play(3, runs=(gone,)))
    with pytest.raises(NotFoundError, match=message):
        await find_run(store, wanted)


async def test_a_run_is_cancelled_once_with_the_first_reason(store: SqliteStore) -> None:
    await store.create(make_run("r"))
    first = await cancel_run(store, "r", "too slow")
    second = await cancel_run(store, "r", "another reason")
    assert (first.spec.cancel_requested, second.spec.cancel_requested) == ("too slow", "too slow")
    assert second.metadata.resource_version == first.metadata.resource_version


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
async def test_a_run_that_has_ended_cannot_be_cancelled(store: SqliteStore, phase: str) -> None:
    run = make_run("r")
    await store.create(replace(run, status=replace(run.status, phase=type(run.status.phase)(phase))))
    with pytest.raises(RefusedError, match=rf"run r has ended already \({phase}\)"):
        await cancel_run(store, "r", "x")
