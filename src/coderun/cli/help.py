"""The help texts of commands: examples keep their lines, and each command says in a few words what it is for.

A docstring is a command's help; a paragraph that starts with `Examples:` is shown as it is written.
"""

import inspect
import re
from typing import Any

import typer
import typer.core

_EXAMPLES = re.compile(r"^(?=Examples:$)", re.MULTILINE)
_AS_IT_IS = "\b\n"  # click: do not fill the paragraph that follows


class Commands(typer.core.TyperGroup):
    """The commands of the root; what is wrong with a word is said without the words of the library that checks it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def keep_examples(app: typer.Typer) -> None:
    """Keep the lines of the examples of every command of `app`, here and in the groups below it."""
    for command in app.registered_commands:
        text = inspect.cleandoc(command.help or (command.callback and command.callback.__doc__) or "")
        command.help = _EXAMPLES.sub(_AS_IT_IS, text)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            keep_examples(group.typer_instance)
