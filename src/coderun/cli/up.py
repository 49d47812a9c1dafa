"""`coderun up`: the controller of this repository, until it is stopped."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coderun.cli.terminal import Exit, RepoOption, safe, say, with_local

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem


def command(
    stop: Annotated[bool, typer.Option("--stop", help="End the controller that runs, and return.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Where a `play` is the controller, take over when it ends.")] = False,
    webhook_port: Annotated[
        int | None,
        typer.Option("--webhook-port", min=0, max=65535, metavar="PORT", help="Take GitHub's webhooks there; 0: a free one."),
    ] = None,
    webhook_host: Annotated[
        str, typer.Option("--webhook-host", metavar="HOST", help="Address to listen on (127.0.0.1 by default).")
    ] = "",
    webhook_secret_file: Annotated[
        list[Path] | None,
        typer.Option("--webhook-secret-file", metavar="FILE", help="A secret that webhooks are signed with; repeatable."),
    ] = None,
    repo: RepoOption = "",
) -> None:
    """Run the controller in the foreground: it carries on every play of this repository. Ctrl-C stops it; agents go on.

    Examples:
        coderun up
        coderun up --stop
        coderun up --webhook-port 8080 --webhook-secret-file ~/webhook-secret
    """

    def control(system: "LocalSystem") -> "Coroutine[Any, Any, None]":
        return _control(system, lambda: _door(system, webhook_host, webhook_port, webhook_secret_file or []))

    async def wait_and_control(system: "LocalSystem") -> None:
        await _wait_for_turn(system)
        await control(system)

    try:
        with_local(repo, _stop if stop else wait_and_control if wait else control, create=not stop)
    except KeyboardInterrupt:
        say("\nstopped; agents at work go on, and `coderun up` finds them again", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


async def _wait_for_turn(system: "LocalSystem") -> None:
    import asyncio

    from coderun.app.background import LASTING

    while (holder := system.lock.holder()) is not None and not holder.command.startswith(LASTING):  # noqa: ASYNC110 - another
        await asyncio.sleep(0.5)  # process holds it, and does not tell when it leaves


async def _control(system: "LocalSystem", door: "Callable[[], contextlib.AbstractAsyncContextManager[str]]") -> None:
    from coderun.model.errors import RefusedError

    if not system.take_control():
        holder = system.lock.holder()
        raise RefusedError(f"the controller of {system.repository} is already running: {holder}; `coderun up --stop` ends it")
    try:
        async with door() as url:
            say(
                f"controller of {safe(system.repository)}; state in {safe(system.state)}; Ctrl-C stops it, agents at work go on"
            )
            if url:
                say(f"webhooks are taken at {safe(url)}")
            await (await system.make_controller()).run()
    finally:
        system.lock.release()


@contextlib.asynccontextmanager
async def _door(system: "LocalSystem", host: str, port: int | None, secret_files: list[Path]) -> "AsyncIterator[str]":
    """The webhook door, open for as long as the block lasts, and its URL; "" where none is asked for."""
    from coderun.app.webhook import door_settings

    settings = door_settings(
        system.configuration.config,
        root=system.repository,
        environ=system.environment,
        home=system.home,
        host=host,
        port=port,
        secret_files=secret_files,
    )
    if settings is None:
        yield ""
        return
    from coderun.web.serve import open_door

    async with open_door(
        system.store, host=settings.host, port=settings.port, secrets=settings.secrets, clock=system.clock
    ) as url:
        yield url


async def _stop(system: "LocalSystem") -> None:
    from coderun.app.background import stop_controller

    stopped = await stop_controller(system)
    if stopped is None:
        say("no controller is running")
    else:
        say(f"the controller ({safe(stopped)}) has ended; agents at work go on, and `coderun up` finds them again")
