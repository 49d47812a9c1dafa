"""The live view: plays with their stages, gates and reasons, redrawn as they move; plain lines where there is no terminal.

It shows what the store holds and asks nobody. All text of others is made printable before it is drawn.
"""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Protocol

from coderun.cli.terminal import clock_text, duration, safe, say
from coderun.model.play import HistoryEntry, Play, PlayPhase, Waiting

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from coderun.pipeline.definition import Pipeline

RECENT = 8
NARROW = 80
WIDE = 150
PATIENCE = 5.0
"""Seconds after which a wait is told where nothing is redrawn."""

_TIME = "time"
_MARKS = {"done": "●", "now": "◐", "person": "◆", "open": "○", "failed": "✗"}
_STYLES = {"done": "green", "now": "yellow", "person": "magenta", "open": "dim", "failed": "red"}
_PHASES = {PlayPhase.SUCCEEDED: "green", PlayPhase.FAILED: "red", PlayPhase.ABORTED: "red"}


class LiveView(Protocol):
    """Shows plays as they are now; called at every change."""

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Show these."""
        ...


class LineView:
    """A line per decision, and per wait that goes on without one: for pipes, logs and CI.

    Each is printed once; of older plays, only what comes after `since`.

    A play of which nothing is new yet is introduced by a line on where it stands.
    """

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._said: dict[str, tuple[HistoryEntry, ...]] = {}
        self._waits: dict[str, tuple[str, str]] = {}

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Print what was decided since the last call."""
        for play in plays:
            history = play.status.history
            if play.name in self._said:
                fresh = unseen(self._said[play.name], history)
            else:
                fresh = tuple(entry for entry in history if entry.at >= self._since)
                if history and not fresh:
                    say(f"{clock_text(now)}  task {play.spec.task_id}  {_standing(play)}")
                    self._waits[play.name] = _gist(play)
            self._said[play.name] = history
            for entry in fresh:
                say(f"{clock_text(entry.at)}  task {play.spec.task_id}  {_told(entry)}")
            self._tell_wait(play, now)

    def _tell_wait(self, play: Play, now: datetime) -> None:
        waiting = play.status.waiting
        if waiting is None or not _is_worth_a_line(waiting, now):
            return
        if self._waits.get(play.name) == _gist(play):
            return
        self._waits[play.name] = _gist(play)
        told = f"{safe(waiting.reason)}: {safe(waiting.message)}; {safe(waiting.would_move)}"
        say(f"{clock_text(now)}  task {play.spec.task_id}  {told}")


def _gist(play: Play) -> tuple[str, str]:
    waiting = play.status.waiting
    return (waiting.reason, waiting.message) if waiting is not None else ("", "")


def _is_worth_a_line(waiting: Waiting, now: datetime) -> bool:
    """Not what a decision has told already (an agent works, a person is asked), and not what passes in a moment."""
    if waiting.kind == "person" or waiting.reason == "RunRunning":
        return False
    return waiting.kind == _TIME or (waiting.since is not None and (now - waiting.since).total_seconds() >= PATIENCE)


def unseen(seen: Sequence[HistoryEntry], history: Sequence[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """What of `history` was added after `seen`; a history grows at its end and loses its oldest entries."""
    kept = next(n for n in range(min(len(seen), len(history)), -1, -1) if tuple(seen[len(seen) - n :]) == tuple(history[:n]))
    return tuple(history[kept:])


class TableView:
    """A table that is redrawn in place, never higher than the terminal."""

    def __init__(self, pipelines: Mapping[str, "Pipeline"], show: "SupportsUpdate", console: "Console") -> None:
        self._pipelines = pipelines
        self._show = show
        self._console = console

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Redraw."""
        self._show.update(draw(plays, self._pipelines, now, self._console), refresh=True)


class SupportsUpdate(Protocol):
    """What is needed of `rich.live.Live`."""

    def update(self, renderable: "RenderableType", *, refresh: bool = False) -> None:
        """Show this."""
        ...


@contextlib.contextmanager
def live_view(pipelines: "Mapping[str, Pipeline]", now: datetime, *, plain: bool = False) -> Iterator[LiveView]:
    """The view that fits where the output goes."""
    if plain or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        yield LineView(now)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
        yield TableView(pipelines, live, console)


def draw(plays: Sequence[Play], pipelines: "Mapping[str, Pipeline]", now: datetime, console: "Console") -> "RenderableType":
    """Plays as a table with their stages, and the last decisions below, within the size of the terminal.

    Where there is no room for all, those that have ended come last, and a line says how many are not shown.
    """
    from rich.console import Group
    from rich.text import Text

    width, height = console.width, max(console.height - 1, 4)
    history = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in _last_decisions(plays, RECENT)]

    def rows(some: Sequence[Play]) -> int:
        return len(console.render_lines(table_of(some, pipelines, now, width), pad=False))

    room = height - 1 - rows(plays) if len(plays) < height else -1
    if room >= 0:
        return Group(table_of(plays, pipelines, now, width), Text(""), *history[len(history) - min(room, len(history)) :])
    ordered = sorted(plays, key=lambda play: play.is_finished)
    recent = history[-3:] if height >= 12 else []  # noqa: PLR2004 - a small terminal has room for plays alone
    shown = _most_that_fit(min(len(plays) - 1, height), lambda n: rows(ordered[:n]) < height - len(recent))
    rest = Text(_rest(ordered[shown:]), style="bold", no_wrap=True, overflow="ellipsis")
    return Group(table_of(ordered[:shown], pipelines, now, width), rest, *recent)


def table_of(plays: Sequence[Play], pipelines: "Mapping[str, Pipeline]", now: datetime, width: int) -> "RenderableType":
    """A row for each play. Only a wide terminal has the names of all stages, a narrow one has no pull requests."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    if width < NARROW:
        table.add_column("task", ratio=2, overflow="fold")
        table.add_column("now", ratio=3, overflow="fold")
        for play in plays:
            stage = _stages(play, pipelines)
            table.add_row(_title(play), stage.append("  ").append_text(_now(play, now)))
        return table
    table.add_column("task", ratio=3, overflow="fold")
    table.add_column("stages", no_wrap=True)
    table.add_column("round", justify="right")
    table.add_column("pr", justify="right")
    table.add_column("now", ratio=5, overflow="fold")
    for play in plays:
        pull = play.status.pull_request
        table.add_row(
            _title(play),
            _stages(play, pipelines, all_names=width >= WIDE),
            str(play.status.iteration),
            f"#{pull.number}" if pull is not None else "-",
            _now(play, now),
        )
    return table


def _most_that_fit(limit: int, fits: Callable[[int], bool]) -> int:
    """The greatest number of rows that fits, at least one."""
    low, high = 1, max(limit, 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _rest(plays: Sequence[Play]) -> str:
    counts = Counter(play.status.phase.value for play in plays)
    return f"… and {len(plays)} more: {', '.join(f'{count} {phase}' for phase, count in counts.items())}"


def _last_decisions(plays: Sequence[Play], limit: int) -> list[str]:
    """The newest decisions of all plays, oldest first; those of one pass in the order they were made."""
    newest = nlargest(
        limit,
        (
            (entry.at, play.spec.task_id, number, entry)
            for play in plays
            for number, entry in enumerate(play.status.history[-limit:])
        ),
        key=lambda row: row[:3],
    )
    return [f"{clock_text(at)} task {task} {_told(entry, 140)}" for at, task, _, entry in reversed(newest)]


def _told(entry: HistoryEntry, limit: int | None = None) -> str:
    return f"{safe(entry.reason)}: {safe(entry.message, limit)}"


def _standing(play: Play) -> str:
    """Where a play stands, on one line."""
    status = play.status
    stage = f", stage {safe(status.stage)}" if status.stage else ""
    message = status.waiting.message if status.waiting is not None else status.message
    return f"{status.phase.value}{stage}: {safe(message)}".rstrip(": ")


def _title(play: Play) -> "Text":
    from rich.text import Text

    return Text(f"{play.spec.task_id} {safe(play.spec.task.title if play.spec.task else '', 60)}")


def _stages(play: Play, pipelines: "Mapping[str, Pipeline]", *, all_names: bool = False) -> "Text":
    """A mark for each stage, with the name of the current one or with all names."""
    from rich.text import Text

    text = Text()
    pipeline = pipelines.get(play.spec.pipeline)
    if pipeline is None:
        return text
    current = pipeline.index(play.status.stage)
    for at, stage in enumerate(pipeline.stages):
        kind = stage_kind(play, stage.name, current, at)
        text.append(f"{_MARKS[kind]} {stage.name}  " if all_names else _MARKS[kind], style=_STYLES[kind])
    if not all_names and play.status.stage:
        text.append(f" {safe(play.status.stage, 20)}", style="bold")
    text.rstrip()
    return text


def stage_kind(play: Play, stage: str, current: int, at: int) -> str:
    """How a stage of a play is drawn: `done`, `now`, `person`, `open` or `failed`."""
    status = play.status
    if status.phase is PlayPhase.SUCCEEDED or (status.stage and at < current):
        return "done"
    if stage != status.stage:
        return "open"
    if status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED}:
        return "failed"
    return "person" if status.phase is PlayPhase.WAITING else "now"


def _now(play: Play, now: datetime) -> "Text":
    from rich.text import Text

    status = play.status
    if status.waiting is None:
        return Text(f"{status.phase.value} {safe(status.message, 160)}".strip(), style=_PHASES.get(status.phase, ""))
    since = status.waiting.since
    length = f" ({duration((now - since).total_seconds())})" if since is not None else ""
    text = Text(safe(status.waiting.message, 160) + length)
    if status.phase is PlayPhase.WAITING or status.waiting.kind == _TIME:
        text.append(f"\n→ {safe(status.waiting.would_move, 160)}", style="magenta")
    return text
