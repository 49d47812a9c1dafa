"""`coderun events`: the inbox. Which events came, what became of each and why, and the same hint once more."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coderun.cli.terminal import Output, OutputOption, RepoOption, clock_text, plain, safe, say, show, to_text, with_system

if TYPE_CHECKING:
    from coderun.app.inbox import Told, Wanted
    from coderun.app.system import Workplace
    from coderun.model.deliveries import Delivery

app = typer.Typer(
    name="events",
    help="Show which events came and what became of each; replay them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COLUMNS = ("name", "received", "event", "about", "state", "outcome")


class State(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    MOVED = "moved"
    IGNORED = "ignored"


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{safe(text, 40)!r} is no length of time; write 30m, 2h or 1d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A delivery's id or its beginning; the forge's own will do.")]
PlayOption = Annotated[str, typer.Option("--play", help="Only what was a hint for this play (name or task).", metavar="PLAY")]
EventOption = Annotated[str, typer.Option("--event", help="Only events of this name (`push`, `pull_request.labeled`).")]
StateOption = Annotated[State | None, typer.Option("--state", help="Only these: pending, moved or ignored.")]
SinceOption = Annotated[
    timedelta | None, typer.Option("--since", parser=_length, metavar="LENGTH", help="Only of this long ago: 30m, 2h, 1d.")
]


@app.command("list", short_help="List the newest events.")
def list_(
    state: StateOption = None,
    event: EventOption = "",
    play: PlayOption = "",
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many, the newest.")] = 30,
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """List the newest events, and what became of each.

    Examples:
        coderun events list
        coderun events list --play 3 --since 1h
        coderun events list --state ignored -o json
    """

    async def work(system: "Workplace") -> "list[Delivery]":
        from coderun.app.inbox import list_deliveries

        wanted = await _wanted(system, state=state, event=event, play=play, since=since)
        return await list_deliveries(system.store, wanted, limit=limit)

    from coderun.app.inbox import told

    found = [told(delivery) for delivery in with_system(repo, work)]
    if output is Output.TABLE:
        show([_row(each) for each in found], output, columns=_COLUMNS, empty="no such event")
        return
    show([_data(each) for each in found], output, columns=(), empty="")


@app.command("show", short_help="Show one event, its outcome and its body.")
def show_(identity: IdArgument, output: OutputOption = Output.TABLE, repo: RepoOption = "") -> None:
    """Show one event: what it points at, what became of it and why, and its body.

    Examples:
        coderun events show github-72d3162e
        coderun events show 72d3162e -o json
    """

    async def work(system: "Workplace") -> "Told":
        from coderun.app.inbox import find_delivery, told
        from coderun.model.play import Play

        delivery = await find_delivery(system.store, identity)
        return told(delivery, with_body=True, plays=await system.store.find(Play))

    found = with_system(repo, work)
    if output is Output.TABLE:
        say("\n".join(_page(found)))
    elif output is Output.NAME:
        say(safe(found.name))
    else:
        say(to_text(plain(found), output))


@app.command("replay", short_help="Give the hints of events once more.")
def replay_(
    identities: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Deliveries by id.")] = None,
    event: EventOption = "",
    play: PlayOption = "",
    since: SinceOption = None,
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Give the hints of events once more. Nothing is done twice by it: plays are looked at again, and the forge is read.

    Examples:
        coderun events replay 72d3162e
        coderun events replay --since 1h
    """
    from coderun.model.errors import ConfigError

    if not identities and since is None:
        raise ConfigError("say which events: by id, or how far back with --since")

    async def work(system: "Workplace") -> "tuple[list[Delivery], str]":
        from coderun.app.inbox import LOOKED_THROUGH, find_delivery, list_deliveries, replay

        named = [await find_delivery(system.store, each) for each in identities or ()]
        if since is not None:
            wanted = await _wanted(system, state=None, event=event, play=play, since=since)
            named += await list_deliveries(system.store, wanted, limit=LOOKED_THROUGH)
        once = list({delivery.id: delivery for delivery in named}.values())
        return await replay(system.store, once), "" if await system.controller() else system.carrier

    replayed, who = with_system(repo, work)
    if output in {Output.JSON, Output.YAML}:
        say(to_text([delivery.id for delivery in replayed], output))
        return
    if output is Output.NAME:
        for delivery in replayed:
            say(safe(delivery.id))
        return
    hint = f"; no controller is running, {who} looks at them" if who else ""
    say(f"{len(replayed)} event{'' if len(replayed) == 1 else 's'} pending again{hint}")


async def _wanted(system: "Workplace", *, state: State | None, event: str, play: str, since: timedelta | None) -> "Wanted":
    from coderun.app.inbox import Wanted
    from coderun.app.steer import find_play
    from coderun.model.deliveries import DeliveryState

    return Wanted(
        state=DeliveryState(state.value) if state is not None else None,
        event=event,
        play=(await find_play(system.store, play)).name if play else "",
        since=system.clock() - since if since is not None else None,
    )


def _data(told: "Told") -> dict[str, Any]:
    """All there is of a delivery but what a list would be too long for."""
    return {key: value for key, value in plain(told).items() if key not in {"body", "since"}}


def _row(told: "Told") -> dict[str, Any]:
    return {
        "name": told.name,
        "received": clock_text(told.received_at),
        "event": told.event,
        "about": _about(told),
        "state": told.state,
        "outcome": told.outcome,
    }


def _about(told: "Told") -> str:
    pulls = [f"#{number}" for number in told.pull_requests]
    return " ".join([*pulls, *(f"task {task}" for task in told.tasks)]) or " ".join(told.branches) or "-"


def _page(told: "Told") -> list[str]:
    rows = {
        "event": told.event,
        "received": f"{told.received_at.astimezone():%Y-%m-%d %H:%M:%S}",
        "repository": told.repository,
        "about": _about(told),
        "branch": " ".join(told.branches),
        "commit": told.head_sha,
        "by": told.actor,
        "state": told.state,
        "outcome": told.outcome,
        "remarks": "; ".join(told.remarks),
    }
    lines = [safe(told.name), *(f"  {name + ':':<12} {safe(text)}" for name, text in rows.items() if text)]
    for since in told.since:
        when = f" ({clock_text(since.at)})" if since.at is not None else ""
        lines.append(f"  {'then:':<12} {safe(since.play)}: {safe(since.decided) or 'nothing has changed since'}{when}")
    body = to_text(told.body, Output.JSON) if told.body not in (None, "") else ""
    return [*lines, "", *body.splitlines()] if body else lines
