"""What the reconcilers remember of all objects, so that one pass does not read them all: a cache, rebuilt at every start.

It is fed with every object that is read or written. Only the controller starts plays and runs, so what it decides on (who holds
a workspace, who holds a slot) is never older than its own last write.
"""

import itertools
from collections import Counter
from datetime import datetime

import msgspec

from coderun.model.coderun import CodeRun
from coderun.model.names import ANNOTATION_PLAY, LABEL_PLAY
from coderun.model.play import Play, PlayPhase
from coderun.model.repository import DEFAULT_HOST, canonical
from coderun.plan.lifecycle import stands_aside

_RETRIED = frozenset({PlayPhase.FAILED, PlayPhase.ABORTED})
_ORDER = {
    PlayPhase.SUCCEEDED: 0,
    PlayPhase.RUNNING: 1,
    PlayPhase.WAITING: 1,
    PlayPhase.PENDING: 2,
    PlayPhase.FAILED: 3,
    PlayPhase.ABORTED: 3,
}


class PlayBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A Play, as far as others care; `repository` is the canonical id as text."""

    name: str
    task_id: int
    repository: str
    phase: PlayPhase
    base_branch: str = "main"
    priority: int = 1
    depends_on: tuple[int, ...] = ()
    pull_request: int | None = None
    paused: bool = False
    created: datetime | None = None
    ended: datetime | None = None


class RunBrief(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished CodeRun, as far as others care; `play` is the label, `told` the name of the Play that waits for it."""

    name: str
    play: str
    workspace: str
    created: datetime | None
    begun: bool
    aside: bool
    job: str = ""
    told: str = ""
    uid: str = ""


class View:
    """All Plays in brief, and all unfinished CodeRuns. A repository of which only owner and name are said is on `host`."""

    def __init__(self, host: str = DEFAULT_HOST) -> None:
        self._host = host
        self.plays: dict[str, PlayBrief] = {}
        self.runs: dict[str, RunBrief] = {}
        self._open: dict[str, PlayBrief] = {}
        self._retried: dict[str, PlayBrief] = {}
        self._by_task: dict[tuple[str, int], set[str]] = {}
        self._by_pull: dict[tuple[str, int], set[str]] = {}
        self._by_job: dict[str, str] = {}
        self._by_workspace: dict[str, dict[str, RunBrief]] = {}
        self._by_play: dict[str, dict[str, RunBrief]] = {}
        self._begun: set[str] = set()
        self._turned_away: set[str] = set()
        self._in_repository: Counter[str] = Counter()

    def see_play(self, play: Play) -> None:
        """Remember `play` as it is now."""
        ref = play.status.pull_request
        brief = PlayBrief(
            name=play.name,
            task_id=play.spec.task_id,
            repository=canonical(play.spec.repository_url, self._host),
            phase=play.status.phase,
            base_branch=play.spec.base_branch,
            priority=play.spec.priority,
            depends_on=play.spec.depends_on,
            pull_request=ref.number if ref is not None else None,
            paused=play.spec.paused,
            created=play.metadata.creation_timestamp,
            ended=play.status.finished_at if play.is_finished else None,
        )
        self.forget_play(play.name)
        self.plays[play.name] = brief
        self._in_repository[brief.repository] += 1
        if not brief.phase.is_finished:
            self._open[play.name] = brief
        elif brief.phase in _RETRIED and brief.pull_request is not None:
            self._retried[play.name] = brief
        self._by_task.setdefault((brief.repository, brief.task_id), set()).add(play.name)
        if brief.pull_request is not None:
            self._by_pull.setdefault((brief.repository, brief.pull_request), set()).add(play.name)

    def forget_play(self, name: str) -> None:
        """It is gone."""
        old = self.plays.pop(name, None)
        self._open.pop(name, None)
        self._retried.pop(name, None)
        if old is not None:
            self._in_repository[old.repository] -= 1
            self._by_task[old.repository, old.task_id].discard(name)
        if old is not None and old.pull_request is not None:
            self._by_pull.get((old.repository, old.pull_request), set()).discard(name)

    def see_run(self, run: CodeRun, workspace: str) -> None:
        """Remember `run` as it is now; finished ones are forgotten."""
        was_turned_away = run.name in self._turned_away
        self.forget_run(run.name)
        if run.status.phase.is_finished:
            return
        brief = RunBrief(
            name=run.name,
            play=run.metadata.labels.get(LABEL_PLAY, ""),
            workspace=workspace,
            created=run.metadata.creation_timestamp,
            begun=run.status.attempt > 0,
            aside=stands_aside(run.status),
            job=run.status.job_name,
            told=run.metadata.annotations.get(ANNOTATION_PLAY, ""),
            uid=run.metadata.uid,
        )
        self.runs[run.name] = brief
        self._by_workspace.setdefault(workspace, {})[run.name] = brief
        self._by_play.setdefault(brief.play, {})[run.name] = brief
        if brief.begun:
            self._begun.add(run.name)
        elif was_turned_away and not brief.aside:
            self._turned_away.add(run.name)
        if brief.job:
            self._by_job[brief.job] = run.name

    def forget_run(self, name: str) -> None:
        """It is gone or finished."""
        old = self.runs.pop(name, None)
        if old is None:
            return
        self._by_job.pop(old.job, None)
        self._begun.discard(name)
        self._turned_away.discard(name)
        for index, key in ((self._by_workspace, old.workspace), (self._by_play, old.play)):
            index[key].pop(name)
            if not index[key]:
                del index[key]

    def run_of_job(self, job: str) -> str | None:
        """The unfinished run a job belongs to."""
        return self._by_job.get(job)

    def open_plays(self, repository: str | None = None) -> list[PlayBrief]:
        """Unfinished plays, of one repository or of all."""
        return [play for play in self._open.values() if repository is None or play.repository == repository]

    def retried_since(self, moment: datetime) -> list[PlayBrief]:
        """Plays with a pull request that have ended without success since then: a person may take them up again there."""
        return [play for play in self._retried.values() if play.ended is not None and play.ended >= moment]

    def is_played(self, repository: str) -> bool:
        """Whether there is or was a play of that repository (canonical id)."""
        return self._in_repository[repository] > 0

    def plays_of_task(self, repository: str, task_id: int) -> list[str]:
        """Unfinished plays of that task of a repository."""
        return [play.name for play in self.open_plays(repository) if play.task_id == task_id]

    def plays_of_pull(self, repository: str, number: int) -> list[str]:
        """Unfinished plays bound to that pull request of a repository."""
        return sorted(name for name in self._by_pull.get((repository, number), ()) if name in self._open)

    def ended_of_pull(self, repository: str, number: int) -> list[str]:
        """Plays bound to that pull request that have ended without success."""
        bound = (self.plays[name] for name in self._by_pull.get((repository, number), ()))
        return sorted(play.name for play in bound if play.phase in _RETRIED)

    def plays_into(self, repository: str, branch: str) -> list[str]:
        """Unfinished plays whose pull request is to be merged into that branch of a repository."""
        bound = (play for play in self.open_plays(repository) if play.pull_request is not None)
        return [play.name for play in bound if play.base_branch == branch]

    def unbound(self, repository: str) -> list[str]:
        """Plays of a repository that are under way and know no pull request yet."""
        free = (play for play in self.open_plays(repository) if play.pull_request is None)
        return [play.name for play in free if play.phase is not PlayPhase.PENDING]

    def play_of_task(self, repository: str, task_id: int) -> PlayBrief | None:
        """The Play of a task of a repository; of several the one that succeeded, else the one that goes first."""
        return min(self._of_task(repository, task_id), key=_standing, default=None)

    def twin_of(self, play: PlayBrief) -> str:
        """Another Play of the same task that has not ended and goes first: it has started, or it is older. "" for none."""
        same = (other for other in self._of_task(play.repository, play.task_id) if not other.phase.is_finished)
        first = min(same, key=_standing, default=play)
        return "" if first.name == play.name else first.name

    def _of_task(self, repository: str, task_id: int) -> list[PlayBrief]:
        return [self.plays[name] for name in self._by_task.get((repository, task_id), ())]

    def count_plays(self) -> Counter[PlayPhase]:
        """How many plays there are in each phase."""
        return Counter(play.phase for play in self.plays.values())

    def count_runs(self) -> tuple[int, int]:
        """How many unfinished runs have begun, and how many wait."""
        return len(self._begun), len(self.runs) - len(self._begun)

    def has_runs(self, play_label: str) -> bool:
        """Whether an unfinished run belongs to the Play with that label value."""
        return play_label in self._by_play

    def pending(self) -> list[PlayBrief]:
        """Plays that have not started."""
        return [play for play in self._open.values() if play.phase is PlayPhase.PENDING]

    def ahead_of(self, play: PlayBrief, slots: int) -> tuple[str, ...]:
        """Plays that keep this one from starting: holders of slots, and ready ones that go first. Empty: it may start."""
        # One that waits for a person holds nothing up: the others go on meanwhile.
        holding = [p for p in self._open.values() if p.phase is PlayPhase.RUNNING]
        free = slots - len(holding)
        first = sorted((p for p in self.pending() if _turn(p) < _turn(play) and self._is_ready(p)), key=_turn)
        if free > len(first):
            return ()
        return (*sorted(p.name for p in holding), *(p.name for p in first))

    def unmet(self, play: PlayBrief) -> tuple[int, ...]:
        """Tasks it depends on whose Play has not succeeded."""
        return tuple(task for task in play.depends_on if not self._is_done(play.repository, task))

    def broken(self, play: PlayBrief) -> tuple[int, ...]:
        """Those of them whose Play has ended without success."""
        found = ((task, self.play_of_task(play.repository, task)) for task in play.depends_on)
        ended = {PlayPhase.FAILED, PlayPhase.ABORTED}
        return tuple(task for task, other in found if other is not None and other.phase in ended)

    def holder_of(self, run: RunBrief, parallel: int) -> str:
        """Who keeps this run from starting, for people; "" when nobody does. Oldest first, then by name.

        One that stands aside keeps nobody: it may never start. One that only lacks a slot is remembered, for `may_start_after`.
        """
        same = [other for other in self._by_workspace.get(run.workspace, {}).values() if other.name != run.name]
        busy = next((other for other in same if other.begun), None)
        if busy is not None:
            return f"workspace {run.workspace} is in use by run {busy.name}"
        first = min((other for other in same if not other.aside and _age(other) < _age(run)), key=_age, default=None)
        if first is not None:
            return f"workspace {run.workspace} goes to run {first.name} first"
        at_work = len(self._begun)
        if at_work < parallel:
            return ""
        self._turned_away.add(run.name)
        return f"{at_work} runs are at work, no more than {parallel} may be"

    def may_start_after(self, ended: RunBrief, parallel: int) -> tuple[str, ...]:
        """Runs that may start now that `ended` holds neither its workspace nor its slot any more, or stands aside."""
        others = (run for run in self._by_workspace.get(ended.workspace, {}).values() if not run.begun)
        same = tuple(run.name for run in others if run.name != ended.name)
        # As many as there are slots, not one: of several that end at once, nobody may have come to the slot of the first yet.
        slots = max(0, parallel - len(self._begun))
        waiting = sorted((self.runs[name] for name in self._turned_away), key=_age)
        free = (run.name for run in waiting if not self.holder_of(run, parallel))
        return tuple(dict.fromkeys((*same, *itertools.islice(free, slots))))

    def _is_done(self, repository: str, task: int) -> bool:
        other = self.play_of_task(repository, task)
        return other is not None and other.phase is PlayPhase.SUCCEEDED

    def _is_ready(self, play: PlayBrief) -> bool:
        return not play.paused and not self.unmet(play) and not self.twin_of(play)


def _turn(play: PlayBrief) -> tuple[int, int, str]:
    return (play.priority, play.task_id, play.name)


def _standing(play: PlayBrief) -> tuple[int, str, str]:
    """The order of several Plays of one task: done, under way, not started by age, ended without success."""
    return (_ORDER[play.phase], play.created.isoformat() if play.created is not None else "", play.name)


def _age(run: RunBrief) -> tuple[str, str]:
    return (run.created.isoformat() if run.created is not None else "", run.name)
