"""The controller: hints in, reconcilers at work, until it is told to stop.

Hints come from the store's watch, the forge's events by way of the inbox, runs that end, and timers. None of them carries
meaning: they only name an object to look at. What no hint names, a resync finds.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec
import structlog

from coderun.app.together import together
from coderun.events.github import moves_installation
from coderun.events.hints import hints_of, is_conversation
from coderun.events.outcome import outcome_of
from coderun.model.coderun import CodeRun
from coderun.model.deliveries import Delivery, DeliveryState, Hint
from coderun.model.errors import (
    CoderunError,
    InvalidObjectError,
    StoreCorruptError,
    UnavailableError,
    WriteConflictError,
)
from coderun.model.metrics import ControllerMetrics, NoControllerMetrics
from coderun.model.names import ANNOTATION_PLAY
from coderun.model.play import Play, PlayPhase
from coderun.reconcile.coderun import CodeRunReconciler
from coderun.reconcile.play import PlayReconciler
from coderun.reconcile.queue import WorkQueue
from coderun.reconcile.result import Again
from coderun.reconcile.view import View
from coderun.runtime.protocol import Runtime
from coderun.store.protocol import Change, Settlement, Store

_log = structlog.get_logger(__name__)
WORKERS = 4
CHECK_WORKERS = 2
EVENT_BATCH = 200
DELIVERY_DAYS = 30.0
TIDY_SECONDS = 3600.0
POLL_SECONDS = 1.0
HINT_SECONDS = 0.2
HINTED_REMEMBERED = 1000
LISTEN_DAYS = 14.0
"""So long after a play has ended without success the comments on its pull request are looked at without being told to."""

TOLD_LATE = timedelta(hours=1)


class Kind(StrEnum):
    """Kinds of keys in the work queue."""

    PLAY = "Play"
    RUN = "CodeRun"
    CHECKS = "Checks"
    EVENTS = "Events"
    INBOX = "Inbox"
    REPAIR = "Repair"
    TALK = "Talk"
    TASKS = "Tasks"


class Key(msgspec.Struct, frozen=True):
    """An object to look at."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


_EVENTS = Key(Kind.EVENTS, "of the forge")
_INBOX = Key(Kind.INBOX, "deliveries")
_TIDYING = Key(Kind.INBOX, "tidy")


class EventSource(Protocol):
    """Where word of what happens on a forge comes from."""

    async def take_in(self) -> bool:
        """Put into the inbox what has happened since the last time; whether deliveries may lie there now.

        Cheap where nothing has happened. Raises `UnavailableError`.
        """
        ...


class Lookout(Protocol):
    """Looks at a forge by itself, for what no delivery told."""

    async def watch(self, hint: Callable[[str, Hint], object]) -> None:
        """Hint at what is found to have moved, with the repository's canonical id, until cancelled."""
        ...


class Repair(Protocol):
    """Finds deliveries that were lost on the way, and puts them into the inbox."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is to be looked through, each by itself."""
        ...

    async def reconcile(self, name: str) -> Again:
        """Look through one of them; says when to look again."""
        ...


class Talk(Protocol):
    """Takes commands from comments, and tells on the pull request how a play goes."""

    async def reconcile(self, name: str) -> Again:
        """One pass over the pull request of the play of that name."""
        ...


class CheckRunner(Protocol):
    """Runs the checks a pull request's head still lacks."""

    async def reconcile(self, name: str) -> Again:
        """One pass over the pull request of that number."""
        ...

    async def unchecked(self) -> list[str]:
        """Numbers of open pull requests whose head lacks a check."""
        ...


class TaskList(Protocol):
    """Writes what is done back to the repository's list of tasks, where that is wanted."""

    async def reconcile(self, name: str) -> Again:
        """One pass over the list; `name` means nothing."""
        ...


def nothing_moved() -> None:
    """Who forgets what is known of a forge's repositories where nothing is remembered."""


def _nobody(_text: str) -> None:
    """Who is told of trouble where nobody wants to know."""


class Controller:
    """All loops of one state folder. `run` returns when `stop` was called; runs that are at work go on without it.

    `tell` is told, for people, of what goes wrong: once, and once more when it goes well.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        plays: PlayReconciler,
        runs: CodeRunReconciler,
        view: View,
        source: EventSource,
        wakes: Callable[[float], AsyncIterator[None]],
        workspace_of: Callable[[CodeRun], str],
        checks: CheckRunner | None = None,
        tasks: TaskList | None = None,
        lookout: Lookout | None = None,
        repair: Repair | None = None,
        moved: Callable[[], None] = nothing_moved,
        talk: Talk | None = None,
        keep_deliveries_days: float = DELIVERY_DAYS,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        tell: Callable[[str], None] = _nobody,
        metrics: ControllerMetrics | None = None,
        workers: int = WORKERS,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._reconcilers = {Kind.PLAY: plays.reconcile, Kind.RUN: runs.reconcile, Kind.INBOX: self._look_into_inbox}
        if checks is not None:
            self._reconcilers[Kind.CHECKS] = checks.reconcile
        if tasks is not None:
            self._reconcilers[Kind.TASKS] = tasks.reconcile
        if repair is not None:
            self._reconcilers[Kind.REPAIR] = repair.reconcile
        if talk is not None:
            self._reconcilers[Kind.TALK] = talk.reconcile
        self._repair = repair
        self._moved = moved
        self._keep_deliveries = timedelta(days=keep_deliveries_days)
        self._view = view
        self._source = source
        self._checks = checks
        self._wakes = wakes
        self._workspace_of = workspace_of
        self._lookout = lookout
        self._clock = clock
        self._jitter = jitter
        self._tell = tell
        # Checks take minutes: they have workers of their own, so that no play waits for them to be looked at.
        self._metrics = metrics or NoControllerMetrics()
        self._workers = workers
        self._monotonic = monotonic
        self._slow: WorkQueue[Key] = WorkQueue(monotonic, metrics=self._metrics.queue("slow"))
        self._queue: WorkQueue[Key] = WorkQueue(monotonic, metrics=self._metrics.queue("main"))
        self._stopping = asyncio.Event()
        self._trouble: dict[Key, str] = {}
        self._looked_at: set[str] = set()
        self._hinted: dict[str, float] = {}
        self.ready = asyncio.Event()
        self.reconciles = 0

    async def run(self) -> None:
        """Work until stopped. Raises `StoreCorruptError` and whatever a loop did not expect."""
        changes = self._store.watch()
        with _uncollected():
            await self._start_up()
        async with together() as group:
            loops = [
                group.create_task(self._follow_store(changes), name="store"),
                group.create_task(self._follow_forge(), name="forge"),
                group.create_task(self._follow_runtime(), name="runtime"),
                *(group.create_task(self._work(self._queue), name=f"worker-{n}") for n in range(self._workers)),
                *(group.create_task(self._work(self._slow), name=f"checks-{n}") for n in range(CHECK_WORKERS)),
            ]
            if self._lookout is not None:
                loops.append(group.create_task(self._lookout.watch(self.hint), name="lookout"))
            self.ready.set()
            await self._stopping.wait()
            for loop in loops:
                loop.cancel()

    def stop(self) -> None:
        """End `run`; what is in work is left where it is, which is safe."""
        self._stopping.set()

    def has_looked_at(self, play: str) -> bool:
        """Whether a pass over that Play has gone well since the start."""
        return play in self._looked_at

    def is_busy_with(self, play: str) -> bool:
        """Whether a pass over that Play, or what is to be told of it, is due or in work."""
        return Key(Kind.PLAY, play) in self._queue or Key(Kind.TALK, play) in self._slow

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready or in work."""
        return self._queue.is_idle and self._slow.is_idle

    async def _start_up(self) -> None:
        # Runs first: a play that is looked at must not find a workspace free that a run still holds.
        now = self._clock()
        for run in await self._store.find(CodeRun):
            if run.status.is_finished:
                self._appoint_expiry(run, now)
                continue
            workspace = ""
            with contextlib.suppress(CoderunError):
                workspace = self._workspace_of(run)
            self._view.see_run(run, workspace)
            self._queue.add(Key(Kind.RUN, run.name))
            self._hint_play_of(run)
        for play in await self._store.find(Play):
            self._view.see_play(play)
            if not play.is_finished or play.status.observed_generation != play.metadata.generation:
                self._queue.add(Key(Kind.PLAY, play.name))
            elif _may_be_untold(play, now):
                self._talk_about(play.name)
        for number in await self._checks.unchecked() if self._checks is not None else ():
            self._slow.add(Key(Kind.CHECKS, number))
        self._hint_tasks()
        self._queue.add(_INBOX)
        self._slow.add(_TIDYING)
        for name in self._repair.names if self._repair is not None else ():
            self._slow.add(Key(Kind.REPAIR, name))

    def _appoint_expiry(self, run: CodeRun, now: datetime) -> None:
        if run.status.expire_at is not None and run.status.job_name:
            left = (run.status.expire_at - now).total_seconds()
            self._queue.add_after(Key(Kind.RUN, run.name), max(60.0, left))

    def _hint_play_of(self, run: CodeRun) -> None:
        play = run.metadata.annotations.get(ANNOTATION_PLAY)
        if play:
            self._queue.add(Key(Kind.PLAY, play))

    def _hint_tasks(self) -> None:
        if Kind.TASKS in self._reconcilers:
            self._slow.add(Key(Kind.TASKS, "done"))

    # -- hints -------------------------------------------------------------------------------------------------------------

    async def _follow_store(self, changes: AsyncIterator[list[Change]]) -> None:
        kinds = {Play.KIND: Kind.PLAY, CodeRun.KIND: Kind.RUN}
        async for batch in changes:
            for change in batch:
                if change.own_status and change.kind == CodeRun.KIND:
                    continue  # the pass that wrote it has said when the next one is due
                if change.kind in kinds:
                    self._queue.add(Key(kinds[change.kind], change.name))
                elif change.kind == "Delivery" and not change.deleted:
                    self._queue.add(_INBOX)

    async def _follow_runtime(self) -> None:
        async for job in self._runtime.finished():
            name = self._view.run_of_job(job)
            if name is not None:
                self._queue.add(Key(Kind.RUN, name))

    async def _follow_forge(self) -> None:
        """Take the forge's events into the inbox. Woken, or once a second by itself."""
        async for _ in self._wakes(POLL_SECONDS):
            try:
                await self._source.take_in()
                self._went_well(_EVENTS)
            except UnavailableError as error:
                self._report(_EVENTS, error)

    async def _look_into_inbox(self, name: str) -> Again:
        """Hand what lies in the inbox to the plays; or, from time to time, let go of what is old."""
        if name == _TIDYING.name:
            await self._store.forget_deliveries(self._clock() - self._keep_deliveries)
            return Again(after=TIDY_SECONDS)
        while pending := await self._store.pending_deliveries(EVENT_BATCH):
            await self._store.settle_deliveries([self._settle(delivery) for delivery in pending])
            await asyncio.sleep(0)  # a door of this process has its turn between two batches
        return Again()

    def hint(self, repository: str, hint: Hint) -> set[str]:
        """Look again at all plays of a repository (canonical id) that the hint may concern; their names."""
        plays: set[str] = set()
        if hint.number is not None:
            plays.update(self._view.plays_of_pull(repository, hint.number))
            if self._checks is not None:
                self._slow.add(Key(Kind.CHECKS, str(hint.number)))
        for task in hint.tasks:
            plays.update(self._view.plays_of_task(repository, task))
        # A base that moves may conflict with what is to be merged into it.
        plays.update(self._view.plays_into(repository, hint.branch))
        if hint.number is not None and not plays:
            # A pull request nobody is bound to yet may be the one an open play waits for.
            plays.update(self._view.unbound(repository))
        for play in plays:
            self._look_soon(play)
        # Of one that has ended only a person's command moves anything.
        return plays | self._listen(repository, hint, ended=True)

    def _listen(self, repository: str, hint: Hint, *, ended: bool = False) -> set[str]:
        """Read what people say on a pull request; the plays bound to it, with `ended` only those that a retry takes up again.

        No gate looks at comments, the controller's own among them: they are no reason to read all of a pull request.
        """
        if hint.number is None or Kind.TALK not in self._reconcilers:
            return set()
        bound = [] if ended else self._view.plays_of_pull(repository, hint.number)
        plays = {*bound, *self._view.ended_of_pull(repository, hint.number)}
        for play in plays:
            self._talk_about(play)
        return plays

    def _look_soon(self, play: str) -> None:
        """Look at a play that was hinted at: at once, but a storm of hints is not a storm of looks."""
        key, now = Key(Kind.PLAY, play), self._monotonic()
        left = self._hinted.get(play, now) - now
        if left <= 0:
            if len(self._hinted) > HINTED_REMEMBERED:
                self._hinted = {name: at for name, at in self._hinted.items() if at > now}
            self._hinted[play] = now + HINT_SECONDS
            self._queue.add(key)
        else:
            self._queue.add_after(key, left)

    def _talk_about(self, play: str) -> None:
        if Kind.TALK in self._reconcilers:
            self._slow.add(Key(Kind.TALK, play))

    def _settle(self, delivery: Delivery) -> Settlement:
        hints = hints_of(delivery)
        plays: set[str] = set()
        look = self._listen if is_conversation(delivery) else self.hint
        for hint in hints:
            plays |= look(delivery.repository, hint)
        if moves_installation(delivery):
            plays |= self._look_anew(delivery.repository)
        outcome = outcome_of(delivery, hints, plays, is_played=self._view.is_played(delivery.repository))
        state = DeliveryState.MOVED if plays else DeliveryState.IGNORED
        self._metrics.delivery(state.value)
        return Settlement(id=delivery.id, state=state, outcome=outcome)

    def _look_anew(self, repository: str) -> set[str]:
        """Repositories or installations may be others than before: look at all plays that this may concern; their names."""
        self._moved()
        plays = {play.name for play in self._view.open_plays(repository or None)}
        for play in plays:
            self._queue.add(Key(Kind.PLAY, play))
        return plays

    # -- work --------------------------------------------------------------------------------------------------------------

    async def _work(self, queue: WorkQueue[Key]) -> None:
        while True:
            key = await queue.get()
            try:
                await self._reconcile(key, queue)
            finally:
                queue.done(key)
            await asyncio.sleep(0)  # most passes never wait: a thousand in a row would keep everybody else from their turn

    async def _reconcile(self, key: Key, queue: WorkQueue[Key]) -> None:
        self.reconciles += 1
        begun = self._monotonic()
        result = await self._pass(key, queue)
        self._metrics.reconciled(key.kind.value, result, self._monotonic() - begun)

    async def _pass(self, key: Key, queue: WorkQueue[Key]) -> str:
        """One pass, and what comes of it; how it ended, for the metrics."""
        try:
            again = await self._reconcilers[key.kind](key.name)
        except WriteConflictError:
            queue.add(key)
            return "requeue"
        except StoreCorruptError:
            raise
        except UnavailableError as error:
            self._report(key, error)
            queue.retry(key, retry_after=error.retry_after)
            return "error"
        except InvalidObjectError as error:
            self._report(key, error, again=False)
            queue.forget(key)  # it is looked at when somebody has mended it
            return "error"
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the others
            self._report(key, error)
            queue.retry(key)
            return "error"
        if again.trouble is not None:
            self._wake(again)
            self._report(key, again.trouble)
            queue.retry(key)
            return "error"
        queue.forget(key)
        if key.kind is Kind.PLAY:
            self._looked_at.add(key.name)
            self._talk_about(key.name)
        self._went_well(key)
        self._follow_up(key, again, queue)
        return "requeue_after" if again.after is not None else "success"

    def _follow_up(self, key: Key, again: Again, queue: WorkQueue[Key]) -> None:
        seen = self._view.plays.get(key.name) if key.kind is Kind.PLAY else None
        if seen is not None and seen.phase is PlayPhase.SUCCEEDED:
            self._hint_tasks()
        self._wake(again)
        if key.kind is Kind.RUN:
            # A pass over a run says when to look again, whatever an earlier one said: a run that is over has no appointments.
            queue.cancel_timer(key)
        if again.after is not None:
            spread = 1.0 + 0.25 * (2 * self._jitter() - 1) if again.after > 120 else 1.0  # noqa: PLR2004 - resyncs only
            queue.add_after(key, again.after * spread)

    def _wake(self, again: Again) -> None:
        for play in again.plays:
            self._queue.add(Key(Kind.PLAY, play))
        for run in again.runs:
            self._queue.add(Key(Kind.RUN, run))

    def _went_well(self, key: Key) -> None:
        if self._trouble.pop(key, None) is not None:
            _log.info("went well again", kind=key.kind.value, name=key.name)
            self._tell(f"{key}: goes on again")

    def _report(self, key: Key, error: Exception, *, again: bool = True) -> None:
        # Said once, not at every repetition.
        text = f"{type(error).__name__}: {error}"
        if self._trouble.get(key) != text:
            self._trouble[key] = text
            unexpected = not isinstance(error, CoderunError)
            _log.warning("pass failed", kind=key.kind.value, name=key.name, error=text, exc_info=unexpected)
            self._tell(f"{key}: {text if unexpected else error}{'; it is tried again' if again else ''}")
            run = self._view.runs.get(key.name) if key.kind is Kind.RUN else None
            if run is not None and run.told:
                self._queue.add(Key(Kind.PLAY, run.told))  # it says what its run waits for


def _may_be_untold(play: Play, now: datetime) -> bool:
    """Whether a play that has ended may have more to tell, or to be told, than the controllers before came to."""
    if play.status.pull_request is None or play.status.finished_at is None:
        return False
    within = TOLD_LATE if play.status.phase is PlayPhase.SUCCEEDED else timedelta(days=LISTEN_DAYS)
    return now - play.status.finished_at <= within


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the collector of cycles out: it would look through all that is read at the start, again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
