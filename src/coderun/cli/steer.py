"""`coderun cancel|abort|pause|resume|retry|approve`: what people do to runs and plays."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import RepoOption, safe, say, with_system

if TYPE_CHECKING:
    from coderun.app.system import Workplace
    from coderun.model.coderun import CodeRun
    from coderun.model.play import Play, PlaySpec

PlayArgument = Annotated[str, typer.Argument(metavar="PLAY", help="Name of the play, or the number of its task.")]


async def _nothing_more(_system: "Workplace", _play: "Play") -> str:
    return ""


def _change(
    repo: str,
    name: str,
    change: "Callable[[Play], PlaySpec]",
    say_of: "Callable[[Play], str]",
    *,
    also: "Callable[[Workplace, Play], Awaitable[str]]" = _nothing_more,
) -> None:
    """Change a play and say so; `also` does what else belongs to it, and says what that was."""

    async def work(system: "Workplace") -> None:
        from coderun.app.steer import change_play

        play = await change_play(system.store, name, change)
        say(f"play {safe(play.name)}: {say_of(play)}{await also(system, play)}{await _hint(system)}")

    with_system(repo, work)


async def _hint(system: "Workplace") -> str:
    """What is missing where nobody would carry the change out."""
    return "" if await system.controller() else f"; no controller is running, {system.advice}"


def pause(play: PlayArgument, repo: RepoOption = "") -> None:
    """Start no new run and merge nothing until the play is resumed; agents at work go on to their end.

    Examples:
        coderun pause 3
    """
    from coderun.pipeline.wishes import pausing

    _change(repo, play, pausing, lambda _: "paused; `coderun resume` goes on")


def resume(play: PlayArgument, repo: RepoOption = "") -> None:
    """Go on with a paused play.

    Examples:
        coderun resume 3
    """
    from coderun.pipeline.wishes import resuming

    _change(repo, play, resuming, lambda _: "resumed")


def abort(play: PlayArgument, repo: RepoOption = "") -> None:
    """End a play; its agents save their work and end.

    Examples:
        coderun abort play-shop-3
    """
    from coderun.pipeline.wishes import aborting

    _change(repo, play, aborting, lambda _: "is being aborted", also=_end_its_agents)


async def _end_its_agents(system: "Workplace", play: "Play") -> str:
    from coderun.app.steer import runs_of

    told = [run for run in await runs_of(system.store, play) if await _end_at_once(system, run, "the play was aborted")]
    return "" if not told else "; its agent is told to end" if len(told) == 1 else "; its agents are told to end"


def retry(play: PlayArgument, repo: RepoOption = "") -> None:
    """Go on with a play that failed, was aborted or waits: fresh attempts, and one more round at the limit.

    Examples:
        coderun retry 3
    """
    from coderun.pipeline.wishes import retrying

    _change(repo, play, retrying, _retried)


def approve(play: PlayArgument, repo: RepoOption = "") -> None:
    """Pass the play's current gate as your decision, for this head commit; at the merge stage it merges.

    Examples:
        coderun approve 3
    """

    async def work(system: "Workplace") -> None:
        from coderun.app.steer import change_play
        from coderun.pipeline.wishes import approval_of, approving

        changed = await change_play(system.store, play, approving(system.person, system.clock()))
        given = approval_of(changed)
        if given is None:
            say(f"play {safe(changed.name)} has moved on meanwhile; `coderun why {safe(changed.name)}` says where it is")
            return
        head = given.head_sha[:8] or "no commit yet"
        what = f"stage {safe(given.stage)} approved by {safe(given.by)} for {head}"
        say(f"play {safe(changed.name)}: {what}{await _hint(system)}")

    with_system(repo, work)


async def _end_at_once(system: "Workplace", run: "CodeRun", reason: str) -> bool:
    """Whether the run's agent was told to end here, as no controller is there to do it."""
    from coderun.app.local import LocalSystem

    return isinstance(system, LocalSystem) and await system.end_unattended(run, reason)


def _retried(play: "Play") -> str:
    return "gets fresh attempts, and is paused; `coderun resume` goes on" if play.spec.paused else "goes on"


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or of a play (then its newest run).")],
    reason: Annotated[str, typer.Option("--reason", help="Why; shown wherever the run is.")] = "",
    repo: RepoOption = "",
) -> None:
    """Cancel one run: its agent saves its work and ends; the play then waits for you (`coderun retry`).

    Examples:
        coderun cancel play-shop-3-quality-1-1
    """

    async def work(system: "Workplace") -> None:
        from coderun.app.steer import cancel_run

        cancelled = await cancel_run(system.store, run, reason or f"cancelled by {system.person}")
        is_told = await _end_at_once(system, cancelled, cancelled.spec.cancel_requested)
        told = "; its agent is told to end" if is_told else ""
        say(f"run {safe(cancelled.name)}: is being cancelled{told}{await _hint(system)}")

    with_system(repo, work)
