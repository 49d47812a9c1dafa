"""`coderun demo`: the main job end to end, on a small repository, with scripted agents; needs no agent CLI and no network."""

from typing import Annotated

import typer

from coderun.cli.terminal import Exit, say


def command(
    directory: Annotated[
        str, typer.Option("--dir", help="An empty or new folder to work in; a temporary one by default.")
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="A line per decision instead of a table.")] = False,
) -> None:
    """Play three tasks of a small repository from implementation to merge, with scripted agents that really work.

    A review asks for changes once, and a push restarts quality once. Exits 1 if anything promised was not seen.

    Example: coderun demo
    """
    import asyncio
    import os
    import tempfile
    from datetime import UTC, datetime
    from pathlib import Path

    from coderun.app.configuration import packaged_text
    from coderun.app.demo.driver import TASKS, run_demo
    from coderun.cli.live import live_view
    from coderun.model.errors import ConfigError
    from coderun.model.yaml import decode, load
    from coderun.pipeline.definition import Pipeline

    folder = Path(directory).absolute() if directory else Path(tempfile.mkdtemp(prefix="coderun-demo-"))
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; name a new folder with --dir")
    folder.mkdir(parents=True, exist_ok=True)
    say(f"a small repository with {TASKS} tasks is being made in {folder / 'shop'}; its agents are scripts that really work\n")
    pipeline = decode(load(packaged_text("pipelines/play.yaml"), name="play.yaml"), Pipeline)
    with live_view({pipeline.name: pipeline}, datetime.now(UTC), plain=plain) as view:
        result = asyncio.run(run_demo(folder, dict(os.environ), view.update))
    say()
    say(f"{'TASK':<30} {'PR':<4} {'OUTCOME':<10} {'ROUNDS':>6} {'RUNS':>5} {'TIME':>8}")
    for row in result.rows:
        pull = f"#{row.pull_request}" if row.pull_request is not None else "-"
        task = f"{row.task} {row.title}"
        say(f"{task:<30.30} {pull:<4} {row.outcome:<10} {row.rounds:>6} {row.runs:>5} {row.seconds:>6.1f} s")
    say(f"\n{sum(row.outcome == 'merged' for row in result.rows)} of {TASKS} pull requests merged in {result.seconds:.1f} s")
    say("where to look:")
    for what, how in (
        ("why a task went as it did", f"coderun why 1 --history -C {result.folder}"),
        ("the pull requests", f"coderun pr list --state all -C {result.folder}"),
        ("what an agent said", f"coderun logs 1 -C {result.folder}"),
        ("the merged code", f"git -C {result.folder} pull {result.state / 'forge' / 'repo.git'} main"),
    ):
        say(f"  {what:<28} {how}")
    for line in result.missing:
        say(f"error: {line}", err=True)
    if result.missing:
        raise typer.Exit(Exit.FAILED)
