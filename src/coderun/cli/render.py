"""`coderun render`: the files of a run as its templates make them; shown, compared, checked, explained, or written."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coderun.cli.terminal import Exit, Output, OutputOption, RepoOption, folder_of, safe, say, to_text

if TYPE_CHECKING:
    from coderun.app.render import Explained, Renderer, RenderRequest, View


def command(
    file: Annotated[str, typer.Argument(metavar="RUN", help="The YAML file of a CodeRun.")] = "",
    agent: Annotated[str, typer.Option("--agent", "-a", help="Which agent of the roster.")] = "",
    task: Annotated[
        int | None, typer.Option("--task", "-t", help="A task of tasks.json; without one a made-up task 1.")
    ] = None,
    out: Annotated[str, typer.Option("--out", help="Write the files into this folder.", metavar="DIR")] = "",
    force: Annotated[bool, typer.Option("--force", help="With --out: replace files that are there.")] = False,
    diff_agent: Annotated[
        str, typer.Option("--diff-agent", help="Compare with the files of this agent.", metavar="AGENT")
    ] = "",
    diff_templates: Annotated[
        str, typer.Option("--diff-templates", help="Compare with this folder of templates.", metavar="DIR")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Only say what is wrong; all agents where none is named.")] = False,
    explain: Annotated[
        str, typer.Option("--explain", help="Say which template makes this file, and why.", metavar="FILE")
    ] = "",
    output: OutputOption = Output.TABLE,
    repo: RepoOption = "",
) -> None:
    """Show every file that a run would get, as its templates make it. Nothing is started, and nothing written but with --out.

    Examples:
        coderun render --agent rex
        coderun render -a tess --task 3 --out /tmp/tess
        coderun render -a rex --diff-agent cleo
        coderun render -a rex --explain settings.json
        coderun render run.yaml -o name
        coderun render --check
    """
    import os

    from coderun.app.render import RenderRequest, open_renderer, save_files
    from coderun.model.errors import ConfigError

    modes = [bool(out), bool(diff_agent or diff_templates), check, bool(explain)]
    if sum(modes) > 1:
        raise ConfigError("--out, --diff-agent or --diff-templates, --check and --explain exclude each other; give one of them")
    renderer = open_renderer(folder_of(repo), environ=dict(os.environ))
    request = RenderRequest(agent=agent, task=task, file=file)
    if check:
        _check(renderer, request, output)
        return
    if explain:
        _explain(renderer.explain(request, explain), output)
        return
    view = renderer.view(request)
    if diff_agent or diff_templates:
        _diff(renderer, request, view, diff_agent, diff_templates)
        return
    _refuse_broken(renderer, view)
    if out:
        written = save_files(view.files, folder_of(out), replace=force)
        say(f"{len(written)} files of {safe(view.agent.name)} written into {safe(out)}")
        return
    _show(view, output)


def _show(view: "View", output: Output) -> None:
    from coderun.app.render import origin_of

    if output is Output.NAME:
        for name in view.files:
            say(safe(name))
    elif output in {Output.JSON, Output.YAML}:
        files = {name: {"template": origin_of(view, name), "text": text} for name, text in view.files.items()}
        data: dict[str, Any] = {"run": view.run.name, "agent": view.agent.name, "files": files}
        say(to_text(data, output))
    else:
        for name, text in view.files.items():
            say(f"==> {safe(name)}  (from {safe(origin_of(view, name))})")
            say(_lines(text))
            say()


def _check(renderer: "Renderer", request: "RenderRequest", output: Output) -> None:
    problems = renderer.check(request)
    if output in {Output.JSON, Output.YAML}:
        say(to_text({"problems": problems}, output))
    else:
        for problem in problems:
            say(_lines(problem), err=True)
        whose = request.agent or request.file or "all agents"
        say(f"{len(problems)} problems" if problems else f"the templates of {safe(whose)} are sound", err=bool(problems))
    raise typer.Exit(Exit.FAILED if problems else Exit.OK)


def _refuse_broken(renderer: "Renderer", view: "View") -> None:
    problems = [*view.problems, *renderer.shell_problems(view)]
    for problem in problems:
        say(_lines(problem.message), err=True)
    if problems:
        raise typer.Exit(Exit.FAILED)


def _diff(renderer: "Renderer", request: "RenderRequest", view: "View", agent: str, templates: str) -> None:
    import msgspec

    from coderun.app.render import diff_views
    from coderun.model.errors import ConfigError

    if agent and request.file:
        raise ConfigError("--diff-agent compares with --agent, not with the file of a CodeRun")
    other = renderer.view(msgspec.structs.replace(request, agent=agent or request.agent, templates=templates))
    for each in (view, other):
        for problem in each.problems:
            say(_lines(problem.message), err=True)
    names = (view.agent.name, other.agent.name) if agent else ("now", "other")
    difference = diff_views(view, other, names=names)
    say(_lines(difference).rstrip("\n") if difference else "no difference")
    if view.problems or other.problems:
        raise typer.Exit(Exit.FAILED)


def _explain(told: "Explained", output: Output) -> None:
    if output in {Output.JSON, Output.YAML}:
        say(to_text(told, output))
        return
    if output is Output.NAME:
        say(safe(told.template))
        return
    say(f"{safe(told.file)} is made from {safe(told.template)}")
    parts = (
        ("looked at, in this order", told.tried),
        ("variables", told.variables),
        ("helpers", told.helpers),
        ("partials", told.partials),
    )
    for title, lines in parts:
        if lines:
            say(f"\n{title}:")
            for line in lines:
                say(f"  {safe(line)}")
    if told.problem:
        say(f"\nproblem:\n{_lines(told.problem)}")


def _lines(text: str) -> str:
    """Text of templates and tasks, fit for a terminal, with its lines."""
    from coderun.model.text import printable

    return printable(text, keep_lines=True).rstrip("\n")
