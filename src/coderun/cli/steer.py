"""`coderun cancel|abort|pause|resume|retry|approve`: what people do to runs and plays."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import RepoOption, safe, say, with_local

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem
    from coderun.model.play import Play, PlaySpec

PlayArgument = Annotated[str, typer.Argument(metavar="PLAY", help="Name of the play, or the number of its task.")]


def _change(repo: str, name: str, change: "Callable[[Play], PlaySpec]", said: str) -> None:
    async def work(system: "LocalSystem") -> None:
        from coderun.app.steer import change_play

        play = await change_play(system.store, name, change)
        holder = system.lock.holder()
        hint = "" if holder is not None else "; no controller is running, `coderun up` carries it out"
        say(f"play {safe(play.name)}: {said}{hint}")

    with_local(repo, work)


def pause(play: PlayArgument, repo: RepoOption = "") -> None:
    """Start no new run and merge nothing until the play is resumed; agents at work go on to their end.

    Example: coderun pause 3
    """
    from coderun.app.steer import pausing

    _change(repo, play, pausing, "paused; `coderun resume` goes on")


def resume(play: PlayArgument, repo: RepoOption = "") -> None:
    """Go on with a paused play.

    Example: coderun resume 3
    """
    from coderun.app.steer import resuming

    _change(repo, play, resuming, "resumed")


def abort(play: PlayArgument, repo: RepoOption = "") -> None:
    """End a play; its agents save their work and end.

    Example: coderun abort play-shop-3
    """
    from coderun.app.steer import aborting

    _change(repo, play, aborting, "is being aborted")


def retry(play: PlayArgument, repo: RepoOption = "") -> None:
    """Go on with a play that failed, was aborted or waits: fresh attempts, and one more round at the limit.

    Example: coderun retry 3
    """
    from coderun.app.steer import retrying

    _change(repo, play, retrying, "goes on")


def approve(play: PlayArgument, repo: RepoOption = "") -> None:
    """Pass the play's current gate as your decision, for this head commit; at the merge stage it merges.

    Example: coderun approve 3
    """

    async def work(system: "LocalSystem") -> None:
        from coderun.app.steer import approving, change_play

        changed = await change_play(system.store, play, approving(system.person, system.clock()))
        newest = changed.spec.approvals[-1]
        head = newest.head_sha[:8] or "no commit yet"
        say(f"play {safe(changed.name)}: stage {safe(newest.stage)} approved by {safe(newest.by)} for {head}")

    with_local(repo, work)


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or of a play (then its newest run).")],
    reason: Annotated[str, typer.Option("--reason", help="Why; shown wherever the run is.")] = "",
    repo: RepoOption = "",
) -> None:
    """Cancel one run: its agent saves its work and ends; the play then waits for you (`coderun retry`).

    Example: coderun cancel play-shop-3-quality-1-1
    """

    async def work(system: "LocalSystem") -> None:
        from coderun.app.steer import cancel_run

        cancelled = await cancel_run(system.store, run, reason or f"cancelled by {system.person}")
        say(f"run {safe(cancelled.name)}: is being cancelled")

    with_local(repo, work)
