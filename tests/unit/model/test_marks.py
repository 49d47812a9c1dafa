import pytest

from coderun.model.marks import Marks, marks_of
from coderun.model.pulls import Actor, LabelMark, PullRequest, PullState


def pull_request(branch: str = "patch-1", labels: tuple[str, ...] = (), markers: tuple[int, ...] = ()) -> PullRequest:
    dev = Actor(login="dev")
    return PullRequest(
        number=1,
        url="",
        title="",
        author=dev,
        head_branch=branch,
        base_branch="main",
        head_sha="aaaa",
        state=PullState.OPEN,
        labels=tuple(LabelMark(name=name, actor=dev, head_sha="aaaa") for name in labels),
        markers=markers,
    )


@pytest.mark.lesson(22)
@pytest.mark.parametrize(
    ("pull", "tasks", "agree", "described"),
    [
        (pull_request(), set(), False, "no marks"),
        (pull_request("task-7"), {7}, True, "branch of task-7"),
        (pull_request(labels=("task-7", "bug")), {7}, True, "label task-7"),
        (pull_request(markers=(7, 7)), {7}, True, "marker file of task-7"),
        (
            pull_request("feature/task-7-x", ("Task-7",), (7,)),
            {7},
            True,
            "label task-7, branch of task-7, marker file of task-7",
        ),
        (pull_request("task-7", ("task-8",)), {7, 8}, False, "label task-8, branch of task-7"),
        (
            pull_request("task-7", markers=(9, 8)),
            {7, 8, 9},
            False,
            "branch of task-7, marker file of task-8, marker file of task-9",
        ),
        (pull_request(labels=("task-2", "task-1")), {1, 2}, False, "label task-1, label task-2"),
        (pull_request("hotfix/task-45", ("task-7x", "task-007")), set(), False, "no marks"),
    ],
)
def test_all_marks_that_are_present_must_name_one_task(pull: PullRequest, tasks: set[int], agree: bool, described: str) -> None:
    marks = marks_of(pull)
    assert (set(marks.tasks), marks.agree, marks.describe()) == (tasks, agree, described)


def test_marks_are_none_by_themselves() -> None:
    assert Marks() == marks_of(pull_request())
