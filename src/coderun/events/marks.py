"""What looks like a mark of a task and is none, in words for people.

Beside `github` and `local`, which make hints. Pure.
"""

import re
from collections.abc import Iterable
from typing import Final

from coderun.model.names import task_of_branch, task_of_label
from coderun.model.text import printable

_NEARLY_LABEL: Final = re.compile(r"\s*task.*\d", re.IGNORECASE | re.DOTALL)
_NEARLY_BRANCH: Final = re.compile(r"(?:^|/)task[-_]?\d", re.IGNORECASE)
_SHOWN: Final = 80


def remarks_on(*, labels: Iterable[str], branch: str) -> tuple[str, ...]:
    """A remark for each label and for the branch that somebody may take for a mark of a task, and nobody here does."""
    found = [
        f"label {printable(label, _SHOWN)!r} is no task label (task-N is one)"
        for label in labels
        if _NEARLY_LABEL.match(label) and task_of_label(label) is None
    ]
    if _NEARLY_BRANCH.search(branch) and task_of_branch(branch) is None:
        found.append(f"branch {printable(branch, _SHOWN)!r} is no task branch (task-N-… and feature/task-N-… are)")
    return tuple(found)
