"""`coderun why PLAY`: what a play waits for, since when, what would move it, and what moved it last. Changes nothing."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Output, OutputOption, RepoOption, clock_text, duration, safe, say, to_text, with_system

if TYPE_CHECKING:
    from datetime import datetime

    from coderun.app.explain import Explanation
    from coderun.app.system import Workplace
    from coderun.model.play import Play
    from coderun.model.pulls import PullRequest


def command(
    play: Annotated[str, typer.Argument(metavar="PLAY", help="Name of the play, or the number of its task.")],
    output: OutputOption = Output.TABLE,
    history: Annotated[bool, typer.Option("--history", help="Also show every decision that was made.")] = False,
    repo: RepoOption = "",
) -> None:
    """Say what a play waits for, since when, what would move it, and what moved it last.

    Examples:
        coderun why 3
        coderun why play-shop-3 --history
        coderun why 3 -o json
    """

    async def work(system: "Workplace") -> "tuple[Play, Explanation]":
        from coderun.app.explain import explain
        from coderun.app.steer import find_play
        from coderun.model.coderun import CodeRun
        from coderun.model.names import LABEL_PLAY, shorten

        found = await find_play(system.store, play)
        runs = await system.store.find(CodeRun, labels={LABEL_PLAY: shorten(found.name)})
        deliveries = await system.store.list_deliveries(limit=500)
        controller = await system.controller()
        pull = await _unseen_pull(system, found) if not controller else None
        now, carrier = system.clock(), system.carrier
        return found, explain(found, runs, deliveries, controller=controller, now=now, pull=pull, carrier=carrier)

    found, told = with_system(repo, work)
    if output in {Output.JSON, Output.YAML}:
        say(to_text(told, output))
    elif output is Output.NAME:
        say(safe(told.play))
    else:
        say("\n".join(lines_of(told)))
    if history and output is Output.TABLE:
        say("\ndecisions, oldest first:")
        for entry in found.status.history:
            say(f"  {entry.at.astimezone():%Y-%m-%d %H:%M:%S}  {safe(entry.reason)}: {safe(entry.message)}")


async def _unseen_pull(system: "Workplace", play: "Play") -> "PullRequest | None":
    """The play's pull request on the local forge: while no controller runs, nobody has written down what became of it."""
    from coderun.app.local import LocalSystem
    from coderun.app.local_hosting import LocalHosting

    known = play.status.pull_request
    if known is None or not isinstance(system, LocalSystem) or not isinstance(system.hosting, LocalHosting):
        return None
    return await system.hosting.forge.get_pull_request(known.number)


def lines_of(told: "Explanation") -> list[str]:
    """An explanation as people read it: a heading, then a line for each thing that is known."""
    stage = f", stage {safe(told.stage)}, iteration {told.iteration}" if told.stage else ""
    rows = {
        "waits for": told.waits_for,
        "reason": told.reason,
        "since": f"{clock_text(told.since)}, {duration(told.seconds)} ago" if told.since is not None else "",
        "would move": told.would_move,
        "moved by": _at(told.moved_by, told.moved_at),
        "last event": _at(told.last_event, told.last_event_at),
        "command": _at(told.last_command, told.last_command_at),
        "runs": told.run,
        "controller": told.controller or "none",
    }
    heading = f"{safe(told.play)} (task {told.task_id}): {told.phase}{stage}"
    return [heading, *(f"  {name + ':':<12} {safe(text)}" for name, text in rows.items() if text)]


def _at(what: str, at: "datetime | None") -> str:
    return f"{what} ({clock_text(at)})" if at is not None else what
