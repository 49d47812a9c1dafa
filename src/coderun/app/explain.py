"""`why`: what a play waits for, since when, what would move it, and what moved it last. Pure: objects in, values out."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from coderun.app.inbox import names_play
from coderun.model.coderun import CodeRun
from coderun.model.deliveries import Delivery
from coderun.model.play import Play, PlayCommand, PlayPhase
from coderun.model.pulls import PullRequest, PullState


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All that `coderun why` says.

    Attributes:
        waits_for: What is waited for, "" when the play has ended.
        seconds: How long it has been waiting.
        moved_by: The last decision, with its reason.
        last_command: The newest command that somebody gave in a comment, and what came of it.
        last_event: The newest event of the forge that was a hint for this play, with its delivery's id.
    """

    play: str
    task_id: int
    phase: str
    stage: str
    iteration: int
    waits_for: str
    reason: str
    since: datetime | None
    seconds: float
    would_move: str
    moved_by: str
    moved_at: datetime | None
    last_event: str
    last_event_at: datetime | None
    last_command: str
    last_command_at: datetime | None
    run: str
    controller: str


def explain(
    play: Play,
    runs: Sequence[CodeRun],
    deliveries: Sequence[Delivery],
    *,
    controller: str,
    now: datetime,
    pull: PullRequest | None = None,
    carrier: str = "`coderun up`",
) -> Explanation:
    """Why `play` is where it is. `controller` says who works, "" when nobody does; `pull` is its pull request as it is now.

    `carrier` is what carries plays on where that is.
    """
    status = play.status
    waiting = status.waiting
    last = status.history[-1] if status.history else None
    event = _last_event(play, deliveries)
    command = play.spec.commands[-1] if play.spec.commands else None
    since = waiting.since if waiting is not None else status.finished_at
    would_move = waiting.would_move if waiting is not None else way_on(play)
    waits_for = waiting.message if waiting is not None else ("" if play.is_finished else "the first look of a controller")
    missing = f"a controller, as none is running: {carrier}"
    if not controller and not play.is_finished and pull is not None and pull.state is not PullState.OPEN:
        waits_for = f"a controller that sees that pull request #{pull.number} is {pull.state.value}"
        would_move = missing
    elif not controller and not play.is_finished:
        would_move = f"{missing}; then {would_move or 'it starts'}"
    return Explanation(
        play=play.name,
        task_id=play.spec.task_id,
        phase=status.phase.value,
        stage=status.stage,
        iteration=status.iteration,
        waits_for=waits_for,
        reason=waiting.reason if waiting is not None else (last.reason if last is not None else ""),
        since=since,
        seconds=max(0.0, (now - since).total_seconds()) if since is not None else 0.0,
        would_move=would_move,
        moved_by=f"{last.reason}: {last.message}" if last is not None else "",
        moved_at=last.at if last is not None else None,
        last_event=f"{event.event} ({event.id})" if event is not None else "",
        last_event_at=event.received_at if event is not None else None,
        last_command=_told_of(command) if command is not None else "",
        last_command_at=command.at if command is not None else None,
        run=_at_work(runs),
        controller=controller,
    )


def way_on(play: Play) -> str:
    """What takes up a play again that has ended without success, "" for any other."""
    if play.status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED}:
        return f"`coderun retry {play.name}`"
    return ""


def _told_of(command: PlayCommand) -> str:
    return f"/coderun {command.command} by {command.by}: {command.outcome}"


def _at_work(runs: Sequence[CodeRun]) -> str:
    active = [run for run in runs if not run.status.phase.is_finished]
    parts = (
        f"{run.name} ({run.status.phase.value}{': ' + run.status.message if run.status.message else ''})" for run in active
    )
    return "; ".join(parts)


def _last_event(play: Play, deliveries: Sequence[Delivery]) -> Delivery | None:
    """The first of `deliveries` (newest first) whose outcome names this play, and not one whose name only begins like it."""
    return next((delivery for delivery in deliveries if names_play(delivery.outcome, play.name)), None)
