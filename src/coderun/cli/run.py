"""`coderun run`: one execution of one agent, outside a play."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, Output, OutputOption, ReaderGoneError, RepoOption, safe, say, to_text, with_system

if TYPE_CHECKING:
    from coderun.app.system import Workplace
    from coderun.model.coderun import CodeRun


def command(
    agent: Annotated[str, typer.Option("--agent", "-a", help="Which agent of the roster.")],
    task: Annotated[int | None, typer.Option("--task", "-t", help="A task of tasks.json.")] = None,
    text: Annotated[str, typer.Argument(metavar="TASK", help="A Markdown file or a sentence instead.")] = "",
    agent_command: Annotated[str, typer.Option("--agent-command", help="Run this program as the agent.")] = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Run one agent once on a task: what its stage asks for is published, nothing follows.

    Examples:
        coderun run --agent rex --task 3
        coderun run -a cleo "Tidy up the tests"
    """

    async def work(system: "Workplace") -> "CodeRun":
        from coderun.app.follow import follow_run, looked_after
        from coderun.app.request import request_run

        name = await request_run(system, agent=agent, task=task, text=text, agent_command=agent_command)
        if output is Output.TABLE:
            say(f"run {name} starts; `coderun logs {name} -f` shows what it says")
        async with looked_after(system):
            return await follow_run(system, name)
        raise AssertionError("unreachable")

    try:
        ended = with_system(repo, work, create=True)
    except (KeyboardInterrupt, ReaderGoneError):
        say("\nstopped watching; the agent goes on. `coderun up` carries on, `coderun cancel` ends it.", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    if output in {Output.JSON, Output.YAML}:
        say(to_text(ended, output))
    elif output is Output.NAME:
        say(safe(ended.name))
    else:
        say(f"{safe(ended.name)}: {ended.status.phase.value}. {safe(ended.status.message)}")
    from coderun.model.coderun import RunPhase

    raise typer.Exit(Exit.OK if ended.status.phase is RunPhase.SUCCEEDED else Exit.FAILED)
