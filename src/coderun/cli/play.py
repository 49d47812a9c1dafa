"""`coderun play`: tasks from implementation to merge."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, ReaderGoneError, RepoOption, safe, say, with_system

if TYPE_CHECKING:
    from datetime import datetime

    from coderun.app.submit import Submitted
    from coderun.app.system import Workplace
    from coderun.model.play import Play


def command(
    text: Annotated[str, typer.Argument(metavar="TASK", help="A Markdown file or a sentence to play as a task.")] = "",
    task: Annotated[int | None, typer.Option("--task", "-t", help="Play this task of tasks.json.")] = None,
    tasks: Annotated[str, typer.Option("--tasks", help="Play these tasks: 1-5,8")] = "",
    next_task: Annotated[bool, typer.Option("--next", help="Play the next task that is ready.")] = False,
    all_tasks: Annotated[
        bool, typer.Option("--all", help="Play every open task, dependencies and priority respected.")
    ] = False,
    agent_command: Annotated[
        str, typer.Option("--agent-command", help="Run this program as every agent (see docs/agents.md).")
    ] = "",
    auto_merge: Annotated[
        bool | None, typer.Option("--auto-merge/--no-auto-merge", help="Merge when every gate holds; else a person does.")
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option("--max-iterations", min=0, help="Restarts by reviews and conflicts.")
    ] = None,
    parallel: Annotated[int | None, typer.Option("--parallel", min=1, help="Plays under way at once.")] = None,
    ignore_dependencies: Annotated[
        bool, typer.Option("--ignore-dependencies", help="Start though dependencies are open.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Hand over to `coderun up` and return.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="A line per decision instead of a table.")] = False,
    repo: RepoOption = "",
) -> None:
    """Play tasks: one agent implements and opens a pull request, a second raises its quality, a third tests and approves it.

    Runs in the foreground with a live view; agents outlive it, and the same command goes on where it stopped.

    Examples:
        coderun play --task 3
        coderun play --all --auto-merge
        coderun play "Fix the typo in README"
        coderun play notes/feature.md
        coderun play --tasks 1-5,8 --detach
    """

    async def work(system: "Workplace") -> "list[Play]":
        from coderun.app.request import PlayRequest, request_plays

        request = PlayRequest(
            text=text,
            task=task,
            tasks=tasks,
            next_task=next_task,
            all_tasks=all_tasks,
            auto_merge=auto_merge,
            max_iterations=max_iterations,
            ignore_dependencies=ignore_dependencies,
            agent_command=agent_command,
        )
        _allow(system, parallel)
        begun = system.clock()
        submitted = await request_plays(system, request)
        _announce(submitted)
        if detach:
            await _hand_over(system)
            return []
        return await _follow(system, [each.name for each in submitted], begun, plain=plain)

    try:
        plays = with_system(repo, work, create=True)
    except (KeyboardInterrupt, ReaderGoneError):
        say(
            "\nstopped watching; agents at work go on. "
            "`coderun up` or the same command carries on, `coderun abort` ends a play.",
            err=True,
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    if detach:
        return
    from coderun.cli.watch import outcome

    _summarise(plays)
    raise typer.Exit(outcome(plays))


def _allow(system: "Workplace", parallel: int | None) -> None:
    from coderun.app.local import LocalSystem
    from coderun.model.errors import ConfigError

    if parallel is None:
        return
    if not isinstance(system, LocalSystem):
        raise ConfigError("how many plays a cluster has under way is `play.parallel` of its controller; leave --parallel out")
    system.parallel = parallel


async def _follow(system: "Workplace", names: list[str], begun: "datetime", *, plain: bool) -> "list[Play]":
    import sys

    from coderun.app.follow import follow_plays, looked_after
    from coderun.cli.live import live_view

    with live_view(system.pipelines, begun, plain=plain) as view:
        async with looked_after(system) as control:
            return await follow_plays(system, names, view.update, until_person=not sys.stdout.isatty(), control=control)
    raise AssertionError("unreachable")


async def _hand_over(system: "Workplace") -> None:
    from coderun.app.background import ensure_controller
    from coderun.app.local import LocalSystem

    if not isinstance(system, LocalSystem):
        say("handed over to the cluster's controller; `coderun watch` follows it")
        return
    holder = await ensure_controller(system)
    say(f"handed over to the controller ({safe(holder)}); `coderun watch` follows it, `coderun up --stop` ends it")


def _announce(submitted: "list[Submitted]") -> None:
    from coderun.app.submit import Fate

    words = {
        Fate.CREATED: "starts",
        Fate.UNDER_WAY: "is under way already; following it",
        Fate.DONE: "is done: its pull request was merged",
        Fate.STOPPED: "ended without success earlier; `coderun retry` goes on with it",
    }
    for each in submitted:
        say(f"task {each.task_id}: {each.name} {words[each.fate]}")


def _summarise(plays: "list[Play]") -> None:
    from coderun.app.explain import way_on

    for play in plays:
        status = play.status
        pull = f" #{status.pull_request.number}" if status.pull_request is not None else ""
        waiting = status.waiting
        rounds = "round" if status.iteration == 1 else "rounds"
        tail = status.message or (waiting.message if waiting is not None else "")
        say(f"task {play.spec.task_id}:{pull} {status.phase.value} after {status.iteration} {rounds}. {safe(tail)}")
        would_move = waiting.would_move if waiting is not None else way_on(play)
        if would_move:
            say(f"  what would move it: {safe(would_move)}")
