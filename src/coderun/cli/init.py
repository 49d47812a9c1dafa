"""`coderun init`: a commented `coderun.yaml` for the repository one stands in."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Option("--directory", "-C", help="Act as if started there.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a coderun.yaml that is there.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print the file instead of writing it.")] = False,
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
    from coderun.model.text import printable

    repository = find_repository(directory.absolute(), environ=os.environ)
    findings = look_around(repository, environ=os.environ)
    text = write_config(findings)
    if show:
        print(text, end="")
        return
    path = save_config(repository, text, replace=force)
    print(f"Wrote {printable(str(path))}. Next:")
    for number, step in enumerate(next_steps(findings), 1):
        print(f"  {number}. {step}")
