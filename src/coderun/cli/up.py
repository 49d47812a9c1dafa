"""`coderun up`: the controller of this repository, until it is stopped."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, RepoOption, safe, say, with_local

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem


def command(
    stop: Annotated[bool, typer.Option("--stop", help="End the controller that runs, and return.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Where a `play` is the controller, take over when it ends.")] = False,
    repo: RepoOption = "",
) -> None:
    """Run the controller in the foreground: it carries on every play of this repository. Ctrl-C stops it; agents go on.

    Examples:
        coderun up
        coderun up --stop
    """
    try:
        with_local(repo, _stop if stop else _wait_and_control if wait else _control, create=not stop)
    except KeyboardInterrupt:
        say("\nstopped; agents at work go on, and `coderun up` finds them again", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


async def _wait_and_control(system: "LocalSystem") -> None:
    import asyncio

    from coderun.app.background import LASTING

    while (holder := system.lock.holder()) is not None and not holder.command.startswith(LASTING):  # noqa: ASYNC110 - another
        await asyncio.sleep(0.5)  # process holds it, and does not tell when it leaves
    await _control(system)


async def _control(system: "LocalSystem") -> None:
    from coderun.model.errors import RefusedError

    if not system.take_control():
        holder = system.lock.holder()
        raise RefusedError(f"the controller of {system.repository} is already running: {holder}; `coderun up --stop` ends it")
    say(f"controller of {safe(system.repository)}; state in {safe(system.state)}; Ctrl-C stops it, agents at work go on")
    try:
        await system.make_controller().run()
    finally:
        system.lock.release()


async def _stop(system: "LocalSystem") -> None:
    from coderun.app.background import stop_controller

    stopped = await stop_controller(system)
    if stopped is None:
        say("no controller is running")
    else:
        say(f"the controller ({safe(stopped)}) has ended; agents at work go on, and `coderun up` finds them again")
