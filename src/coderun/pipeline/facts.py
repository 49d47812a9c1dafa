"""What is known when a play is decided: read from the forge and the store in one go, and nothing else."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from coderun.model.coderun import RunPhase
from coderun.model.marks import marks_of
from coderun.model.pulls import MergeMethod, PullRequest, PullState
from coderun.model.roster import Agent, Roster
from coderun.pipeline.definition import Pipeline


class RunFact(msgspec.Struct, frozen=True, kw_only=True):
    """A CodeRun of the play, as far as the pipeline cares.

    Attributes:
        reason: Terminal reason once finished, else why it waits.
        cancelling: A cancel has been asked for.
    """

    name: str
    stage: str
    iteration: int
    attempt: int
    agent: str = ""
    phase: RunPhase = RunPhase.PENDING
    cancelling: bool = False
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it may still do something."""
        return not self.phase.is_finished


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that decisions depend on; seconds where they are times.

    Attributes:
        attempts: Runs of one stage and iteration that may fail before the play fails.
        backoff: Wait before the second attempt, doubled for each further one.
        checks_grace: How long "no check at all" may still mean "not yet" on a forge that cannot tell.
        settle: How long after a successful run its evidence may take to be seen on the forge.
    """

    attempts: int = 3
    backoff: float = 10.0
    checks_grace: float = 60.0
    settle: float = 5.0
    merge_method: MergeMethod = MergeMethod.MERGE


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision may look at.

    Attributes:
        agents: The agent of each role of the pipeline; a role that nobody has is absent.
        pull_request: The play's pull request, None where there is none (yet).
        mismatch: The marks of a pull request that names this task and another one; "" where all agree.
        rivals: Numbers of open pull requests that all claim this task, when there is more than one and none is known as ours.
        runs: All CodeRuns of the play, those included that an earlier pass has just created: a list that lags behind one's own
            writes would let two runs start.
        blocked_by: Tasks this one depends on that are not done.
        broken_dependencies: Those of them whose play failed or was aborted.
        ahead: Plays that use up the slots, or go first.
        twin: Another Play of this very task that has not ended and goes first; "" where there is none.
    """

    pipeline: Pipeline
    roster: Roster
    agents: Mapping[str, Agent]
    rules: Rules = Rules()
    pull_request: PullRequest | None = None
    mismatch: str = ""
    rivals: tuple[int, ...] = ()
    runs: tuple[RunFact, ...] = ()
    blocked_by: tuple[int, ...] = ()
    broken_dependencies: tuple[int, ...] = ()
    ahead: tuple[str, ...] = ()
    twin: str = ""


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """Which pull request is a play's: at most one, or why none can be chosen."""

    pull_request: PullRequest | None = None
    mismatch: str = ""
    rivals: tuple[int, ...] = ()


def associate(candidates: list[PullRequest], task_id: int, base_branch: str, known: int | None) -> Association:
    """The play's pull request among those that carry a mark of its task.

    The one it is known by stays it. Else the only open one whose marks all agree; else, when none is open, the last merged one.
    Closed ones that a play never knew, and other base branches, do not concern it.
    """
    bound = next((pull for pull in candidates if pull.number == known), None)
    if bound is not None:
        return _judge(bound, task_id)
    here = [pull for pull in candidates if pull.base_branch == base_branch and task_id in marks_of(pull).tasks]
    opened = [pull for pull in here if pull.state is PullState.OPEN]
    if len(opened) > 1:
        agreed = [pull for pull in opened if marks_of(pull).agree]
        return _judge(agreed[0], task_id) if len(agreed) == 1 else Association(rivals=tuple(pull.number for pull in opened))
    if opened:
        return _judge(opened[0], task_id)
    merged = [pull for pull in here if pull.state is PullState.MERGED and marks_of(pull).agree]
    return Association(pull_request=max(merged, key=lambda pull: pull.number)) if merged else Association()


def _judge(pull: PullRequest, task_id: int) -> Association:
    marks = marks_of(pull)
    if marks.tasks - {task_id}:
        return Association(pull_request=pull, mismatch=marks.describe())
    return Association(pull_request=pull)
