"""`coderun logs RUN`: what a run said, and what it says."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import RepoOption, say, with_local

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or of a play or task number (its newest run).")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    repo: RepoOption = "",
) -> None:
    """Print the output of a run; control characters other than line ends and tabs are shown, not obeyed.

    Examples: coderun logs 3 -f · coderun logs play-shop-3-testing-1-1
    """

    async def work(system: "LocalSystem") -> None:
        from coderun.app.steer import find_run
        from coderun.model.text import printable

        found = await find_run(system.store, run)
        if not found.status.job_name:
            say(f"run {found.name} has not started: {found.status.message or 'nobody has looked at it yet'}", err=True)
            return
        rest = b""
        async for chunk in system.runtime.logs(found.status.job_name, follow=follow):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                sys.stdout.write(printable(line.decode("utf-8", "replace")) + "\n")
            sys.stdout.flush()
        if rest:
            say(printable(rest.decode("utf-8", "replace")))

    with_local(repo, work)
