"""`coderun get`: plays, runs and tasks as tables or data."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coderun.cli.terminal import Output, OutputOption, RepoOption, plain, say, show, with_local, with_system

if TYPE_CHECKING:
    from coderun.app.local import LocalSystem
    from coderun.app.system import Workplace
    from coderun.model.coderun import CodeRun
    from coderun.model.play import Play


class What(StrEnum):
    """What can be listed."""

    PLAYS = "plays"
    RUNS = "runs"
    FORGE = "forge"


_KINDS = [kind.value for kind in What]


def _kinds() -> list[str]:
    return _KINDS


def command(
    kind: Annotated[
        str, typer.Argument(metavar="WHAT", help="plays, runs or forge; or a play.", autocompletion=_kinds)
    ] = What.PLAYS.value,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only this one (for plays also the task's number).")] = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """List plays or runs, show one, or say where the local forge is.

    Examples:
        coderun get
        coderun get runs
        coderun get 3
        coderun get plays 3 -o yaml
        git pull "$(coderun get forge -o name)" main
    """
    what, name = _meant(kind, name)
    if what is What.FORGE:
        with_local(repo, lambda system: _show_forge(system, output))
        return

    async def work(system: "Workplace") -> "list[Play] | list[CodeRun]":
        from coderun.app.steer import find_play, find_run
        from coderun.model.coderun import CodeRun
        from coderun.model.play import Play

        if what is What.PLAYS:
            return [await find_play(system.store, name)] if name else await system.store.find(Play)
        return [await find_run(system.store, name)] if name else await system.store.find(CodeRun)

    found, holder, where, how = with_system(repo, lambda system: _with_holder(system, work))
    if output in {Output.JSON, Output.YAML}:
        rows: list[dict[str, Any]] = [plain(each) for each in found]
        show(rows, output, columns=(), empty="", single=bool(name))
        return
    columns = _PLAY_COLUMNS if what is What.PLAYS else _RUN_COLUMNS
    make = _play_row if what is What.PLAYS else _run_row
    rows = [{"name": each.name, **make(each)} for each in found]
    show(rows, output, columns=columns, empty=f"no {what.value} yet{where}; `coderun play --task N` starts one")
    if output is Output.TABLE and not holder and any(not _has_ended(each) for each in found):
        say(f"\nno controller is running, so this is how it was left: {how} carries on", err=True)


def _meant(kind: str, name: str) -> tuple[What, str]:
    """What is to be listed, and the one that is meant; a play may be named alone, as everywhere."""
    if kind in _KINDS:
        return What(kind), name
    if not name and (kind.isdigit() or "-" in kind):
        return What.PLAYS, kind
    raise typer.BadParameter(f"{kind!r} is not one of {', '.join(map(repr, _KINDS))}, nor a play", param_hint="'WHAT'")


async def _with_holder(system: "Workplace", work: Any) -> Any:
    how = f"{system.carrier} or `coderun play`" if system.runs_here else f"{system.carrier}, once it runs,"
    return await work(system), await system.controller(), system.where, how


def _has_ended(each: Any) -> bool:
    return bool(each.status.phase.is_finished)


async def _show_forge(system: "LocalSystem", output: Output) -> None:
    counts = {state.value: number for state, number in (await system.hosting.counts()).items()}
    row = {"name": system.hosting.place, "base": system.base_branch, "state": str(system.state), **counts}
    show([row], output, columns=("name", "base", *counts), empty="", single=True)


_PLAY_COLUMNS = ("name", "task", "phase", "stage", "iteration", "pr", "waiting")
_RUN_COLUMNS = ("name", "agent", "stage", "phase", "reason", "message")


def _play_row(play: Any) -> dict[str, Any]:
    status = play.status
    pull = status.pull_request
    waiting = status.waiting.message if status.waiting is not None else status.message
    return {
        "name": play.name,
        "task": play.spec.task_id,
        "phase": status.phase.value,
        "stage": status.stage or "-",
        "iteration": status.iteration,
        "pr": f"#{pull.number}" if pull is not None else "-",
        "waiting": waiting,
    }


def _run_row(run: Any) -> dict[str, Any]:
    from coderun.model.meta import find_condition
    from coderun.model.names import LABEL_AGENT
    from coderun.plan.lifecycle import READY

    condition = find_condition(run.status.conditions, READY)
    return {
        "name": run.name,
        "agent": run.metadata.labels.get(LABEL_AGENT) or run.spec.github_app,
        "stage": run.spec.stage or "-",
        "phase": run.status.phase.value,
        "reason": condition.reason if condition is not None else "-",
        "message": run.status.message,
    }
