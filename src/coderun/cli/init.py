"""`coderun init`: a commented `coderun.yaml` for the repository one stands in."""

from typing import Annotated

import typer

from coderun.cli.terminal import RepoOption, folder_of, safe, say


def command(
    force: Annotated[bool, typer.Option("--force", help="Replace a coderun.yaml that is there.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print the file instead of writing it.")] = False,
    repo: RepoOption = "",
) -> None:
    """Write a commented coderun.yaml for this repository.

    Base branch, checks, Task Master and agent CLIs are looked for and written in; every other key is there with its default,
    behind a `#`. A file that is there is never replaced without --force.

    Examples:
        coderun init
        coderun init --print
        coderun init --force
    """
    import os

    from coderun.app.init import look_around, next_steps, save_config, write_config
    from coderun.app.places import find_repository

    repository = find_repository(folder_of(repo), environ=os.environ)
    findings = look_around(repository, environ=os.environ)
    text = write_config(findings)
    if show:
        say(text.removesuffix("\n"))
        return
    path = save_config(repository, text, replace=force)
    say(f"Wrote {safe(path)}. Next:")
    for number, step in enumerate(next_steps(findings), 1):
        say(f"  {number}. {step}")
