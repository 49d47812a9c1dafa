"""`coderun logs RUN`: what a run said, and what it says."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import RepoOption, safe, say, with_system

if TYPE_CHECKING:
    from coderun.app.system import Workplace
    from coderun.model.coderun import CodeRun


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or of a play or task number (its newest run).")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    repo: RepoOption = "",
) -> None:
    """Print what a run says, without control characters and escape sequences.

    Examples:
        coderun logs 3 -f
        coderun logs play-shop-3-testing-1-1
    """

    async def work(system: "Workplace") -> None:
        from coderun.app.steer import find_run
        from coderun.model.coderun import RunPhase

        found = await find_run(system.store, run)
        if not found.status.job_name:
            why = found.status.message or f"nobody has looked at it yet; {system.carrier} does"
            say(f"run {found.name} has not started: {safe(why)}", err=True)
            if not follow:
                return
            found = await _started(system, found)
        elif found.status.phase is RunPhase.PENDING and found.status.message:
            say(f"run {found.name} has not started: {safe(found.status.message)}", err=True)
        heard, rest = False, b""
        async for chunk in system.logs(found.status.job_name, follow=follow):
            heard = True
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                say("\n".join(_shown(line) for line in lines))
        if rest:
            say(_shown(rest))
        if not heard and found.status.phase.is_finished:
            how = f"{found.status.phase.value}{f', {found.status.message}' if found.status.message else ''}"
            say(f"of run {found.name} nothing is there to read any more ({safe(how)})", err=True)

    with_system(repo, work)


async def _started(system: "Workplace", run: "CodeRun") -> "CodeRun":
    """The run as soon as it has a job, or has ended without one."""
    from coderun.app.steer import find_run

    changes = system.store.watch()
    while True:
        found = await find_run(system.store, run.name)
        if found.status.job_name or found.status.phase.is_finished:
            return found
        await anext(changes)


def _shown(line: bytes) -> str:
    from coderun.model.text import printable

    return printable(line.decode("utf-8", "replace"), keep_lines=True)
