"""`coderun demo`: the main job end to end, on a small repository, with scripted agents; needs no agent CLI and no network."""

from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import Exit, ReaderGoneError, run_async, safe, say

if TYPE_CHECKING:
    from pathlib import Path

    from coderun.app.demo.driver import DemoResult


def command(
    directory: Annotated[
        str, typer.Option("--dir", metavar="DIR", help="An empty or new folder to work in; a temporary one by default.")
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="A line per decision instead of a table.")] = False,
) -> None:
    """Play three tasks of a small repository from implementation to merge, with scripted agents that really work.

    A review asks for changes once, and a push restarts quality once. Exits 1 if anything promised was not seen.

    Examples:
        coderun demo
        coderun demo --plain --dir /tmp/shop
    """
    import os
    from datetime import UTC, datetime

    from coderun.app.configuration import packaged_text
    from coderun.app.demo.driver import TASKS, run_demo
    from coderun.cli.live import live_view
    from coderun.model.yaml import decode, load
    from coderun.pipeline.definition import Pipeline

    folder = _make_folder(directory)
    project = safe(folder / "shop")
    say(f"a small repository with {TASKS} tasks is being made in {project}; its agents are scripts that really work\n")
    pipeline = decode(load(packaged_text("pipelines/play.yaml"), name="play.yaml"), Pipeline)
    try:
        with live_view({pipeline.name: pipeline}, datetime.now(UTC), plain=plain) as view:
            result = run_async(run_demo(folder, dict(os.environ), view.update))
    except (KeyboardInterrupt, ReaderGoneError):
        say(f"\nstopped; `{_program()} up -C {_quoted(folder / 'shop')}` carries on", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    _tell(result)
    if result.missing:
        raise typer.Exit(Exit.FAILED)


def _make_folder(directory: str) -> "Path":
    import tempfile
    from pathlib import Path

    from coderun.model.errors import ConfigError

    folder = Path(directory).absolute() if directory else Path(tempfile.mkdtemp(prefix="coderun-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise ConfigError(f"the demo cannot work in {folder}: {error.strerror}; name a new folder with --dir") from error
    if not is_empty:
        raise ConfigError(f"{folder} is not empty; name a new folder with --dir")
    return folder


def _tell(result: "DemoResult") -> None:
    say(f"\n{'TASK':<30} {'PR':<4} {'OUTCOME':<10} {'ROUNDS':>6} {'RUNS':>5} {'TIME':>8}")
    for row in result.rows:
        pull = f"#{row.pull_request}" if row.pull_request is not None else "-"
        task = f"{row.task} {row.title}"
        say(f"{task:<30.30} {pull:<4} {row.outcome:<10} {row.rounds:>6} {row.runs:>5} {row.seconds:>6.1f} s")
    merged = sum(row.outcome == "merged" for row in result.rows)
    say(f"\n{merged} of {len(result.rows)} pull requests merged in {result.seconds:.1f} s")
    say("where to look:")
    program, project, forge = _program(), _quoted(result.folder), _quoted(result.state / "forge" / "repo.git")
    for what, how in (
        ("why a task went as it did", f"{program} why 1 --history -C {project}"),
        ("the pull requests", f"{program} pr list --state all -C {project}"),
        ("what an agent said", f"{program} logs 1 -C {project}"),
        ("the merged code", f"git -C {project} pull {forge} main"),
        ("all of it away again", f"rm -rf {_quoted(result.folder.parent)} {_quoted(result.state)}"),
    ):
        say(f"  {what:<28} {how}")
    for line in result.missing:
        say(f"error: {safe(line)}", err=True)


def _quoted(path: "Path") -> str:
    from shlex import quote

    return quote(safe(path))


def _program() -> str:
    """What a person types to start this program again: its bare name where that finds it, else its path."""
    import shutil
    import sys
    from pathlib import Path

    running = Path(sys.argv[0])
    if running.name != "coderun":
        return f"{sys.executable} -m coderun.cli.main"
    found = shutil.which("coderun")
    is_found = found is not None and Path(found).resolve() == running.resolve()
    return "coderun" if is_found else _quoted(running)
