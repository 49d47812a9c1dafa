"""The entry point: `coderun`. Builds the commands, turns errors into a line for people and an exit code."""

import errno
import io
import os
import sys

import typer

from coderun import __version__
from coderun.cli import (
    agent,
    controller,
    crds,
    demo,
    doctor,
    events,
    get,
    github,
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
from coderun.cli.help import Commands, keep_examples
from coderun.cli.terminal import Exit, ReaderGoneError, choose_cluster, exit_code, say

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 waits for a person, 4 not found, "
    "5 not available now, 6 refused, 130 interrupted. `coderun COMMAND --help` has examples."
)

app = typer.Typer(
    name="coderun",
    cls=Commands,
    help="Run a team of coding agents over the tasks of a repository.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("play", short_help="Play tasks from implementation to merge.")(play.command)
app.command("run", short_help="Run one agent once, outside a play.")(run.command)
app.command("get", short_help="List plays or runs, show one, or the local forge.")(get.command)
app.command("watch", short_help="Follow plays in a live view.")(watch.command)
app.command("why", short_help="Say what a play waits for, and what would move it.")(why.command)
app.command("logs", short_help="Print what a run says.")(logs.command)
app.add_typer(pr.app, name="pr", short_help="Read, review and merge pull requests of the local forge.")
app.command("approve", short_help="Pass the current gate of a play as your decision.")(steer.approve)
app.command("pause", short_help="Let a play start nothing more until it is resumed.")(steer.pause)
app.command("resume", short_help="Go on with a paused play.")(steer.resume)
app.command("retry", short_help="Go on with a play that failed, was aborted or waits.")(steer.retry)
app.command("cancel", short_help="End one run; its work is kept.")(steer.cancel)
app.command("abort", short_help="End a play; its work is kept.")(steer.abort)
app.add_typer(events.app, name="events", short_help="Show which events came and what became of each; replay them.")
app.command("render", short_help="Show every file of a run before it runs.")(render.command)
app.command("up", short_help="Be the controller, until Ctrl-C; --stop ends it.")(up.command)
app.command("controller", short_help="Be the controller of a cluster's namespaces.")(controller.command)
app.command("init", short_help="Write a commented coderun.yaml.")(init.command)
app.command("doctor", short_help="Check everything a play needs.")(doctor.command)
app.add_typer(github.app, name="github", short_help="Set the agents up on GitHub, and check them there.")
app.command("demo", short_help="See it all on a small repository, with scripted agents.")(demo.command)
app.command("crds", short_help="Print the custom resource definitions for a cluster.")(crds.command)
app.command("agent", hidden=True)(agent.command)
keep_examples(app)
_FULL = {errno.ENOSPC, errno.EDQUOT}


def _print_version(value: bool) -> None:
    if value:
        say(f"coderun {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
    context: str = typer.Option("", "--context", help="Speak to a cluster: this context of the kubeconfig."),
    namespace: str = typer.Option("", "--namespace", "-n", help="Speak to a cluster: this namespace."),
    kubeconfig: str = typer.Option("", "--kubeconfig", help="Speak to a cluster: with this kubeconfig.", metavar="FILE"),
) -> None:
    """Run a team of coding agents over the tasks of a repository.

    With --context, --namespace or --kubeconfig before the command, play, run, get, watch, why, logs, events, approve, pause,
    resume, retry, cancel and abort speak to a cluster in place of this machine.
    """
    _ = version
    if context or namespace or kubeconfig:
        choose_cluster(kubeconfig=kubeconfig, context=context, namespace=namespace)


def main() -> None:
    """Run the command line; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a character is no reason to fail
    try:
        app()
    except ReaderGoneError:
        _discard_output()
        sys.exit(Exit.OK)
    except Exception as error:
        from coderun.model.errors import CoderunError
        from coderun.model.text import printable

        if isinstance(error, OSError) and error.errno in _FULL:
            _discard_output()
            place = f" at {printable(str(error.filename))}" if error.filename else ", as it seems where the output goes"
            say(f"error: the disk is full{place} ({error.strerror}); free some space and repeat the command", err=True)
            sys.exit(Exit.UNAVAILABLE)
        if not isinstance(error, CoderunError):
            raise
        say(f"error: {printable(str(error), keep_lines=True)}", err=True)
        sys.exit(exit_code(error))


def _discard_output() -> None:
    """Point standard output at nothing, so that what is still buffered does not fail once more at the end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


if __name__ == "__main__":
    main()
