"""Which task a pull request belongs to, by its marks: label, head branch, marker file.

All marks that are present must agree. None: the pull request is not ours.
"""

import msgspec

from coderun.model.names import task_of_branch, task_of_label
from coderun.model.pulls import PullRequest


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Task ids by where they were found; every tuple is sorted and without repetition."""

    labels: tuple[int, ...] = ()
    branch: int | None = None
    markers: tuple[int, ...] = ()

    @property
    def tasks(self) -> frozenset[int]:
        """All ids that any mark names."""
        return frozenset({*self.labels, *self.markers, *(() if self.branch is None else (self.branch,))})

    @property
    def agree(self) -> bool:
        """Whether there is at least one mark and all name one task."""
        return len(self.tasks) == 1

    def describe(self) -> str:
        """The marks for people: `label task-1, branch task-2, marker file task-1`."""
        parts = [f"label task-{task}" for task in self.labels]
        if self.branch is not None:
            parts.append(f"branch of task-{self.branch}")
        parts.extend(f"marker file of task-{task}" for task in self.markers)
        return ", ".join(parts) or "no marks"


def marks_of(pull_request: PullRequest) -> Marks:
    """The marks of a pull request; labels and branches that only look similar (`task-7x`, `hotfix/task-45`) are none."""
    labels = {task_of_label(label.name) for label in pull_request.labels} - {None}
    return Marks(
        labels=tuple(sorted(task for task in labels if task is not None)),
        branch=task_of_branch(pull_request.head_branch),
        markers=tuple(sorted(set(pull_request.markers))),
    )
