"""`coderun watch`: the live view of plays, without being their controller."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, ReaderGoneError, RepoOption, say, with_system

if TYPE_CHECKING:
    from coderun.app.system import Workplace
    from coderun.model.play import Play


def command(
    plays: Annotated[
        list[str] | None, typer.Argument(metavar="PLAY...", help="Names or task numbers; all open ones by default.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="A line per decision instead of a table.")] = False,
    repo: RepoOption = "",
) -> None:
    """Watch plays until they end. Ctrl-C ends the watching, nothing else.

    Examples:
        coderun watch
        coderun watch 3 4
        coderun watch --plain
    """

    async def work(system: "Workplace") -> "list[Play]":
        from coderun.app.follow import follow_plays
        from coderun.app.steer import find_play
        from coderun.cli.live import live_view
        from coderun.model.play import Play

        if plays:
            names = [(await find_play(system.store, each)).name for each in plays]
        else:
            names = [play.name for play in await system.store.find(Play) if not play.is_finished]
        if not names:
            say("no play is under way; `coderun play --task N` starts one, `coderun get` lists those that have ended")
            return []
        if not await system.controller():
            how = "`coderun up` or `coderun play` is started" if system.runs_here else "one runs in the cluster"
            say(f"no controller is running: nothing moves until {how}", err=True)
        with live_view(system.pipelines, system.clock(), plain=plain) as view:
            return await follow_plays(system, names, view.update, until_person=False)

    try:
        ended = with_system(repo, work)
    except (KeyboardInterrupt, ReaderGoneError):
        say("\nstopped watching; nothing else has changed", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    raise typer.Exit(outcome(ended))


def outcome(plays: "list[Play]") -> Exit:
    """The exit code that tells how plays ended."""
    from coderun.model.play import PlayPhase

    phases = {play.status.phase for play in plays}
    if phases & {PlayPhase.FAILED, PlayPhase.ABORTED}:
        return Exit.FAILED
    return Exit.OK if phases <= {PlayPhase.SUCCEEDED} else Exit.WAITING
