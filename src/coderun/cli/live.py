"""The live view: plays with their stages, gates and reasons, redrawn as they move; plain lines where there is no terminal."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from coderun.cli.terminal import safe, say
from coderun.model.play import HistoryEntry, Play, PlayPhase

if TYPE_CHECKING:
    from rich.console import RenderableType

    from coderun.pipeline.definition import Pipeline

RECENT = 8
_MARKS = {"done": "●", "now": "◐", "person": "◆", "open": "○", "failed": "✗"}
_STYLES = {"done": "green", "now": "yellow", "person": "magenta", "open": "dim", "failed": "red"}


class LiveView(Protocol):
    """Shows plays as they are now; called at every change."""

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Show these."""
        ...


class LineView:
    """A line per decision: for pipes, logs and CI."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._said: dict[str, int] = {}

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Print what was decided since the last call."""
        _ = now
        for play in plays:
            for entry in self._new(play):
                say(f"{entry.at:%H:%M:%S}  task {play.spec.task_id}  {safe(entry.reason)}: {safe(entry.message)}")

    def _new(self, play: Play) -> list[HistoryEntry]:
        entries = [entry for entry in play.status.history if entry.at >= self._since]
        keys = [(entry.at, entry.reason, entry.message) for entry in entries]
        last = self._said.get(play.name)
        fresh = [entry for entry, key in zip(entries, keys, strict=True) if last is None or hash(key) != last]
        if last is not None and last in map(hash, keys):
            fresh = entries[[hash(key) for key in keys].index(last) + 1 :]
        if keys:
            self._said[play.name] = hash(keys[-1])
        return fresh


class TableView:
    """A table that is redrawn in place."""

    def __init__(self, pipelines: Mapping[str, "Pipeline"], show: "SupportsUpdate") -> None:
        self._pipelines = pipelines
        self._show = show

    def update(self, plays: Sequence[Play], now: datetime) -> None:
        """Redraw."""
        self._show.update(draw(plays, self._pipelines, now), refresh=True)


class SupportsUpdate(Protocol):
    """What is needed of `rich.live.Live`."""

    def update(self, renderable: "RenderableType", *, refresh: bool = False) -> None:
        """Show this."""
        ...


@contextlib.contextmanager
def live_view(pipelines: "Mapping[str, Pipeline]", now: datetime, *, plain: bool = False) -> Iterator[LiveView]:
    """The view that fits where the output goes."""
    if plain or not sys.stdout.isatty():
        yield LineView(now)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False, transient=False, vertical_overflow="visible") as live:
        yield TableView(pipelines, live)


def draw(plays: Sequence[Play], pipelines: "Mapping[str, Pipeline]", now: datetime) -> "RenderableType":
    """Plays as a table with their stages, and the last decisions below. All foreign text is made printable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("task", ratio=3, overflow="fold")
    table.add_column("stages and gates", ratio=6, overflow="fold")
    table.add_column("round", width=5)
    table.add_column("pr", width=4)
    table.add_column("now", ratio=5, overflow="fold")
    for play in plays:
        table.add_row(
            Text(f"{play.spec.task_id} {safe(play.spec.task.title if play.spec.task else '', 60)}"),
            _stages(play, pipelines),
            Text(str(play.status.iteration)),
            Text(f"#{play.status.pull_request.number}" if play.status.pull_request is not None else "-"),
            _now(play, now),
        )
    entries = sorted(((e, p) for p in plays for e in p.status.history), key=lambda pair: pair[0].at)[-RECENT:]
    lines = [
        Text(f"{entry.at:%H:%M:%S} task {play.spec.task_id} {safe(entry.reason)}: {safe(entry.message, 140)}", style="dim")
        for entry, play in entries
    ]
    return Group(table, Text(""), *lines)


def _stages(play: Play, pipelines: "Mapping[str, Pipeline]") -> "RenderableType":
    from rich.text import Text

    text = Text()
    pipeline = pipelines.get(play.spec.pipeline)
    if pipeline is None:
        return text
    for stage in pipeline.stages:
        kind = stage_kind(play, stage.name, pipeline.index(play.status.stage), pipeline.index(stage.name))
        text.append(f"{_MARKS[kind]}\N{NO-BREAK SPACE}{stage.name}  ", style=_STYLES[kind])
    held = [f"{gate.name} by {gate.actor}" if gate.actor else gate.name for gate in play.status.gates]
    if held:
        text.append(f"\n✓ {safe(' · '.join(held))}", style="dim")
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


def _now(play: Play, now: datetime) -> "RenderableType":
    from rich.text import Text

    status = play.status
    if status.waiting is None:
        style = {PlayPhase.SUCCEEDED: "green", PlayPhase.FAILED: "red", PlayPhase.ABORTED: "red"}.get(status.phase, "")
        return Text(f"{status.phase.value} {safe(status.message, 160)}".strip(), style=style)
    since = status.waiting.since
    seconds = f" ({(now - since).total_seconds():.0f} s)" if since is not None else ""
    text = Text(safe(status.waiting.message, 160) + seconds)
    if status.phase is PlayPhase.WAITING:
        text.append(f"\n→ {safe(status.waiting.would_move, 160)}", style="magenta")
    return text
