import pytest
from msgspec.structs import replace
from tests.unit.pipeline.samples import DEV, label, pull_request, run

from coderun.model.coderun import RunPhase
from coderun.model.pulls import PullRequest, PullState
from coderun.pipeline.facts import Association, associate

OURS = pull_request(number=1)
OTHER = pull_request(number=2, head_branch="task-7-again")
WRONG = pull_request(number=3, head_branch="feature/task-7-x", labels=(label(DEV, name="task-8"),))
TASK_8 = pull_request(number=4, head_branch="task-8")
MARKER_ONLY = pull_request(number=5, head_branch="patch-1", markers=(7,))
LABEL_ONLY = pull_request(number=6, head_branch="patch-1", labels=(label(DEV, name="Task-7"),))


def found(*candidates: PullRequest, known: int | None = None) -> Association:
    return associate(list(candidates), 7, "main", known)


@pytest.mark.lesson(22)
@pytest.mark.parametrize("pull", [OURS, OTHER, MARKER_ONLY, LABEL_ONLY], ids=["branch", "short branch", "marker", "label"])
def test_the_only_open_pull_request_with_a_mark_of_the_task_is_the_plays(pull: PullRequest) -> None:
    assert found(pull) == Association(pull_request=pull)


@pytest.mark.lesson(22)
def test_a_pull_request_without_a_mark_of_the_task_is_none_of_ours() -> None:
    assert found(TASK_8, pull_request(head_branch="patch-1")) == Association()


@pytest.mark.lesson(22)
def test_marks_that_disagree_are_reported_with_the_pull_request_that_carries_them() -> None:
    assert found(WRONG) == Association(pull_request=WRONG, mismatch="label task-8, branch of task-7")


@pytest.mark.lesson(22)
def test_two_open_pull_requests_of_one_task_are_rivals() -> None:
    assert found(OURS, OTHER) == Association(rivals=(1, 2))


def test_one_whose_marks_agree_is_preferred_to_one_whose_marks_do_not() -> None:
    assert found(WRONG, OURS) == Association(pull_request=OURS)


def test_rivals_whose_marks_all_disagree_stay_rivals() -> None:
    again = replace(WRONG, number=9)
    assert found(WRONG, again).rivals == (3, 9)


def test_the_pull_request_a_play_is_known_by_stays_its_own_beside_rivals() -> None:
    assert found(OURS, OTHER, known=2) == Association(pull_request=OTHER)


def test_a_known_pull_request_stays_the_plays_when_it_is_closed_or_has_lost_its_marks() -> None:
    closed = replace(OURS, state=PullState.CLOSED)
    bare = replace(OURS, head_branch="renamed")
    assert found(closed, known=1) == Association(pull_request=closed)
    assert found(bare, known=1) == Association(pull_request=bare)


def test_a_known_pull_request_whose_marks_come_to_disagree_is_a_mismatch() -> None:
    assert found(WRONG, known=3).mismatch == "label task-8, branch of task-7"


def test_a_known_pull_request_that_is_gone_makes_room_for_another() -> None:
    assert found(OTHER, known=1) == Association(pull_request=OTHER)


def test_pull_requests_against_another_base_do_not_concern_a_play() -> None:
    assert found(replace(OURS, base_branch="release")) == Association()


def test_closed_ones_that_a_play_never_knew_do_not_concern_it() -> None:
    assert found(replace(OURS, state=PullState.CLOSED)) == Association()


def test_the_last_merged_one_counts_when_none_is_open() -> None:
    merged = [replace(pull, state=PullState.MERGED) for pull in (OTHER, OURS)]
    assert found(*merged) == Association(pull_request=merged[0])
    assert found(*merged, LABEL_ONLY) == Association(pull_request=LABEL_ONLY)


def test_a_merged_one_whose_marks_disagree_proves_nothing() -> None:
    assert found(replace(WRONG, state=PullState.MERGED)) == Association()


def test_a_run_is_active_until_it_has_finished() -> None:
    active = {phase for phase in RunPhase if run("quality", phase).is_active}
    assert active == {RunPhase.PENDING, RunPhase.RUNNING}
