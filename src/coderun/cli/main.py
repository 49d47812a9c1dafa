"""The entry point: `coderun`. Builds the commands, turns errors into a line for people and an exit code."""

import sys

import typer

from coderun import __version__
from coderun.cli import (
    agent,
    demo,
    doctor,
    get,
    init,
    logs,
    play,
    pr,
    render,
    run,
    steer,
    up,
    watch,
    why,
)
from coderun.cli.terminal import Exit, exit_code, say

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 waits for a person, 4 not found, "
    "5 not available now, 6 refused, 130 interrupted."
)

app = typer.Typer(
    name="coderun",
    help="Run a team of coding agents over the tasks of a repository.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("play")(play.command)
app.command("run")(run.command)
app.command("get")(get.command)
app.command("watch")(watch.command)
app.command("logs")(logs.command)
app.command("why")(why.command)
app.command("cancel")(steer.cancel)
app.command("abort")(steer.abort)
app.command("pause")(steer.pause)
app.command("resume")(steer.resume)
app.command("retry")(steer.retry)
app.command("approve")(steer.approve)
app.add_typer(pr.app, name="pr")
app.command("render")(render.command)
app.command("up")(up.command)
app.command("init")(init.command)
app.command("doctor")(doctor.command)
app.command("demo")(demo.command)
app.command("agent", hidden=True)(agent.command)


def _print_version(value: bool) -> None:
    if value:
        say(f"coderun {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
) -> None:
    """Run a team of coding agents over the tasks of a repository."""


def main() -> None:
    """Run the command line; ends the process."""
    try:
        app()
    except KeyboardInterrupt:
        say("interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`coderun get | head`); there is nobody to tell.
        sys.stderr.close()
        sys.exit(Exit.OK)
    except Exception as error:
        from coderun.model.errors import CoderunError

        if not isinstance(error, CoderunError):
            raise
        say(f"error: {error}", err=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
