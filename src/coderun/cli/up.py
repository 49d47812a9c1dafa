"""`coderun up`: the controller of this repository, until it is stopped."""

from typing import TYPE_CHECKING

import typer

from coderun.cli.terminal import Exit, RepoOption, safe, say, with_local

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem


def command(repo: RepoOption = "") -> None:
    """Run the controller in the foreground: it carries on every play of this repository. Ctrl-C stops it; agents go on.

    Examples:
        coderun up
    """

    async def work(system: "LocalSystem") -> None:
        from coderun.model.errors import RefusedError

        if not system.take_control():
            holder = system.lock.holder()
            raise RefusedError(f"the controller of {system.repository} is already running: {holder}")
        say(f"controller of {safe(system.repository)}; state in {safe(system.state)}; Ctrl-C stops it, agents at work go on")
        try:
            await system.make_controller().run()
        finally:
            system.lock.release()

    try:
        with_local(repo, work, create=True)
    except KeyboardInterrupt:
        say("\nstopped; agents at work go on, and `coderun up` finds them again", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
